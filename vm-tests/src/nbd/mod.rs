//! Disks under a test's control: what a guest's disk answers is decided here, in the
//! test's own process, and QEMU asks over the NBD protocol.
//!
//! [`Server`] offers one [`Disk`]. Disks are small and are put together:
//!
//! - [`Image`]: a file that stays as it is; what is written is kept in memory;
//! - [`PowerCut`]: an image with a volatile write cache, which a power cut empties;
//! - [`Tampered`]: another disk with faults: flipped bits, other content at the n-th
//!   read, errors, delays;
//! - [`Recorder`]: another disk, with a log of what is asked of it.
//!
//! A disk that the test goes on to use is shared with the server by an [`Arc`].

mod image;
mod power_cut;
mod protocol;
mod recorder;
mod server;
mod tampered;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use image::Image;
pub use power_cut::{PowerCut, Survival, Taken};
pub use recorder::{Access, Recorder};
pub use server::Server;
pub use tampered::{Fault, On, Rule, Tampered};

/// Bytes of a sector: all positions and lengths are multiples of it.
pub const SECTOR: usize = 512;

/// A disk. The server checks positions: whole sectors within the disk.
pub trait Disk: Send + Sync {
    /// Its size, in bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// What the guest is to see.
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Trouble>;

    /// Writes at `offset`; lasting only after the next [`Disk::flush`].
    ///
    /// # Errors
    /// What the guest is to see.
    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Trouble>;

    /// Makes everything that was written before last.
    ///
    /// # Errors
    /// What the guest is to see.
    fn flush(&self) -> Result<(), Trouble>;
}

/// What goes wrong at a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// An I/O error, once.
    Error,
    /// The disk is gone: there is no answer at all.
    Gone,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Trouble::Error => "I/O error",
            Trouble::Gone => "the disk is gone",
        })
    }
}

impl<D: Disk + ?Sized> Disk for Arc<D> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Trouble> {
        (**self).read(buffer, offset)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Trouble> {
        (**self).write(bytes, offset)
    }

    fn flush(&self) -> Result<(), Trouble> {
        (**self).flush()
    }
}

/// The numbers of the sectors that some bytes are.
fn sectors(offset: u64, bytes: usize) -> std::ops::Range<u64> {
    let first = offset / SECTOR as u64;
    first..first + bytes.div_ceil(SECTOR) as u64
}

/// A lock on what is whole at any moment, so that a failed test does not hide
/// another's reason.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
