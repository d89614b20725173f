//! The directory that keeps certificates, one file each.
//!
//! Files are written beside their place, brought to the disk and renamed, so
//! that a reader finds a whole one or none. Symbolic links are not followed and
//! nothing but regular files of a bounded size is read; whoever can write here
//! can still put anything in, which is why what is read is verified.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use attestation::certificate::service::Resource;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::error::StoreError;

/// How often a lock that somebody else holds is tried.
const POLL: Duration = Duration::from_millis(20);
/// For how long something that is not needed is not tried again.
const RETRY: Duration = Duration::from_secs(600);
/// More entries than are listed.
const ENTRIES: usize = 10_000;

/// The cache's directory.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    directory: OwnedFd,
}

/// The exclusive right to write one entry, until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    waited: bool,
}

impl Lock {
    /// Remembers that the entry could not be had, for
    /// [`Cache::failed_lately`]. Only a hint: errors are of no interest.
    pub(super) fn note_failure(&self) {
        let _ = self.file.set_len(0);
        let _ = (&self.file).write_all(b"failed\n");
    }

    /// Whether somebody else held the lock, and could not have the entry.
    pub(super) fn failed_elsewhere(&self, since: SystemTime) -> bool {
        let noted = self.file.metadata().ok().filter(|file| file.len() > 0);
        let noted = noted.and_then(|file| file.modified().ok());
        self.waited && noted.is_some_and(|noted| noted >= since)
    }

    /// Forgets that.
    pub(super) fn forget_failure(&self) {
        let _ = self.file.set_len(0);
    }
}

/// `ravelin/certificates` in the user's cache directory, as the XDG Base
/// Directory Specification has it: relative paths in the environment do not
/// count.
pub(super) fn default_directory() -> Result<PathBuf, StoreError> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|caches| caches.join("ravelin/certificates"))
        .ok_or(StoreError::NoCacheDirectory)
}

fn lock_name(resource: &Resource) -> String {
    format!(".{}.lock", resource.file_name())
}

impl Cache {
    /// Opens the directory, which is made if it is not there.
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Directory { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let directory = File::from(directory);
        let metadata = directory.metadata().map_err(failed)?;
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        if !own || metadata.mode() & 0o022 != 0 {
            return Err(StoreError::DirectoryShared { path });
        }
        Ok(Self { path, directory: directory.into() })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.path
    }

    /// Where an entry is.
    pub(super) fn path(&self, resource: &Resource) -> PathBuf {
        self.path.join(resource.file_name())
    }

    /// An entry's bytes, not looked at. `None` if there is no such entry, or
    /// something that cannot be one.
    pub(super) fn read(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        let failed = |source| StoreError::Read { path: self.path(resource), source };
        // Not to wait for the other end of a FIFO.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let name = resource.file_name();
        let file = match rustix::fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::ACCESS) => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Ok(None);
        }
        let limit = resource.limit();
        let mut bytes = Vec::new();
        let more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        file.take(more).read_to_end(&mut bytes).map_err(failed)?;
        Ok((bytes.len() <= limit).then_some(bytes))
    }

    /// Waits for the right to write an entry.
    pub(super) fn lock(&self, resource: &Resource, deadline: Instant) -> Result<Lock, StoreError> {
        let name = lock_name(resource);
        let path = self.path.join(&name);
        let failed = |error: Errno| StoreError::Lock { path: path.clone(), source: error.into() };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&self.directory, name, flags, mode).map_err(failed)?;
        let begun = Instant::now();
        let mut waited = false;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { file: File::from(file), waited }),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => return Err(failed(error)),
            }
            if Instant::now() >= deadline {
                return Err(StoreError::Locked { path, waited: begun.elapsed() });
            }
            waited = true;
            std::thread::sleep(POLL);
        }
    }

    /// Whether the entry could not be had in the last minutes.
    pub(super) fn failed_lately(&self, resource: &Resource) -> bool {
        let noted = std::fs::symlink_metadata(self.path.join(lock_name(resource)));
        noted.is_ok_and(|file| {
            let age = file.modified().ok().and_then(|noted| noted.elapsed().ok());
            file.len() > 0 && age.is_some_and(|age| age < RETRY)
        })
    }

    /// Writes an entry, whole or not at all. Only with its lock, so that two
    /// writers never share a temporary file.
    pub(super) fn write(
        &self,
        resource: &Resource,
        bytes: &[u8],
        _lock: &Lock,
    ) -> Result<(), StoreError> {
        let temporary = format!(".{}.new", resource.file_name());
        let written = self.write_new(&temporary, bytes).and_then(|()| {
            let name = resource.file_name();
            rustix::fs::renameat(&self.directory, &temporary, &self.directory, name)?;
            rustix::fs::fsync(&self.directory)?;
            Ok(())
        });
        written.map_err(|source| {
            let _ = rustix::fs::unlinkat(&self.directory, &temporary, AtFlags::empty());
            StoreError::Write { path: self.path(resource), source }
        })
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Left by a process that was killed.
        match rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(rustix::fs::openat(&self.directory, name, flags, mode)?);
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// The resources that have an entry, in the order of their names.
    pub(super) fn resources(&self) -> Result<Vec<Resource>, StoreError> {
        let failed = |source| StoreError::Directory { path: self.path.clone(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)?.take(ENTRIES) {
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        names.sort();
        Ok(names.iter().filter_map(|name| Resource::from_file_name(name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use attestation::product::Product;
    use attestation::report::KeyKind;

    use super::*;

    #[test]
    fn an_entry_has_one_writer_and_its_failures_are_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path().join("a/b")).unwrap();
        let kind = KeyKind::Vcek;
        let resource = Resource::Crl { product: Product::Milan, kind };
        let other = Resource::Crl { product: Product::Genoa, kind };
        let now = Instant::now();
        let mut lock = cache.lock(&resource, now).unwrap();
        assert!(matches!(cache.lock(&resource, now), Err(StoreError::Locked { .. })));
        drop(cache.lock(&other, now).unwrap());

        let long_ago = SystemTime::UNIX_EPOCH;
        assert!(!cache.failed_lately(&resource));
        lock.note_failure();
        assert!(cache.failed_lately(&resource) && !cache.failed_lately(&other));
        assert!(!lock.failed_elsewhere(long_ago), "who did not wait tries it");
        lock.waited = true;
        assert!(lock.failed_elsewhere(long_ago));
        let later = SystemTime::now() + Duration::from_secs(60);
        assert!(!lock.failed_elsewhere(later), "an old failure is none of this one's");
        lock.forget_failure();
        assert!(!cache.failed_lately(&resource) && !lock.failed_elsewhere(long_ago));

        cache.write(&resource, b"one", &lock).unwrap();
        cache.write(&resource, b"two", &lock).unwrap();
        assert_eq!(cache.read(&resource).unwrap().as_deref(), Some(b"two".as_slice()));
        assert_eq!(cache.resources().unwrap(), [resource]);
        assert_eq!(cache.read(&other).unwrap(), None);
    }
}
