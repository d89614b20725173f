//! Reading and writing at an offset, by several threads at once.
//!
//! The crate opens nothing itself, so these two traits are all it knows of
//! devices and files.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Something that is read at byte offsets.
pub trait ReadAt: Sync {
    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if there are fewer bytes than that,
    /// otherwise what the device reports.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Something that is written at byte offsets.
pub trait WriteAt: Sync {
    /// Writes all of `buf` at `offset`.
    ///
    /// # Errors
    /// What the device reports.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buf, offset)
    }
}

impl<T: WriteAt + ?Sized> WriteAt for &T {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        (**self).write_all_at(buf, offset)
    }
}

impl ReadAt for File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }
}

impl WriteAt for File {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, buf, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = range(offset, buf.len()).and_then(|range| self.get(range));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, offset)
    }
}

/// Bytes in memory that grow as they are written.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Vec<u8>>);

impl Memory {
    /// Memory that starts with these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Mutex::new(bytes))
    }

    /// What is in it now.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadAt for Memory {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.lock().read_exact_at(buf, offset)
    }
}

impl WriteAt for Memory {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let range = range(offset, buf.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        let mut bytes = self.lock();
        if bytes.len() < range.end {
            bytes.resize(range.end, 0);
        }
        bytes.get_mut(range).ok_or(io::ErrorKind::FileTooLarge)?.copy_from_slice(buf);
        Ok(())
    }
}

/// A part of a device or file, such as a partition: offset 0 is the part's first
/// byte, and nothing outside of it is read or written.
#[derive(Clone, Copy, Debug)]
pub struct Region<T> {
    inner: T,
    offset: u64,
    len: u64,
}

impl<T> Region<T> {
    /// The `len` bytes of `inner` from `offset` on.
    pub fn new(inner: T, offset: u64, len: u64) -> Self {
        Self { inner, offset, len }
    }

    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `offset` in the whole, if `len` bytes from there are in the region.
    fn locate(&self, offset: u64, len: usize) -> Option<u64> {
        let end = offset.checked_add(u64::try_from(len).ok()?)?;
        if end > self.len { None } else { self.offset.checked_add(offset) }
    }
}

impl<T: ReadAt> ReadAt for Region<T> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let offset = self.locate(offset, buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.inner.read_exact_at(buf, offset)
    }
}

impl<T: WriteAt> WriteAt for Region<T> {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let offset = self.locate(offset, buf.len()).ok_or(io::ErrorKind::StorageFull)?;
        self.inner.write_all_at(buf, offset)
    }
}

fn range(offset: u64, len: usize) -> Option<Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    Some(start..start.checked_add(len)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_closed_on_both_sides() {
        let memory = Memory::new((0..16).collect());
        let region = Region::new(&memory, 4, 8);
        let mut buf = [0; 4];
        region.read_exact_at(&mut buf, 4).unwrap();
        assert_eq!(buf, [8, 9, 10, 11]);
        for offset in [5, 8, 9, u64::MAX - 1, u64::MAX] {
            let error = region.read_exact_at(&mut buf, offset).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{offset}");
            let error = region.write_all_at(&buf, offset).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{offset}");
        }
        region.write_all_at(&[0xff; 4], 4).unwrap();
        let bytes = memory.into_bytes();
        assert_eq!(bytes[7..13], [7, 0xff, 0xff, 0xff, 0xff, 12]);
        assert_eq!(bytes.len(), 16);
    }

    #[test]
    fn memory_grows_and_ends() {
        let memory = Memory::default();
        memory.write_all_at(&[1, 2], 3).unwrap();
        let mut buf = [9; 3];
        let error = memory.read_exact_at(&mut buf, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(memory.into_bytes(), [0, 0, 0, 1, 2]);
    }
}
