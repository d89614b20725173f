//! Why a header is refused: one variant for each reason.

use std::fmt;

use crate::key::StretchError;

/// One of the two copies of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// The one at byte 0.
    Primary,
    /// The one at byte 16384.
    Secondary,
}

impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        })
    }
}

/// Why bytes are no header that is accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Another length than 16 MiB.
    #[error("a LUKS2 header is read from 16 MiB, not from {0} bytes")]
    Length(usize),
    /// There is none.
    #[error("there is no {copy} LUKS2 header")]
    Magic {
        /// Which copy.
        copy: Copy,
    },
    /// A field of the binary header.
    #[error("the {copy} LUKS2 header has another {field} than is accepted")]
    Binary {
        /// Which copy.
        copy: Copy,
        /// Which field.
        field: &'static str,
    },
    /// A subsystem is named.
    #[error("the LUKS2 header names a subsystem; none is accepted")]
    Subsystem,
    /// The checksum is wrong.
    #[error("the checksum of the {copy} LUKS2 header is wrong")]
    Checksum {
        /// Which copy.
        copy: Copy,
    },
    /// The copies differ.
    #[error("the two copies of the LUKS2 header say different things")]
    CopiesDisagree,
    /// The JSON area does not end with zeros.
    #[error("the LUKS2 header's JSON does not end, or something is behind it")]
    JsonEnd,
    /// It is no JSON, or has values that no header has.
    #[error("the LUKS2 header's JSON cannot be read")]
    Json {
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// A key is there twice.
    #[error("the LUKS2 header has `{path}` twice")]
    DuplicateKey {
        /// The key.
        path: String,
    },
    /// A key that is not known.
    #[error("the LUKS2 header has `{path}`, which is not known")]
    UnknownKey {
        /// The key.
        path: String,
    },
    /// A key that has to be there.
    #[error("the LUKS2 header lacks `{path}`")]
    MissingKey {
        /// The key.
        path: String,
    },
    /// A value of another type or form.
    #[error("the LUKS2 header's `{path}` is not {expected}")]
    Value {
        /// The key.
        path: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// A value that is not the one that is accepted.
    #[error("the LUKS2 header's `{path}` is {found:?}; accepted is {accepted}")]
    Policy {
        /// The key.
        path: String,
        /// What it is.
        found: String,
        /// What it has to be.
        accepted: &'static str,
    },
    /// Not exactly one keyslot.
    #[error("the LUKS2 header has {0} keyslots; exactly one is accepted")]
    Keyslots(usize),
    /// Not exactly one segment.
    #[error("the LUKS2 header has {0} segments; exactly one is accepted")]
    Segments(usize),
    /// Not exactly one digest.
    #[error("the LUKS2 header has {0} digests; exactly one is accepted")]
    Digests(usize),
    /// The digest is not of the one keyslot and the one segment.
    #[error("the LUKS2 header's digest is not of its keyslot and its segment")]
    Unbound,
    /// There are tokens.
    #[error("the LUKS2 header has tokens; none is accepted")]
    Tokens,
    /// There are requirements, such as a re-encryption that goes on.
    #[error("the LUKS2 header has requirements; none is accepted")]
    Requirements,
    /// There are flags.
    #[error("the LUKS2 header's `{path}` has flags; none is accepted")]
    Flags {
        /// Where.
        path: String,
    },
    /// A re-encryption was begun.
    #[error("the LUKS2 header's keyslot is of a re-encryption")]
    Reencryption,
    /// A null cipher (CVE-2025-59054, CVE-2025-58356).
    #[error("the LUKS2 header's `{path}` is a null cipher: nothing would be encrypted")]
    NullCipher {
        /// Of what.
        path: String,
    },
    /// No integrity.
    #[error("the LUKS2 header's segment has no integrity: what is read would not be authenticated")]
    NoIntegrity,
    /// A cipher and an integrity that are not accepted.
    #[error(
        "the LUKS2 header's segment has {encryption:?} with integrity {integrity:?}; accepted are \
         aes-xts-plain64 with hmac(sha256), aes-gcm-random and aegis128-random with aead"
    )]
    Cipher {
        /// The encryption.
        encryption: String,
        /// The integrity.
        integrity: String,
    },
    /// A key size that is not the cipher's.
    #[error("the LUKS2 header's keyslot has a key of {found} bytes; the cipher's has {expected}")]
    KeySize {
        /// What it is.
        found: u64,
        /// What it has to be.
        expected: usize,
    },
    /// The segment does not start where it has to.
    #[error("the LUKS2 header's segment starts at byte {0}; accepted is 16777216")]
    SegmentOffset(u64),
    /// The keyslot's area is not in the header, overlaps it, or is of another size.
    #[error(
        "the LUKS2 header's keyslot area is not where keyslots are, or not as large as its key"
    )]
    AreaPlace,
    /// The key derivation costs more, or less, than is allowed.
    #[error("the LUKS2 header's {kdf} wants {found} {what}; allowed are {least} to {most}")]
    KdfCost {
        /// The key derivation.
        kdf: &'static str,
        /// What of it.
        what: &'static str,
        /// How much.
        found: u64,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
    },
}

/// Why a keyslot was not unlocked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// The passphrase is wrong, or the keyslot was changed.
    #[error("the passphrase or key does not open the keyslot")]
    Passphrase,
    /// The key derivation is not possible here.
    #[error(transparent)]
    Kdf(#[from] StretchError),
}
