//! Hooks: programs inside the initramfs that PID 1 runs at three points of the boot.
//!
//! They are in the launch measurement, as all of the initramfs is, so they are the
//! owner's. `docs/initramfs.md` has the contract; what builder and PID 1 must agree on
//! is here: the stages, where their hooks are, and what a hook may be called.

use std::fmt;
use std::str::FromStr;

use crate::layout::HOOKS;

/// The version of the contract, in a hook's environment as `RAVELIN_HOOKS`.
pub const VERSION: u32 = 1;

/// The longest name of a hook, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// A point of the boot at which hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The disks are found. No key has come, nothing is opened, nobody is talked to.
    PreRoot,
    /// The root is opened and mounted, without what is written to and mounted in it.
    PostRoot,
    /// Everything is in its place; the real init is next.
    PreHandOver,
}

impl Stage {
    /// All stages, in the order of the boot.
    pub const ALL: [Stage; 3] = [Stage::PreRoot, Stage::PostRoot, Stage::PreHandOver];

    /// The stage's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::PreRoot => "pre-root",
            Stage::PostRoot => "post-root",
            Stage::PreHandOver => "pre-handover",
        }
    }

    /// The name of the directory of its hooks, in [`crate::layout::HOOKS`].
    #[must_use]
    pub const fn directory(self) -> &'static str {
        match self {
            Stage::PreRoot => "pre-root.d",
            Stage::PostRoot => "post-root.d",
            Stage::PreHandOver => "pre-handover.d",
        }
    }

    /// The stage whose hooks are in a directory of this name.
    #[must_use]
    pub fn of_directory(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.directory() == name)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not one of the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stages of hooks are pre-root, post-root and pre-handover")]
pub struct StageError;

impl FromStr for Stage {
    type Err = StageError;

    fn from_str(text: &str) -> Result<Stage, StageError> {
        Stage::ALL.into_iter().find(|stage| stage.as_str() == text).ok_or(StageError)
    }
}

/// The hook that an absolute path of the initramfs names, if it is one.
#[must_use]
pub fn of_path(path: &str) -> Option<(Stage, &str)> {
    let below = path.strip_prefix(HOOKS)?.strip_prefix('/')?;
    let (directory, name) = below.split_once('/')?;
    let stage = Stage::of_directory(directory)?;
    is_name(name).then_some((stage, name))
}

/// Whether a hook may be called so: 1 to 64 ASCII letters, digits, `-`, `_` and `.`, the
/// first one no `.`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["10-network", "a", "Z_9.sh", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".hidden", "..", "a/b", "a b", "a\n", "gr\u{fc}n", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_hook_is_in_the_directory_of_its_stage() {
        let path = "/etc/ravelin/hooks/pre-root.d/10-network";
        assert_eq!(of_path(path), Some((Stage::PreRoot, "10-network")));
        for other in [
            "/etc/ravelin/hooks/other.d/10-network",
            "/etc/ravelin/hooks/pre-root.d/a/b",
            "/etc/ravelin/hooks/pre-root.d/.a",
            "/etc/ravelin/hooks/pre-root.d",
            "/etc/ravelin/hooksx/pre-root.d/a",
            "etc/ravelin/hooks/pre-root.d/a",
        ] {
            assert_eq!(of_path(other), None, "{other}");
        }
    }

    #[test]
    fn stages_are_read_by_their_names() {
        for stage in Stage::ALL {
            assert_eq!(stage.as_str().parse(), Ok(stage));
            assert_eq!(stage.directory(), format!("{stage}.d"));
        }
        assert_eq!("pre-root.d".parse::<Stage>(), Err(StageError));
    }
}
