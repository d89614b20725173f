//! Byte strings of a fixed length that are written in hexadecimal.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `N` bytes, written as `2 N` hexadecimal digits: lower case when printed,
/// either case when read, no prefix and no spaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> Hex<N> {
    /// Whether every byte is zero, which is how a report says "none".
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }
}

impl<const N: usize> From<[u8; N]> for Hex<N> {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> FromStr for Hex<N> {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; N];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(hex::FromHexError::InvalidHexCharacter { c, index }) => {
                Err(HexError::Digit { found: c, index })
            }
            Err(hex::FromHexError::OddLength | hex::FromHexError::InvalidStringLength) => {
                Err(HexError::Length { expected: N * 2, found: text.len() })
            }
        }
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Text that is not the expected number of hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// Too few or too many digits.
    #[error("expected {expected} hexadecimal digits, found {found} characters")]
    Length {
        /// Digits wanted.
        expected: usize,
        /// Characters given.
        found: usize,
    },
    /// A character that is no hexadecimal digit.
    #[error("{found:?} at position {index} is not a hexadecimal digit (write no 0x and no spaces)")]
    Digit {
        /// The character.
        found: char,
        /// Its position, counted from 0.
        index: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        let value: Hex<4> = "00fFa510".parse().unwrap();
        assert_eq!(value, Hex([0, 0xff, 0xa5, 0x10]));
        assert_eq!(value.to_string(), "00ffa510");
        assert!(Hex([0; 4]).is_zero() && !value.is_zero());
    }

    #[test]
    fn refuses_what_is_not_exact() {
        for (text, expected) in [
            ("", HexError::Length { expected: 8, found: 0 }),
            ("00ffa5", HexError::Length { expected: 8, found: 6 }),
            ("00ffa51", HexError::Length { expected: 8, found: 7 }),
            ("00ffa51000", HexError::Length { expected: 8, found: 10 }),
            ("0x00ffa5", HexError::Digit { found: 'x', index: 1 }),
        ] {
            assert_eq!(text.parse::<Hex<4>>().unwrap_err(), expected, "{text:?}");
        }
    }
}
