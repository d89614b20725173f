//! `ravelin image decrypt`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use image_builder::disk::{self, DecryptError, EncryptedSidecar, PartitionChoice, Unlock};
use luks::{Epoch, OpenError, UnlockError};
use serde::Serialize;

use super::in_use::ReplaceArguments;
use super::places;
use super::secret::{self, PassphraseArguments};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::terminal::{Terminal, Text, size};

const EXAMPLES: &str = "\
Examples:
  ravelin image decrypt root.img.toml --key root.img.key --output clear.img
  ravelin image decrypt root.img.toml --passphrase --disk copy-from-the-host.img -o clear.img

  # without a sidecar, by the LUKS2 header; made by cryptsetup luksFormat --integrity, say
  ravelin image decrypt --disk disk.img --partition 2 --passphrase -o clear.img

Every sector is authenticated before a byte of it is written; the output appears only if all of
them were. A disk that was in use, because its machine lost power, reads as the kernel would give
it: what is in the journal is newer than what is not.

Without a sidecar the LUKS2 header has to have one keyslot, one segment with authenticated
encryption and nothing that is not known, and its key derivation may cost 1 GiB of memory and 32
passes, or 2^24 iterations, at most. --key is then any key file of cryptsetup's. The output is the
whole volume: of a disk that `image encrypt` made, 16 KiB more than the file system can have.

The epoch counts how often a guest has opened the disk for writing. A disk whose epoch is lower than
the sidecar's is an old state of it, which the host may have put back: it is refused, unless
--any-epoch says that it is meant. What is not noticed: a disk, or single sectors of it, put back to
what they were in the same epoch.

JSON (\"kind\": \"image-decrypt\"): output, disk, bytes, journal_bytes (how many of them were read
from the journal), epoch, header_is_ours (whether the LUKS2 header is still the one that was made;
nothing is read from it). Without a sidecar the last two are null, and there are uuid and
header_sha256, from the header.";

/// Turn an encrypted disk back into the image of its file system
///
/// Ends with 1 if the key is wrong or a sector was changed, and leaves no output then.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Decrypt {
    /// The sidecar of the disk; without one, --disk is read by its LUKS2 header
    #[arg(value_name = "SIDECAR", required_unless_present = "disk")]
    sidecar: Option<PathBuf>,
    /// The file to write, with mode 0600
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The disk [default: the one that the sidecar names, beside it]
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// The partition of the disk, by number, GUID or name, if there is no sidecar
    #[arg(long, value_name = "PARTITION", conflicts_with = "sidecar")]
    partition: Option<PartitionChoice>,
    /// The key file
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Key",
        conflicts_with = "passphrase_source",
        required_unless_present = "passphrase_source"
    )]
    key: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArguments,
    /// Decrypt an older state of the disk than the sidecar's epoch says too, such as a backup
    #[arg(long, requires = "sidecar")]
    any_epoch: bool,
    #[command(flatten)]
    replace: ReplaceArguments,
    /// Threads that decrypt [default: one for each core]
    #[arg(long, value_name = "NUMBER")]
    threads: Option<NonZeroUsize>,
}

#[derive(Serialize)]
struct Report {
    output: String,
    disk: String,
    bytes: u64,
    journal_bytes: u64,
    epoch: Option<u64>,
    header_is_ours: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header_sha256: Option<String>,
}

pub(crate) fn run(arguments: &Decrypt, terminal: &Terminal) -> Result {
    let report = match (&arguments.sidecar, &arguments.disk) {
        (Some(sidecar), disk) => with_sidecar(arguments, sidecar, disk.as_deref(), terminal)?,
        (None, Some(disk)) => by_header(arguments, disk, terminal)?,
        (None, None) => return Err(Failure::usage("neither a sidecar nor a disk is given")),
    };
    if report.header_is_ours == Some(false) {
        terminal.warning("the LUKS2 header is not the one that was made; it was not used");
    }
    if report.journal_bytes > 0 {
        terminal.warning("the disk was not closed; its journal was read too");
    }
    let mut text = Text::new();
    text.line(format!("{}: decrypted, every sector was authentic", report.output))
        .field("from", &report.disk)
        .field("size", size(report.bytes));
    if report.journal_bytes > 0 {
        text.field("from the journal", size(report.journal_bytes));
    }
    if let Some(epoch) = report.epoch {
        text.field("epoch", epoch);
    }
    if let Some(uuid) = &report.uuid {
        text.field("UUID", uuid);
    }
    if let Some(sha256) = &report.header_sha256 {
        text.field("header SHA-256", sha256);
    }
    terminal.result("image-decrypt", &report, &text)?;
    Ok(Exit::Success)
}

