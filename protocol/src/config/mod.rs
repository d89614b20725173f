//! The measured configuration: one key space, two places to write it.
//!
//! Settings come from `/etc/ravelin.toml` inside the initramfs and from
//! `ravelin.*` words on the kernel command line. Both are in the launch
//! measurement, and nothing else is a setting. A key may be given once, in one
//! of the two places, so that no order of precedence has to be remembered.
//! Unknown, repeated and meaningless keys are errors.
//!
//! [`KEYS`] and [`VOLUME_KEYS`] are the tables of all settings; [`Config`] is what PID 1 acts on.

mod check;
mod error;
mod keys;
mod network;
mod owners;
mod settings;
mod snpguard;
mod table;
mod unlock;
mod values;
mod volumes;

pub use error::{ConfigError, FILE_MAX};
pub use keys::{Default, Key, Scope, find, markdown};
pub use network::{Addressing, LinkSelector, Network, NetworkMode, hardware_address};
pub use settings::Source;
pub use table::{KEYS, VOLUME_KEYS};
pub use unlock::{
    DataVolume, Encrypted, KeySource, OwnerKey, RootKey, Sealing, Unlock, VolumeCipher,
    VolumeFormat, VolumeTarget,
};
pub use values::{
    AbsolutePath, AttestMode, EvidenceSource, FsType, Hardening, HostKeyKind, KeyOrigin, MachineId,
    OnCorruption, OnFailure, RootMode, Selector, ValueError, VerityAlgorithm, WritableDirectory,
    WritableMode,
};
pub use volumes::Provision;

use std::num::NonZeroU16;

use crate::cmdline::CommandLine;
use crate::units::{Deadline, MemorySize};
use settings::Settings;

/// What PID 1 is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// SHA-256 of all settings as they were given (`docs/formats.md`): for the boot receipt.
    pub settings: [u8; 32],
    /// What happens after a refusal.
    pub on_failure: OnFailure,
    /// How long to wait for the disks.
    pub disks_deadline: Deadline,
    /// How long to wait for the random generator.
    pub entropy_deadline: Deadline,
    /// How long each hook may run.
    pub hooks_deadline: Deadline,
    /// The root.
    pub root: Root,
    /// What may be written to.
    pub writable: Writable,
    /// SSH host keys to make; empty leaves the image's alone.
    pub host_keys: Vec<HostKeyKind>,
    /// What the machine gives up.
    pub harden: Vec<Hardening>,
    /// What the secure processor is asked for; `None`: nothing.
    pub attest: Option<Attest>,
    /// What to do about `/etc/machine-id`.
    pub machine_id: MachineId,
    /// The network before the hand-over; `None` where nothing needs one.
    pub network: Option<Network>,
    /// Who releases keys; `None` where no key comes from an owner.
    pub unlock: Option<Unlock>,
    /// Volumes beside the root, by name.
    pub volumes: Vec<DataVolume>,
}

/// Evidence: where it comes from and who gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attest {
    /// Where reports come from.
    pub source: EvidenceSource,
    /// How long to wait for a report at boot.
    pub deadline: Deadline,
    /// The responder's port (TCP and vsock); `None`: no responder.
    pub responder_port: Option<NonZeroU16>,
    /// Whether SNPGuard's report is left in `/etc` too.
    pub snpguard: bool,
}

/// The root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Where it is.
    pub device: Selector,
    /// Its type.
    pub fstype: FsType,
    /// The program to hand over to.
    pub init: AbsolutePath,
    /// How it is protected.
    pub protection: Protection,
}

/// How the root is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// By dm-verity.
    Verity(Verity),
    /// By dm-crypt over dm-integrity.
    Encrypted(Encrypted),
    /// Not at all; the configuration said `insecure = true`.
    InsecurePlain,
}

impl Protection {
    /// Key `root.mode`.
    #[must_use]
    pub const fn mode(&self) -> RootMode {
        match self {
            Protection::Verity(_) => RootMode::Verity,
            Protection::Encrypted(_) => RootMode::Encrypted,
            Protection::InsecurePlain => RootMode::Plain,
        }
    }
}

/// Everything that a dm-verity table says. Nothing of it is read from a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verity {
    /// Where the hash tree is.
    pub hash_device: Selector,
    /// Root hash, as long as the algorithm's digest.
    pub root_hash: Vec<u8>,
    /// Salt, 0 to 256 bytes.
    pub salt: Vec<u8>,
    /// Hash of the tree.
    pub algorithm: VerityAlgorithm,
    /// Bytes of a data block.
    pub data_block_size: u32,
    /// Bytes of a hash block.
    pub hash_block_size: u32,
    /// Count of data blocks, at least 1.
    pub data_blocks: u64,
    /// First hash block of the tree on the hash device.
    pub hash_start_block: u64,
    /// What the kernel does about corruption after the hand-over.
    pub on_corruption: OnCorruption,
    /// What the kernel does about a disk's errors after the hand-over.
    pub on_error: OnCorruption,
    /// Whether blocks that hash as zeros are not read.
    pub ignore_zero_blocks: bool,
}

