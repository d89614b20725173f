//! Verified root images: from a tree or a file system's image to a file system,
//! its dm-verity tree, and one disk file with a partition table or two bare
//! files. Nothing here needs root.
//!
//! Threat: none of the outputs is trusted by the guest. What it trusts is the
//! root hash with its parameters, which the [`Sidecar`] carries to the measured
//! command line; so what counts here is that an image is *what it was made from*
//! (no member of the source lost or changed without a word) and that anybody who
//! makes it again gets the same bytes.
//!
//! Specifications: UEFI 2.10 chapter 5 (through `protocol::gpt`), the
//! Discoverable Partitions Specification (types, and UUIDs from the root hash),
//! dm-verity format 1 (through `verity`).

pub mod clean;
mod container;
mod copy;
pub mod customize;
mod describe;
mod encrypted;
mod error;
mod fs;
mod import;
mod kernel_modules;
mod layout;
mod options;
mod preparation;
mod probe;
mod seed;
mod sidecar;
mod source;
mod tree;
mod verify;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use uuid::Uuid;
use verity::{Geometry, Params, Region};

pub use container::ContainerError;
pub use describe::{
    Content, DescribeError, Description, DiskDescription, LuksHeader, Volume, describe,
};
pub use encrypted::{
    DecryptError, Decrypted, DecryptedLuks, EncryptError, EncryptOptions, Encrypted, EncryptedDisk,
    EncryptedPartition, EncryptedSidecar, EncryptedSidecarError, PartitionChoice, Protection,
    Unlock, decrypt, decrypt_luks, encrypt,
};
pub use error::BuildError;
pub use fs::{Compression, CompressionError, Make, ToolError, Tools};
pub use import::{
    DiskFormat, DiskFormatError, DiskOptions, Ext4, Ext4Content, Ext4Error, Ext4Inode, Ext4Names,
    FileSystemImage, ImportError, Mbr, MbrError, MbrPartition, PartitionList, PartitionTableError,
    Qcow2, Qcow2Error,
};
pub use kernel_modules::{AddModulesError, ModuleSource};
pub use options::{DATA_SERIAL, HASH_SERIAL, HostKeys, Options, Owner, SaltChoice, Target, Xattrs};
pub use preparation::{Preparation, audit};
pub use probe::{FileSystem, ProbeError, file_system_of};
pub use sidecar::{
    BareFile, Disk, Files, Layout, Partition, RootFileSystem, Sidecar, SidecarError, VerityTree,
};
pub use source::{Source, SourceError};
pub use tree::{Note, Notes, TreeError};
pub use verify::{Finding, ImagePaths, VerifyImageError, verify};

use crate::output::{Output, commit_all};
use crate::progress::Progress;
use fs::{Place, Settings};
use preparation::Prepared;
use source::{Opened, Opening};

/// What a build made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Everything about the image, as it was written beside it.
    pub sidecar: Sidecar,
    /// What the user should know.
    pub notes: Notes,
}

/// Builds a root image and its sidecar.
///
/// All files appear together when all of them are complete, the sidecar last; a
/// build that fails or is killed leaves nothing.
///
/// # Errors
/// [`BuildError`], by step.
pub fn build(
    source: Source,
    options: &Options,
    target: &Target,
    sidecar_path: &Path,
    progress: &dyn Progress,
) -> Result<Built, BuildError> {
    let names = layout::Names::of(target, sidecar_path)?;
    let params = params(options)?;
    let offset = layout::data_offset(target);
    let opening = Opening {
        image: options.preparation.image.as_deref(),
        scratch: target.data_path(),
        progress,
    };
    let Filled { data, found, notes } = match source.open(&opening)? {
        Opened::Image(image) => import(&image, target, &params, progress)?,
        Opened::Tree(tree) => {
            let prepared =
                Prepared::new(tree, options.preparation.clone(), &options.tools, &opening)?;
            make(prepared, options, target, progress)?
        }
    };
    let data_bytes = layout::data_bytes(found.size)?;
    let geometry = Geometry::new(&params, params.data_blocks(data_bytes)?)?;
    let hash_bytes = geometry.after_superblock(0)?.end();
    let uuid = seed::uuid("ravelin verity uuid v1", options.seed, &[]);
    let write_error = |source| BuildError::Write { path: target.data_path().to_owned(), source };
    progress.stage("hashing", Some(data_bytes));
    let advance = |bytes| progress.advance(bytes);
    let build_options = verity::BuildOptions { threads: options.threads, progress: &advance };
    let tree = |hash: &Region<&File>| {
        let data = Region::new(data.file(), offset, data_bytes);
        let blocks = geometry.data_blocks();
        verity::build(&data, blocks, hash, 0, Some(uuid), &params, &build_options)
    };

    let (layout, root_hash, hash) = match target {
        Target::Disk { .. } => {
            let area = layout::DiskArea::new(data_bytes, hash_bytes)?;
            data.file().set_len(area.size).map_err(write_error)?;
            let root_hash = tree(&Region::new(data.file(), area.hash_offset, hash_bytes))?;
            let disk = area.describe(names.data, &root_hash, options.seed);
            let table = disk.table();
            data.file().write_all_at(&table.primary()?, 0).map_err(write_error)?;
            let backup = area.size.saturating_sub(protocol::gpt::BACKUP_BYTES as u64);
            data.file().write_all_at(&table.backup()?, backup).map_err(write_error)?;
            (Layout::Disk(disk), root_hash, None)
        }
        Target::Files { hash, data_serial, hash_serial, .. } => {
            data.file().set_len(data_bytes).map_err(write_error)?;
            let output = Output::create(hash)?;
            let root_hash = tree(&Region::new(output.file(), 0, hash_bytes))?;
            let bare = |file: String, size, serial: &str| BareFile {
                file,
                size,
                serial: serial.to_owned(),
            };
            let files = Files {
                data: bare(names.data, data_bytes, data_serial),
                hash: bare(names.hash, hash_bytes, hash_serial),
            };
            (Layout::Files(files), root_hash, Some(output))
        }
    };

    let sidecar = Sidecar::new(
        options.seed,
        RootFileSystem { kind: found.kind, uuid: found.uuid, size: found.size },
        VerityTree {
            root_hash,
            salt: params.salt.clone(),
            algorithm: params.algorithm,
            data_block_size: params.data_block_size,
            hash_block_size: params.hash_block_size,
            data_blocks: geometry.data_blocks(),
            hash_start_block: geometry.after_superblock(0)?.start_block(),
            uuid,
        },
        layout,
    );
    let text = Output::create(sidecar_path)?;
    text.file()
        .write_all_at(sidecar.to_toml()?.as_bytes(), 0)
        .map_err(|source| BuildError::Write { path: sidecar_path.to_owned(), source })?;
    progress.stage("writing to the disk", None);
    commit_all([Some(data), hash, Some(text)].into_iter().flatten())?;
    Ok(Built { sidecar, notes })
}

