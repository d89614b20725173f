//! A disk image that stays as it is.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{Disk, SECTOR, Trouble, lock, sectors};
use crate::OrFail;

/// The content of a file, and over it what was written, in memory. Every write
/// lasts at once. A clone is a disk of its own.
#[derive(Debug)]
pub struct Image {
    base: Arc<File>,
    base_size: u64,
    size: u64,
    written: Mutex<HashMap<u64, [u8; SECTOR]>>,
}

impl Image {
    /// Over a file, which nobody else may change. A last sector that is not whole is
    /// filled with zeros.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let base = File::open(path).or_fail(format!("open {}", path.display()));
        let base_size = base.metadata().or_fail("size of an image").len();
        let size = base_size.next_multiple_of(SECTOR as u64);
        Self { base: Arc::new(base), base_size, size, written: Mutex::default() }
    }

    /// The same with another size: cut off, or followed by zeros.
    #[must_use]
    pub fn resized(mut self, bytes: u64) -> Self {
        self.size = bytes.next_multiple_of(SECTOR as u64);
        self
    }

    /// Bytes of the disk at any position, for a test that plays the host.
    ///
    /// # Panics
    /// If the disk ends before that.
    #[must_use]
    pub fn peek(&self, offset: u64, bytes: usize) -> Vec<u8> {
        let whole = sectors(offset, bytes + skew(offset));
        let mut buffer = vec![0; usize_of(whole.end - whole.start) * SECTOR];
        self.read(&mut buffer, whole.start * SECTOR as u64).or_fail("peek");
        buffer.get(skew(offset)..skew(offset) + bytes).or_fail("peek").to_vec()
    }

    /// Writes at any position, for a test that plays the host.
    ///
    /// # Panics
    /// If the disk ends before that.
    pub fn poke(&self, offset: u64, bytes: &[u8]) {
        let whole = sectors(offset, bytes.len() + skew(offset));
        let start = whole.start * SECTOR as u64;
        let mut buffer = self.peek(start, usize_of(whole.end - whole.start) * SECTOR);
        let to = buffer.get_mut(skew(offset)..skew(offset) + bytes.len()).or_fail("poke");
        to.copy_from_slice(bytes);
        self.write(&buffer, start).or_fail("poke");
    }

    /// Flips bits of a byte.
    ///
    /// # Panics
    /// If the disk ends before that.
    pub fn flip(&self, offset: u64, bits: u8) {
        let byte = self.peek(offset, 1).first().copied().unwrap_or_default();
        self.poke(offset, &[byte ^ bits]);
    }

    /// Writes the whole disk to a new file; what was never written stays a hole if
    /// it is one in the base.
    ///
    /// # Panics
    /// If it cannot.
    pub fn save(&self, path: &Path) {
        const STEP: u64 = 1 << 20;
        let file = File::create(path).or_fail(format!("create {}", path.display()));
        file.set_len(self.size).or_fail("size an image");
        let mut offset = 0;
        while offset < self.size {
            let bytes = self.peek(offset, usize_of(STEP.min(self.size - offset)));
            if bytes.iter().any(|byte| *byte != 0) {
                file.write_all_at(&bytes, offset).or_fail("write an image");
            }
            offset += STEP;
        }
    }

    pub(super) fn put(&self, sector: u64, content: [u8; SECTOR]) {
        lock(&self.written).insert(sector, content);
    }

    fn base_sector(&self, sector: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(0);
        let offset = sector * SECTOR as u64;
        let there = usize_of(self.base_size.saturating_sub(offset).min(buffer.len() as u64));
        let (there, _) = buffer.split_at_mut(there);
        self.base.read_exact_at(there, offset)
    }
}

impl Clone for Image {
    fn clone(&self) -> Self {
        let written = Mutex::new(lock(&self.written).clone());
        Self { base: Arc::clone(&self.base), written, ..*self }
    }
}

impl Disk for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Trouble> {
        if offset.saturating_add(buffer.len() as u64) > self.size {
            return Err(Trouble::Error);
        }
        self.base_sector(offset / SECTOR as u64, buffer).map_err(|_base| Trouble::Error)?;
        let written = lock(&self.written);
        for (sector, to) in sectors(offset, buffer.len()).zip(buffer.chunks_exact_mut(SECTOR)) {
            if let Some(content) = written.get(&sector) {
                to.copy_from_slice(content);
            }
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Trouble> {
        if offset.saturating_add(bytes.len() as u64) > self.size {
            return Err(Trouble::Error);
        }
        for (sector, from) in sectors(offset, bytes.len()).zip(bytes.as_chunks().0) {
            self.put(sector, *from);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), Trouble> {
        Ok(())
    }
}

fn skew(offset: u64) -> usize {
    usize_of(offset % SECTOR as u64)
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).or_fail("a size")
}
