//! Names of volumes.

use super::{MAX_NAME, ROOT, ReleaseError};

/// The name of a volume: 1 to [`MAX_NAME`] of `a-z`, `0-9` and `-`, beginning with a
/// letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

impl VolumeName {
    /// The root's name.
    #[must_use]
    pub fn root() -> Self {
        Self(ROOT.to_owned())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for VolumeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for VolumeName {
    type Err = ReleaseError;

    fn from_str(text: &str) -> Result<Self, ReleaseError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if starts && text.len() <= MAX_NAME && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ReleaseError::Name)
        }
    }
}
