//! SquashFS by `mksquashfs` (squashfs-tools). It reads a tar since 4.5, but only
//! from 4.6 on can it be told the root's owner and time: before, those are the
//! builder's, and no build gives the same bytes as another.

use std::ffi::OsString;

use protocol::config::FsType;

use super::tool::{Tool, Wanted};
use super::{Compression, Place, Settings, feed, path_of, rules};
use crate::disk::tree::{Dialect, Notes};
use crate::disk::{BuildError, Prepared};
use crate::progress::Progress;

static WANTED: Wanted = Wanted {
    name: "mksquashfs",
    variable: "RAVELIN_MKSQUASHFS",
    remedy: "squashfs-tools 4.6 or later (Debian 13, Ubuntu 24.04), or choose --fs erofs",
};

const DIALECT: Dialect = Dialect {
    fs: FsType::Squashfs,
    // Of a PAX time beyond 32 bits it makes a fatal error, of others whole seconds.
    fractions: false,
    // It ignores the root in a tar; the root's metadata are options.
    root_member: false,
    takes_attribute: |name| {
        ["user.", "trusted.", "security."].iter().any(|prefix| name.starts_with(prefix))
    },
};

pub(super) fn make(
    tree: Prepared,
    compression: Option<&Compression>,
    settings: &Settings<'_>,
    place: &Place<'_>,
    progress: &dyn Progress,
) -> Result<Notes, BuildError> {
    let tool = Tool::find(&WANTED, settings.tools.mksquashfs.as_ref())?;
    // An option that came with 4.6; those for the root are older, and had no effect.
    if !tool.ask(&["-help"])?.contains("-default-uid") {
        let version = tool.ask(&["-version"])?;
        let version = version.lines().next().unwrap_or("unknown version").trim();
        let lacks = format!("it cannot be told the owner and time of the root ({version})");
        return Err(tool.unfit(lacks).into());
    }
    let mut args: Vec<OsString> = vec!["-".into(), path_of(place.file).into()];
    args.extend(
        ["-tar", "-noappend", "-no-recovery", "-no-progress", "-quiet", "-exit-on-error"]
            .map(Into::into),
    );
    let mut option = |name: &str, value: String| args.extend([name.into(), value.into()]);
    option("-mkfs-time", settings.created.to_string());
    option("-b", "128K".to_owned());
    match compression {
        Some(Compression { algorithm, level }) => {
            option("-comp", algorithm.clone());
            if let Some(level) = level {
                option("-Xcompression-level", level.to_string());
            }
        }
        None => args.extend(["-noI", "-noD", "-noF", "-noX"].map(Into::into)),
    }
    progress.stage("making the squashfs file system", None);
    let rules = rules(settings, DIALECT);
    let spawn = |root: &crate::disk::tree::Entry| {
        let (uid, gid) = settings.owner.map(root.meta.uid, root.meta.gid);
        for (name, value) in [
            ("-root-mode", format!("{:o}", root.meta.mode)),
            ("-root-uid", uid.to_string()),
            ("-root-gid", gid.to_string()),
            ("-root-time", root.meta.mtime.seconds.to_string()),
        ] {
            args.extend([name.into(), value.into()]);
        }
        tool.start(&args, &[], None)
    };
    feed(tree, rules, spawn, progress)
}
