//! EROFS by `mkfs.erofs` (erofs-utils), which reads a tar since 1.7.

use std::ffi::OsString;

use protocol::config::FsType;

use super::tool::{Tool, Wanted};
use super::{Compression, Place, Settings, ToolError, feed, path_of, rules, scratch};
use crate::disk::copy::copy;
use crate::disk::tree::{Dialect, Notes, Tree};
use crate::disk::{BuildError, file_system_at};
use crate::output::Output;
use crate::progress::{Progress, Silent};

static WANTED: Wanted = Wanted {
    name: "mkfs.erofs",
    variable: "RAVELIN_MKFS_EROFS",
    remedy: "erofs-utils 1.7 or later (Debian 13, Ubuntu 24.04), or choose squashfs",
};

const DIALECT: Dialect = Dialect {
    fs: FsType::Erofs,
    fractions: true,
    root_member: true,
    takes_attribute: |name| {
        ["user.", "trusted.", "security."].iter().any(|prefix| name.starts_with(prefix))
            || name == "system.posix_acl_access"
            || name == "system.posix_acl_default"
    },
};

pub(super) fn make(
    tree: Tree,
    compression: Option<&Compression>,
    settings: &Settings<'_>,
    place: &Place<'_>,
    progress: &dyn Progress,
) -> Result<Notes, BuildError> {
    let tool = Tool::find(&WANTED, settings.tools.mkfs_erofs.as_ref())?;
    let at_offset = probe_tool(&tool)? || place.offset == 0;
    // What cannot write at an offset writes to the start of a file of its own.
    let own = if at_offset { None } else { Some(Output::create(place.beside)?) };
    let (file, offset) = match &own {
        Some(own) => (own.file(), 0),
        None => (place.file, place.offset),
    };
    let mut args: Vec<OsString> =
        ["--tar=f", "--quiet", "-b4096", "--mkfs-time"].map(Into::into).into();
    args.push(format!("-T{}", settings.created).into());
    args.push(format!("-U{}", settings.uuid).into());
    if let Some(Compression { algorithm, level }) = compression {
        let level = level.map(|level| format!(",{level}")).unwrap_or_default();
        args.push(format!("-z{algorithm}{level}").into());
    }
    if offset != 0 {
        args.push(format!("--offset={offset}").into());
    }
    args.push(path_of(file).into());

    progress.stage("making the erofs file system", None);
    let notes = feed(tree, rules(settings, DIALECT), |_| tool.start(&args, &[], None), progress)?;
    if let Some(own) = &own {
        let made = file_system_at(own.file(), 0)?;
        copy(own.file(), place.file, place.offset, made.size, &Silent).map_err(scratch)?;
    }
    Ok(notes)
}

/// Whether the tool can write at an offset; an error if it cannot do the rest.
fn probe_tool(tool: &Tool) -> Result<bool, ToolError> {
    let help = tool.ask(&["--help"])?;
    if help.contains("--tar=") && help.contains("--mkfs-time") {
        return Ok(help.contains("--offset="));
    }
    let version = tool.ask(&["-V"])?;
    let version = version.lines().next().unwrap_or("unknown version").trim();
    Err(tool.unfit(format!("it is too old to read a tar ({version})")))
}
