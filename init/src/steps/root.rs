//! The root: dm-verity, an encrypted volume (or, for debugging, nothing), the mount,
//! and the look at the real init.
//!
//! The verity table is made of measured values alone; the superblock on the
//! disk is for other tools and is not read. While PID 1 still works on the
//! root, a block that does not match is an I/O error, so that PID 1 can refuse
//! by name and switch the machine off. Just before the hand-over the table is
//! exchanged for the one that the configuration asks for, which panics by
//! default: from then on there is nobody left to refuse politely.

use std::path::{Path, PathBuf};

use protocol::config::{self, Config, FsType, Protection, Writable};
use protocol::layout;
use protocol::receipt::{Event, Receipt};
use uuid::Uuid;
use verity::{Algorithm, BlockSize, Geometry, Params, Reaction, RootHash, Salt, Table};

use super::disks::{Device, Disks};
use super::{file_system, mounts};
use crate::failure::Failure;
use crate::platform::{Mount, Platform, Program, VerityTarget};

/// Name of the root's device-mapper device.
pub const DM_NAME: &str = "root";

/// `e_machine` of x86-64, at byte 18 of an ELF header (System V ABI).
const EM_X86_64: u8 = 62;

/// A dm-verity root that is open.
#[derive(Debug, Clone)]
pub struct OpenRoot {
    /// Its node.
    pub node: PathBuf,
    /// The table for the real system.
    pub final_target: VerityTarget,
}

/// Sets up what protects the root. `None` in plain mode.
///
/// # Errors
/// If the settings make no table, a disk is too small, or the kernel refuses.
pub fn open(
    platform: &impl Platform,
    config: &Config,
    disks: &Disks,
    receipt: &mut Receipt,
) -> Result<Option<OpenRoot>, Failure> {
    let (Protection::Verity(settings), Some(hash)) = (&config.root.protection, &disks.hash) else {
        return Ok(None);
    };
    let table = table(settings, &disks.root, hash)?;
    let target = |on_corruption, on_error| {
        let table = table.clone().on_corruption(on_corruption).on_error(on_error);
        VerityTarget { sectors: table.length().0, params: table.to_string() }
    };
    let first = target(Reaction::Eio, Reaction::Eio);
    let node = platform
        .create_verity(DM_NAME, &dm_uuid(settings), &first)
        .map_err(Failure::VeritySetup)?;
    receipt.push(&Event::Table {
        device: DM_NAME.to_owned(),
        sectors: first.sectors.to_string(),
        target: "verity".to_owned(),
        parameters: first.params,
    });
    let final_target = target(reaction(settings.on_corruption), reaction(settings.on_error));
    Ok(Some(OpenRoot { node, final_target }))
}

/// Mounts the encrypted root from its open volume: writable where the configuration
/// says so.
///
/// # Errors
/// [`Failure::Fsck`], [`Failure::Mount`].
pub fn mount_encrypted(
    platform: &impl Platform,
    config: &Config,
    settings: &config::Encrypted,
    node: &Path,
) -> Result<(), Failure> {
    let fstype = config.root.fstype;
    if settings.fsck {
        file_system::check_root(platform, node, fstype)?;
    }
    file_system::mount_root(platform, node, fstype, config.writable != Writable::Disk)
}

/// Mounts the root read-only, when it is not encrypted.
///
/// # Errors
/// [`Failure::Mount`].
pub fn mount(
    platform: &impl Platform,
    config: &Config,
    disks: &Disks,
    open: Option<&OpenRoot>,
) -> Result<(), Failure> {
    let device = open.map_or(&disks.root.node, |open| &open.node);
    let fstype = config.root.fstype;
    mounts::mount(
        platform,
        &Mount {
            source: &device.to_string_lossy(),
            target: Path::new(layout::SYSROOT),
            fstype: fstype.as_str(),
            read_only: true,
            nosuid: false,
            nodev: true,
            noexec: false,
            options: read_only_options(fstype),
        },
    )
}

