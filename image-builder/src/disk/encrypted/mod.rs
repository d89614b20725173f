//! Encrypted root disks: from a tree or a file system's image to one disk file with
//! an authenticated, encrypted volume. Without root, loop devices or device-mapper.
//!
//! Threat: the disk goes to the host. What the guest trusts is the volume
//! specification and the secret, which the owner sends when the guest has proven
//! itself; both come from here, in the [`EncryptedSidecar`] and the key file. The
//! clear file system of a tree is made in a file without a name beside the output,
//! which is gone when the build ends, however it ends.
//!
//! Specifications: LUKS2 and dm-integrity (through `luks`), UEFI 2.10 chapter 5
//! (through `protocol::gpt`).

mod decrypt;
mod decrypt_luks;
mod error;
mod host_keys;
mod layout;
mod sidecar;

use std::fs::{File, Permissions};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use luks::{
    Argon2Cost, Cipher, Epoch, HeaderKey, LUKS2_DATA_OFFSET, Layout, NewHeader, ReadAt, Region,
    SECTOR, Secret, SectorSize, Stretch, TAIL_SECTORS, VolumeKey, VolumeSpec,
};
use rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

pub use decrypt::{Decrypted, Unlock, decrypt};
pub use decrypt_luks::{DecryptedLuks, PartitionChoice, decrypt_luks};
pub use error::{DecryptError, EncryptError, EncryptedSidecarError};
pub use sidecar::{EncryptedDisk, EncryptedPartition, EncryptedSidecar};

use super::clean::RuleId;
use super::fs::{Make, Place, Tools};
use super::preparation::{self, Preparation};
use super::source::{Opened, Opening};
use super::{
    BuildError, FileSystem, FileSystemImage, HostKeys, Notes, Options, Owner, RootFileSystem,
    Source, Target, Xattrs, file_system_in, file_system_of, fs, layout as verity_layout, settings,
};
use crate::output::{self, Output, commit_all};
use crate::progress::Progress;
use layout::DiskArea;

/// File systems and volumes are whole blocks of this many bytes.
const BLOCK: u64 = 4096;

/// How a disk is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptOptions {
    /// The cipher.
    pub cipher: Cipher,
    /// The volume's sectors.
    pub sector_size: SectorSize,
    /// Bytes that the file system can have, a multiple of 4096: a tree becomes an
    /// ext4 of this size, and around a file system's image is room to grow. As
    /// large as it has to be if `None`.
    pub size: Option<u64>,
    /// In a partition table, or the whole disk.
    pub partitioned: bool,
    /// Who owns the files; not used for an image.
    pub owner: Owner,
    /// What becomes of attributes that ext4 cannot take; not used for an image.
    pub xattrs: Xattrs,
    /// What becomes of SSH host keys. If `None`, a tree's are left out, so that the guest
    /// makes its own on its first boot, and those of an image are kept.
    pub host_keys: Option<HostKeys>,
    /// Which image is meant and what is changed of it; not used for an image of a file system.
    /// Of the host keys, `host_keys` says what becomes.
    pub preparation: Preparation,
    /// Where the tools are.
    pub tools: Tools,
    /// Threads that encrypt; one for each core if `None`.
    pub threads: Option<NonZeroUsize>,
}

impl Default for EncryptOptions {
    fn default() -> Self {
        Self {
            cipher: Cipher::AesXtsHmacSha256,
            sector_size: SectorSize::B4096,
            size: None,
            partitioned: true,
            owner: Owner::default(),
            xattrs: Xattrs::default(),
            host_keys: None,
            preparation: Preparation::default(),
            tools: Tools::default(),
            threads: None,
        }
    }
}

/// What unlocks a disk.
pub enum Protection {
    /// A new key of 256 random bits, written to this file with mode 0600.
    NewKey(PathBuf),
    /// This key.
    Key(Secret),
    /// A passphrase, which Argon2id makes a key of.
    Passphrase {
        /// The passphrase.
        passphrase: Zeroizing<Vec<u8>>,
        /// What guessing costs, and unlocking too.
        cost: Argon2Cost,
    },
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// Everything about the disk, as it was written beside it.
    pub sidecar: EncryptedSidecar,
    /// What the user should know.
    pub notes: Notes,
}

