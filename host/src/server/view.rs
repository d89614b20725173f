//! The server as the checks see it.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::cpuid::Registers;
use super::platform::{PlatformError, PlatformStatus};

/// More than any file that is read here has to say; /proc/cpuinfo is longer, but
/// repeats its first processor.
const LIMIT: usize = 64 << 10;

/// Tries to open a device.
pub type Access<'a> = &'a dyn Fn(&Path) -> io::Result<()>;
/// Runs a program with arguments, to its end.
pub type Program<'a> = &'a dyn Fn(&[&str]) -> io::Result<Answer>;

/// A server: files, and what is no file. A function that is absent cannot be asked,
/// as in a recording.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The directory that has `proc`, `sys`, `dev` and the rest; `/` for this machine.
    pub root: &'a Path,
    /// Executes CPUID for a function.
    pub cpuid: Option<&'a dyn Fn(u32) -> Registers>,
    /// Asks the secure processor for its status.
    pub platform: Option<&'a dyn Fn() -> Result<PlatformStatus, PlatformError>>,
    /// Whether this user may open a device for reading and writing.
    pub access: Option<Access<'a>>,
    /// QEMU.
    pub qemu: Option<Program<'a>>,
}

/// What a program said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether it ended with success.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
}

impl View<'_> {
    /// Where an absolute path of the server is.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(super) fn exists(&self, path: &str) -> io::Result<bool> {
        self.path(path).try_exists()
    }

    /// The start of a text file, without white space around it.
    pub(super) fn read(&self, path: &str) -> io::Result<String> {
        let bytes = self.drain(path, LIMIT)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The names in a directory, sorted.
    pub(super) fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.path(path).read_dir()? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// What can be read of a file without waiting, until there are `limit` bytes: the
    /// kernel's log is a device that waits at its end, and a recording may have a pipe.
    pub(super) fn drain(&self, path: &str, limit: usize) -> io::Result<Vec<u8>> {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(self.path(path))?;
        let (mut bytes, mut record) = (Vec::new(), vec![0; 64 << 10]);
        while bytes.len() < limit {
            match file.read(&mut record) {
                Ok(0) => break,
                Ok(length) => bytes.extend(record.iter().take(length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // Records that were overwritten meanwhile (EPIPE).
                Err(error)
                    if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}
