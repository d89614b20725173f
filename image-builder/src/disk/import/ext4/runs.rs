//! Where the content of a file is: runs of blocks, in their order, from its extents or its
//! block map.
//!
//! A node of an extent tree, the first one in the inode's map of 60 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | magic, f30a |
//! | 2 | 2 | entries |
//! | 4 | 2 | entries that there is room for |
//! | 6 | 2 | depth: zero for a leaf |
//! | 12 | 12 each | entries |
//!
//! and behind the entries of a block its checksum. An entry of a leaf has the first block in
//! the file (4), the number of blocks (2; above 32768 they are not written yet and that less),
//! and the block in the volume (2 for the high bits, 4); one of an inner node the first block
//! in the file (4) and the node's block (4, and 2 for the high bits).
//!
//! A block map has 12 blocks, then one block of such numbers, one of blocks of numbers, and
//! one level more; zero is a hole.

use verity::ReadAt;

use super::fields::Fields;
use super::inode::Inode;
use super::{Ext4, Ext4Error};

const MAGIC: u16 = 0xf30a;
const HEADER: usize = 12;
const ENTRY: usize = 12;
/// Levels of an extent tree below its root.
const MAX_DEPTH: u16 = 5;
/// Extents that are longer are not written yet.
const WRITTEN: u16 = 32768;

/// Some blocks of a file that are in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first one, counted in the file.
    pub(super) first: u64,
    pub(super) blocks: u64,
    /// The first one in the volume; `None` if they are zeros.
    pub(super) at: Option<u64>,
}

impl Run {
    /// The block of the file after it.
    pub(super) fn end(self) -> u64 {
        self.first.saturating_add(self.blocks)
    }
}

/// The runs of one file, which are read as they are asked for.
pub(super) struct Runs {
    inode: Inode,
    nodes: Vec<Node>,
    /// The first block of the file that no run has had.
    next: u64,
}

/// A part of the map that has not been followed to its end.
struct Node {
    bytes: Vec<u8>,
    /// Its entries that are left are from here on.
    place: usize,
    end: usize,
    /// Of an extent tree, the levels below; of a block map, what a number stands for: 0 for a
    /// block, 1 for a block of numbers, and so on.
    depth: u16,
}

impl Runs {
    pub(super) fn of(inode: &Inode) -> Result<Self, Ext4Error> {
        let inode = inode.clone();
        let bytes = inode.map.to_vec();
        let nodes = if inode.has_extents() {
            vec![node(&inode, bytes, None)?]
        } else {
            // The levels of the map are what is left when the ones before are done.
            let part = |place: usize, depth| Node {
                bytes: bytes.clone(),
                place: place.saturating_mul(4),
                end: place.saturating_add(if depth == 0 { 12 } else { 1 }).saturating_mul(4),
                depth,
            };
            vec![part(14, 3), part(13, 2), part(12, 1), part(0, 0)]
        };
        Ok(Self { inode, nodes, next: 0 })
    }

    /// The next run.
    pub(super) fn next<R: ReadAt>(&mut self, fs: &Ext4<R>) -> Result<Option<Run>, Ext4Error> {
        if self.inode.has_extents() { self.next_extent(fs) } else { self.next_mapped(fs) }
    }