/// Makes an encrypted disk, its sidecar and, if there is to be one, its key file.
///
/// All files appear together when all of them are complete, the key first and the
/// sidecar last; a build that fails or is killed leaves nothing.
///
/// # Errors
/// [`EncryptError`], by step.
pub fn encrypt(
    source: Source,
    options: &EncryptOptions,
    protection: &Protection,
    disk_path: &Path,
    sidecar_path: &Path,
    progress: &dyn Progress,
) -> Result<Encrypted, EncryptError> {
    let target = Target::Disk { path: disk_path.to_owned() };
    let names = verity_layout::Names::of(&target, sidecar_path)?;
    if let Some(bytes) = options.size.filter(|bytes| bytes % BLOCK != 0 || *bytes == 0) {
        return Err(EncryptError::Size { bytes });
    }
    let volume_id = uuid::Builder::from_random_bytes(random()?).into_uuid();
    let secret = Prepared::new(protection, progress)?;

    let Clear { file, found, notes } = clear(source, options, volume_id, disk_path, progress)?;
    if found.block_size < options.sector_size.bytes() {
        let (kind, block_size) = (found.kind, found.block_size);
        return Err(EncryptError::BlockSize { kind, block_size, sector_size: options.sector_size });
    }
    let bytes = options.size.unwrap_or(found.size.next_multiple_of(BLOCK));
    if bytes < found.size {
        return Err(EncryptError::TooSmall { file_system: found.size, size: bytes });
    }
    let sectors = (bytes / SECTOR).saturating_add(TAIL_SECTORS);
    let layout =
        Layout::for_volume(options.cipher, options.sector_size, LUKS2_DATA_OFFSET, sectors)?;
    let spec = VolumeSpec::new(layout, volume_id, secret.stretch.clone())?;
    let key = VolumeKey::derive(&secret.secret, &spec);

    progress.stage("making the LUKS2 header", None);
    let unlock = match protection {
        Protection::NewKey(_) | Protection::Key(_) => HeaderKey::Secret(&secret.secret),
        Protection::Passphrase { passphrase, cost } => {
            HeaderKey::Passphrase { passphrase, cost: *cost }
        }
    };
    let header = NewHeader { spec: &spec, key: &key, unlock }.to_bytes(&mut OsRng)?;

    let area = DiskArea::new(&layout, options.partitioned)?;
    let sidecar = EncryptedSidecar {
        header_sha256: Sha256::digest(&header).into(),
        epoch: Epoch::FIRST,
        file_system: RootFileSystem { kind: found.kind, uuid: found.uuid, size: found.size },
        disk: area.describe(names.data, &spec),
        spec,
    };
    let write_error = |source| BuildError::Write { path: disk_path.to_owned(), source };
    let disk = Output::create(disk_path)?;
    disk.reserve(area.size).map_err(write_error)?;
    disk.file().write_all_at(&header, area.offset).map_err(write_error)?;
    progress.stage("encrypting", Some(layout.volume_sectors().saturating_mul(SECTOR)));
    let advance = |bytes| progress.advance(bytes);
    let seal_options = luks::Options { threads: options.threads, progress: &advance };
    let volume = Region::new(disk.file(), area.offset, sidecar::volume_bytes(&layout));
    luks::seal(&sidecar.spec, &key, &file, found.size, &volume, &mut OsRng, &seal_options)?;
    if let Some(table) = sidecar.disk.table() {
        disk.file().write_all_at(&table.primary()?, 0).map_err(write_error)?;
        let backup = area.size.saturating_sub(protocol::gpt::BACKUP_BYTES as u64);
        disk.file().write_all_at(&table.backup()?, backup).map_err(write_error)?;
    }

    let text = sidecar.unsaved(sidecar_path)?;
    progress.stage("writing to the disk", None);
    commit_all([secret.file, Some(disk), Some(text)].into_iter().flatten())?;
    Ok(Encrypted { sidecar, notes })
}

