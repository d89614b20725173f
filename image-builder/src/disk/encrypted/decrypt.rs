//! Back from an encrypted disk to the file system.
//!
//! Threat: the disk comes from the host. Every sector is authenticated before it
//! is written out; layout and key come from the sidecar and the owner.

use std::fs::{File, Permissions};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use luks::{Epoch, HEADER_SIZE, OpenError, ReadAt, Region, Secret, TailError, Volume, VolumeKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::sidecar::volume_bytes;
use super::{DecryptError, EncryptedSidecar};
use crate::output::Output;
use crate::progress::Progress;

/// What opens a disk.
pub enum Unlock {
    /// The key.
    Key(Secret),
    /// The passphrase.
    Passphrase(Zeroizing<Vec<u8>>),
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decrypted {
    /// The epoch of the disk.
    pub epoch: Epoch,
    /// Bytes of the file system's volume.
    pub bytes: u64,
    /// Bytes of it that were read from the journal: not 0 if the disk was in use.
    pub journal_bytes: u64,
    /// Whether the LUKS2 header is the one that was made. Nothing was read from it.
    pub header_is_ours: bool,
}

/// Decrypts a disk into a file, which appears when all of it was authentic. The disk's
/// epoch has to be `least` at least: that of the sidecar, where the disk has to be no
/// older than what the owner last heard of it.
///
/// # Errors
/// [`DecryptError`], by step: a wrong key, and the first sector that was changed.
pub fn decrypt(
    sidecar: &EncryptedSidecar,
    disk_path: &Path,
    unlock: &Unlock,
    least: Epoch,
    output_path: &Path,
    threads: Option<NonZeroUsize>,
    progress: &dyn Progress,
) -> Result<Decrypted, DecryptError> {
    let spec = &sidecar.spec;
    let file = File::open(disk_path)
        .map_err(|source| DecryptError::Open { path: disk_path.to_owned(), source })?;
    let secret = match (unlock, spec.stretch()) {
        (Unlock::Key(secret), None) => secret.clone(),
        (Unlock::Passphrase(passphrase), Some(stretch)) => {
            progress.stage("stretching the passphrase", None);
            Secret::from_passphrase(passphrase, stretch)?
        }
        (Unlock::Key(_), Some(_)) => return Err(DecryptError::Unlock { passphrase: true }),
        (Unlock::Passphrase(_), None) => return Err(DecryptError::Unlock { passphrase: false }),
    };
    let key = VolumeKey::derive(&secret, spec);
    let region = Region::new(&file, sidecar.volume_offset(), volume_bytes(spec.layout()));
    let failed = |source| volume_error(disk_path, source);
    let volume = Volume::open(spec.layout(), &key, &region).map_err(failed)?;
    let epoch = volume.epoch(spec).map_err(|source| {
        let wrong =
            matches!(source, OpenError::NotAuthentic { .. } | OpenError::Tail(TailError::Check));
        if wrong {
            DecryptError::WrongKey { path: disk_path.to_owned(), source }
        } else {
            failed(source)
        }
    })?;

    if epoch < least {
        return Err(DecryptError::Old {
            path: disk_path.to_owned(),
            found: epoch.0,
            least: least.0,
        });
    }
    let bytes = spec.tail_offset();
    write_out(&volume, disk_path, bytes, output_path, threads, progress)?;
    Ok(Decrypted {
        epoch,
        bytes,
        journal_bytes: volume.journal_bytes(),
        header_is_ours: header_is(&region, &sidecar.header_sha256),
    })
}

/// Writes the first `bytes` bytes of a volume to a file.
pub(super) fn write_out(
    volume: &Volume<'_, Region<&File>>,
    disk_path: &Path,
    bytes: u64,
    output_path: &Path,
    threads: Option<NonZeroUsize>,
    progress: &dyn Progress,
) -> Result<(), DecryptError> {
    let write_error = |source| DecryptError::Write { path: output_path.to_owned(), source };
    let output = Output::create(output_path)?;
    // What was secret stays its owner's.
    output.file().set_permissions(Permissions::from_mode(0o600)).map_err(write_error)?;
    output.file().set_len(bytes).map_err(write_error)?;
    progress.stage("decrypting", Some(bytes));
    let advance = |bytes| progress.advance(bytes);
    let options = luks::Options { threads, progress: &advance };
    volume
        .decrypt(bytes, output.file(), &options)
        .map_err(|source| volume_error(disk_path, source))?;
    progress.stage("writing to the disk", None);
    output.commit()?;
    Ok(())
}

fn header_is(region: &Region<&File>, sha256: &[u8; 32]) -> bool {
    let mut header = vec![0; HEADER_SIZE];
    region.read_exact_at(&mut header, 0).is_ok() && Sha256::digest(&header).as_slice() == sha256
}

pub(super) fn volume_error(path: &Path, source: OpenError) -> DecryptError {
    let path = PathBuf::from(path);
    DecryptError::Volume { path, source }
}
