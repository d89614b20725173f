//! Looking at paths of the mounted root.

use std::path::Path;

use protocol::config::AbsolutePath;
use protocol::layout;

use crate::failure::{self, Failure};
use crate::platform::{Kind, Platform};

/// What is at `path` in the root; `None` if nothing. Where something on the way is no
/// directory, that: a symbolic link on the way would lead into the initramfs, not
/// into the root.
///
/// # Errors
/// From the system.
pub(super) fn kind(platform: &impl Platform, path: &AbsolutePath) -> Result<Option<Kind>, Failure> {
    let mut at = Path::new(layout::SYSROOT).to_owned();
    let mut what = Some(Kind::Directory);
    for component in path.relative() {
        at.push(component);
        what = platform.kind(&at).map_err(failure::path("looking at", &at))?;
        if what != Some(Kind::Directory) {
            break;
        }
    }
    Ok(what)
}
