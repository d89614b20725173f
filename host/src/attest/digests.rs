//! Digests of large files, remembered as long as the files do not change.
//!
//! A kernel and an initramfs of 100 MB would cost every `ssh` a good part of a
//! second. A digest is believed as long as device, inode, size, modification
//! and change time are those that the file had when it was hashed. The files
//! are the owner's, as are these entries: whoever can write them can replace
//! `ravelin` as well. A file that changed less than two seconds before it was
//! hashed is not remembered, because a later change could bear the same times.

use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use attestation::measurement::Sha256Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::private::Directory;

const FORMAT: u32 = 1;

/// Younger files are not remembered, in seconds.
const SETTLED: i64 = 2;

/// Where digests are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests(Directory);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    format: u32,
    path: Vec<u8>,
    identity: Identity,
    digest: Sha256Digest,
}

/// What changes whenever the content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_settled(&self, now: i64) -> bool {
        self.modified.0.max(self.changed.0) + SETTLED <= now
    }
}

impl Digests {
    /// In the user's cache directory, if there is one.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        Directory::of_user(&["XDG_CACHE_HOME"], ".cache", "digests").map(Self)
    }

    /// The digest of an open file, from memory or computed by `hash`.
    ///
    /// # Errors
    /// Those of `hash`. A memory that cannot be read or written is none.
    pub fn of<E>(
        &self,
        path: &Path,
        file: File,
        hash: impl FnOnce(&File) -> Result<Sha256Digest, E>,
    ) -> Result<Sha256Digest, E> {
        let Ok(absolute) = std::path::absolute(path) else { return hash(&file) };
        let absolute = absolute.as_os_str().as_bytes();
        let Some(before) = identity(&file) else { return hash(&file) };
        let name = hex::encode(Sha256::digest(absolute));
        if let Some(entry) = self.0.read::<Entry>(&name)
            && entry.format == FORMAT
            && entry.path == absolute
            && entry.identity == before
        {
            return Ok(entry.digest);
        }
        let settled = before.is_settled(seconds());
        let digest = hash(&file)?;
        if settled && identity(&file) == Some(before) {
            let path = absolute.to_vec();
            let entry = Entry { format: FORMAT, path, identity: before, digest };
            // Only the next run is slower without it.
            let _ = self.0.write(&name, &entry);
        }
        Ok(digest)
    }
}

fn identity(file: &File) -> Option<Identity> {
    file.metadata().ok().filter(Metadata::is_file).map(|metadata| Identity::of(&metadata))
}

fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::convert::Infallible;
    use std::fs;
    use std::time::Duration;

    /// Asks for the digest; whether it had to be computed.
    fn ask(digests: &Digests, path: &Path, value: u8) -> (Sha256Digest, bool) {
        let mut computed = false;
        let digest = digests.of(path, File::open(path).unwrap(), |_file| {
            computed = true;
            Ok::<_, Infallible>(Sha256Digest::new([value; 32]))
        });
        (digest.unwrap(), computed)
    }

    #[test]
    fn a_digest_is_kept_until_the_file_changes() {
        let directory = tempfile::tempdir().unwrap();
        let digests = Digests(Directory::at(&directory.path().join("digests")));
        let path = directory.path().join("file");
        fs::write(&path, "one").unwrap();
        assert!(ask(&digests, &path, 1).1);
        assert!(ask(&digests, &path, 1).1, "a file that has just changed is hashed again");
        // The change time cannot be set; waiting for it is the only way.
        std::thread::sleep(Duration::from_millis(3100));
        assert!(ask(&digests, &path, 1).1);
        assert_eq!(ask(&digests, &path, 9), (Sha256Digest::new([1; 32]), false));
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(
            ask(&digests, &path, 2),
            (Sha256Digest::new([2; 32]), true),
            "the same size and modification time do not hide a change"
        );
    }
}
