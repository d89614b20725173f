//! Which VM has a disk's key: a file beside the sidecar, and a lock.
//!
//! VMs of one image are interchangeable to a policy, and a host can start a second
//! one beside the first, or from a copy of the disk. So the REPORT_ID of the VM that
//! gets the key is written down **before** the key is sent, and no other gets it
//! until the owner says so. The file has the form of [`Instance`], so that
//! `ravelin attest --instance` takes it too.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use image_builder::output::{Output, OutputError, commit_all};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::attest::instance::{Instance, InstanceError};

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
    /// `root.img.instance.toml`.
    #[must_use]
    pub fn beside(file: &Path) -> Self {
        Self { path: file.with_extension("instance.toml") }
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
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let mut text = String::new();
        file.take(LIMIT).read_to_string(&mut text).map_err(failed)?;
        let instance = Instance::parse(&text)
            .map_err(|source| RecordError::Content { path: self.path.clone(), source })?;
        Ok(Some(instance))
    }

    /// Locks the record against another unlock. The lock is a file of its own, which
    /// stays: a record is replaced, and a lock on it would be one on the old file.
    fn lock(&self) -> Result<File, RecordError> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let mut options = OpenOptions::new();
        let opened = options.create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(|source| RecordError::Io { path: path.clone(), source })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(Errno::WOULDBLOCK) => Err(RecordError::Locked { path }),
            Err(error) => Err(RecordError::Io { path, source: error.into() }),
        }
    }
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
    fn another_vm_or_processor_is_another() {
        assert!(is_same(&instance(1, None), &instance(1, Some(2))));
        assert!(is_same(&instance(1, Some(2)), &instance(1, Some(2))));
        assert!(!is_same(&instance(1, Some(2)), &instance(1, Some(3))));
        assert!(!is_same(&instance(1, None), &instance(2, None)));
    }
}
