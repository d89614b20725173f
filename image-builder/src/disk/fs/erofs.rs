//! EROFS by `mkfs.erofs` (erofs-utils), which reads a tar since 1.7.

use std::ffi::OsString;

use protocol::config::FsType;

use super::tool::{Tool, Wanted};
use super::{Compression, Place, Settings, feed, is_known_attribute, path_of, rules};
use crate::disk::tree::{Dialect, Notes};
use crate::disk::{BuildError, Prepared};
use crate::progress::Progress;

static WANTED: Wanted = Wanted {
    name: "mkfs.erofs",
    variable: "RAVELIN_MKFS_EROFS",
    remedy: "erofs-utils 1.7 or later (Debian 13, Ubuntu 24.04), or choose --fs squashfs",
};

const DIALECT: Dialect = Dialect {
    fs: FsType::Erofs,
    fractions: true,
    root_member: true,
    takes_attribute: is_known_attribute,
};

pub(super) fn make(
    tree: Prepared,
    compression: Option<&Compression>,
    settings: &Settings<'_>,
    place: &Place<'_>,
    progress: &dyn Progress,
) -> Result<Notes, BuildError> {
    let tool = Tool::find(&WANTED, settings.tools.mkfs_erofs.as_ref())?;
    let help = tool.ask(&["--help"])?;
    if !help.contains("--tar=") || !help.contains("--mkfs-time") {
        let version = tool.ask(&["-V"])?;
        let version = version.lines().next().unwrap_or("unknown version").trim();
        return Err(tool.unfit(format!("it is too old to read a tar ({version})")).into());
    }
    let mut args: Vec<OsString> =
        ["--tar=f", "--quiet", "-b4096", "--mkfs-time"].map(Into::into).into();
    args.push(format!("-T{}", settings.created).into());
    args.push(format!("-U{}", settings.uuid).into());
    if let Some(Compression { algorithm, level }) = compression {
        let level = level.map(|level| format!(",{level}")).unwrap_or_default();
        args.push(format!("-z{algorithm}{level}").into());
    }
    if help.contains("--workers=") {
        // Any number gives the same bytes, but none at all gives others.
        let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        args.push(format!("--workers={workers}").into());
    }
    args.push(path_of(place.file).into());

    progress.stage("making the erofs file system", None);
    feed(tree, rules(settings, DIALECT), |_| tool.start(&args, &[], None), progress)
}
