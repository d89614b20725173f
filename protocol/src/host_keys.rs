//! The SSH host keys that a VM is known by, in one canonical encoding.
//!
//! Each key is its public-key blob (RFC 4253, section 6.6: `string` type, then
//! what the type has). The encoding is the blobs in ascending order of their
//! bytes, each with its length (4 bytes, big-endian) before it, so that one set
//! of keys has one encoding whatever the order in which they were made.
//!
//! **Threat.** An answer of the responder passes through the host. What it says
//! of keys is compared with the report's REPORT_DATA; here it is only bounded
//! and brought into the one form.

/// The most keys of one VM.
pub const MAX_KEYS: usize = 16;

/// The longest public-key blob, in bytes: RSA of 16384 bits has 2071.
pub const MAX_BLOB: usize = 4096;

/// A set of public-key blobs, ascending, without repetition. May be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostKeys(Vec<Vec<u8>>);

/// Blobs or bytes that are not a set of host keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostKeysError {
    /// More than [`MAX_KEYS`].
    #[error("more than {MAX_KEYS} host keys")]
    TooMany,
    /// A blob is empty, too long, or does not begin with its type's name.
    #[error(
        "host key {index} is not a public-key blob of at most {MAX_BLOB} bytes \
         that begins with the name of its type"
    )]
    Blob {
        /// Which one, from 0.
        index: usize,
    },
    /// The bytes end inside a key.
    #[error("the bytes end inside a host key")]
    Cut,
    /// A key is not above the one before it: not the canonical encoding.
    #[error("the host keys are not in ascending order, each once")]
    Order,
}

impl HostKeys {
    /// Brings blobs into the canonical form.
    ///
    /// # Errors
    /// [`HostKeysError::TooMany`] or [`HostKeysError::Blob`].
    pub fn new(blobs: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, HostKeysError> {
        let mut keys = Vec::new();
        for (index, blob) in blobs.into_iter().enumerate() {
            check(index, &blob)?;
            keys.push(blob);
        }
        keys.sort_unstable();
        keys.dedup();
        Self(keys).bounded()
    }

    /// Reads the canonical encoding, and nothing else.
    ///
    /// # Errors
    /// [`HostKeysError`].
    pub fn decode(mut bytes: &[u8]) -> Result<Self, HostKeysError> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        while !bytes.is_empty() {
            if keys.len() == MAX_KEYS {
                return Err(HostKeysError::TooMany);
            }
            let (blob, rest) = string(bytes).ok_or(HostKeysError::Cut)?;
            check(keys.len(), blob)?;
            if keys.last().is_some_and(|last| last.as_slice() >= blob) {
                return Err(HostKeysError::Order);
            }
            keys.push(blob.to_vec());
            bytes = rest;
        }
        Ok(Self(keys))
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for blob in &self.0 {
            let length = u32::try_from(blob.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(blob);
        }
        out
    }

    /// The blobs, ascending.
    #[must_use]
    pub fn blobs(&self) -> &[Vec<u8>] {
        &self.0
    }

    fn bounded(self) -> Result<Self, HostKeysError> {
        if self.0.len() > MAX_KEYS { Err(HostKeysError::TooMany) } else { Ok(self) }
    }
}

/// The name of a blob's type, such as `ssh-ed25519`.
#[must_use]
pub fn key_type(blob: &[u8]) -> Option<&str> {
    let (name, _rest) = string(blob)?;
    let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b',';
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty() && name.len() <= 64 && name.as_bytes().iter().all(plain)).then_some(name)
}

fn check(index: usize, blob: &[u8]) -> Result<(), HostKeysError> {
    if blob.len() > MAX_BLOB || key_type(blob).is_none() {
        return Err(HostKeysError::Blob { index });
    }
    Ok(())
}

/// An SSH `string` (RFC 4251, section 5), and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(kind: &str, content: &[u8]) -> Vec<u8> {
        let mut blob = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
        blob.extend_from_slice(kind.as_bytes());
        blob.extend_from_slice(content);
        blob
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        let (a, b) = (blob("ssh-ed25519", &[1; 36]), blob("ecdsa-sha2-nistp256", &[2; 80]));
        let keys = HostKeys::new([a.clone(), b.clone(), a.clone()]).unwrap();
        assert_eq!(keys, HostKeys::new([b, a]).unwrap());
        assert_eq!(HostKeys::decode(&keys.encode()), Ok(keys.clone()));
        assert_eq!(keys.blobs().len(), 2);
        assert_eq!(HostKeys::decode(b""), Ok(HostKeys::default()));
    }

    #[test]
    fn what_is_no_set_of_keys_is_refused() {
        let key = blob("ssh-ed25519", &[1; 36]);
        let encoded = HostKeys::new([key.clone()]).unwrap().encode();
        for length in 1..encoded.len() {
            assert!(HostKeys::decode(&encoded[..length]).is_err(), "{length}");
        }
        let twice = [encoded.clone(), encoded.clone()].concat();
        assert_eq!(HostKeys::decode(&twice), Err(HostKeysError::Order));
        assert_eq!(HostKeys::new([Vec::new()]), Err(HostKeysError::Blob { index: 0 }));
        assert_eq!(HostKeys::new([blob("a,b", b"")]), Err(HostKeysError::Blob { index: 0 }));
        let long = blob("ssh-rsa", &[0; MAX_BLOB]);
        assert_eq!(HostKeys::new([key, long]), Err(HostKeysError::Blob { index: 1 }));
        let many = (0..=MAX_KEYS).map(|n| blob("x", &[u8::try_from(n).unwrap()]));
        assert_eq!(HostKeys::new(many), Err(HostKeysError::TooMany));
    }
}
