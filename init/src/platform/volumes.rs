//! What the boot may do to volumes with a key.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use luks::{ReadAt, VolumeKey, WriteAt};
use protocol::config::Sealing;

use crate::reports::ReportError;

/// A device-mapper table of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The target's type, such as `integrity`.
    pub kind: String,
    /// Length in 512-byte sectors.
    pub sectors: u64,
    /// Its parameters. Never a key: that is in the kernel's keyring.
    pub params: String,
}

/// A key of the secure processor's. It wipes itself, and is in one place however it is
/// moved: what is moved by value leaves a copy behind.
pub type DerivedKey = Box<zeroize::Zeroizing<[u8; 32]>>;

/// How a device is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read.
    Read,
    /// To read and write, also where another device is mapped over it.
    Write,
    /// To read and write what nobody else has: not mapped, not mounted.
    Exclusive,
}

/// An open disk or device.
pub trait Disk: ReadAt + WriteAt {
    /// Makes what was written durable, and drops what the kernel has in memory of the
    /// device, so that the next read is of the disk.
    ///
    /// # Errors
    /// From the system.
    fn flush(&self) -> io::Result<()>;
}

/// Volumes with a key.
pub trait Volumes {
    /// Opens a device.
    ///
    /// # Errors
    /// From the system.
    fn open_disk(&self, device: &Path, access: Access) -> io::Result<Box<dyn Disk>>;
    /// The number of a device, `MAJOR:MINOR`: its name in a table, whatever becomes of
    /// its node.
    ///
    /// # Errors
    /// From the system.
    fn device_number(&self, device: &Path) -> io::Result<String>;

    /// Makes a device-mapper device and loads its table, without starting it.
    ///
    /// # Errors
    /// From the system, with the kernel's ioctl named. Nothing is left of it then.
    fn load_target(&self, name: &str, uuid: &str, target: &Target) -> io::Result<()>;
    /// As [`Volumes::load_target`] for a table that names a key by `description`: the
    /// key is in the kernel's keyring while the table is loaded, and no longer.
    ///
    /// # Errors
    /// As there. The key is gone then too.
    fn load_target_with_key(
        &self,
        name: &str,
        uuid: &str,
        target: &Target,
        description: &str,
        key: &VolumeKey,
    ) -> io::Result<()>;
    /// The table that was loaded and not started, as the kernel has it.
    ///
    /// # Errors
    /// From the system; also if there is not exactly one target.
    fn loaded_target(&self, name: &str) -> io::Result<Target>;
    /// Starts a device; its node.
    ///
    /// # Errors
    /// From the system.
    fn start_target(&self, name: &str) -> io::Result<PathBuf>;
    /// Takes a device away, started or not. There may be none.
    ///
    /// # Errors
    /// From the system.
    fn remove_target(&self, name: &str) -> io::Result<()>;

    /// Runs a program of the root `root`, chrooted into it, and waits for its end: its
    /// exit status. It is killed at the deadline.
    ///
    /// # Errors
    /// From the system; `TimedOut`; a signal.
    fn run_in_root(
        &self,
        root: &Path,
        program: &Path,
        arguments: &[&str],
        until: Duration,
    ) -> io::Result<i32>;

    /// A key that the secure processor derives (AMD 56860, MSG_KEY_REQ; VMPL 0).
    ///
    /// # Errors
    /// [`ReportError`].
    fn derived_key(&self, sealing: &Sealing, until: Duration) -> Result<DerivedKey, ReportError>;
}
