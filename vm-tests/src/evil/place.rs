//! A place in a file: `4096`, `50%`, `end-4096`, `superblock+8`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{EvilError, not_there};

/// A byte of a disk or of another file of the target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Place {
    base: Base,
    /// Bytes after it, or before.
    offset: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Base {
    Bytes(u64),
    Percent(u64),
    End,
    /// One that the target knows.
    Named(String),
}

impl Place {
    /// The first byte.
    #[must_use]
    pub const fn start() -> Self {
        Self { base: Base::Bytes(0), offset: 0 }
    }

    /// Which byte it is, in a file of so many with these named places.
    ///
    /// # Errors
    /// If there is no such place, or it is before the first byte.
    pub fn resolve(&self, size: u64, named: &BTreeMap<String, u64>) -> Result<u64, EvilError> {
        let base = match &self.base {
            Base::Bytes(bytes) => *bytes,
            Base::Percent(percent) => size.saturating_mul(*percent) / 100,
            Base::End => size,
            Base::Named(name) => *named.get(name).ok_or_else(|| not_there("place", name))?,
        };
        base.checked_add_signed(self.offset)
            .ok_or_else(|| EvilError::Pointless(format!("{self:?} is before the first byte")))
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = || format!("{text:?} is no place: BYTES, N%, end or a name, then +N or -N");
        // A name has hyphens itself: the offset is digits to the end.
        let digits = text.trim_end_matches(|c: char| c.is_ascii_digit());
        let (base, offset) = match digits.strip_suffix(['+', '-']) {
            Some(base) if !base.is_empty() && digits.len() < text.len() => {
                let offset = text.strip_prefix(base).and_then(|offset| offset.parse().ok());
                (base, offset.ok_or_else(refused)?)
            }
            _ => (text.as_str(), 0),
        };
        let base = if base == "end" {
            Base::End
        } else if let Some(percent) = base.strip_suffix('%') {
            Base::Percent(percent.parse().map_err(|_number| refused())?)
        } else if base.starts_with(|c: char| c.is_ascii_digit()) {
            Base::Bytes(base.parse().map_err(|_number| refused())?)
        } else if !base.is_empty() && base.chars().all(|c| c == '-' || c.is_ascii_lowercase()) {
            Base::Named(base.to_owned())
        } else {
            return Err(refused());
        };
        Ok(Self { base, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Option<u64> {
        let named = BTreeMap::from([("real-init".to_owned(), 8192)]);
        Place::try_from(text.to_owned()).ok()?.resolve(1000, &named).ok()
    }

    #[test]
    fn places_are_bytes_shares_ends_and_names() {
        assert_eq!(resolved("4096"), Some(4096));
        assert_eq!(resolved("50%"), Some(500));
        assert_eq!(resolved("50%+12"), Some(512));
        assert_eq!(resolved("end"), Some(1000));
        assert_eq!(resolved("end-1"), Some(999));
        assert_eq!(resolved("end+24"), Some(1024));
        assert_eq!(resolved("real-init"), Some(8192));
        assert_eq!(resolved("real-init-192"), Some(8000));
        for wrong in ["", "+5", "end-1001", "nowhere", "5x", "x%", "End", "real init"] {
            assert_eq!(resolved(wrong), None, "{wrong}");
        }
    }
}