/// Which part of the root may be written to. But for [`Writable::Disk`] the writes
/// are lost at the next boot: they are in memory, or on the volume with
/// [`VolumeTarget::Writable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writable {
    /// The root itself, on its encrypted disk.
    Disk,
    /// These directories.
    Directories {
        /// The directories.
        list: Vec<WritableDirectory>,
        /// Whether the list was given: a directory of the default list may be
        /// absent from the root, one that was asked for may not.
        explicit: bool,
        /// Limit of the tmpfs that they share.
        size: MemorySize,
    },
    /// The whole root.
    Root {
        /// Limit of the tmpfs.
        size: MemorySize,
    },
    /// Nothing.
    Nothing,
}

impl Writable {
    /// Key `writable.mode`.
    #[must_use]
    pub const fn mode(&self) -> WritableMode {
        match self {
            Writable::Disk => WritableMode::Disk,
            Writable::Directories { .. } => WritableMode::Directories,
            Writable::Root { .. } => WritableMode::Root,
            Writable::Nothing => WritableMode::None,
        }
    }

    /// Whether files below `path` (absolute) can be written.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        match self {
            Writable::Directories { list, .. } => list
                .iter()
                .any(|directory| std::path::Path::new(path).starts_with(directory.path.as_path())),
            Writable::Root { .. } | Writable::Disk => true,
            Writable::Nothing => false,
        }
    }
}

/// Reads the configuration. `file` is the content of `/etc/ravelin.toml` where
/// there is one.
///
/// # Errors
/// If anything is unknown, repeated, missing, not allowed or contradictory.
pub fn parse(file: Option<&[u8]>, cmdline: &CommandLine) -> Result<Config, ConfigError> {
    let settings = Settings::collect(file, cmdline)?;
    let root = root(&settings)?;
    let volumes = volumes::read(&settings)?;
    let writable = writable(&settings, &root)?;
    volumes::check(&volumes, &root, &writable, settings.given("writable.size").is_some())?;
    let attest = attest(&settings)?;
    let unlock = unlock(&settings, &root, &volumes, attest.as_ref())?;
    let mut config = Config {
        settings: settings.digest(),
        on_failure: settings.value("on_failure")?,
        disks_deadline: settings.value("deadline.disks")?,
        entropy_deadline: settings.value("deadline.entropy")?,
        hooks_deadline: settings.value("deadline.hooks")?,
        root,
        writable,
        host_keys: settings.value::<values::List<HostKeyKind>>("ssh.host_keys")?.0,
        harden: settings.value::<values::List<Hardening>>("harden")?.0,
        attest,
        machine_id: settings.value("machine_id")?,
        network: unlock.is_some().then(|| network::read(&settings)).transpose()?,
        unlock,
        volumes,
    };
    if config.attest.as_ref().is_some_and(|attest| attest.snpguard) {
        if config.host_keys.is_empty() {
            return Err(ConfigError::Conflict(
                "compat.snpguard=true binds an SSH host key, and ssh.host_keys=none makes none; \
                 remove one of the two",
            ));
        }
        if !config.writable.covers("/etc") {
            return Err(ConfigError::Conflict(
                "compat.snpguard=true leaves /etc/report.json, and /etc is not writable: add /etc \
                 to 'writable.directories', or remove compat.snpguard",
            ));
        }
        if !config.host_keys.contains(&HostKeyKind::EcdsaP256) {
            config.host_keys.push(HostKeyKind::EcdsaP256);
        }
    }
    if !config.host_keys.is_empty() && !config.writable.covers("/etc/ssh") {
        return Err(ConfigError::Conflict(
            "host keys are to be made (key 'ssh.host_keys'), but /etc/ssh is not writable: \
             add /etc to 'writable.directories', or set ssh.host_keys=none",
        ));
    }
    if config.machine_id == MachineId::Fresh && !config.writable.covers("/etc") {
        return Err(ConfigError::Conflict(
            "the machine id is to be fresh (key 'machine_id'), but /etc is not writable: \
             add /etc to 'writable.directories', or set machine_id=keep",
        ));
    }
    Ok(config)
}

