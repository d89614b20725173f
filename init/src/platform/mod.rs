//! What the boot may do to the machine, and nothing more.
//!
//! The steps are written against this trait. `linux` implements it with system
//! calls; the unit tests implement it with a recording fake, so that every
//! order of failures can be played through without a VM.

use std::error::Error;
use std::io;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::config::{EvidenceSource, OnFailure};
use protocol::host_keys::HostKeys;
use protocol::receipt::Receipt;
use protocol::report_data;

use crate::failure::Step;
use crate::reports::{RawReport, ReportError};

mod hooks;
mod links;
mod releases;
mod volumes;

pub use hooks::{Hook, Hooks};
pub use links::Links;
pub use releases::{Released, Releases};
pub use volumes::{Access, DerivedKey, Disk, Target, Volumes};

/// How loud a line of the boot log is: `/dev/kmsg` levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A step that was done; not shown with `quiet`.
    Info,
    /// What the owner has to see, with `quiet` as well.
    Error,
}

/// What is at a path, not following a final symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A block device.
    BlockDevice,
    /// Anything else.
    Other,
}

/// One mount(2) call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Device, or a name for what has none.
    pub source: &'a str,
    /// Where to.
    pub target: &'a Path,
    /// File-system type.
    pub fstype: &'a str,
    /// Read-only.
    pub read_only: bool,
    /// Set-user-ID bits and file capabilities have no effect.
    pub nosuid: bool,
    /// Device nodes have no effect.
    pub nodev: bool,
    /// Nothing can be executed.
    pub noexec: bool,
    /// The file system's own options.
    pub options: &'a str,
}

/// A program that was looked up inside a root, the way it will be after the
/// switch: symbolic links cannot lead out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Regular file or not.
    pub is_file: bool,
    /// Whether anyone may execute it.
    pub executable: bool,
    /// Its first bytes, up to 4096.
    pub head: Vec<u8>,
}

/// A kernel module to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module<'a> {
    /// Its file.
    pub path: &'a Path,
    /// Its parameters, `NAME=VALUE` between spaces.
    pub parameters: String,
}

/// A dm-verity target, ready to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerityTarget {
    /// Length in 512-byte sectors.
    pub sectors: u64,
    /// The target's parameters as the kernel documents them
    /// (Documentation/admin-guide/device-mapper/verity.rst).
    pub params: String,
}

/// The machine as PID 1 sees it.
pub trait Platform: Volumes + Links + Releases + Hooks {
    /// Notes where the boot is, for the message of a panic.
    fn begin(&self, step: Step, on_failure: OnFailure);
    /// Time since PID 1's first instruction.
    fn elapsed(&self) -> Duration;
    /// One line into the kernel's log, and by it onto the console.
    fn log(&self, level: Level, line: &str);
    /// Collects the children that have ended.
    fn reap(&self);

