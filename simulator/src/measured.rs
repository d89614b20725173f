//! From a running QEMU to the launch digest that SNP hardware would report.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use attestation::measurement::{
    CommandLineError, DirectBoot, GuestFeatures, Launch, LaunchDigest, MeasureError, PrepareError,
    VmmKind, prepare,
};

use crate::archive::{NotOurs, Overlay};
use crate::names;
use crate::qemu::{QemuError, Started};

/// The largest initramfs that is read.
const INITRAMFS_LIMIT: u64 = 2 << 30;

/// Why a VM is not measured, and so gets no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasuredError {
    /// The process at the other end.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// A file cannot be read.
    #[error("{path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The initramfs is of another shape.
    #[error("{path}", path = .path.display())]
    Initramfs {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NotOurs,
    },
    /// The initramfs is too long.
    #[error("{path} is larger than {INITRAMFS_LIMIT} bytes", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The command line is of another shape.
    #[error("the kernel's command line does not end in exactly '{}'", names::CMDLINE_SUFFIX)]
    CommandLine,
    /// Kernel, firmware or command line.
    #[error("measuring the VM")]
    Prepare(#[from] PrepareError),
    /// The firmware does not measure a kernel.
    #[error("measuring the VM")]
    Measure(#[from] MeasureError),
    /// The command line has a NUL in it.
    #[error("measuring the VM")]
    Nul(#[from] CommandLineError),
}

/// Measures a VM: what it was started with, less what the simulator added, with
/// `firmware` in the place of the one that it would have on hardware.
///
/// # Errors
/// [`MeasuredError`].
pub fn measure(
    started: &Started,
    overlay: &Overlay,
    firmware: &Path,
    features: GuestFeatures,
) -> Result<LaunchDigest, MeasuredError> {
    let initramfs = read(&started.initrd)?;
    let length = overlay
        .take_off(&initramfs)
        .map_err(|source| MeasuredError::Initramfs { path: started.initrd.clone(), source })?;
    let mut initrd = initramfs.get(..length).unwrap_or_default();
    let cmdline = started.cmdline.strip_suffix(names::CMDLINE_SUFFIX.as_bytes());
    let cmdline = cmdline.ok_or(MeasuredError::CommandLine)?;
    let boot =
        DirectBoot { kernel: &mut open(&started.kernel)?, initrd: Some(&mut initrd), cmdline };
    let (firmware, kernel) = prepare(open(firmware)?, Some(boot))?;
    let launch = Launch::new(&firmware, kernel.as_ref(), VmmKind::Qemu)?;
    Ok(launch.digest(started.vcpus, started.cpu, features))
}

fn open(path: &Path) -> Result<File, MeasuredError> {
    File::open(path).map_err(|source| MeasuredError::Read { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, MeasuredError> {
    let mut bytes = Vec::new();
    open(path)?
        .take(INITRAMFS_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| MeasuredError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > INITRAMFS_LIMIT {
        return Err(MeasuredError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}
