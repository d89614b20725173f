//! The bytes of a file, one after the other.

use std::io::{self, Read};

use verity::ReadAt;

use super::inode::Inode;
use super::runs::{Run, Runs};
use super::{Ext4, Ext4Error};

/// The content of a file. What is not written, and holes, are zeros.
pub struct Content<'a, R> {
    fs: &'a Ext4<R>,
    runs: Runs,
    /// The run that the place is in, or before; `None` behind the last one.
    run: Option<Run>,
    place: u64,
    size: u64,
}

impl<'a, R: ReadAt> Content<'a, R> {
    pub(super) fn of(fs: &'a Ext4<R>, inode: &Inode) -> Result<Self, Ext4Error> {
        let mut runs = Runs::of(inode)?;
        let run = runs.next(fs)?;
        Ok(Self { fs, runs, run, place: 0, size: inode.size })
    }

    /// Reads all of `buf`.
    pub(super) fn fill(&mut self, mut buf: &mut [u8]) -> Result<(), Ext4Error> {
        while !buf.is_empty() {
            let count = self.some(buf)?;
            if count == 0 {
                let offset = self.place;
                let source = io::ErrorKind::UnexpectedEof.into();
                return Err(Ext4Error::Read { offset, source });
            }
            buf = buf.get_mut(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads some bytes; none at the end.
    fn some(&mut self, buf: &mut [u8]) -> Result<usize, Ext4Error> {
        let size = self.fs.block_size();
        while self.place < self.size
            && self.run.is_some_and(|run| run.end().saturating_mul(size) <= self.place)
        {
            self.run = self.runs.next(self.fs)?;
        }
        // Where the zeros or the run at this place end, and where the run is.
        let (end, at) = match self.run {
            None => (self.size, None),
            Some(Run { first, .. }) if first.saturating_mul(size) > self.place => {
                (first.saturating_mul(size), None)
            }
            Some(run) => {
                let within = self.place.saturating_sub(run.first.saturating_mul(size));
                let at = run.at.map(|at| at.saturating_mul(size).saturating_add(within));
                (run.end().saturating_mul(size), at)
            }
        };
        let left = end.min(self.size).saturating_sub(self.place);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let buf = buf.get_mut(..count).unwrap_or_default();
        match at {
            Some(at) if count > 0 => self.fs.read(buf, at)?,
            _ => buf.fill(0),
        }
        self.place = self.place.saturating_add(count as u64);
        Ok(count)
    }
}

impl<R: ReadAt> Read for Content<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.some(buf).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
