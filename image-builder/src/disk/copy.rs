//! Copies a volume into an image: by reference where the file system shares
//! blocks, inside of the kernel otherwise, and holes stay holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use verity::ReadAt;

use super::Qcow2;
use crate::progress::Progress;

/// How much is copied between two reports of progress.
const CHUNK: u64 = 64 << 20;
const BUFFER: usize = 1 << 20;

/// Copies `length` bytes of `from`, from byte `first` on, to byte `offset` of `to`, where
/// nothing has been written yet.
pub(super) fn copy(
    from: &File,
    first: u64,
    to: &File,
    offset: u64,
    length: u64,
    progress: &dyn Progress,
) -> io::Result<()> {
    let last = first.saturating_add(length);
    let mut at = first;
    while at < last {
        let Some(data) = next(from, SeekFrom::Data(at))? else { break };
        let hole = next(from, SeekFrom::Hole(data))?.unwrap_or(last);
        progress.advance(data.min(last).saturating_sub(at));
        let end = hole.min(last);
        let mut start = data;
        while start < end {
            let count = piece(
                from,
                start,
                to,
                offset.saturating_add(start.saturating_sub(first)),
                end.min(start.saturating_add(CHUNK)),
            )?;
            progress.advance(count);
            start = start.saturating_add(count);
        }
        at = end.max(data);
    }
    progress.advance(last.saturating_sub(at));
    Ok(())
}

/// The same of a qcow2 image, of which the clusters are read that have content.
pub(super) fn copy_clusters(
    from: &Qcow2<File>,
    first: u64,
    to: &File,
    offset: u64,
    length: u64,
    progress: &dyn Progress,
) -> io::Result<()> {
    let damaged = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let last = first.saturating_add(length);
    let mut buffer = vec![0; BUFFER];
    let mut at = first;
    while at < last {
        let Some(start) = from.next_content(at, last).map_err(damaged)? else { break };
        let count = usize::try_from(last.saturating_sub(start)).unwrap_or(usize::MAX).min(BUFFER);
        let piece = buffer.get_mut(..count).unwrap_or_default();
        from.read_exact_at(piece, start)?;
        to.write_all_at(piece, offset.saturating_add(start.saturating_sub(first)))?;
        let end = start.saturating_add(count as u64);
        progress.advance(end.saturating_sub(at));
        at = end;
    }
    progress.advance(last.saturating_sub(at));
    Ok(())
}

/// Where the next data or hole is; `None` if there is only a hole left.
fn next(file: &File, position: SeekFrom) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, position) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Copies some of `start..end`, and tells how much.
fn piece(from: &File, start: u64, to: &File, offset: u64, end: u64) -> io::Result<u64> {
    let want = end.saturating_sub(start);
    let (mut source, mut target) = (start, offset);
    let most = usize::try_from(want).unwrap_or(usize::MAX);
    match rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), most) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => return Ok(count as u64),
        // Between two file systems, or where it is not implemented.
        Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let mut buffer = vec![0; most.min(BUFFER)];
    FileExt::read_exact_at(from, &mut buffer, start)?;
    to.write_all_at(&buffer, offset)?;
    Ok(buffer.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU64);

    impl Progress for Count {
        fn stage(&self, _: &str, _: Option<u64>) {}
        fn advance(&self, bytes: u64) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    #[test]
    fn data_and_holes_arrive() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let size = 40 << 20;
        let from = File::create_new(from).unwrap();
        from.write_all_at(b"start", 0).unwrap();
        from.write_all_at(b"middle", 20 << 20).unwrap();
        from.set_len(size).unwrap();
        let from = File::open(directory.path().join("from")).unwrap();
        let to = File::create_new(to).unwrap();
        let count = Count::default();
        copy(&from, 0, &to, 1 << 20, size - 1, &count).unwrap();
        assert_eq!(count.0.into_inner(), size - 1);
        to.set_len(size + (1 << 20)).unwrap();
        let whole = std::fs::read(directory.path().join("to")).unwrap();
        assert_eq!(whole[1 << 20..], std::fs::read(directory.path().join("from")).unwrap());
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20, "holes stay holes");
    }

    #[test]
    fn a_source_that_ends_early_is_an_error_or_zeros() {
        let directory = tempfile::tempdir().unwrap();
        let from = File::create_new(directory.path().join("from")).unwrap();
        from.write_all_at(&[1; 5000], 0).unwrap();
        let from = File::open(directory.path().join("from")).unwrap();
        let to = File::create_new(directory.path().join("to")).unwrap();
        // What is behind the end counts as a hole; callers check sizes before.
        copy(&from, 0, &to, 0, 6000, &Count::default()).unwrap();
        assert_eq!(to.metadata().unwrap().len(), 5000);
    }
}
