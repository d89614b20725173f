//! Container images: an OCI image layout (a directory, or a tar of it), and what
//! `docker save` and `podman save` write.
//!
//! Threat: an image is somebody else's file. Every part is checked against its digest before
//! it is used, so an image that was chosen by its digest is that image; what is kept in memory
//! is bounded; nothing is ever extracted: layers are unpacked into one file without a name,
//! and their members are put together in memory.
//!
//! The members come in the order in which a directory is read, so that one tree gives one
//! file system, in however many layers it came, or unpacked.

mod digest;
mod documents;
mod error;
mod merged;
mod select;
mod store;
#[cfg(test)]
mod tests;
mod unpack;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

pub use error::ContainerError;

use super::BuildError;
use super::source::Opening;
use super::tree::{
    Entry, Kind, Note, Sink, Tarball, Tree, TreeError, damaged, is_compressed, plain,
};
use crate::output;
use crate::progress::Progress;
use merged::Merged;
use store::Store;
use unpack::{LIMITS, MAX_UNPACKED, Spool};

/// How much of a tar tells what it is: its first member, with a long name and attributes.
const HEAD: u64 = 1 << 14;

/// What PID 1 hands over to, unless it is told another program.
const INIT: &[u8] = b"sbin/init";

/// A container image whose layers are applied.
pub(crate) struct Container {
    merged: Merged,
    content: Arc<File>,
}

impl Container {
    fn new(store: &Store, opening: &Opening<'_>) -> Result<Container, BuildError> {
        let layers = select::layers(store, opening.image)?;
        let mut spool = Spool::new(output::scratch(opening.scratch)?);
        let mut merged = Merged::new(LIMITS);
        for layer in &layers {
            unpack::apply(store, layer, &mut spool, &mut merged, opening.progress)?;
        }
        Ok(Container { merged, content: spool.into_file() })
    }

    pub(crate) fn stream<S: Sink>(
        self,
        open: impl FnOnce(&Entry) -> Result<S, BuildError>,
    ) -> Result<S, BuildError> {
        let Container { merged, content } = self;
        let mut sink = open(&merged.root)?;
        if !has_file(&merged, INIT) {
            sink.note(Note::NoInit);
        }
        let mut linked: HashMap<u32, Vec<u8>> = HashMap::new();
        for (path, number, inode) in merged.members() {
            debug_assert!(merged.is_in_place(&path), "{}", path.escape_ascii());
            let entry = unpack::entry(&path, inode);
            if let Some(target) = linked.get(&number) {
                let (kind, xattrs) = (Kind::HardLink { target: target.clone() }, Vec::new());
                sink.add(Entry { kind, xattrs, ..entry }, &mut io::empty())?;
                continue;
            }
            if inode.names > 1 {
                linked.insert(number, path.clone());
            }
            if let Kind::File { size } = entry.kind {
                let add = |content: &mut dyn Read| sink.add(entry, content);
                unpack::content(&content, inode.stored, size, &path, add)?;
            } else {
                sink.add(entry, &mut io::empty())?;
            }
        }
        Ok(sink)
    }
}

fn has_file(merged: &Merged, path: &[u8]) -> bool {
    merged.look_up(path).is_some_and(|inode| matches!(inode.kind, Kind::File { .. }))
}

/// The image in a directory that is an OCI image layout; `None` if it is none.
pub(super) fn directory(path: &Path, opening: &Opening<'_>) -> Result<Option<Tree>, BuildError> {
    let store = Store::directory(path);
    let is_layout = path.join("oci-layout").is_file() && path.join("index.json").is_file();
    if !is_layout {
        return not_wanted(&store.name, opening).map(|()| None);
    }
    Ok(Some(Tree::Container(Box::new(Container::new(&store, opening)?))))
}