/// The secret, and the file that will hold it.
struct Prepared {
    secret: Secret,
    stretch: Option<Stretch>,
    file: Option<Output>,
}

impl Prepared {
    fn new(protection: &Protection, progress: &dyn Progress) -> Result<Self, EncryptError> {
        match protection {
            Protection::NewKey(path) => {
                // Without following a link: even one to nowhere is somebody's.
                if path.symlink_metadata().is_ok() {
                    return Err(EncryptError::KeyExists { path: path.clone() });
                }
                let secret =
                    Secret::random(&mut OsRng).map_err(|source| EncryptError::Random { source })?;
                let file = Output::create(path)?;
                file.file()
                    .set_permissions(Permissions::from_mode(0o600))
                    .and_then(|()| file.file().write_all_at(secret.as_bytes(), 0))
                    .map_err(|source| BuildError::Write { path: path.clone(), source })?;
                Ok(Self { secret, stretch: None, file: Some(file) })
            }
            Protection::Key(secret) => {
                Ok(Self { secret: secret.clone(), stretch: None, file: None })
            }
            Protection::Passphrase { passphrase, cost } => {
                if passphrase.is_empty() {
                    return Err(EncryptError::EmptyPassphrase);
                }
                progress.stage("stretching the passphrase", None);
                let stretch = Stretch::new(random()?, *cost);
                let secret = Secret::from_passphrase(passphrase, &stretch)?;
                Ok(Self { secret, stretch: Some(stretch), file: None })
            }
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N], EncryptError> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(|source| EncryptError::Random { source })?;
    Ok(bytes)
}

/// A file system in clear.
struct Clear {
    file: ClearFile,
    found: FileSystem,
    notes: Notes,
}

/// The file that it is in.
enum ClearFile {
    /// The user's image.
    Given(FileSystemImage),
    /// One without a name.
    Made(File),
}

impl ReadAt for ClearFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Given(image) => image.read_exact_at(buf, offset),
            Self::Made(file) => ReadAt::read_exact_at(file, buf, offset),
        }
    }
}

fn clear(
    source: Source,
    options: &EncryptOptions,
    volume_id: Uuid,
    beside: &Path,
    progress: &dyn Progress,
) -> Result<Clear, EncryptError> {
    let opening =
        Opening { image: options.preparation.image.as_deref(), scratch: beside, progress };
    match source.open(&opening)? {
        Opened::Image(image) => {
            let found = file_system_of(&image, image.size()).map_err(BuildError::from)?;
            if options.host_keys == Some(HostKeys::LeaveOut) {
                let (made, notes) =
                    host_keys::leave_out(&image, &found, &options.tools, beside, progress)?;
                return Ok(Clear { file: ClearFile::Made(made), found, notes });
            }
            let notes = image.notes();
            Ok(Clear { file: ClearFile::Given(image), found, notes })
        }
        Opened::Tree(tree) => {
            let mut preparation = options.preparation.clone();
            let leave_out = options.host_keys.unwrap_or(HostKeys::LeaveOut) == HostKeys::LeaveOut;
            preparation.clean = preparation.clean.with(RuleId::HostKeys, leave_out);
            let prepared = preparation::Prepared::new(tree, preparation, &options.tools, &opening)?;
            let options = Options {
                // Identifiers of the file system follow from the volume's.
                seed: volume_id,
                make: Make::Ext4 { size: options.size, writable: true },
                owner: options.owner,
                xattrs: options.xattrs,
                tools: options.tools.clone(),
                ..Options::default()
            };
            let made = output::scratch(beside)?;
            let place = Place { file: &made, beside };
            let notes = fs::make(prepared, &settings(&options), &place, progress)?;
            let found = file_system_in(&made).map_err(BuildError::from)?;
            Ok(Clear { file: ClearFile::Made(made), found, notes })
        }
    }
}
