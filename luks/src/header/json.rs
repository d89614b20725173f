//! JSON in which nothing is overlooked: every key is asked for once, and a key that
//! is there twice, or that nobody asked for, is an error with its path.
//!
//! The text is at most 12 KiB and serde_json bounds the depth, so memory is bounded.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::HeaderError;

/// A value, with its object's keys in the order of the text.
#[derive(Debug)]
pub(super) enum Node {
    Number(u64),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodeVisitor;
        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a text, a list or an object")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
                Ok(Node::Number(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = list.next_element()? {
                    nodes.push(node);
                }
                Ok(Node::List(nodes))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Node::Object(entries))
            }
        }
        deserializer.deserialize_any(NodeVisitor)
    }
}

/// An object that is taken apart, key by key.
pub(super) struct Object {
    path: String,
    entries: Vec<(String, Node)>,
}

impl Object {
    /// The object in a text.
    pub(super) fn parse(text: &[u8]) -> Result<Self, HeaderError> {
        let node = serde_json::from_slice(text).map_err(|source| HeaderError::Json { source })?;
        Self::new(String::new(), node)
    }

    fn new(path: String, node: Node) -> Result<Self, HeaderError> {
        let Node::Object(entries) = node else {
            return Err(HeaderError::Value { path, expected: "an object" });
        };
        for (index, (key, _)) in entries.iter().enumerate() {
            if entries.iter().take(index).any(|(earlier, _)| earlier == key) {
                return Err(HeaderError::DuplicateKey { path: join(&path, key) });
            }
        }
        Ok(Self { path, entries })
    }

    /// The path of a key, for errors.
    pub(super) fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    fn take(&mut self, key: &str) -> Result<Node, HeaderError> {
        self.optional(key).ok_or_else(|| HeaderError::MissingKey { path: self.path(key) })
    }

    fn optional(&mut self, key: &str) -> Option<Node> {
        let index = self.entries.iter().position(|(known, _)| known == key)?;
        Some(self.entries.swap_remove(index).1)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(known, _)| known == key)
    }

    pub(super) fn object(&mut self, key: &str) -> Result<Self, HeaderError> {
        let node = self.take(key)?;
        Self::new(self.path(key), node)
    }

    pub(super) fn text(&mut self, key: &str) -> Result<String, HeaderError> {
        match self.take(key)? {
            Node::Text(text) => Ok(text),
            Node::Number(_) | Node::List(_) | Node::Object(_) => {
                Err(HeaderError::Value { path: self.path(key), expected: "a text" })
            }
        }
    }

    pub(super) fn number(&mut self, key: &str) -> Result<u64, HeaderError> {
        match self.take(key)? {
            Node::Number(number) => Ok(number),
            Node::Text(_) | Node::List(_) | Node::Object(_) => {
                Err(HeaderError::Value { path: self.path(key), expected: "a number" })
            }
        }
    }

    /// A 64-bit number, which LUKS2 writes as decimal text.
    pub(super) fn decimal(&mut self, key: &str) -> Result<u64, HeaderError> {
        let text = self.text(key)?;
        text.parse::<u64>()
            .ok()
            .filter(|number| number.to_string() == text)
            .ok_or_else(|| HeaderError::Value { path: self.path(key), expected: "a decimal text" })
    }

    /// The texts of a list.
    pub(super) fn texts(&mut self, key: &str) -> Result<Vec<String>, HeaderError> {
        let path = self.path(key);
        let wrong = || HeaderError::Value { path: path.clone(), expected: "a list of texts" };
        let Node::List(nodes) = self.take(key)? else { return Err(wrong()) };
        let texts = nodes.into_iter().map(|node| match node {
            Node::Text(text) => Ok(text),
            Node::Number(_) | Node::List(_) | Node::Object(_) => Err(wrong()),
        });
        texts.collect()
    }

    /// The bytes of a base64 text, at most this many.
    pub(super) fn base64(&mut self, key: &str, most: usize) -> Result<Vec<u8>, HeaderError> {
        use base64ct::{Base64, Encoding};
        let text = self.text(key)?;
        Base64::decode_vec(&text)
            .ok()
            .filter(|bytes| bytes.len() <= most)
            .ok_or_else(|| HeaderError::Value { path: self.path(key), expected: "short base64" })
    }

    /// Whether no key is left.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many keys are left.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Ends taking it apart.
    pub(super) fn finish(self) -> Result<(), HeaderError> {
        match self.entries.first() {
            None => Ok(()),
            Some((key, _)) => Err(HeaderError::UnknownKey { path: self.path(key) }),
        }
    }
}

fn join(path: &str, key: &str) -> String {
    // Keys are the attacker's: short and printable in errors, without what would change the
    // direction of writing.
    let key: String = key.chars().take(40).flat_map(char::escape_default).collect();
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