/// The tar of a root, or that of a container image.
pub(super) fn tar(name: &str, reader: Reader, opening: &Opening<'_>) -> Result<Tree, BuildError> {
    let whole = match &reader {
        Reader::File(file) => whole(file).map_err(|error| damaged(name, 0, error))?,
        Reader::Stream(_) => None,
    };
    let mut tar = plain(reader.into()).map_err(|error| damaged(name, 0, error))?;
    let mut head = Vec::new();
    tar.by_ref().take(HEAD).read_to_end(&mut head).map_err(|error| damaged(name, 0, error))?;
    let is_image = begins_an_image(&head);
    let mut tar = Cursor::new(head).chain(tar);
    if !is_image {
        not_wanted(name, opening)?;
        return Ok(Tree::Tarball(Tarball::plain(name, Box::new(tar))));
    }
    let file = match whole {
        Some(file) => file,
        None => {
            opening.progress.stage("unpacking the container image", None);
            let spool = output::scratch(opening.scratch)?;
            copy(name, &mut tar, &spool, opening.progress)?;
            spool
        }
    };
    let store = Store::archive(name, file)?;
    Ok(Tree::Container(Box::new(Container::new(&store, opening)?)))
}

/// Where a tar comes from.
pub(in crate::disk) enum Reader {
    /// Something with a path: a file, or a pipe.
    File(File),
    /// A stream.
    Stream(Box<dyn Read>),
}

impl From<Reader> for Box<dyn Read> {
    fn from(reader: Reader) -> Box<dyn Read> {
        match reader {
            Reader::File(file) => Box::new(file),
            Reader::Stream(stream) => stream,
        }
    }
}

/// The file again, if parts of its tar can be read at their offsets.
fn whole(file: &File) -> io::Result<Option<File>> {
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut head = Vec::new();
    let mut file = file;
    file.take(HEAD).read_to_end(&mut head)?;
    file.rewind()?;
    if is_compressed(&head) { Ok(None) } else { file.try_clone().map(Some) }
}

/// Unpacks an archive.
fn copy(
    name: &str,
    from: &mut impl Read,
    mut to: &File,
    progress: &dyn Progress,
) -> Result<(), BuildError> {
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0_u64;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(name, bytes, error).into()),
        };
        bytes = bytes.saturating_add(count as u64);
        if bytes > MAX_UNPACKED {
            let (part, most) = (name.to_owned(), MAX_UNPACKED);
            return Err(ContainerError::Bomb { part, most }.into());
        }
        let read = buffer.get(..count).unwrap_or_default();
        to.write_all(read).map_err(|source| BuildError::Scratch { source })?;
        progress.advance(count as u64);
    }
}

/// Refuses the name of an image for what is none.
fn not_wanted(name: &str, opening: &Opening<'_>) -> Result<(), BuildError> {
    match opening.image {
        Some(_) => Err(ContainerError::NotAnImage { name: name.to_owned() }.into()),
        None => Ok(()),
    }
}

/// Whether a tar that begins like this is an image layout or what `docker save` or
/// `podman save` wrote: by the name of its first member that is not the root.
fn begins_an_image(head: &[u8]) -> bool {
    let mut members = super::tree::Members::new(head);
    loop {
        let Ok(Some(member)) = members.next() else { return false };
        let Some(path) = super::tree::normal(&member.path) else { return false };
        if path.is_empty() {
            continue;
        }
        let part = |name: &[u8]| {
            [&b"oci-layout"[..], b"index.json", b"manifest.json", b"repositories", b"blobs"]
                .contains(&name)
        };
        // Layers and configurations are called by their digests.
        let first = path.split(|&byte| byte == b'/').next().unwrap_or_default();
        let digits = first.strip_prefix(b"sha256:").unwrap_or(first);
        let digits = digits.split(|&byte| byte == b'.').next().unwrap_or_default();
        let digest = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
        return part(first) || digest;
    }
}

impl From<ContainerError> for BuildError {
    fn from(error: ContainerError) -> BuildError {
        BuildError::Tree(TreeError::Container(Box::new(error)))
    }
}
