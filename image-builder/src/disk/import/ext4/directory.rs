//! The names in a directory.
//!
//! A block is filled with entries, each of which leads to the next:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | inode, zero for an unused entry |
//! | 4 | 2 | bytes to the next entry |
//! | 6 | 1 | bytes of the name |
//! | 7 | 1 | kind of file, which is not read: the inode says it |
//! | 8 | | name |
//!
//! With checksums the last 12 bytes of a block are an unused entry of kind de with the
//! block's one. Blocks of an index look like unused entries and have none there.

use super::Ext4Error;
use super::fields::Fields;
use super::inode::Inode;

const HEADER: usize = 8;
const TAIL: usize = 12;

/// The entries of a block, without `.` and `..`, each to `each` with its inode's number.
pub(super) fn entries(
    directory: &Inode,
    block: &[u8],
    is_first: bool,
    seed: Option<u32>,
    mut each: impl FnMut(&[u8], u32),
) -> Result<(), Ext4Error> {
    if let Some(seed) = seed {
        check(directory, block, is_first, seed)?;
    }
    let damaged = |problem| directory.damaged(problem);
    let mut rest = block;
    while !rest.is_empty() {
        let fields = Fields(rest);
        let (Some(inode), Some(length), Some(name)) = (fields.u32(0), fields.u16(4), fields.u8(6))
        else {
            return Err(damaged("an entry of the directory is cut off"));
        };
        // 65536, which two bytes do not hold.
        let whole = block.len() == 1 << 16 && (length == 0 || length == u16::MAX);
        let length = if whole { block.len() } else { length.into() };
        let end = HEADER.saturating_add(name.into());
        if length < end || !length.is_multiple_of(4) || length > rest.len() {
            return Err(damaged("an entry of the directory leads nowhere"));
        }
        if inode != 0 {
            let name = rest.get(HEADER..end).unwrap_or_default();
            if name.is_empty() || name.iter().any(|byte| b"/\0".contains(byte)) {
                return Err(damaged("a name in the directory is none"));
            }
            if name != b"." && name != b".." {
                each(name, inode);
            }
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(())
}

/// The checksum at the end of a block that has names.
fn check(directory: &Inode, block: &[u8], is_first: bool, seed: u32) -> Result<(), Ext4Error> {
    let number = directory.number.into();
    let wrong = Err(Ext4Error::Checksum { what: "the directory with inode", number });
    let Some(place) = block.len().checked_sub(TAIL) else { return wrong };
    let (content, tail) = block.split_at(place);
    if tail.starts_with(&[0, 0, 0, 0, 12, 0, 0, 0xde]) {
        let computed = directory.checksum(seed).with(content).value();
        return if Fields(tail).u32(8) == Some(computed) { Ok(()) } else { wrong };
    }
    // The first block of an index has `.` and `..`, the others one unused entry.
    let is_index = is_first || Fields(block).u32(0) == Some(0);
    if directory.is_indexed() && is_index { Ok(()) } else { wrong }
}