fn params(options: &Options) -> Result<Params, BuildError> {
    Ok(Params {
        algorithm: options.algorithm,
        data_block_size: options.data_block_size,
        hash_block_size: options.hash_block_size,
        salt: options.salt.value(options.seed)?,
    })
}

fn settings(options: &Options) -> Settings<'_> {
    Settings {
        make: &options.make,
        owner: options.owner,
        xattrs: options.xattrs,
        created: options.created,
        uuid: seed::uuid("ravelin root uuid v1", options.seed, &[]),
        hash_seed: seed::uuid("ravelin ext4 hash seed v1", options.seed, &[]),
        tools: &options.tools,
    }
}

/// A data output that holds its file system.
struct Filled {
    data: Output,
    found: FileSystem,
    notes: Notes,
}

/// Takes a file system's image as it is, without what may follow it in its file.
fn import(
    image: &FileSystemImage,
    target: &Target,
    params: &Params,
    progress: &dyn Progress,
) -> Result<Filled, BuildError> {
    let found = file_system_of(image, image.size())?;
    if found.block_size < params.data_block_size.to_u32() {
        let (kind, block_size) = (found.kind, found.block_size);
        let data_block_size = params.data_block_size;
        return Err(BuildError::BlockSize { kind, block_size, data_block_size });
    }
    let data = Output::create(target.data_path())?;
    progress.stage("copying the file system", Some(found.size));
    image
        .copy(data.file(), layout::data_offset(target), found.size, progress)
        .map_err(|source| BuildError::Copy { path: image.path().to_owned(), source })?;
    Ok(Filled { data, found, notes: image.notes() })
}

/// Makes a file system from a tree, with blocks of 4096 bytes: any data blocks suit.
fn make(
    tree: Prepared,
    options: &Options,
    target: &Target,
    progress: &dyn Progress,
) -> Result<Filled, BuildError> {
    let path = target.data_path();
    let made = Output::create(path)?;
    let place = Place { file: made.file(), beside: path };
    let notes = fs::make(tree, &settings(options), &place, progress)?;
    let found = file_system_in(made.file())?;
    let data = match target {
        Target::Files { .. } => made,
        Target::Disk { .. } => {
            let disk = Output::create(path)?;
            progress.stage("copying the file system", Some(found.size));
            let offset = layout::data_offset(target);
            copy::copy(made.file(), 0, disk.file(), offset, found.size, progress)
                .map_err(|source| BuildError::Copy { path: path.to_owned(), source })?;
            disk
        }
    };
    Ok(Filled { data, found, notes })
}

fn file_system_in(file: &File) -> Result<FileSystem, ProbeError> {
    let bytes = file.metadata().map_err(|source| ProbeError::Read { offset: 0, source })?.len();
    file_system_of(file, bytes)
}

/// The seed of an image that was given none: "Ravelin image 1" in ASCII, as a UUID
/// of version 8.
pub const DEFAULT_SEED: Uuid = Uuid::from_u128(0x5261_7665_6c69_8e20_a069_6d61_6765_2031);
