//! `ravelin image decrypt`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use image_builder::disk::{self, DecryptError, EncryptedSidecar, Unlock};
use luks::OpenError;
use serde::Serialize;

use super::secret::{self, PassphraseArguments};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::terminal::{Terminal, Text, size};

const EXAMPLES: &str = "\
Examples:
  ravelin image decrypt root.img.toml --key root.img.key --output clear.img
  ravelin image decrypt root.img.toml --passphrase --disk copy-from-the-host.img -o clear.img

Every sector is authenticated before a byte of it is written; the output appears only if all of
them were. A disk that was in use when it was copied has to be closed first: boot it and shut it
down, or open and close it with cryptsetup.

What is not noticed: a disk, or single sectors of it, put back to what they were earlier. The
epoch counts how often a guest has opened the disk for writing.

JSON (\"kind\": \"image-decrypt\"): output, disk, bytes, epoch, header_is_ours (whether the LUKS2
header is still the one that was made; nothing is read from it).";

/// Turn an encrypted disk back into the image of its file system
///
/// Ends with 1 if the key is wrong or a sector was changed, and leaves no output then.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Decrypt {
    /// The sidecar of the disk
    #[arg(value_name = "SIDECAR")]
    sidecar: PathBuf,
    /// The file to write, with mode 0600
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The disk [default: the one that the sidecar names, beside it]
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
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
    /// Threads that decrypt [default: one for each core]
    #[arg(long, value_name = "NUMBER")]
    threads: Option<NonZeroUsize>,
}

#[derive(Serialize)]
struct Report {
    output: String,
    disk: String,
    bytes: u64,
    epoch: u64,
    header_is_ours: bool,
}

pub(crate) fn run(arguments: &Decrypt, terminal: &Terminal) -> Result {
    let sidecar = EncryptedSidecar::load(&arguments.sidecar)?;
    let beside = || arguments.sidecar.with_file_name(&sidecar.disk.file);
    let disk = arguments.disk.clone().unwrap_or_else(beside);
    let unlock = match &arguments.key {
        Some(path) => Unlock::Key(secret::key(path)?),
        None => Unlock::Passphrase(arguments.passphrase.read(false)?),
    };
    let progress = terminal.progress();
    let decrypted =
        disk::decrypt(&sidecar, &disk, &unlock, &arguments.output, arguments.threads, &progress)
            .map_err(failure)?;
    progress.finish();
    let report = Report {
        output: arguments.output.display().to_string(),
        disk: disk.display().to_string(),
        bytes: decrypted.bytes,
        epoch: decrypted.epoch.0,
        header_is_ours: decrypted.header_is_ours,
    };
    if !report.header_is_ours {
        terminal.warning("the LUKS2 header is not the one that was made; it was not used");
    }
    let mut text = Text::new();
    text.line(format!("{}: decrypted, every sector was authentic", report.output))
        .field("from", &report.disk)
        .field("size", size(report.bytes))
        .field("epoch", report.epoch);
    terminal.result("image-decrypt", &report, &text)?;
    Ok(Exit::Success)
}

/// A key that does not open, and a sector that was changed, are the answer "no".
fn failure(error: DecryptError) -> Failure {
    let refused = if let DecryptError::Volume { source, .. } = &error {
        matches!(
            source,
            OpenError::NotAuthentic { .. } | OpenError::Superblock(_) | OpenError::Tail(_)
        )
    } else {
        matches!(error, DecryptError::WrongKey { .. })
    };
    if refused { Failure::refused(error) } else { Failure::new(error) }
}
