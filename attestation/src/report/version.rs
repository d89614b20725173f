//! Versions: of the report's format, and of the secure processor's firmware.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A version of the report's format that this crate knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReportVersion {
    /// 2: no CPUID bytes.
    V2,
    /// 3: adds CPUID_FAM_ID, CPUID_MOD_ID, CPUID_STEP.
    V3,
    /// 4: laid out as 3.
    V4,
    /// 5: adds LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR.
    V5,
}

impl ReportVersion {
    /// The version with this number, if it is known.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            4 => Some(Self::V4),
            5 => Some(Self::V5),
            _ => None,
        }
    }

    /// The version's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
            Self::V5 => 5,
        }
    }
}

impl fmt::Display for ReportVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// A version of the SEV-SNP firmware, ordered by major, minor, build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FirmwareVersion {
    /// Major version of the API.
    pub major: u8,
    /// Minor version of the API.
    pub minor: u8,
    /// Build.
    pub build: u8,
}

impl fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

impl FromStr for FirmwareVersion {
    type Err = ParseVersionError;

    /// Reads `major.minor` (build 0) or `major.minor.build`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseVersionError(text.to_owned());
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            if digits { part.parse::<u8>().map_err(|_err| bad()) } else { Err(bad()) }
        };
        let mut parts = text.split('.');
        let major = number(parts.next().unwrap_or_default())?;
        let minor = number(parts.next().ok_or_else(bad)?)?;
        let build = parts.next().map_or(Ok(0), number)?;
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self { major, minor, build })
    }
}

impl Serialize for FirmwareVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FirmwareVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Text that is no firmware version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a firmware version: write major.minor or major.minor.build, each 0 to 255")]
pub struct ParseVersionError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_versions() {
        for number in 2..=5 {
            assert_eq!(ReportVersion::from_number(number).unwrap().number(), number);
        }
        for number in [0, 1, 6, 99, u32::MAX, 0x0200_0000] {
            assert_eq!(ReportVersion::from_number(number), None);
        }
    }

    #[test]
    fn firmware_versions() {
        let version: FirmwareVersion = "1.55.29".parse().unwrap();
        assert_eq!(version, FirmwareVersion { major: 1, minor: 55, build: 29 });
        assert_eq!(version.to_string(), "1.55.29");
        assert_eq!("1.56".parse(), Ok(FirmwareVersion { major: 1, minor: 56, build: 0 }));
        assert!("1.56".parse::<FirmwareVersion>().unwrap() > version);
        for bad in ["", "1", "1.", ".1", "1.2.3.4", "1.256", "1.-2", "1.+2", "v1.2", "1. 2"] {
            assert!(bad.parse::<FirmwareVersion>().is_err(), "{bad:?}");
        }
    }
}
