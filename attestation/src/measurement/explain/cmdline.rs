//! Edits of a command line: what people, scripts and tools do to it on its way
//! to the hypervisor.

use std::fmt;

/// One edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    /// White space at the end.
    End(&'static str),
    /// White space at the start.
    Start(&'static str),
    /// No white space at either end.
    Trim,
    /// One space in place of every run of white space.
    Collapse,
    /// Without this word.
    Remove(Vec<u8>),
    /// With another word at the end.
    Append(String),
    /// With another word at the start.
    Prepend(String),
    /// With another root hash.
    RootHash(String),
    /// Another line, or none.
    Replace(Vec<u8>),
}

/// The edits to try on `line`, the likelier first.
pub(super) fn edits(
    line: &[u8],
    words: &[String],
    root_hashes: &[String],
    lines: &[Vec<u8>],
) -> Vec<Edit> {
    let mut edits: Vec<_> = [Edit::End("\n"), Edit::End(" "), Edit::Trim, Edit::Start(" ")].into();
    edits.extend([Edit::End("\r\n"), Edit::End("\t"), Edit::Collapse]);
    edits.extend(root_hashes.iter().cloned().map(Edit::RootHash));
    edits.extend(lines.iter().cloned().map(Edit::Replace));
    edits.extend(words.iter().cloned().map(Edit::Append));
    edits.extend(words.iter().cloned().map(Edit::Prepend));
    for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        let edit = Edit::Remove(word.to_vec());
        if !edits.contains(&edit) {
            edits.push(edit);
        }
    }
    edits.push(Edit::Replace(Vec::new()));
    edits
}

impl Edit {
    /// The edited line; nothing if the edit changes nothing.
    pub(super) fn apply(&self, line: &[u8]) -> Option<Vec<u8>> {
        let edited = match self {
            Self::End(space) => [line, space.as_bytes()].concat(),
            Self::Start(space) => [space.as_bytes(), line].concat(),
            Self::Trim => line.trim_ascii().to_vec(),
            Self::Collapse => {
                let words: Vec<_> =
                    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
                words.join(&b' ')
            }
            Self::Remove(word) => {
                let mut words: Vec<_> = line.split(|byte| *byte == b' ').collect();
                let index = words.iter().position(|found| found == word)?;
                words.remove(index);
                words.join(&b' ')
            }
            Self::Append(word) if line.is_empty() => word.as_bytes().to_vec(),
            Self::Append(word) => [line, b" ", word.as_bytes()].concat(),
            Self::Prepend(word) => [word.as_bytes(), b" ", line].concat(),
            Self::RootHash(hash) => {
                let words: Vec<_> = line
                    .split(|byte| *byte == b' ')
                    .map(|word| {
                        let equals = word.iter().position(|byte| *byte == b'=');
                        let key = equals.and_then(|at| word.get(..at));
                        match key.filter(|key| key.ends_with(b"roothash")) {
                            Some(key) => [key, b"=", hash.as_bytes()].concat(),
                            None => word.to_vec(),
                        }
                    })
                    .collect();
                words.join(&b' ')
            }
            Self::Replace(other) => other.clone(),
        };
        (edited != line).then_some(edited)
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = |space: &str| match space {
            "\n" => "a newline",
            "\r\n" => "a carriage return and a newline",
            "\t" => "a tab",
            _ => "a space",
        };
        match self {
            Self::End(text) => write!(f, "{} more at the end", space(text)),
            Self::Start(text) => write!(f, "{} more at the start", space(text)),
            Self::Trim => f.write_str("no white space at the ends"),
            Self::Collapse => f.write_str("single spaces between words"),
            Self::Remove(word) => write!(f, "without {}", quoted(word)),
            Self::Append(word) => write!(f, "with \"{word}\" at the end"),
            Self::Prepend(word) => write!(f, "with \"{word}\" at the start"),
            Self::RootHash(hash) => write!(f, "with the root hash {hash}"),
            Self::Replace(line) if line.is_empty() => f.write_str("none"),
            Self::Replace(_) => f.write_str("another line"),
        }
    }
}

/// A line for a person, with what cannot be seen made visible.
pub(super) fn quoted(line: &[u8]) -> String {
    format!("\"{}\"", line.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(edit: &Edit, line: &str) -> Option<String> {
        edit.apply(line.as_bytes()).map(|line| String::from_utf8(line).unwrap())
    }

    #[test]
    fn edits_do_what_they_say() {
        let line = " a=1  b ravelin.verity.roothash=00 ";
        let cases = [
            (Edit::End("\n"), Some(" a=1  b ravelin.verity.roothash=00 \n")),
            (Edit::Start(" "), Some("  a=1  b ravelin.verity.roothash=00 ")),
            (Edit::Trim, Some("a=1  b ravelin.verity.roothash=00")),
            (Edit::Collapse, Some("a=1 b ravelin.verity.roothash=00")),
            (Edit::Remove(b"b".to_vec()), Some(" a=1  ravelin.verity.roothash=00 ")),
            (Edit::Remove(b"c".to_vec()), None),
            (Edit::Append("c".into()), Some(" a=1  b ravelin.verity.roothash=00  c")),
            (Edit::Prepend("c".into()), Some("c  a=1  b ravelin.verity.roothash=00 ")),
            (Edit::RootHash("ff".into()), Some(" a=1  b ravelin.verity.roothash=ff ")),
            (Edit::RootHash("00".into()), None),
            (Edit::Replace(Vec::new()), Some("")),
        ];
        for (edit, expected) in cases {
            assert_eq!(apply(&edit, line).as_deref(), expected, "{edit}");
        }
        assert_eq!(apply(&Edit::Append("c".into()), "").as_deref(), Some("c"));
        assert_eq!(apply(&Edit::Trim, "a"), None);
        assert_eq!(apply(&Edit::RootHash("ff".into()), "a"), None);
    }

    #[test]
    fn every_word_is_tried_without_once() {
        let edits = edits(b"a b  a\tc", &[], &[], &[]);
        let removed: Vec<_> = edits
            .iter()
            .filter_map(|edit| if let Edit::Remove(word) = edit { Some(&word[..]) } else { None })
            .collect();
        assert_eq!(removed, [b"a", b"b", b"c"]);
    }
}