    fn next_extent<R: ReadAt>(&mut self, fs: &Ext4<R>) -> Result<Option<Run>, Ext4Error> {
        while let Some(node) = self.nodes.last_mut() {
            if node.place >= node.end {
                self.nodes.pop();
                continue;
            }
            let entry = Fields(node.bytes.get(node.place..).unwrap_or_default());
            node.place = node.place.saturating_add(ENTRY);
            let damaged = || self.inode.damaged("its extents end inside of one");
            let short = |offset| entry.u16(offset).map(u64::from).ok_or_else(damaged);
            let long = |offset| entry.u32(offset).map(u64::from).ok_or_else(damaged);
            if node.depth > 0 {
                let block = short(8)? << 32 | long(4)?;
                let depth = node.depth;
                let bytes = fs.block(&self.inode, block)?;
                check_node(&self.inode, &bytes, fs)?;
                self.nodes.push(self::node(&self.inode, bytes, Some(depth))?);
                continue;
            }
            let length = entry.u16(4).ok_or_else(damaged)?;
            let (blocks, written) = match length {
                0 => return Err(self.inode.damaged("it has an extent without blocks")),
                1..=WRITTEN => (length, true),
                _ => (length.saturating_sub(WRITTEN), false),
            };
            let (first, at) = (long(0)?, short(6)? << 32 | long(8)?);
            let run = Run { first, blocks: blocks.into(), at: written.then_some(at) };
            if first < self.next {
                return Err(self.inode.damaged("its extents overlap or are out of order"));
            }
            fs.check_blocks(&self.inode, at, run.blocks)?;
            self.next = run.end();
            return Ok(Some(run));
        }
        Ok(None)
    }

    fn next_mapped<R: ReadAt>(&mut self, fs: &Ext4<R>) -> Result<Option<Run>, Ext4Error> {
        let numbers = fs.block_size() / 4;
        // What a part of the map has left over is a hole.
        while let Some(node) = self.nodes.last_mut() {
            if node.place >= node.end {
                self.nodes.pop();
                continue;
            }
            let number = Fields(node.bytes.get(node.place..).unwrap_or_default()).u32(0);
            node.place = node.place.saturating_add(4);
            let (block, depth) = (u64::from(number.unwrap_or(0)), node.depth);
            if block == 0 {
                self.next = self.next.saturating_add(numbers.saturating_pow(depth.into()));
                continue;
            }
            if depth == 0 {
                fs.check_blocks(&self.inode, block, 1)?;
                let run = Run { first: self.next, blocks: 1, at: Some(block) };
                self.next = run.end();
                return Ok(Some(run));
            }
            let bytes = fs.block(&self.inode, block)?;
            let (end, depth) = (bytes.len(), depth.saturating_sub(1));
            self.nodes.push(Node { bytes, place: 0, end, depth });
        }
        Ok(None)
    }
}

/// A node of an extent tree, below one of this depth. Only the root may be empty, so that
/// each node that is followed has a run of its own.
fn node(inode: &Inode, bytes: Vec<u8>, above: Option<u16>) -> Result<Node, Ext4Error> {
    let fields = Fields(&bytes);
    let header = (fields.u16(0), fields.u16(2), fields.u16(4), fields.u16(6));
    let (Some(MAGIC), Some(entries), Some(most), Some(depth)) = header else {
        return Err(inode.damaged("a node of its extents is none"));
    };
    let fits = match above {
        None => depth <= MAX_DEPTH,
        Some(above) => depth.checked_add(1) == Some(above) && entries > 0,
    };
    let end = usize::from(entries).saturating_mul(ENTRY).saturating_add(HEADER);
    if !fits || entries > most || end > bytes.len() {
        return Err(inode.damaged("a node of its extents contradicts itself or the one above"));
    }
    Ok(Node { bytes, place: HEADER, end, depth })
}

/// The checksum behind the entries of a block.
fn check_node<R: ReadAt>(inode: &Inode, bytes: &[u8], fs: &Ext4<R>) -> Result<(), Ext4Error> {
    let Some(seed) = fs.seed() else { return Ok(()) };
    let fields = Fields(bytes);
    let room = usize::from(fields.u16(4).unwrap_or(0)).saturating_mul(ENTRY);
    let end = room.saturating_add(HEADER);
    let computed = inode.checksum(seed).with(bytes.get(..end).unwrap_or_default()).value();
    if fields.u32(end) == Some(computed) {
        return Ok(());
    }
    Err(Ext4Error::Checksum { what: "the extents of inode", number: inode.number.into() })
}