/// The output replaces what is there, so it must be none of what is read, and no other
/// encrypted disk.
fn check_places(arguments: &Decrypt, disk: &Path) -> Result<()> {
    let read = [
        ("the disk", Some(disk)),
        ("the sidecar", arguments.sidecar.as_deref()),
        ("--key", arguments.key.as_deref()),
        ("--passphrase-file", arguments.passphrase.file()),
    ];
    places::apart(&arguments.output, read)?;
    arguments.replace.check(None, [arguments.output.as_path()])
}

fn with_sidecar(
    arguments: &Decrypt,
    sidecar_path: &Path,
    disk: Option<&Path>,
    terminal: &Terminal,
) -> Result<Report> {
    let sidecar = EncryptedSidecar::load(sidecar_path)
        .map_err(|error| Failure::new(error).named(sidecar_path))?;
    let beside = || sidecar_path.with_file_name(&sidecar.disk.file);
    let disk = disk.map_or_else(beside, Path::to_owned);
    check_places(arguments, &disk)?;
    let unlock = match &arguments.key {
        Some(path) => Unlock::Key(secret::key(path, terminal)?),
        None => Unlock::Passphrase(arguments.passphrase.read(terminal)?),
    };
    let least = if arguments.any_epoch { Epoch(0) } else { sidecar.epoch };
    let (output, threads) = (&arguments.output, arguments.threads);
    let progress = terminal.progress();
    let decrypted = disk::decrypt(&sidecar, &disk, &unlock, least, output, threads, &progress)
        .map_err(failure)?;
    progress.finish();
    Ok(Report {
        output: arguments.output.display().to_string(),
        disk: disk.display().to_string(),
        bytes: decrypted.bytes,
        journal_bytes: decrypted.journal_bytes,
        epoch: Some(decrypted.epoch.0),
        header_is_ours: Some(decrypted.header_is_ours),
        uuid: None,
        header_sha256: None,
    })
}

fn by_header(arguments: &Decrypt, disk: &Path, terminal: &Terminal) -> Result<Report> {
    check_places(arguments, disk)?;
    let passphrase = match &arguments.key {
        Some(path) => secret::key_file(path, terminal)?,
        None => arguments.passphrase.read(terminal)?,
    };
    let progress = terminal.progress();
    let decrypted = disk::decrypt_luks(
        disk,
        arguments.partition.as_ref(),
        &passphrase,
        &arguments.output,
        arguments.threads,
        &progress,
    )
    .map_err(failure)?;
    progress.finish();
    Ok(Report {
        output: arguments.output.display().to_string(),
        disk: disk.display().to_string(),
        bytes: decrypted.bytes,
        journal_bytes: decrypted.journal_bytes,
        epoch: None,
        header_is_ours: None,
        uuid: Some(decrypted.uuid.to_string()),
        header_sha256: Some(hex::encode(decrypted.header_sha256)),
    })
}

/// A key that does not open, a header that is refused and a sector that was changed
/// are the answer "no".
fn failure(error: DecryptError) -> Failure {
    let refused = matches!(
        &error,
        DecryptError::Volume {
            source: OpenError::NotAuthentic { .. }
                | OpenError::Superblock(_)
                | OpenError::Journal(_)
                | OpenError::Tail(_)
                | OpenError::Ended { .. },
            ..
        } | DecryptError::Keyslot { source: UnlockError::Passphrase, .. }
            | DecryptError::WrongKey { .. }
            | DecryptError::Old { .. }
            | DecryptError::Header { .. }
    );
    let partitions = matches!(error, DecryptError::Partitions { .. });
    let old = matches!(error, DecryptError::Old { .. });
    let failure = if refused { Failure::refused(error) } else { Failure::new(error) };
    if partitions {
        failure.help("give --partition NUMBER; `ravelin inspect` lists them")
    } else if old {
        failure.help("the host may have put it back. If it is a backup that you want: --any-epoch")
    } else {
        failure
    }
}
