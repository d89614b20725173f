//! Which VM has a disk's key: a file beside the sidecar, and a lock.
//!
//! VMs of one image are interchangeable to a policy, and a host can start a second
//! one beside the first, or from a copy of the disk. So the REPORT_ID of the VM that
//! gets the key is written down **before** the key is sent, and no other gets it
//! until the owner says so. The file has the form of [`Instance`], so that
//! `ravelin attest --instance` takes it too.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use image_builder::output::{Output, OutputError, commit_all};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::attest::instance::{Instance, InstanceError};

/// For open(2): not through a symbolic link.
const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
/// A record has about 300 bytes.
const LIMIT: u64 = 1 << 16;

/// Why records cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It cannot be read or locked.
    #[error("{}: cannot be used", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another unlock has it.
    #[error("{}: another `ravelin unlock` of this disk is running", .path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// It is a symbolic link: what the owner decided would be read, or written, elsewhere.
    #[error("{}: is a symbolic link; a record is a file of its own", .path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// Something else is in it.
    #[error("{}: this is no record of a VM", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: InstanceError,
    },
    /// It cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// The record of one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    path: PathBuf,
}

/// Holds the records' locks until it is dropped.
#[derive(Debug)]
pub struct Locks {
    _files: Vec<File>,
}

impl Record {
    /// That of the disk with this sidecar or VM description: `root.img.toml` has
    /// `root.img.instance.toml`. What does not end with `.toml` has its whole name and
    /// `.instance`, so that no two files have one record.
    #[must_use]
    pub fn beside(file: &Path) -> Self {
        if file.extension().is_some_and(|extension| extension == "toml") {
            return Self { path: file.with_extension("instance.toml") };
        }
        Self { path: with_end(file, ".instance") }
    }

    /// A file that the owner named.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The VM that is recorded, if one is.
    ///
    /// # Errors
    /// A file that cannot be read or is no record.
    pub fn read(&self) -> Result<Option<Instance>, RecordError> {
        let failed = |source| RecordError::Io { path: self.path.clone(), source };
        self.refuse_link()?;
        let opened = OpenOptions::new().read(true).custom_flags(NO_LINK).open(&self.path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let mut text = String::new();
        file.take(LIMIT).read_to_string(&mut text).map_err(failed)?;
        let instance = Instance::parse(&text)
            .map_err(|source| RecordError::Content { path: self.path.clone(), source })?;
        Ok(Some(instance))
    }

    fn refuse_link(&self) -> Result<(), RecordError> {
        match self.path.symlink_metadata() {
            Ok(found) if found.is_symlink() => Err(RecordError::Link { path: self.path.clone() }),
            // What else is wrong, opening it says.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Locks the record against another unlock. The lock is a file of its own, which
    /// stays: a record is replaced, and a lock on it would be one on the old file.
    fn lock(&self) -> Result<File, RecordError> {
        let path = with_end(&self.path, ".lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).custom_flags(NO_LINK);
        let opened = options.open(&path);
        let file = opened.map_err(|source| RecordError::Io { path: path.clone(), source })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(Errno::WOULDBLOCK) => Err(RecordError::Locked { path }),
            Err(error) => Err(RecordError::Io { path, source: error.into() }),
        }
    }
}

/// The same path with this end.
fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}

/// Locks all of them.
///
/// # Errors
/// [`RecordError::Locked`] if another unlock has one.
pub fn lock(records: &[Record]) -> Result<Locks, RecordError> {
    Ok(Locks { _files: records.iter().map(Record::lock).collect::<Result<_, _>>()? })
}

/// Writes this VM into all of them, and to the disk.
///
/// # Errors
/// [`RecordError::Output`]; then nothing may be released.
pub fn write(records: &[Record], instance: &Instance) -> Result<(), RecordError> {
    let mut outputs = Vec::with_capacity(records.len());
    for record in records {
        // An output goes where a link leads.
        record.refuse_link()?;
        let output = Output::create(&record.path)?;
        output
            .file()
            .write_all(instance.to_string().as_bytes())
            .map_err(|source| RecordError::Io { path: record.path.clone(), source })?;
        outputs.push(output);
    }
    Ok(commit_all(outputs)?)
}

/// Whether the recorded VM is this one. A processor that either does not name
/// counts for nothing.
#[must_use]
pub fn is_same(recorded: &Instance, found: &Instance) -> bool {
    let chips = recorded.chip_id.zip(found.chip_id);
    recorded.report_id == found.report_id && chips.is_none_or(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use attestation::report::Hex;

    use super::*;

    fn instance(id: u8, chip: Option<u8>) -> Instance {
        Instance { report_id: Hex([id; 32]), chip_id: chip.map(|chip| Hex([chip; 64])) }
    }

    #[test]
    fn records_come_back_and_are_locked() {
        let directory = tempfile::tempdir().unwrap();
        let record = Record::beside(&directory.path().join("root.img.toml"));
        assert_eq!(record.path(), directory.path().join("root.img.instance.toml"));
        let records = [record.clone()];
        let held = lock(&records).unwrap();
        assert!(matches!(lock(&records), Err(RecordError::Locked { .. })));
        drop(held);
        let _held = lock(&records).unwrap();
        assert_eq!(record.read().unwrap(), None);
        for one in [instance(1, None), instance(2, Some(3))] {
            write(&records, &one).unwrap();
            assert_eq!(record.read().unwrap(), Some(one));
        }
        for bad in ["", "vmpl = 1\n", "[instance\n"] {
            std::fs::write(record.path(), bad).unwrap();
            assert!(matches!(record.read(), Err(RecordError::Content { .. })), "{bad:?}");
        }
    }

    #[test]
    fn no_two_files_have_one_record() {
        let names = ["a.toml", "a.x", "a.y", "a", "a.x.toml", "a.instance.toml", "a.instance"];
        let mut paths: Vec<PathBuf> =
            names.iter().map(|name| Record::beside(Path::new(name)).path).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), names.len(), "{paths:?}");
    }

    /// Attack: somebody who may write beside the sidecar links the record to another's.
    #[test]
    fn a_link_is_no_record() {
        let directory = tempfile::tempdir().unwrap();
        let (here, other) = (directory.path().join("root.img.toml"), directory.path().join("x"));
        let record = Record::beside(&here);
        std::fs::write(&other, instance(1, None).to_string()).unwrap();
        std::os::unix::fs::symlink(&other, record.path()).unwrap();
        assert!(matches!(record.read(), Err(RecordError::Link { .. })));
        let written = write(std::slice::from_ref(&record), &instance(2, None));
        assert!(matches!(written, Err(RecordError::Link { .. })));
        assert_eq!(std::fs::read_to_string(&other).unwrap(), instance(1, None).to_string());
        let lock_path = with_end(record.path(), ".lock");
        std::os::unix::fs::symlink(directory.path().join("made"), &lock_path).unwrap();
        assert!(lock(&[record]).is_err());
        assert!(!directory.path().join("made").exists());
    }

    #[test]
    fn another_vm_or_processor_is_another() {
        assert!(is_same(&instance(1, None), &instance(1, Some(2))));
        assert!(is_same(&instance(1, Some(2)), &instance(1, Some(2))));
        assert!(!is_same(&instance(1, Some(2)), &instance(1, Some(3))));
        assert!(!is_same(&instance(1, None), &instance(2, None)));
    }
}
