//! dm-verity format 1: superblock, hash tree and device-mapper table.
//!
//! The crate builds hash trees that are byte for byte those of `veritysetup
//! format`, verifies whole images against a trusted root hash, reads
//! superblocks for inspection, and writes the table with which PID 1 asks the
//! kernel for the device.
//!
//! **Threat.** The host controls both devices, in content, order and size, and
//! may change them between two reads. So nothing on a disk is believed before a
//! chain of digests leads from it to the root hash, and every parameter of that
//! check (algorithm, block sizes, salt, block count, place of the tree) comes
//! from the caller, who has it from measured configuration. The superblock is
//! *not* covered by the root hash: [`Superblock`] serves inspection and other
//! tools, and [`verify()`] never looks at it.
//!
//! **Specification.** Linux `Documentation/admin-guide/device-mapper/verity.rst`
//! (tree, table) and the cryptsetup project's "DMVerity" page (superblock).
//! Format 1 only: the salt is hashed before the block, digests are padded to a
//! power of two, and hash blocks are padded with zeros.
//!
//! The crate opens no path or device: it works on [`ReadAt`] and [`WriteAt`].

#![forbid(unsafe_code)]

mod build;
mod data;
mod geometry;
mod hasher;
mod params;
mod root_hash;
mod superblock;
mod table;
mod verify;

pub use build::{BuildError, build};
pub use data::{Device, ReadError};
pub use disk_io::{
    Memory, Options as BuildOptions, Options as VerifyOptions, ReadAt, Region, WriteAt,
};
pub use geometry::{Geometry, GeometryError, HashArea};
pub use params::{Algorithm, BlockSize, MAX_SALT, Params, ParamsError, Salt};
pub use root_hash::{RootHash, RootHashError};
pub use superblock::{Difference, SUPERBLOCK_SIZE, Superblock, SuperblockError};
pub use table::{Reaction, Sectors, Table, TableError};
pub use verify::{Block, VerifyError, verify};
