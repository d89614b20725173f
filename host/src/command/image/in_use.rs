//! Encrypted disks that are there already. One is data that nothing makes again, and the
//! epoch in its sidecar is what an old state of it is noticed by: neither is replaced
//! unless the user says so.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use image_builder::disk::EncryptedSidecar;

use super::places;
use crate::failure::{Failure, Result};

/// More than any sidecar has; no more is read to know one.
const MAX_SIDECAR: u64 = 1 << 20;

/// Whether such a disk may go.
#[derive(Debug, Args)]
pub(super) struct ReplaceArguments {
    /// Replace an encrypted disk that is there: its data and its epoch are lost
    ///
    /// Without it, an output that has the sidecar of an encrypted disk is refused.
    #[arg(long)]
    replace: bool,
}

impl ReplaceArguments {
    /// Refuses outputs, or a sidecar, that are those of an encrypted disk.
    ///
    /// # Errors
    /// One that is, unless it may be replaced; one that cannot be read.
    pub(super) fn check<'a>(
        &self,
        sidecar: Option<&Path>,
        outputs: impl IntoIterator<Item = &'a Path>,
    ) -> Result<()> {
        if self.replace {
            return Ok(());
        }
        let beside = outputs.into_iter().map(|output| places::appended(output, places::SIDECAR));
        for path in sidecar.map(Path::to_owned).into_iter().chain(beside) {
            if let Some(text) = text(&path)?.filter(|text| EncryptedSidecar::claims(text)) {
                return Err(refused(&path, &text));
            }
        }
        Ok(())
    }
}

fn refused(path: &Path, text: &str) -> Failure {
    let epoch =
        EncryptedSidecar::parse(text).map(|sidecar| format!(" at epoch {}", sidecar.epoch.0));
    Failure::new(format!(
        "{}: this is the sidecar of an encrypted disk{}, which would be replaced",
        path.display(),
        epoch.unwrap_or_default()
    ))
    .help(
        "nothing was written; give another --output, or say --replace if the disk's data are not \
         needed any more",
    )
}

/// What is in a file, if it is there and is a text.
fn text(path: &PathBuf) -> Result<Option<String>> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(MAX_SIDECAR).read_to_string(&mut text)) {
        Ok(_length) => Ok(Some(text)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound
                    | ErrorKind::NotADirectory
                    | ErrorKind::IsADirectory
                    | ErrorKind::InvalidData
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Failure::file(path, error)),
    }
}