/// Checks a configuration file alone, for tools that do not know the command
/// line yet: syntax, keys and values of what is there; nothing is required.
///
/// # Errors
/// As [`parse`], but for missing keys and contradictions.
pub fn check_file(file: &[u8]) -> Result<(), ConfigError> {
    let settings = Settings::collect(Some(file), &CommandLine::default())?;
    match parse(Some(file), &CommandLine::default()) {
        Ok(_) => Ok(()),
        Err(ConfigError::MissingKey { .. } | ConfigError::Conflict(_)) => check::values(&settings),
        // What these need may be on the command line.
        Err(ConfigError::NotInThisMode { key, .. })
            if settings::row(&key)
                .is_some_and(|row| matches!(row.scope, Scope::Unlock | Scope::Static)) =>
        {
            check::values(&settings)
        }
        Err(error) => Err(error),
    }
}

/// Whether reports are wanted, as far as an incomplete configuration says it:
/// for tools that make the parts of an initramfs one by one. What cannot be read
/// counts as the default.
#[must_use]
pub fn wants_evidence(file: Option<&[u8]>, cmdline: &CommandLine) -> bool {
    let mode = Settings::collect(file, cmdline).and_then(|settings| settings.value("attest.mode"));
    mode != Ok(AttestMode::None)
}

/// What to do after a refusal, as far as a configuration that was itself
/// refused can still say: its own `on_failure` where exactly that is readable.
#[must_use]
pub fn on_failure_of_refused(file: Option<&[u8]>, cmdline: &CommandLine) -> OnFailure {
    Settings::collect(file, cmdline)
        .and_then(|settings| settings.value("on_failure"))
        .unwrap_or(OnFailure::PowerOff)
}

fn root(settings: &Settings) -> Result<Root, ConfigError> {
    let mode: RootMode = settings.value("root.mode")?;
    // Settings that would suggest a protection that is not there.
    settings.refuse(
        "",
        &format!("with root.mode={mode}"),
        |scope| matches!(scope, Scope::Root(other) if other != mode),
    )?;
    let insecure = settings.value::<values::Flag>("insecure")?.0;
    if insecure && mode != RootMode::Plain {
        return Err(ConfigError::Conflict(
            "insecure=true goes with root.mode=plain only; remove it",
        ));
    }
    let protection = match mode {
        RootMode::Verity => Protection::Verity(verity(settings)?),
        RootMode::Encrypted => Protection::Encrypted(Encrypted {
            format: settings.value("encrypted.format")?,
            fsck: settings.value::<values::Flag>("encrypted.fsck")?.0,
        }),
        RootMode::Plain if !insecure => {
            return Err(ConfigError::Conflict(
                "root.mode=plain has no protection at all and needs insecure=true",
            ));
        }
        RootMode::Plain => Protection::InsecurePlain,
    };
    Ok(Root {
        device: settings.value("root.device")?,
        fstype: settings.value("root.fstype")?,
        init: settings.value("root.init")?,
        protection,
    })
}

/// Who releases keys, where a key comes from an owner.
fn unlock(
    settings: &Settings,
    root: &Root,
    volumes: &[DataVolume],
    attest: Option<&Attest>,
) -> Result<Option<Unlock>, ConfigError> {
    let owned = |volume: &DataVolume| matches!(volume.key, KeySource::Owner(_));
    if !matches!(root.protection, Protection::Encrypted(_)) && !volumes.iter().any(owned) {
        settings.refuse(
            "",
            "where no key comes from an owner (root.mode=encrypted, or a volume with key=owner)",
            |scope| matches!(scope, Scope::Unlock | Scope::Static),
        )?;
        return Ok(None);
    }
    let mode: NetworkMode = settings.value("network.mode")?;
    settings.refuse("", &format!("with network.mode={mode}"), |scope| {
        scope == Scope::Static && mode != NetworkMode::Static
    })?;
    let Some(attest) = attest else {
        return Err(ConfigError::Conflict(
            "attest.mode=none asks for no report, and an owner releases keys only to a report; set \
             attest.mode=report or responder",
        ));
    };
    let unlock = Unlock {
        owners: settings.value::<owners::OwnerKeys>("unlock.owners")?.0,
        threshold: settings.value::<owners::Threshold>("unlock.threshold")?.0,
        port: settings.value::<values::Port>("unlock.port")?.0,
        deadline: settings.value::<owners::OptionalDeadline>("deadline.unlock")?.0,
        quorum_deadline: settings.value("deadline.quorum")?,
    };
    if usize::from(unlock.threshold.get()) > unlock.owners.len() {
        return Err(ConfigError::Conflict(
            "unlock.threshold is larger than the count of unlock.owners, so that no key could \
             ever be released",
        ));
    }
    if attest.responder_port == Some(unlock.port) {
        return Err(ConfigError::Conflict(
            "unlock.port and attest.port are the same; choose another for one of them",
        ));
    }
    Ok(Some(unlock))
}

