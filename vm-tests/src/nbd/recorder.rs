//! A disk with a log.

use std::sync::Mutex;

use super::{Disk, SECTOR, Trouble, lock, sectors};

/// Another disk, which remembers what was asked of it and looks for bytes that must
/// never be written.
#[derive(Debug)]
pub struct Recorder<D> {
    inner: D,
    log: Mutex<Vec<Access>>,
    markers: Vec<Vec<u8>>,
    found: Mutex<Vec<usize>>,
}

/// One thing that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A read.
    Read {
        /// The first byte.
        offset: u64,
        /// How many.
        bytes: usize,
    },
    /// A write.
    Write {
        /// The first byte.
        offset: u64,
        /// How many.
        bytes: usize,
    },
    /// A flush.
    Flush,
}

impl<D: Disk> Recorder<D> {
    /// Over a disk.
    #[must_use]
    pub fn new(inner: D) -> Self {
        Self { inner, log: Mutex::default(), markers: Vec::new(), found: Mutex::default() }
    }

    /// Looks for these bytes, in the clear, in everything that is written: each of at
    /// least 8 bytes and at most a sector.
    ///
    /// # Panics
    /// If it is shorter or longer.
    #[must_use]
    pub fn marker(mut self, marker: impl Into<Vec<u8>>) -> Self {
        let marker = marker.into();
        assert!((8..=SECTOR).contains(&marker.len()), "a marker of {} bytes", marker.len());
        self.markers.push(marker);
        self
    }

    /// What was asked so far.
    #[must_use]
    pub fn log(&self) -> Vec<Access> {
        lock(&self.log).clone()
    }

    /// How many bytes were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        let bytes = |access: &Access| match access {
            Access::Write { bytes, .. } => *bytes as u64,
            Access::Read { .. } | Access::Flush => 0,
        };
        lock(&self.log).iter().map(bytes).sum()
    }

    /// Whether a byte of these positions was read.
    #[must_use]
    pub fn has_read(&self, positions: &std::ops::Range<u64>) -> bool {
        lock(&self.log).iter().any(|access| match access {
            Access::Read { offset, bytes } => {
                *offset < positions.end && positions.start < *offset + *bytes as u64
            }
            Access::Write { .. } | Access::Flush => false,
        })
    }

    /// The markers that were ever written, by their number.
    #[must_use]
    pub fn markers_written(&self) -> Vec<usize> {
        lock(&self.found).clone()
    }

    /// The disk below.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// Looks at what is on the disk now, one sector further on both sides: a marker
    /// may have come in two writes.
    fn look(&self, bytes: usize, offset: u64) -> Result<(), Trouble> {
        if self.markers.is_empty() {
            return Ok(());
        }
        let written = sectors(offset, bytes);
        let last = self.size() / SECTOR as u64;
        let (first, end) = (written.start.saturating_sub(1), (written.end + 1).min(last));
        let length = usize::try_from(end.saturating_sub(first)).unwrap_or_default();
        let mut seen = vec![0; length * SECTOR];
        self.inner.read(&mut seen, first * SECTOR as u64)?;
        for (number, marker) in self.markers.iter().enumerate() {
            let mut found = lock(&self.found);
            if !found.contains(&number) && seen.windows(marker.len()).any(|part| part == marker) {
                found.push(number);
            }
        }
        Ok(())
    }
}

impl<D: Disk> Disk for Recorder<D> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Trouble> {
        lock(&self.log).push(Access::Read { offset, bytes: buffer.len() });
        self.inner.read(buffer, offset)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Trouble> {
        lock(&self.log).push(Access::Write { offset, bytes: bytes.len() });
        self.inner.write(bytes, offset)?;
        self.look(bytes.len(), offset)
    }

    fn flush(&self) -> Result<(), Trouble> {
        lock(&self.log).push(Access::Flush);
        self.inner.flush()
    }
}
