//! Values of `vm.toml` that are checked when they are read.

use std::fmt;

use protocol::units::MemorySize;
use serde::Deserialize;

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

impl ValueError {
    pub(super) fn new(message: String) -> Self {
        Self(message)
    }
}

/// Number of virtual processors, 1 to 512.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Vcpus(u16);

impl Vcpus {
    /// Most virtual processors of one VM.
    pub const MAX: u16 = 512;

    /// The number.
    #[must_use]
    pub fn count(self) -> u16 {
        self.0
    }
}

impl Default for Vcpus {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<i64> for Vcpus {
    type Error = ValueError;

    fn try_from(count: i64) -> Result<Self, ValueError> {
        u16::try_from(count)
            .ok()
            .filter(|count| (1..=Self::MAX).contains(count))
            .map(Self)
            .ok_or_else(|| ValueError(format!("vcpus is from 1 to {}, not {count}", Self::MAX)))
    }
}

/// Guest memory in MiB, 64 MiB to 16 TiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MemoryMib(u64);

impl MemoryMib {
    /// The number of MiB.
    #[must_use]
    pub fn mib(self) -> u64 {
        self.0
    }
}

impl Default for MemoryMib {
    fn default() -> Self {
        Self(2048)
    }
}

impl TryFrom<String> for MemoryMib {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        let refuse = || {
            ValueError(format!(
                "memory is a whole number of MiB or GiB from 64M to 16T, such as \"2G\" or \
                 \"512M\", not \"{}\"",
                text.escape_default()
            ))
        };
        let Ok(MemorySize::Bytes(bytes)) = text.parse() else { return Err(refuse()) };
        let mib = bytes >> 20;
        if bytes.trailing_zeros() < 20 || !(64..=16 << 20).contains(&mib) {
            return Err(refuse());
        }
        Ok(Self(mib))
    }
}

/// QEMU's name of a processor model, such as `EPYC-v4`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CpuModel(String);

impl CpuModel {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Default for CpuModel {
    fn default() -> Self {
        Self("EPYC-v4".to_owned())
    }
}

impl TryFrom<String> for CpuModel {
    type Error = ValueError;

    fn try_from(name: String) -> Result<Self, ValueError> {
        if is_name(&name, 64) {
            Ok(Self(name))
        } else {
            Err(ValueError(format!(
                "cpu is the bare name of one of QEMU's models, such as \"EPYC-v4\", not \"{}\"; \
                 single features cannot be switched, because the measurement knows models only",
                name.escape_default()
            )))
        }
    }
}

/// The serial of a virtio disk: 1 to 20 letters, digits, `.`, `_`, `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Serial(String);

impl Serial {
    /// The serial.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Serial {
    type Error = ValueError;

    fn try_from(serial: String) -> Result<Self, ValueError> {
        // 20: VIRTIO_BLK_ID_BYTES.
        if is_name(&serial, 20) {
            Ok(Self(serial))
        } else {
            Err(ValueError(format!(
                "a disk's serial is 1 to 20 letters, digits, '.', '_' or '-', not \"{}\"",
                serial.escape_default()
            )))
        }
    }
}

pub(super) fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The SNP guest policy (SEV-SNP ABI, table "Guest Policy").
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Policy(u64);

impl Policy {
    /// Bit 17 is reserved and must be one.
    const RESERVED_ONE: u64 = 1 << 17;
    /// Bit 19: the host may read and write the guest's memory.
    const DEBUG: u64 = 1 << 19;

    /// The policy as the secure processor gets it.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether the host may debug the VM, that is read its memory.
    #[must_use]
    pub fn allows_debug(self) -> bool {
        self.0 & Self::DEBUG != 0
    }
}

/// SMT allowed, nothing else.
impl Default for Policy {
    fn default() -> Self {
        Self(0x3_0000)
    }
}

impl TryFrom<i64> for Policy {
    type Error = ValueError;

    fn try_from(bits: i64) -> Result<Self, ValueError> {
        match u64::try_from(bits) {
            Ok(bits) if bits & Self::RESERVED_ONE != 0 => Ok(Self(bits)),
            _ => Err(ValueError(format!(
                "policy {bits:#x} is refused by the secure processor: bit 17 must be one (the \
                 usual policy is 0x30000)"
            ))),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mib(text: &str) -> Option<u64> {
        MemoryMib::try_from(text.to_owned()).ok().map(MemoryMib::mib)
    }

    #[test]
    fn memory() {
        let cases = [
            ("64M", Some(64)),
            ("2G", Some(2048)),
            ("1048576K", Some(1024)),
            ("16T", Some(16 << 20)),
            ("17T", None),
            ("63M", None),
            ("65537K", None),
            ("50%", None),
            ("2048", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(mib(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names() {
        for good in ["ravelin-root", "a", "A.b_c-9", "01234567890123456789"] {
            assert!(Serial::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "012345678901234567890", "a,b", "a b", "ä", "-a", "a\n"] {
            assert!(Serial::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(CpuModel::try_from("EPYC-Milan-v2".to_owned()).is_ok());
        assert!(CpuModel::try_from("EPYC,+avx".to_owned()).is_err());
    }

    #[test]
    fn policies() {
        assert_eq!(Policy::default().to_string(), "0x30000");
        assert!(Policy::try_from(0x1_0000).is_err());
        assert!(Policy::try_from(-1).is_err());
        assert!(Policy::try_from(0xb_0000).unwrap().allows_debug());
        assert!(!Policy::default().allows_debug());
    }

    #[test]
    fn vcpus() {
        assert!(Vcpus::try_from(0).is_err());
        assert!(Vcpus::try_from(513).is_err());
        assert_eq!(Vcpus::try_from(512).unwrap().count(), 512);
    }
}
