//! Points in time.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use x509_cert::der::DateTime;

/// Seconds since 1970-01-01T00:00:00Z. Printed and read as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// A time from seconds since the epoch.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }
}

impl From<SystemTime> for UnixTime {
    /// A time before the epoch becomes the epoch, at which no certificate of
    /// AMD's is valid.
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }
}

impl From<&x509_cert::time::Time> for UnixTime {
    fn from(time: &x509_cert::time::Time) -> Self {
        Self(time.to_unix_duration().as_secs())
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_unix_duration(Duration::from_secs(self.0)) {
            Ok(date) => date.fmt(f),
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}

impl FromStr for UnixTime {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let date: DateTime = text.parse().map_err(|_err| ParseTimeError(text.to_owned()))?;
        Ok(Self(date.unix_duration().as_secs()))
    }
}

impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Text that is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time; write it as 2026-01-31T12:00:00Z")]
pub struct ParseTimeError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_rfc_3339() {
        let time: UnixTime = "2025-09-01T12:30:05Z".parse().unwrap();
        assert_eq!(time.as_secs(), 1_756_729_805);
        assert_eq!(time.to_string(), "2025-09-01T12:30:05Z");
        assert!("2025-09-01".parse::<UnixTime>().is_err());
        assert!("yesterday".parse::<UnixTime>().is_err());
        assert_eq!(UnixTime::from(UNIX_EPOCH - Duration::from_secs(5)), UnixTime::from_secs(0));
        assert!(UnixTime::from_secs(u64::MAX).to_string().contains("after 1970"));
    }
}
