//! A file of the target, which the host changes in a copy of its own.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{EvilError, io};

/// A file: the target's own until it is changed.
#[derive(Debug)]
pub(super) struct Changed {
    path: PathBuf,
    /// Where the copy is, or would be.
    copy: PathBuf,
}

impl Changed {
    pub(super) fn new(path: &Path, copy: PathBuf) -> Self {
        Self { path: path.to_owned(), copy }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn size(&self) -> Result<u64, EvilError> {
        let metadata = fs::metadata(&self.path);
        Ok(metadata.map_err(io(format!("look at {}", self.path.display())))?.len())
    }

    pub(super) fn flip(&mut self, at: u64, bits: u8) -> Result<(), EvilError> {
        if at >= self.size()? || bits == 0 {
            return Err(EvilError::Pointless(format!("there is nothing to flip at byte {at}")));
        }
        let file = self.open()?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).map_err(io("read a byte"))?;
        file.write_all_at(&byte.map(|byte| byte ^ bits), at).map_err(io("flip a bit"))
    }

    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), EvilError> {
        self.open()?.write_all_at(bytes, at).map_err(io("overwrite bytes"))
    }

    pub(super) fn resize(&mut self, bytes: u64) -> Result<(), EvilError> {
        self.open()?.set_len(bytes).map_err(io("change the size of a file"))
    }

    /// The kernel looks for the next archive of an initramfs at four bytes.
    pub(super) fn append_archive(&mut self, archive: &[u8]) -> Result<(), EvilError> {
        let end = self.size()?.next_multiple_of(4);
        self.write(end, archive)
    }

    /// The copy, which is made now if it is not there yet.
    fn open(&mut self) -> Result<File, EvilError> {
        if self.path != self.copy {
            fs::copy(&self.path, &self.copy)
                .map_err(io(format!("copy {}", self.path.display())))?;
            self.path.clone_from(&self.copy);
            let mut permissions =
                fs::metadata(&self.path).map_err(io("look at a copy"))?.permissions();
            #[expect(clippy::permissions_set_readonly_false, reason = "a copy of the test's own")]
            permissions.set_readonly(false);
            fs::set_permissions(&self.path, permissions).map_err(io("make a copy writable"))?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&self.path);
        file.map_err(io(format!("open {}", self.path.display())))
    }
}
