//! From a layer's blob to its members: verified, unpacked into a file without a name, applied.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::Arc;

use super::error::ContainerError;
use super::merged::{Limits, Merged, Refused, Stored};
use super::select::Layer;
use super::store::{Store, Window, check_size};
use crate::disk::BuildError;
use crate::disk::tree::{Entry, Members, TreeError, damaged, parse, plain};
use crate::progress::Progress;

/// The most that all layers unpack to, and an archive, in bytes.
pub(super) const MAX_UNPACKED: u64 = 128 << 30;
/// Two million members take some 400 MB of memory, and their names this beside it.
pub(super) const LIMITS: Limits = Limits { members: 2 << 20, bytes: 256 << 20 };

/// Unpacked layers, one after the other.
pub(super) struct Spool {
    file: Arc<File>,
    bytes: u64,
}

impl Spool {
    pub(super) fn new(file: File) -> Spool {
        Spool { file: Arc::new(file), bytes: 0 }
    }

    /// The file; it has no name and is gone when nobody reads it any more.
    pub(super) fn into_file(self) -> Arc<File> {
        self.file
    }

    fn window(&self, offset: u64) -> Window {
        Window::new(Arc::clone(&self.file), offset, self.bytes.saturating_sub(offset))
    }

    /// Verifies a layer and appends its tar; where that begins.
    fn append(
        &mut self,
        store: &Store,
        layer: &Layer,
        progress: &dyn Progress,
    ) -> Result<u64, BuildError> {
        let part = &layer.part;
        let blob = store.open(part)?;
        if let Some((digest, size)) = &layer.blob {
            // Before anything is unpacked.
            check_size(part, *size, blob.size())?;
            store.check(part, digest, blob.clone())?;
        }
        progress.stage(&format!("unpacking {}", short(&layer.diff_id)), Some(blob.size()));
        // By its first bytes: what media types say of compression is often wrong, and the
        // digest of the tar tells whether it was taken off rightly.
        let unreadable = |source| store.unreadable(part, source);
        let mut tar = plain(Box::new(Counted { inner: blob, progress })).map_err(unreadable)?;
        let start = self.bytes;
        let mut hasher = layer.diff_id.hasher();
        let mut out = BufWriter::with_capacity(1 << 18, &*self.file);
        let mut buffer = vec![0; 1 << 18];
        let scratch = |source| BuildError::Scratch { source };
        loop {
            let count = match tar.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error).into()),
            };
            self.bytes = self.bytes.saturating_add(count as u64);
            if self.bytes > MAX_UNPACKED {
                let (part, most) = (part.clone(), MAX_UNPACKED);
                return Err(ContainerError::Bomb { part, most }.into());
            }
            let read = buffer.get(..count).unwrap_or_default();
            hasher.write_all(read).and_then(|()| out.write_all(read)).map_err(scratch)?;
        }
        out.flush().map_err(scratch)?;
        if hasher.finish() != layer.diff_id {
            let part = format!("the tar of {part}");
            return Err(ContainerError::Digest { part }.into());
        }
        Ok(start)
    }
}

/// Applies a layer.
pub(super) fn apply(
    store: &Store,
    layer: &Layer,
    spool: &mut Spool,
    merged: &mut Merged,
    progress: &dyn Progress,
) -> Result<(), BuildError> {
    let start = spool.append(store, layer, progress)?;
    let window = BufReader::with_capacity(1 << 18, spool.window(start));
    let mut members = Members::without_marker(window);
    let part = &layer.part;
    merged.next_layer();
    loop {
        let begins = members.next_offset();
        let next = members.next().map_err(|error| damaged(part, members.offset(), error))?;
        let Some(member) = next else { return Ok(()) };
        let entry = parse(&member)?;
        let holes = member.has_holes();
        let offset = start.saturating_add(if holes { begins } else { members.offset() });
        merged.apply(entry, Stored { offset, holes }).map_err(|refused| match refused {
            Refused::Tree(error) => BuildError::from(error),
            Refused::TooMany => {
                let Limits { members, bytes } = LIMITS;
                ContainerError::TooMany { part: part.clone(), members, bytes }.into()
            }
        })?;
    }
}

/// The content of a file in the unpacked layers.
pub(super) fn content<T>(
    file: &Arc<File>,
    stored: Stored,
    size: u64,
    path: &[u8],
    read: impl FnOnce(&mut dyn Read) -> Result<T, BuildError>,
) -> Result<T, BuildError> {
    if !stored.holes {
        let window = Window::new(Arc::clone(file), stored.offset, size);
        return read(&mut BufReader::with_capacity(1 << 16, window));
    }
    // Read again with its map.
    let window = Window::new(Arc::clone(file), stored.offset, u64::MAX);
    let mut members = Members::new(BufReader::with_capacity(1 << 16, window));
    let failed = |source| TreeError::Read {
        path: path.to_vec(),
        action: "its content cannot be read",
        source,
    };
    let member = members.next().map_err(failed)?;
    let member = member.ok_or_else(|| failed(io::ErrorKind::UnexpectedEof.into()))?;
    read(&mut members.content(&member))
}

/// A member as the sink takes it.
pub(super) fn entry(path: &[u8], inode: &super::merged::Inode) -> Entry {
    Entry {
        path: path.to_vec(),
        kind: inode.kind.clone(),
        meta: inode.meta,
        xattrs: inode.xattrs.to_vec(),
    }
}

/// The start of a digest, for people.
fn short(digest: &impl ToString) -> String {
    digest.to_string().chars().take(19).collect()
}

/// Tells how far a blob is read.
struct Counted<'a> {
    inner: Window,
    progress: &'a dyn Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.progress.advance(count as u64);
        Ok(count)
    }
}
