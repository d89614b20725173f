//! QEMU's option lists (`driver,key=value,…`), in which a comma inside a value
//! is written twice: a file name cannot become an option.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// One option list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options(Vec<u8>);

impl Options {
    /// A list that begins with `head`, which is taken as it is.
    #[must_use]
    pub fn new(head: &str) -> Self {
        Self(head.as_bytes().to_vec())
    }

    /// Adds `key=value`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.push(b',');
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
        for byte in value.as_ref().as_bytes() {
            self.0.push(*byte);
            if *byte == b',' {
                self.0.push(b',');
            }
        }
        self
    }
}

impl From<Options> for OsString {
    fn from(options: Options) -> OsString {
        OsString::from_vec(options.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_values_are_doubled() {
        let options = Options::new("file").set("name", "a,read-only=off,,b").set("x", "");
        assert_eq!(OsString::from(options), "file,name=a,,read-only=off,,,,b,x=");
    }
}
