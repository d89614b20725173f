//! Taking the SSH host keys out of a copy of an ext4, and out of its free blocks.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use protocol::config::FsType;

use super::EncryptError;
use crate::disk::fs::{Debugfs, Tools};
use crate::disk::options::is_host_key;
use crate::disk::{BuildError, FileSystem, FileSystemImage, Note, Notes};
use crate::output;
use crate::progress::Progress;

const DIRECTORY: &str = "etc/ssh";
/// Of a mode, what kind of file it is (stat(2)).
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const SUBDIRECTORY: u32 = 0o040_000;

/// A copy of the image without its host keys, in a file without a name.
pub(super) fn leave_out(
    image: &FileSystemImage,
    found: &FileSystem,
    tools: &Tools,
    beside: &Path,
    progress: &dyn Progress,
) -> Result<(File, Notes), EncryptError> {
    if found.kind != FsType::Ext4 {
        return Err(EncryptError::HostKeysIn { kind: found.kind });
    }
    let scratch = |source| BuildError::Scratch { source };
    progress.stage("copying the file system", Some(found.size));
    let made = output::scratch(beside)?;
    made.set_len(found.size).map_err(scratch)?;
    image.copy(&made, 0, found.size, progress).map_err(scratch)?;

    progress.stage("leaving out the host keys", None);
    let debugfs = Debugfs::open(tools, &made)?;
    let names = keys(&debugfs)?;
    let mut notes = image.notes();
    let (mut paths, mut blocks) = (Vec::new(), Vec::new());
    for (name, mode) in names {
        // Nothing that debugfs could take for more than one word.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !name.bytes().all(plain) {
            return Err(EncryptError::HostKey { name, problem: "has an unusual name" });
        }
        let path = format!("/{DIRECTORY}/{name}");
        if debugfs.links(&path)? != 1 {
            return Err(EncryptError::HostKey { name, problem: "has another name too" });
        }
        if mode & KIND == REGULAR {
            blocks.extend(debugfs.blocks(&path)?);
        }
        notes.push(Note::HostKeyLeftOut { path: format!("{DIRECTORY}/{name}").into() });
        paths.push(path);
    }
    if paths.is_empty() {
        return Ok((made, notes));
    }
    debugfs.remove(&paths)?;
    if let Some((name, _)) = keys(&debugfs)?.into_iter().next() {
        return Err(EncryptError::HostKey { name, problem: "cannot be removed" });
    }
    // What they held is in free blocks now.
    let block_size = u64::from(found.block_size);
    let zeros = vec![0; usize::try_from(block_size).unwrap_or_default()];
    for block in blocks {
        let start = block.saturating_mul(block_size);
        if start.saturating_add(block_size) <= found.size {
            made.write_all_at(&zeros, start).map_err(scratch)?;
        }
    }
    Ok((made, notes))
}

/// The host keys by name, each with its mode.
fn keys(debugfs: &Debugfs<'_>) -> Result<Vec<(String, u32)>, BuildError> {
    let is_one = |name: &str| is_host_key(format!("{DIRECTORY}/{name}").as_bytes());
    let members = debugfs.list(&format!("/{DIRECTORY}"))?.into_iter();
    let keys = members.filter(|member| member.mode & KIND != SUBDIRECTORY && is_one(&member.name));
    Ok(keys.map(|member| (member.name, member.mode)).collect())
}