/// Looks up the real init before anything depends on it. Reads its first block.
///
/// # Errors
/// If it is missing, no file, or cannot be executed.
pub fn check_init(platform: &impl Platform, config: &Config) -> Result<PathBuf, Failure> {
    let path = config.root.init.as_path().to_owned();
    let program = platform
        .program(Path::new(layout::SYSROOT), &path)
        .map_err(|source| Failure::InitMissing { path: path.clone(), source })?;
    match why_not_executable(&program) {
        None => Ok(path),
        Some(why) => Err(Failure::InitNotExecutable { path, why }),
    }
}

/// Why the kernel would not execute a program, as far as its start says.
pub(super) fn why_not_executable(program: &Program) -> Option<&'static str> {
    let is_elf = program.head.starts_with(b"\x7fELF");
    if !program.is_file {
        Some("is not a regular file")
    } else if !program.executable {
        Some("is not executable")
    } else if is_elf && program.head.get(18..20) != Some(&[EM_X86_64, 0]) {
        Some("is for another architecture")
    } else if !is_elf && !program.head.starts_with(b"#!") {
        Some("is neither an ELF program nor a script")
    } else {
        None
    }
}

/// What the log says of it.
#[must_use]
pub fn summary(config: &Config) -> String {
    let fstype = config.root.fstype;
    match &config.root.protection {
        Protection::Verity(verity) => {
            let hash: String =
                verity.root_hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
            format!("{fstype} on dm-verity, root hash {hash}…")
        }
        Protection::Encrypted(_) => format!("{fstype} on dm-crypt over dm-integrity"),
        Protection::InsecurePlain => format!("{fstype}, INSECURE"),
    }
}

/// A mounted file system must not write: a journal on a read-only device would
/// be an error, or worse, be believed.
const fn read_only_options(fstype: FsType) -> &'static str {
    match fstype {
        FsType::Ext4 => "noload",
        FsType::Xfs => "norecovery",
        FsType::Btrfs => "rescue=nologreplay",
        FsType::Erofs | FsType::Squashfs => "",
    }
}

fn table(settings: &config::Verity, data: &Device, hash: &Device) -> Result<Table, Failure> {
    let block_size = |bytes: u32| BlockSize::try_from(bytes).map_err(refused);
    let params = Params {
        algorithm: match settings.algorithm {
            config::VerityAlgorithm::Sha256 => Algorithm::Sha256,
            config::VerityAlgorithm::Sha512 => Algorithm::Sha512,
        },
        data_block_size: block_size(settings.data_block_size)?,
        hash_block_size: block_size(settings.hash_block_size)?,
        salt: Salt::new(settings.salt.clone()).map_err(refused)?,
    };
    let geometry = Geometry::new(&params, settings.data_blocks).map_err(refused)?;
    let tree = geometry.at_block(settings.hash_start_block).map_err(refused)?;
    large_enough(data, "verity.data_blocks", geometry.data_bytes())?;
    large_enough(hash, "the hash tree", tree.end())?;
    let table = Table::new(
        &data.node.to_string_lossy(),
        &hash.node.to_string_lossy(),
        params,
        settings.data_blocks,
        settings.hash_start_block,
        RootHash::new(&settings.root_hash).map_err(refused)?,
    )
    .map_err(refused)?;
    Ok(table.ignore_zero_blocks(settings.ignore_zero_blocks))
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::VerityTable(Box::new(error))
}

const fn reaction(configured: config::OnCorruption) -> Reaction {
    match configured {
        config::OnCorruption::Panic => Reaction::Panic,
        config::OnCorruption::Restart => Reaction::Restart,
        config::OnCorruption::Eio => Reaction::Eio,
    }
}

/// The kernel checks this too, but with a bare EINVAL.
fn large_enough(device: &Device, key: &'static str, needed: u64) -> Result<(), Failure> {
    if device.bytes >= needed {
        return Ok(());
    }
    Err(Failure::DiskTooSmall { device: device.node.clone(), bytes: device.bytes, key, needed })
}

/// The form of `veritysetup`, so that its `status` knows the device; the UUID
/// in it names the image: it is the start of the root hash.
fn dm_uuid(settings: &config::Verity) -> String {
    let start = settings.root_hash.first_chunk::<16>().copied().unwrap_or_default();
    format!("CRYPT-VERITY-{}-{DM_NAME}", Uuid::from_bytes(start).simple())
}
