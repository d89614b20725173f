//! What was measured, before any arithmetic: the measuring program writes it
//! as JSON, the chore makes the table of it.

use serde::{Deserialize, Serialize};

/// One run; a benchmark that was not asked for is absent.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Samples {
    /// Hash trees over one file.
    pub(crate) verity: Option<Verity>,
    /// Encrypted volumes of one file.
    pub(crate) encryption: Option<Encryption>,
    /// Image builds.
    pub(crate) memory: Option<Vec<Memory>>,
    /// Files.
    pub(crate) sizes: Option<Sizes>,
    /// Initramfs built.
    pub(crate) initramfs: Option<Vec<Initramfs>>,
    /// Boots.
    pub(crate) boot: Option<Boot>,
    /// Boots by others.
    pub(crate) inits: Option<Inits>,
    /// Encrypted disks in virtual machines.
    pub(crate) unlock: Option<Unlock>,
    /// Launch measurements.
    pub(crate) measurement: Option<Vec<Guest>>,
    /// Verifications of reports.
    pub(crate) verification: Option<Vec<Rate>>,
    /// How many cores were busy with something else, on average; by benchmark.
    pub(crate) others: Vec<(String, f64)>,
}

/// Rounds in which everybody hashed the same bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Verity {
    /// The size of the data.
    pub(crate) bytes: u64,
    /// Each in another order.
    pub(crate) rounds: Vec<Round>,
}

/// What each has spent in one round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    /// `verity::build`, two threads, from file to file.
    pub(crate) ours: Spent,
    /// SHA-256 alone: two threads, each over its half, in memory.
    pub(crate) bound: Spent,
    /// `veritysetup format`, from file to file.
    pub(crate) veritysetup: Spent,
}

/// Rounds in which both encrypted the same bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// The size of the data.
    pub(crate) bytes: u64,
    /// Each in another order.
    pub(crate) rounds: Vec<EncryptionRound>,
}

/// What both have spent in one round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EncryptionRound {
    /// `luks::seal`, two threads, from file to file.
    pub(crate) ours: Spent,
    /// AES-256-XTS and HMAC-SHA256 alone: two threads, in memory.
    pub(crate) bound: Spent,
}

/// Seconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Spent {
    /// Of the clock on the wall.
    pub(crate) wall: f64,
    /// Of processors, user and system.
    pub(crate) cpu: f64,
}

/// One `ravelin image verity`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// What the image was made from.
    pub(crate) source: String,
    /// The size of that.
    pub(crate) bytes: u64,
    /// The most that `ravelin` itself had in memory, in bytes.
    pub(crate) own: u64,
    /// The most that a program had that it started, in bytes; 0 if there was none.
    pub(crate) children: u64,
}

/// Sizes of files, in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sizes {
    /// PID 1, static and stripped.
    pub(crate) init: u64,
    /// The whole initramfs of a verity root on erofs.
    pub(crate) initramfs: u64,
    /// The same, `zstd -19`.
    pub(crate) compressed: u64,
}

/// Builds of one initramfs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Initramfs {
    /// As `--compress` calls it.
    pub(crate) compression: String,
    /// Its size, not compressed.
    pub(crate) bytes: u64,
    /// Each in another order.
    pub(crate) rounds: Vec<InitramfsRound>,
}

/// What both have spent in one round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InitramfsRound {
    /// `ravelin image initramfs`, the whole program.
    pub(crate) ours: Spent,
    /// GNU cpio and `zstd`, of the same files.
    pub(crate) cpio: Spent,
}

/// Measurements of one guest.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Guest {
    /// `small` or `large`.
    pub(crate) name: String,
    /// Bytes of its initramfs.
    pub(crate) initrd: u64,
    pub(crate) vcpus: u32,
    /// Each in another order.
    pub(crate) rounds: Vec<GuestRound>,
}

/// What each has spent in one round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GuestRound {
    /// `ravelin measure`, the whole program.
    pub(crate) ours: Spent,
    /// `sev-snp-measure`, the whole program.
    pub(crate) tool: Spent,
    /// SHA-256 of firmware, kernel and initramfs, one thread, from the files.
    pub(crate) sha256: Spent,
}

/// One line of `attestation/benches/verification.rs`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) name: String,
    /// By the best of several rounds.
    pub(crate) per_second: f64,
    /// Of the rate of the signature alone.
    pub(crate) of_raw: f64,
}

/// Boots of one disk, in turns.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Boot {
    /// Two emulated processors, as fast as they happen to be.
    pub(crate) timed: Boots,
    /// One, and the guest's clock counts its instructions: a nanosecond each.
    pub(crate) counted: Boots,
}

/// Boots of one kind.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Boots {
    /// By PID 1.
    pub(crate) ours: Vec<Log>,
    /// By the reference init.
    pub(crate) reference: Vec<Log>,
}

/// What boots a system from an initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Init {
    /// PID 1.
    Ravelin,
    /// dracut's, with systemd-veritysetup.
    Dracut,
    /// That of initramfs-tools and cryptsetup.
    InitramfsTools,
    /// A shell script's, with SNPGuard's steps.
    Shell,
}

/// One Debian, booted by each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Inits {
    pub(crate) sizes: Vec<Archive>,
    /// Rounds of boots, each in another order: two emulated processors.
    pub(crate) timed: Vec<Vec<HandOver>>,
    /// The same, with instructions as the clock and one processor.
    pub(crate) counted: Vec<Vec<HandOver>>,
    /// Boots by PID 1 of an encrypted root that its owner unlocks: two processors.
    pub(crate) encrypted: Vec<Log>,
}

/// Bytes of an initramfs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Archive {
    pub(crate) init: Init,
    /// Without kernel modules, not compressed.
    pub(crate) bare: u64,
    /// The same, `zstd -19`.
    pub(crate) bare_compressed: u64,
    /// With the modules that Ravelin's has, `zstd -19`.
    pub(crate) same_modules: u64,
}

/// One boot, as the real init found it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HandOver {
    pub(crate) init: Init,
    pub(crate) log: Log,
    /// Bytes that the kernel could not give to others.
    pub(crate) memory: u64,
    /// Of these, what is in files in memory.
    pub(crate) shared: u64,
}

/// Encrypted disks where they are used, in QEMU.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Unlock {
    /// Boots of an encrypted root by PID 1.
    pub(crate) ours: Vec<Log>,
    /// Rounds in one Debian.
    pub(crate) cryptsetup: Vec<Cryptsetup>,
    /// The size of what was encrypted there.
    pub(crate) bytes: u64,
    /// The same Debian, attested.
    pub(crate) known_hosts: Vec<KnownHosts>,
}

/// Seconds until the host keys of a VM are known.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KnownHosts {
    /// `ravelin ssh-known-hosts` that remembers nothing.
    pub(crate) cold: f64,
    /// The same a moment later.
    pub(crate) remembered: f64,
    /// `ssh-keyscan`, which proves nothing.
    pub(crate) keyscan: f64,
}

/// One round in a Debian; milliseconds of the guest's clock.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cryptsetup {
    /// `cryptsetup open` and `mount` of the root that PID 1 opens.
    pub(crate) open: f64,
    /// `ravelin image encrypt` of a file system.
    pub(crate) encrypt: f64,
    /// `cryptsetup luksFormat`, and a copy of the same.
    pub(crate) format: f64,
}

/// Lines of a boot's log, each with the kernel's time in microseconds.
pub(crate) type Log = Vec<(u64, String)>;
