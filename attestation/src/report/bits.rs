//! The named bits of a report's two bit fields: what the guest's owner allowed
//! (POLICY) and how the host is set up (PLATFORM_INFO).

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// A named bit of a 64-bit field.
pub trait Bit: Copy + Eq + fmt::Display + 'static {
    /// Every bit that has a name, lowest first.
    const ALL: &'static [Self];

    /// The bit's value in the field.
    fn mask(self) -> u64;
}

macro_rules! bits {
    (
        $(#[$outer:meta])*
        $name:ident { $($(#[$inner:meta])* $variant:ident = $bit:literal, $text:literal;)* }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$inner])* #[serde(rename = $text)] $variant,)*
        }

        impl Bit for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            fn mask(self) -> u64 {
                match self {
                    $(Self::$variant => 1 << $bit,)*
                }
            }
        }

        impl $name {
            /// The bit's name in policies and in JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}

bits! {
    /// A bit of the guest policy (56860 revision 1.58, section 4.3): what the
    /// host may do with the guest. Bits 0 to 15 are the minimum ABI version,
    /// bit 17 is reserved and one, bits 26 to 63 are reserved and zero.
    GuestPolicyBit {
        /// Bit 16: the host may run with simultaneous multithreading.
        Smt = 16, "smt";
        /// Bit 18: a migration agent may be associated with the guest.
        MigrationAgent = 18, "migration-agent";
        /// Bit 19: the host may read and write the guest's memory.
        Debug = 19, "debug";
        /// Bit 20: the guest may run on one socket only.
        SingleSocket = 20, "single-socket";
        /// Bit 21: CXL may be populated with devices or memory.
        Cxl = 21, "cxl";
        /// Bit 22: memory must be encrypted with AES-256-XTS.
        Aes256Xts = 22, "aes-256-xts";
        /// Bit 23: the running average power limit interface must be disabled.
        RaplDisabled = 23, "rapl-disabled";
        /// Bit 24: ciphertext hiding must be enabled.
        CiphertextHiding = 24, "ciphertext-hiding";
        /// Bit 25: the host may not move or swap guest pages.
        PageSwapDisabled = 25, "page-swap-disabled";
    }
}

bits! {
    /// A bit of PLATFORM_INFO (56860 revision 1.58, section 7.3, Table 23,
    /// offset 040h): how the host is set up. Bit 6 and bits 8 to 63 are
    /// reserved and zero.
    PlatformInfoBit {
        /// Bit 0: simultaneous multithreading is enabled.
        Smt = 0, "smt";
        /// Bit 1: transparent SME is enabled.
        Tsme = 1, "tsme";
        /// Bit 2: memory has error correction.
        Ecc = 2, "ecc";
        /// Bit 3: the running average power limit interface is disabled.
        RaplDisabled = 3, "rapl-disabled";
        /// Bit 4: ciphertext hiding is enabled.
        CiphertextHiding = 4, "ciphertext-hiding";
        /// Bit 5: since the last reset, memory was checked to have no aliases
        /// (the answer to BadRAM).
        AliasCheck = 5, "alias-check";
        /// Bit 7: SEV-TIO is enabled.
        Tio = 7, "tio";
    }
}

/// The guest policy as a whole: POLICY, 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GuestPolicy(pub u64);

impl GuestPolicy {
    /// Bit 17, reserved and one in every valid policy.
    pub const RESERVED_ONE: u64 = 1 << 17;

    /// Whether `bit` is set.
    #[must_use]
    pub fn has(self, bit: GuestPolicyBit) -> bool {
        self.0 & bit.mask() != 0
    }

    /// The minimum ABI version that the guest asked for: major, minor.
    #[must_use]
    pub const fn abi(self) -> (u8, u8) {
        let [minor, major, ..] = self.0.to_le_bytes();
        (major, minor)
    }

    /// Bits that are set and have no meaning in this version.
    #[must_use]
    pub fn unknown(self) -> u64 {
        self.0 & !(0xffff | Self::RESERVED_ONE | known::<GuestPolicyBit>())
    }
}

/// How the host is set up: PLATFORM_INFO, 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlatformInfo(pub u64);

impl PlatformInfo {
    /// Whether `bit` is set.
    #[must_use]
    pub fn has(self, bit: PlatformInfoBit) -> bool {
        self.0 & bit.mask() != 0
    }

    /// Bits that are set and have no meaning in this version.
    #[must_use]
    pub fn unknown(self) -> u64 {
        self.0 & !known::<PlatformInfoBit>()
    }
}

/// All bits of `T` that have a name.
fn known<T: Bit>() -> u64 {
    T::ALL.iter().fold(0, |mask, bit| mask | bit.mask())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_policy() {
        let policy = GuestPolicy(0x000b_1f37);
        assert_eq!(policy.abi(), (0x1f, 0x37));
        assert!(policy.has(GuestPolicyBit::Debug) && policy.has(GuestPolicyBit::Smt));
        assert!(!policy.has(GuestPolicyBit::MigrationAgent));
        assert_eq!(policy.unknown(), 0);
        assert_eq!(GuestPolicy(1 << 26 | 1 << 63).unknown(), 1 << 26 | 1 << 63);
    }

    #[test]
    fn platform_info() {
        let info = PlatformInfo(0xa5);
        assert!(info.has(PlatformInfoBit::Tio) && info.has(PlatformInfoBit::AliasCheck));
        assert_eq!(info.unknown(), 0);
        assert_eq!(PlatformInfo(0x40 | 0x100).unknown(), 0x140);
    }
}