    /// The content of a file, at most `limit` bytes.
    ///
    /// # Errors
    /// Also if it is longer (`FileTooLarge`).
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;
    /// `length` bytes at `offset` of a device.
    ///
    /// # Errors
    /// Also if the device ends before.
    fn read_device(&self, device: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// The names in a directory, sorted. One that is not UTF-8 has U+FFFD in it.
    ///
    /// # Errors
    /// From the system.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// What is at `path`; `None` if nothing.
    ///
    /// # Errors
    /// From the system, but for absence.
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>>;
    /// Looks up `program` inside `root` and reads its first block.
    ///
    /// # Errors
    /// From the system.
    fn program(&self, root: &Path, program: &Path) -> io::Result<Program>;
    /// Makes a directory.
    ///
    /// # Errors
    /// From the system.
    fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Makes a directory with the owner, mode and extended attributes of another.
    ///
    /// # Errors
    /// From the system.
    fn create_directory_like(&self, path: &Path, model: &Path) -> io::Result<()>;
    /// Makes a file of root's that does not exist yet.
    ///
    /// # Errors
    /// From the system; also if there is something at `path`.
    fn create_file(&self, path: &Path, mode: u32, content: &[u8]) -> io::Result<()>;
    /// Overwrites an existing file, such as one of procfs.
    ///
    /// # Errors
    /// From the system.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// Removes a file, symbolic link or device node.
    ///
    /// # Errors
    /// From the system.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// From the system.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Whether something is mounted at `path`.
    ///
    /// # Errors
    /// From the system.
    fn is_mount_point(&self, path: &Path) -> io::Result<bool>;
    /// Mounts.
    ///
    /// # Errors
    /// From the system.
    fn mount(&self, mount: &Mount<'_>) -> io::Result<()>;
    /// Makes a file or directory appear at another one's place too.
    ///
    /// # Errors
    /// From the system.
    fn bind_mount(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a mount.
    ///
    /// # Errors
    /// From the system.
    fn move_mount(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a mount out of the tree; it lives on as long as it is used.
    ///
    /// # Errors
    /// From the system.
    fn detach_mount(&self, path: &Path) -> io::Result<()>;

    /// Loads kernel modules that do not depend on each other, at once; the
    /// results are in the order of `modules`.
    fn load_modules(&self, modules: &[Module<'_>]) -> Vec<io::Result<()>>;

    /// Starts to collect the events of block devices.
    ///
    /// # Errors
    /// From the system.
    fn watch_block_events(&self) -> io::Result<()>;
    /// Waits for the next event of a block device since the watch began, or
    /// until PID 1 has run for `until`. False if the time is over.
    ///
    /// # Errors
    /// From the system.
    fn wait_for_block_event(&self, until: Duration) -> io::Result<bool>;

    /// Makes a read-only device-mapper device and starts it. Returns its node.
    ///
    /// # Errors
    /// From the system, with the kernel's ioctl named.
    fn create_verity(&self, name: &str, uuid: &str, target: &VerityTarget) -> io::Result<PathBuf>;
    /// Exchanges the table of a device in use for another of the same length.
    ///
    /// # Errors
    /// From the system.
    fn replace_verity(&self, name: &str, target: &VerityTarget) -> io::Result<()>;
    /// Whether the device has met a block that does not match.
    ///
    /// # Errors
    /// From the system.
    fn verity_is_corrupted(&self, name: &str) -> io::Result<bool>;

    /// Waits until the kernel's random generator is ready, at most until PID 1
    /// has run for `until`. False if the time is over.
    ///
    /// # Errors
    /// From the system.
    fn wait_for_entropy(&self, until: Duration) -> io::Result<bool>;

    /// Finds the source of attestation reports; its name for the log.
    ///
    /// # Errors
    /// [`ReportError::NoSource`].
    fn open_reports(&self, wanted: EvidenceSource) -> Result<&'static str, ReportError>;
    /// Asks the source that was found for a report, at most until PID 1 has run
    /// for `until`. The report answers `data`.
    ///
    /// # Errors
    /// [`ReportError`].
    fn report(
        &self,
        data: &[u8; report_data::LENGTH],
        until: Duration,
    ) -> Result<RawReport, ReportError>;

    /// Leaves the attestation responder behind: it answers nonces on `port`
    /// with `receipt` and reports over it and `host_keys`, each within `deadline` and with this
    /// REPORT_ID. Returns what the
    /// log says of where it listens.
    ///
    /// # Errors
    /// If it cannot be started.
    fn start_responder(
        &self,
        port: NonZeroU16,
        host_keys: &HostKeys,
        receipt: &Receipt,
        deadline: Duration,
        report_id: &[u8; 32],
    ) -> Result<String, Box<dyn Error + Send + Sync>>;

    /// Puts the null device in the place of standard input, output and error.
    ///
    /// # Errors
    /// From the system.
    fn close_standard_streams(&self) -> io::Result<()>;
    /// Deletes what is left of the initramfs, makes `root` the root and becomes
    /// `program`. Returns only if that failed.
    fn hand_over(&self, root: &Path, program: &Path) -> io::Error;
    /// Stops the machine once `grace` is over, whatever it does then. Returns at once.
    fn stop_after(&self, grace: Duration, how: OnFailure);
    /// Stops the machine. Does not return on a real one.
    fn stop(&self, how: OnFailure);
}