fn verity(settings: &Settings) -> Result<Verity, ConfigError> {
    let verity = Verity {
        hash_device: settings.value("verity.hash_device")?,
        root_hash: settings.value::<values::Hex>("verity.roothash")?.0,
        salt: settings.value::<values::Salt>("verity.salt")?.0,
        algorithm: settings.value("verity.algorithm")?,
        data_block_size: settings.value::<values::BlockSize>("verity.data_block_size")?.0,
        hash_block_size: settings.value::<values::BlockSize>("verity.hash_block_size")?.0,
        data_blocks: settings.value::<values::Number>("verity.data_blocks")?.0,
        hash_start_block: settings.value::<values::Number>("verity.hash_start_block")?.0,
        on_corruption: settings.value("verity.on_corruption")?,
        on_error: settings.value("verity.on_error")?,
        ignore_zero_blocks: settings.value::<values::Flag>("verity.ignore_zero_blocks")?.0,
    };
    let digest_len = match verity.algorithm {
        VerityAlgorithm::Sha256 => 32,
        VerityAlgorithm::Sha512 => 64,
    };
    if verity.root_hash.len() != digest_len {
        return Err(ConfigError::Conflict(
            "verity.roothash has another length than the digest of verity.algorithm \
             (sha256: 64 digits, sha512: 128)",
        ));
    }
    if verity.data_blocks == 0 {
        return Err(ConfigError::Conflict(
            "verity.data_blocks is 0; a root has at least one block",
        ));
    }
    Ok(verity)
}

fn attest(settings: &Settings) -> Result<Option<Attest>, ConfigError> {
    let mode = settings.value("attest.mode")?;
    let snpguard = settings.value::<values::Flag>("compat.snpguard")?.0;
    let port_given = settings.given("attest.port").is_some();
    let responder_port = match mode {
        AttestMode::Responder => Some(settings.value::<values::Port>("attest.port")?.0),
        AttestMode::Report | AttestMode::None if port_given => {
            return Err(ConfigError::Conflict(
                "attest.port goes with attest.mode=responder only; remove one of the two",
            ));
        }
        AttestMode::Report => None,
        AttestMode::None => {
            let source = settings.given("attest.source").is_some();
            if source || settings.given("deadline.evidence").is_some() || snpguard {
                return Err(ConfigError::Conflict(
                    "attest.mode=none asks for no report, so attest.source, deadline.evidence and \
                     compat.snpguard have no meaning; remove them",
                ));
            }
            return Ok(None);
        }
    };
    Ok(Some(Attest {
        source: settings.value("attest.source")?,
        deadline: settings.value("deadline.evidence")?,
        responder_port,
        snpguard,
    }))
}

fn writable(settings: &Settings, root: &Root) -> Result<Writable, ConfigError> {
    let size = settings.value("writable.size")?;
    let mode = settings.value("writable.mode")?;
    let explicit = settings.given("writable.directories").is_some();
    if mode != WritableMode::Directories && explicit {
        return Err(ConfigError::Conflict(
            "writable.directories goes with writable.mode=directories only; remove one of the two",
        ));
    }
    let in_memory = matches!(mode, WritableMode::Directories | WritableMode::Root);
    if !in_memory && settings.given("writable.size").is_some() {
        return Err(ConfigError::Conflict(
            "writable.size limits what is written to memory, and writable.mode=none and disk write \
             nothing there; remove it",
        ));
    }
    Ok(match mode {
        WritableMode::Disk if !matches!(root.protection, Protection::Encrypted(_)) => {
            return Err(ConfigError::Conflict(
                "writable.mode=disk writes to the root itself, which root.mode=encrypted only \
                 allows; choose directories, root or none",
            ));
        }
        WritableMode::Disk if matches!(root.fstype, FsType::Erofs | FsType::Squashfs) => {
            return Err(ConfigError::Conflict(
                "a root of erofs or squashfs cannot be written to: set writable.mode=directories, \
                 root or none",
            ));
        }
        WritableMode::Disk => Writable::Disk,
        WritableMode::Directories => Writable::Directories {
            list: settings.value::<values::WritableDirectories>("writable.directories")?.0,
            explicit,
            size,
        },
        WritableMode::Root => Writable::Root { size },
        WritableMode::None => Writable::Nothing,
    })
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod snpguard_tests;

#[cfg(test)]
mod unlock_tests;
