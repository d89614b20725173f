//! Guest features: SEV_FEATURES of the VMSA.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is no set of guest features.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("guest features are a number such as 0x1 or 0x21, not '{0}'")]
pub struct FeaturesError(String);

/// The value of SEV_FEATURES in the initial state of every vCPU (AMD 24593,
/// appendix B, "VMSA Layout", offset 0x3b0; 64 bits, little-endian in the page).
/// The host's KVM and the VMM choose it; it is measured.
///
/// The default is 0x1, SNPActive alone. All values are accepted; without
/// SNPActive no SNP guest starts. As text it is hexadecimal with `0x`; input may
/// also be decimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestFeatures(u64);

/// The bits that have a name.
const NAMES: [(u32, &str); 15] = [
    (0, "SNPActive"),
    (1, "vTOM"),
    (2, "ReflectVC"),
    (3, "RestrictedInjection"),
    (4, "AlternateInjection"),
    (5, "DebugSwap"),
    (6, "PreventHostIBS"),
    (7, "BTBIsolation"),
    (8, "VmplSSS"),
    (9, "SecureTSC"),
    (10, "VmgexitParameter"),
    (12, "IbsVirtualization"),
    (14, "VmsaRegProt"),
    (15, "SmtProtection"),
    (16, "SecureAvic"),
];

impl GuestFeatures {
    /// The guest runs with SNP.
    pub const SNP_ACTIVE: Self = Self(1);
    /// Debug registers are swapped with the VMSA (`debug_swap` of `kvm_amd`).
    pub const DEBUG_SWAP: Self = Self(1 << 5);
    /// The guest's clock is the secure processor's (Secure TSC).
    pub const SECURE_TSC: Self = Self(1 << 9);

    /// The features with these bits.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// Their bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// These and those.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These, with the bits of `other` the other way round.
    #[must_use]
    pub const fn toggle(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    /// Every feature that has a name, one by one.
    pub fn known() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(bit, _)| Self(1 << bit))
    }

    /// The names of the bits that are set and have one.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| *name)
    }
}

impl Default for GuestFeatures {
    fn default() -> Self {
        Self::SNP_ACTIVE
    }
}

impl fmt::Display for GuestFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:#x}", self.0))
    }
}

impl fmt::Debug for GuestFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestFeatures({self})")
    }
}

impl FromStr for GuestFeatures {
    type Err = FeaturesError;

    fn from_str(text: &str) -> Result<Self, FeaturesError> {
        let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
        let digits = Some(digits).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        digits
            .and_then(|digits| u64::from_str_radix(digits, radix).ok())
            .map(Self)
            .ok_or_else(|| FeaturesError(text.to_owned()))
    }
}

impl Serialize for GuestFeatures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From the text, or from an integer.
impl<'de> Deserialize<'de> for GuestFeatures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "guest features: 0x1, \"0x1\" or another number")]
        enum Raw {
            Number(u64),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Number(bits) => Ok(Self(bits)),
            Raw::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_names() {
        let features: GuestFeatures = "0x221".parse().unwrap();
        assert_eq!(features.to_string(), "0x221");
        assert_eq!("545".parse(), Ok(features));
        assert_eq!(features.names().collect::<Vec<_>>(), ["SNPActive", "DebugSwap", "SecureTSC"]);
        assert_eq!(GuestFeatures::default().bits(), 1);
        for text in ["", "0x", "-1", "+1", "0x10000000000000000", "x"] {
            assert!(text.parse::<GuestFeatures>().is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_and_texts_are_read() {
        let read = |json| serde_json::from_str::<GuestFeatures>(json);
        assert_eq!(read("33").unwrap(), read("\"0x21\"").unwrap());
        assert_eq!(read("18446744073709551615").unwrap().bits(), u64::MAX);
        assert!(read("-1").is_err());
        assert!(read("true").is_err());
    }
}
