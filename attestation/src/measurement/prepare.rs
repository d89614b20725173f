//! Hashing the files of a guest side by side.

use std::io::{self, Read};
use std::thread;

use super::digest::Sha256Digest;
use super::firmware::{Firmware, FirmwareError};
use super::kernel_hashes::{CommandLineError, KernelHashes};
use super::parallel;

/// Why the files of a guest could not be hashed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The firmware.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// The kernel could not be read.
    #[error("reading the kernel")]
    Kernel {
        /// The reader's error.
        #[source]
        source: io::Error,
    },
    /// The initrd could not be read.
    #[error("reading the initrd")]
    Initrd {
        /// The reader's error.
        #[source]
        source: io::Error,
    },
    /// The command line.
    #[error(transparent)]
    CommandLine(#[from] CommandLineError),
}

/// What a direct boot loads.
pub struct DirectBoot<'a> {
    /// The kernel's file.
    pub kernel: &'a mut (dyn Read + Send),
    /// The initrd's file, if there is one.
    pub initrd: Option<&'a mut (dyn Read + Send)>,
    /// The command line, exactly as the hypervisor gets it; empty if there is
    /// none.
    pub cmdline: &'a [u8],
}

/// Hashes firmware, kernel, initrd and command line, each file on a thread of
/// its own, so that with two processors or more the whole takes as long as the
/// largest of them.
///
/// # Errors
/// If a file cannot be read, or the firmware or the command line is refused. If
/// there are several errors, the first in the order firmware, kernel, initrd,
/// command line.
pub fn prepare(
    firmware: impl Read,
    boot: Option<DirectBoot<'_>>,
) -> Result<(Firmware, Option<KernelHashes>), PrepareError> {
    let Some(DirectBoot { kernel, mut initrd, cmdline }) = boot else {
        return Ok((Firmware::read(firmware)?, None));
    };
    let mut hash_initrd =
        || initrd.as_mut().map_or(Ok(Sha256Digest::EMPTY), Sha256Digest::of_reader);
    let mut hash_kernel = || Sha256Digest::of_reader(&mut *kernel);
    let (firmware, kernel, initrd) = if parallel::threads() == 1 {
        (Firmware::read(firmware), hash_kernel(), hash_initrd())
    } else {
        // The largest first. Where no thread starts, this one does its work.
        let (firmware, kernel, initrd) = thread::scope(|scope| {
            let initrd = thread::Builder::new().spawn_scoped(scope, &mut hash_initrd);
            let kernel = thread::Builder::new().spawn_scoped(scope, &mut hash_kernel);
            (Firmware::read(firmware), kernel.map(join), initrd.map(join))
        });
        let kernel = kernel.unwrap_or_else(|_| hash_kernel());
        (firmware, kernel, initrd.unwrap_or_else(|_| hash_initrd()))
    };
    let firmware = firmware?;
    let kernel = kernel.map_err(|source| PrepareError::Kernel { source })?;
    let initrd = initrd.map_err(|source| PrepareError::Initrd { source })?;
    let cmdline = Sha256Digest::of_command_line(cmdline)?;
    Ok((firmware, Some(KernelHashes { kernel, initrd, cmdline })))
}

/// The thread's result; its panic, which is the reader's, goes on here.
fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
