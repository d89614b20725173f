//! Looking at paths of the mounted root.

use std::path::Path;

use protocol::config::AbsolutePath;
use protocol::layout;

use super::kind;
use crate::failure::Failure;
use crate::platform::{Kind, Platform};

/// Whether there is a directory at `path` in the root; false if there is nothing. A
/// symbolic link, also one on the way, would lead into the initramfs, not into the root.
///
/// # Errors
/// From the system, or something else is there.
pub(super) fn is_directory(platform: &impl Platform, path: &AbsolutePath) -> Result<bool, Failure> {
    let mut at = Path::new(layout::SYSROOT).to_owned();
    for component in path.relative() {
        at.push(component);
        let what = match kind(platform, &at)? {
            Some(Kind::Directory) => continue,
            None => return Ok(false),
            Some(Kind::Symlink) => "a symbolic link",
            Some(Kind::File | Kind::BlockDevice | Kind::Other) => "something else",
        };
        return Err(Failure::NotADirectory { path: path.as_path().to_owned(), what });
    }
    Ok(true)
}

/// That of a path where there has to be a directory and is nothing.
pub(super) fn nothing(path: &AbsolutePath) -> Failure {
    Failure::NotADirectory { path: path.as_path().to_owned(), what: "nothing" }
}
