//! The flags word of a report: which keys stand behind it.
//!
//! 56860 revision 1.58, section 7.3, Table 23, offset 048h, 32 bits:
//!
//! | bits | field |
//! |---|---|
//! | 0 | AUTHOR_KEY_EN: AUTHOR_KEY_DIGEST holds the author key's digest |
//! | 1 | MASK_CHIP_KEY: the VCEK is withheld; such a report is not signed by it |
//! | 4:2 | SIGNING_KEY: 0 VCEK, 1 VLEK, 7 none, others reserved |
//! | 31:5 | reserved, zero |

use std::fmt;

use serde::{Deserialize, Serialize};

/// The flags word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags(pub u32);

impl Flags {
    /// AUTHOR_KEY_EN: an author key certified the ID key at launch.
    #[must_use]
    pub const fn author_key(self) -> bool {
        self.0 & 1 != 0
    }

    /// MASK_CHIP_KEY: the host withholds the chip's own key.
    #[must_use]
    pub const fn mask_chip_key(self) -> bool {
        self.0 & 2 != 0
    }

    /// SIGNING_KEY.
    #[must_use]
    pub const fn signing_key(self) -> SigningKey {
        match (self.0 >> 2) & 7 {
            0 => SigningKey::Vcek,
            1 => SigningKey::Vlek,
            7 => SigningKey::None,
            _ => SigningKey::Reserved,
        }
    }

    /// Bits that are set and have no meaning in this version.
    #[must_use]
    pub const fn unknown(self) -> u32 {
        self.0 & !0x1f
    }
}

/// Which key the report says it is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SigningKey {
    /// 0: the chip's own key for the reported TCB.
    Vcek,
    /// 1: a key that AMD derived for a cloud provider and the reported TCB.
    Vlek,
    /// 7: the report is not signed.
    None,
    /// 2 to 6.
    Reserved,
}

impl fmt::Display for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
            Self::None => "none",
            Self::Reserved => "a reserved value",
        })
    }
}

/// The two kinds of endorsement key that sign reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// Versioned chip endorsement key: one chip, one TCB version.
    Vcek,
    /// Versioned loaded endorsement key: one cloud provider, one TCB version.
    Vlek,
}

impl KeyKind {
    /// The name as the policy and JSON write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vcek => "vcek",
            Self::Vlek => "vlek",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_each_part() {
        assert_eq!(Flags(0).signing_key(), SigningKey::Vcek);
        assert_eq!(Flags(0b0_0100).signing_key(), SigningKey::Vlek);
        assert_eq!(Flags(0b1_1100).signing_key(), SigningKey::None);
        assert_eq!(Flags(0b0_1000).signing_key(), SigningKey::Reserved);
        assert!(Flags(1).author_key() && !Flags(1).mask_chip_key());
        assert!(Flags(2).mask_chip_key() && !Flags(2).author_key());
        assert_eq!(Flags(0x1f).unknown(), 0);
        assert_eq!(Flags(0x8000_0020).unknown(), 0x8000_0020);
    }
}
