//! Files of one command that must not be the same file: what is written would replace
//! what is read, and that may be the only key.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use image_builder::output::OutputError;

use crate::failure::{Failure, Result};

/// The end of a sidecar's name.
pub(super) const SIDECAR: &str = ".toml";

/// The sidecar of an output: the one that is named, else the output's name with an end of
/// its own.
///
/// # Errors
/// An output that is no name of a file; nothing can be beside that.
pub(super) fn sidecar(output: &Path, given: Option<&Path>) -> Result<PathBuf> {
    let is_directory = output.as_os_str().as_bytes().ends_with(b"/")
        || output.file_name().is_none_or(OsStr::is_empty);
    if is_directory {
        let failure = Failure::new(OutputError::NotAFileName { path: output.to_owned() });
        return Err(failure.help("--output is the disk to write, such as root.img"));
    }
    Ok(given.map_or_else(|| appended(output, SIDECAR), Path::to_owned))
}

/// The name with something at its end.
pub(super) fn appended(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A file of a command: what it is to the user, and where.
pub(super) type Place<'a> = (&'static str, Option<&'a Path>);

/// What it is to the user, and its device and inode if it is there.
type Seen = (&'static str, Option<(u64, u64)>);

/// Refuses two that are the same file, by whatever names.
///
/// # Errors
/// A usage error that names both.
pub(super) fn distinct(places: &[Place<'_>]) -> Result<()> {
    let mut seen: Vec<(Seen, PathBuf)> = Vec::new();
    for (what, path) in places {
        let Some(path) = path else { continue };
        let (node, name) = (node(path), name(path));
        let same =
            seen.iter().find(|((_, other), at)| *at == name || node.is_some() && *other == node);
        if let Some(((other, _), _)) = same {
            let text = format!("{}: {other} and {what} are the same file", path.display());
            return Err(
                Failure::usage(text).help("nothing was written; give each a file of its own")
            );
        }
        seen.push(((what, node), name));
    }
    Ok(())
}

/// Refuses an output that is one of the files that are read, of which two may be one.
///
/// # Errors
/// As [`distinct`].
pub(super) fn apart<'a>(output: &Path, read: impl IntoIterator<Item = Place<'a>>) -> Result<()> {
    read.into_iter().try_for_each(|place| distinct(&[place, ("--output", Some(output))]))
}

/// Device and inode of a file that is there. Pipes and terminals are no files to lose.
fn node(path: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(path).ok()?;
    found.is_file().then(|| (found.dev(), found.ino()))
}

/// The name without links and dots on the way, as far as that way is there.
fn name(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let parent = fs::canonicalize(parent).unwrap_or_else(|_absent| parent.to_owned());
    path.file_name().map_or(parent.clone(), |name| parent.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_under_two_names_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("key"), "k").unwrap();
        fs::hard_link(at("key"), at("hard")).unwrap();
        std::os::unix::fs::symlink(at("key"), at("soft")).unwrap();
        fs::create_dir(at("sub")).unwrap();
        let same = |a: &Path, b: &Path| distinct(&[("a", Some(a)), ("b", Some(b))]).is_err();
        for other in ["key", "hard", "soft", "sub/../key"] {
            assert!(same(&at("key"), &at(other)), "{other}");
        }
        // Also where neither is there yet.
        assert!(same(&at("new"), &at("sub/../new")));
        assert!(!same(&at("key"), &at("new")));
        assert!(!same(Path::new("/dev/null"), Path::new("/dev/stdin")));
        assert!(distinct(&[("a", Some(&at("key"))), ("b", None)]).is_ok());
    }
}
