//! Small files that are the user's alone: mode 0600 in a directory of mode
//! 0700. What another user could have written is not read.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use image_builder::output::Output;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No entry comes near this size.
const LIMIT: u64 = 1 << 20;

/// Entries that nobody renewed for so long are removed.
const FORGET: Duration = Duration::from_secs(30 * 24 * 3600);

/// A directory of such files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// `ravelin/NAME` below the first of these variables that is set to an
    /// absolute path, else below a directory in the user's home.
    pub(super) fn of_user(variables: &[&str], in_home: &str, name: &str) -> Option<Self> {
        let absolute = |variable: &str| {
            std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let base = variables
            .iter()
            .find_map(|variable| absolute(variable))
            .or_else(|| absolute("HOME").map(|home| home.join(in_home)))?;
        Some(Self(base.join("ravelin").join(name)))
    }

    /// A given directory.
    #[cfg(test)]
    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Reads an entry. Whatever is not as [`Directory::write`] leaves it counts
    /// as absent.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(nofollow).open(self.0.join(name)).ok()?;
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || !is_ours(&metadata, 0o077) || metadata.len() > LIMIT {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(LIMIT).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Writes an entry in one step, and removes those that are long forgotten.
    pub(super) fn write(&self, name: &str, content: &impl Serialize) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        if !is_ours(&fs::metadata(&self.0)?, 0o022) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the directory is another user's, or others may write to it",
            ));
        }
        let output = Output::create(self.0.join(name)).map_err(io::Error::other)?;
        let mut file: &File = output.file();
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(&serde_json::to_vec(content)?)?;
        output.commit().map_err(io::Error::other)?;
        self.forget();
        Ok(())
    }

    /// The path, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Tidiness only: what fails is left.
    fn forget(&self) {
        let now = SystemTime::now();
        let Ok(entries) = fs::read_dir(&self.0) else { return };
        for entry in entries.flatten() {
            let old = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > FORGET));
            if old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn is_ours(metadata: &Metadata, forbidden: u32) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & forbidden == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_else_may_write_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Directory::at(&directory.path().join("a/b"));
        assert_eq!(directory.read::<String>("x"), None);
        directory.write("x", &"content").unwrap();
        assert_eq!(directory.read::<String>("x").as_deref(), Some("content"));
        let path = directory.path().join("x");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(directory.path()).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(directory.read::<String>("x"), None);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&path, directory.path().join("link")).unwrap();
        assert_eq!(directory.read::<String>("link"), None);
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(directory.write("y", &"content").is_err());
    }
}
