//! Sizes and durations as people write them in the measured configuration.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A text that is not a size or a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(&'static str);

/// The size of a tmpfs: bytes, or a share of the guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemorySize {
    /// Bytes, at least [`MemorySize::MIN_BYTES`].
    Bytes(u64),
    /// Percent of the guest's memory, 1 to 100.
    Percent(u8),
}

impl MemorySize {
    /// The smallest tmpfs that is worth mounting: 64 KiB.
    pub const MIN_BYTES: u64 = 64 << 10;
}

impl FromStr for MemorySize {
    type Err = UnitError;

    /// Reads `1048576`, `512K`, `512M`, `2G`, `1T` (powers of 1024) or `50%`.
    fn from_str(text: &str) -> Result<MemorySize, UnitError> {
        if let Some(percent) = text.strip_suffix('%') {
            let percent: u8 = decimal(percent)?;
            return match percent {
                1..=100 => Ok(MemorySize::Percent(percent)),
                _ => Err(UnitError("a percentage is from 1% to 100%")),
            };
        }
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'K') => (text.strip_suffix('K'), 10),
            Some(b'M') => (text.strip_suffix('M'), 20),
            Some(b'G') => (text.strip_suffix('G'), 30),
            Some(b'T') => (text.strip_suffix('T'), 40),
            _ => (Some(text), 0),
        };
        let number: u64 = decimal(digits.unwrap_or(text))?;
        let bytes = number.checked_mul(1 << shift).ok_or(UnitError("the size is above 2^64"))?;
        if bytes < MemorySize::MIN_BYTES {
            return Err(UnitError("the size is below 64K"));
        }
        Ok(MemorySize::Bytes(bytes))
    }
}

/// The form that tmpfs's `size=` option takes.
impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemorySize::Bytes(bytes) => write!(f, "{bytes}"),
            MemorySize::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// How long PID 1 waits for something, 1 ms to 1 h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Duration);

impl Deadline {
    /// The deadline as a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Deadline {
    type Err = UnitError;

    /// Reads `500ms`, `30s`, `5m` or `1h`.
    fn from_str(text: &str) -> Result<Deadline, UnitError> {
        let (digits, unit_ms) = if let Some(digits) = text.strip_suffix("ms") {
            (digits, 1)
        } else if let Some(digits) = text.strip_suffix('s') {
            (digits, 1_000)
        } else if let Some(digits) = text.strip_suffix('m') {
            (digits, 60_000)
        } else if let Some(digits) = text.strip_suffix('h') {
            (digits, 3_600_000)
        } else {
            return Err(UnitError("the unit (ms, s, m or h) is missing"));
        };
        let number: u64 = decimal(digits)?;
        match number.checked_mul(unit_ms) {
            Some(ms @ 1..=3_600_000) => Ok(Deadline(Duration::from_millis(ms))),
            _ => Err(UnitError("a deadline is from 1ms to 1h")),
        }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        if ms.is_multiple_of(1000) { write!(f, "{}s", ms / 1000) } else { write!(f, "{ms}ms") }
    }
}

/// A plain decimal number: digits only, no sign, no leading zero.
///
/// # Errors
/// If `text` is anything else or does not fit.
pub fn decimal<T: FromStr>(text: &str) -> Result<T, UnitError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(UnitError("not a decimal number"));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(UnitError("a number has no leading zero"));
    }
    text.parse().map_err(|_out_of_range| UnitError("the number is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases: &[(&str, Option<MemorySize>)] = &[
            ("65536", Some(MemorySize::Bytes(65536))),
            ("64K", Some(MemorySize::Bytes(65536))),
            ("2G", Some(MemorySize::Bytes(2 << 30))),
            ("1T", Some(MemorySize::Bytes(1 << 40))),
            ("50%", Some(MemorySize::Percent(50))),
            ("100%", Some(MemorySize::Percent(100))),
            ("0%", None),
            ("101%", None),
            ("256%", None),
            ("%", None),
            ("", None),
            ("0", None),
            ("65535", None),
            ("-1M", None),
            ("+1M", None),
            ("01M", None),
            ("1m", None),
            ("1 M", None),
            ("M", None),
            ("1MM", None),
            ("18446744073709551616", None),
            ("18446744073709551615T", None),
            ("1µ", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<MemorySize>().ok(), *expected, "{text:?}");
        }
    }

    #[test]
    fn deadlines() {
        let cases: &[(&str, Option<u64>)] = &[
            ("1ms", Some(1)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("0s", None),
            ("2h", None),
            ("30", None),
            ("s", None),
            ("1.5s", None),
            ("18446744073709551615h", None),
        ];
        for (text, expected) in cases {
            let got = text.parse::<Deadline>().ok().map(|d| d.duration().as_millis());
            assert_eq!(got, expected.map(u128::from), "{text:?}");
        }
        assert_eq!("1500ms".parse::<Deadline>().unwrap().to_string(), "1500ms");
        assert_eq!("2m".parse::<Deadline>().unwrap().to_string(), "120s");
    }
}
