//! The files of an ext4 (and of its predecessors), read without mounting it.
//!
//! Threat: the file system is somebody else's. Everything is checked before it is followed,
//! checksums where the file system has them; a map that comes back to itself, a directory in
//! two places, a name that is none are errors. Memory is that of a directory's names (of at
//! most [`MAX_DIRECTORY`] bytes), a few blocks, and a number for each file.
//!
//! No maintained crate reads all of a file that an image has to keep
//! (`docs/decisions/0019-own-image-readers.md`).
//!
//! Specification: the kernel's `Documentation/filesystems/ext4`.

mod attributes;
mod checksum;
mod content;
mod directory;
mod error;
mod fields;
mod inode;
mod runs;
mod superblock;
mod tree;

use std::cell::Cell;

use verity::ReadAt;

pub use content::Content;
pub use error::Ext4Error;
pub use inode::Inode;
pub(in crate::disk) use tree::Ext4Tree;

use superblock::Superblock;

/// Bytes of a directory that are read. A million names take about 32 MiB.
const MAX_DIRECTORY: u64 = 64 << 20;
/// The longest target of a symbolic link.
const MAX_LINK: u64 = 4095;

/// The names in a directory, with the numbers of their inodes.
pub type Ext4Names = Vec<(Vec<u8>, u32)>;

/// An ext4 in a volume.
pub struct Ext4<R> {
    volume: R,
    superblock: Superblock,
    /// The group whose descriptor was read last, and the first block of its inodes.
    group: Cell<Option<(u32, u64)>>,
}

impl<R: ReadAt> Ext4<R> {
    /// The number of the root's inode.
    pub const ROOT: u32 = 2;

    /// Opens the file system of a volume of `bytes` bytes.
    ///
    /// # Errors
    /// [`Ext4Error`] if there is none, or none that can be read.
    pub fn open(volume: R, bytes: u64) -> Result<Self, Ext4Error> {
        let mut block = [0; superblock::BYTES];
        let failed = |source| Ext4Error::Read { offset: superblock::OFFSET, source };
        volume.read_exact_at(&mut block, superblock::OFFSET).map_err(failed)?;
        let superblock = Superblock::parse(&block, bytes)?;
        Ok(Self { volume, superblock, group: Cell::new(None) })
    }

    /// The inode with this number.
    ///
    /// # Errors
    /// [`Ext4Error`] if there is none, or it is damaged.
    pub fn inode(&self, number: u32) -> Result<Inode, Ext4Error> {
        let damaged = |problem| Ext4Error::Damaged { inode: number, problem };
        let superblock = &self.superblock;
        let is_reserved = number < superblock.first_inode && number != Self::ROOT;
        if is_reserved || number > superblock.inodes {
            return Err(damaged("it is reserved, or there is no such inode"));
        }
        let place = number.saturating_sub(1);
        let group = place / superblock.inodes_of_group;
        let table = match self.group.get() {
            Some((known, table)) if known == group => table,
            _ => {
                let mut descriptor = vec![0; superblock.descriptor_size];
                self.read(&mut descriptor, superblock.descriptor_offset(group))?;
                let table = superblock.inode_table(group, &descriptor)?;
                self.group.set(Some((group, table)));
                table
            }
        };
        let place = u64::from(place % superblock.inodes_of_group);
        let offset = place.saturating_mul(superblock.inode_size as u64);
        let block = table.saturating_add(offset / superblock.block_size);
        if block <= superblock.first_block || block >= superblock.blocks {
            return Err(damaged("its place is outside of the file system"));
        }
        let mut bytes = vec![0; superblock.inode_size];
        let start = table.saturating_mul(superblock.block_size).saturating_add(offset);
        self.read(&mut bytes, start)?;
        Inode::parse(number, &bytes, superblock.seed)
    }

    /// The names in a directory, sorted by their bytes, with the numbers of their inodes;
    /// without `.` and `..`.
    ///
    /// # Errors
    /// [`Ext4Error`] if it is damaged, or larger than a directory of a root.
    pub fn names(&self, directory: &Inode) -> Result<Ext4Names, Ext4Error> {
        let (bytes, size) = (directory.size, self.superblock.block_size);
        if bytes > MAX_DIRECTORY {
            let (inode, most) = (directory.number, MAX_DIRECTORY);
            return Err(Ext4Error::LargeDirectory { inode, bytes, most });
        }
        if !directory.is_directory() || bytes == 0 || !bytes.is_multiple_of(size) {
            return Err(directory.damaged("it is no directory, or not one of whole blocks"));
        }
        let mut content = self.content(directory)?;
        let mut block = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        let mut names = Vec::new();
        for number in 0..bytes / size {
            content.fill(&mut block)?;
            let each = |name: &[u8], inode| names.push((name.to_vec(), inode));
            directory::entries(directory, &block, number == 0, self.seed(), each)?;
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The content of a file, a hole as zeros.
    ///
    /// # Errors
    /// [`Ext4Error`] if it cannot be found.
    pub fn content(&self, file: &Inode) -> Result<Content<'_, R>, Ext4Error> {
        Content::of(self, file)
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// [`Ext4Error`] if it is damaged.
    pub fn target(&self, link: &Inode) -> Result<Vec<u8>, Ext4Error> {
        if !link.is_symlink() || link.size == 0 || link.size > MAX_LINK {
            return Err(link.damaged("it is no symbolic link, or leads nowhere"));
        }
        let length = usize::try_from(link.size).unwrap_or(usize::MAX);
        let target = match link.map.get(..length) {
            // As short ones are stored; a byte of the 60 stays zero.
            Some(target) if length < link.map.len() && !link.has_extents() => target.to_vec(),
            _ => {
                let mut target = vec![0; length];
                self.content(link)?.fill(&mut target)?;
                target
            }
        };
        if target.contains(&0) {
            return Err(link.damaged("the target of the symbolic link has a zero byte"));
        }
        Ok(target)
    }

    /// The extended attributes of a file, sorted by name; access control lists in the form
    /// that the kernel gives them to programs.
    ///
    /// # Errors
    /// [`Ext4Error`] if they are damaged.
    pub fn attributes(&self, file: &Inode) -> Result<Vec<(String, Vec<u8>)>, Ext4Error> {
        attributes::of(self, file)
    }

    fn block_size(&self) -> u64 {
        self.superblock.block_size
    }

    fn seed(&self) -> Option<u32> {
        self.superblock.seed
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), Ext4Error> {
        let failed = |source| Ext4Error::Read { offset, source };
        self.volume.read_exact_at(buf, offset).map_err(failed)
    }

    /// A block that belongs to a file.
    fn block(&self, inode: &Inode, number: u64) -> Result<Vec<u8>, Ext4Error> {
        self.check_blocks(inode, number, 1)?;
        let size = self.superblock.block_size;
        let mut block = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        self.read(&mut block, number.saturating_mul(size))?;
        Ok(block)
    }

    /// Blocks of a file are in the file system, and none is its superblock.
    fn check_blocks(&self, inode: &Inode, first: u64, count: u64) -> Result<(), Ext4Error> {
        let end = first.saturating_add(count);
        if first <= self.superblock.first_block || end > self.superblock.blocks {
            return Err(inode.damaged("a block of it is outside of the file system"));
        }
        Ok(())
    }
}
