//! Digests of blobs.
//!
//! Format: OCI image specification 1.1, "OCI Content Descriptors", section "Digests".

use std::fmt;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256, Sha512};

/// `sha256:…` or `sha512:…`, in lowercase hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Digest {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

    fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

impl Digest {
    pub(super) fn parse(text: &str) -> Option<Digest> {
        let (name, hex) = text.split_once(':')?;
        let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)?;
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let fits = hex.len() == algorithm.digits() && hex.bytes().all(digit);
        fits.then(|| Digest { algorithm, hex: hex.to_owned() })
    }

    /// Where an image layout has the blob.
    pub(super) fn blob(&self) -> String {
        format!("blobs/{}/{}", self.algorithm.name(), self.hex)
    }

    /// What computes a digest of this kind.
    pub(super) fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Box::default()),
            Algorithm::Sha512 => Hasher::Sha512(Box::default()),
        }
    }

    /// Whether it is the digest of all that `reader` gives.
    pub(super) fn is_of(&self, mut reader: impl Read) -> io::Result<bool> {
        let mut hasher = self.hasher();
        io::copy(&mut reader, &mut hasher)?;
        Ok(hasher.finish() == *self)
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Digest, &'static str> {
        Digest::parse(&text).ok_or("a digest that is neither sha256: nor sha512: with its digits")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

/// Computes a digest.
pub(super) enum Hasher {
    Sha256(Box<Sha256>),
    Sha512(Box<Sha512>),
}

impl Hasher {
    pub(super) fn finish(self) -> Digest {
        match self {
            Hasher::Sha256(hash) => {
                Digest { algorithm: Algorithm::Sha256, hex: hex::encode(hash.finalize()) }
            }
            Hasher::Sha512(hash) => {
                Digest { algorithm: Algorithm::Sha512, hex: hex::encode(hash.finalize()) }
            }
        }
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Hasher::Sha256(hash) => hash.update(bytes),
            Hasher::Sha512(hash) => hash.update(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_exact() {
        // Of nothing: FIPS 180-4's examples.
        let empty = [
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
             47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        ];
        for text in empty {
            let digest = Digest::parse(text).unwrap();
            assert_eq!(digest.to_string(), text);
            assert_eq!(digest.blob(), format!("blobs/{}", text.replace(':', "/")));
            assert!(digest.is_of(&b""[..]).unwrap());
            assert!(!digest.is_of(&b"x"[..]).unwrap());
        }
        let [sha256, _] = empty;
        for bad in [
            "",
            "sha256",
            "sha256:",
            "sha256:../../../etc/passwd",
            &sha256.to_uppercase(),
            sha256.get(..70).unwrap(),
            &format!("{sha256}0"),
            &sha256.replace("sha256", "md5"),
            &sha256.replace("sha256", "sha512"),
        ] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }
}
