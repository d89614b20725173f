//! Digests as types, so that a SHA-256 of a file, a launch digest and a key
//! digest cannot be taken for one another.
//!
//! As text each is lower-case hexadecimal, most significant digit first, as the
//! tools of this field print it; on input either case and a leading `0x` are
//! accepted. Serde uses the same text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is no digest of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {what} is {expected} hexadecimal digits; this has {reason}")]
pub struct DigestError {
    what: &'static str,
    expected: usize,
    reason: String,
}

fn parse<const N: usize>(text: &str, what: &'static str) -> Result<[u8; N], DigestError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let fail = |reason| DigestError { what, expected: 2 * N, reason };
    let count = digits.chars().count();
    if count != 2 * N {
        return Err(fail(format!("{count}")));
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).map_err(|source| fail(source.to_string()))?;
    Ok(bytes)
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident, $size:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $size]);

        impl $name {
            /// Its size in bytes.
            pub const SIZE: usize = $size;

            /// The digest with these bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl From<[u8; $size]> for $name {
            fn from(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                parse(text, $what).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest_type! {
    /// A launch digest (SHA-384, 48 bytes): the MEASUREMENT field of an
    /// attestation report, and the LD field of an ID block (AMD 56860,
    /// SNP_LAUNCH_UPDATE and ATTESTATION_REPORT).
    LaunchDigest, 48, "launch digest"
}

digest_type! {
    /// The digest of an ID or author key (SHA-384, 48 bytes) over the 0x404-byte
    /// public-key structure: the ID_KEY_DIGEST and AUTHOR_KEY_DIGEST fields of
    /// an attestation report (AMD 56860, ATTESTATION_REPORT).
    KeyDigest, 48, "key digest"
}

digest_type! {
    /// A SHA-256 digest (32 bytes) of a kernel, an initrd or a command line.
    Sha256Digest, 32, "SHA-256 digest"
}

impl LaunchDigest {
    /// What the secure processor starts from: 48 zero bytes (AMD 56860,
    /// SNP_LAUNCH_START).
    pub const START: Self = Self([0; 48]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_in_either_case_and_with_a_prefix() {
        let digest = LaunchDigest::new(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        let text = digest.to_string();
        assert!(text.starts_with("000102"));
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(text.to_uppercase().parse(), Ok(digest));
        assert_eq!(format!("0x{text}").parse(), Ok(digest));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<LaunchDigest>(&json).unwrap(), digest);
    }

    #[test]
    fn wrong_lengths_and_digits_are_named() {
        let short = "ab".parse::<Sha256Digest>().unwrap_err().to_string();
        assert_eq!(short, "a SHA-256 digest is 64 hexadecimal digits; this has 2");
        let text = "g".repeat(96);
        let bad = text.parse::<LaunchDigest>().unwrap_err().to_string();
        assert!(bad.contains("launch digest is 96"), "{bad}");
        assert!("é".repeat(96).parse::<LaunchDigest>().is_err());
        assert!("0x".parse::<KeyDigest>().is_err());
        assert!("".parse::<KeyDigest>().is_err());
    }
}
