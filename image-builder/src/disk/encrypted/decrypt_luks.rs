//! From an encrypted disk that was made elsewhere, or whose sidecar is lost, to what
//! is in it, by its LUKS2 header.
//!
//! Threat: the header comes from the host. It is read once, has to have the one shape
//! that `luks` accepts, and its keyslot gives a volume key only to whoever made it
//! with this passphrase; a host can put back an older header with the same
//! passphrase. Costs of key derivation are bounded before any of it is paid.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::path::Path;
use std::str::FromStr;

use luks::{HEADER_SIZE, Header, KdfLimits, ReadAt, Region, SECTOR, Volume};
use protocol::gpt::{self, Partition, Table};
use uuid::Uuid;

use super::DecryptError;
use super::decrypt::{volume_error, write_out};
use crate::progress::Progress;

/// Where on a disk a LUKS2 header is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionChoice {
    /// The partition with this number, from 1.
    Number(u32),
    /// The one with this GUID.
    Guid(Uuid),
    /// The one with this name.
    Name(String),
}

impl FromStr for PartitionChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().map(Self::Number).ok();
        let guid = || Uuid::try_parse(text).map(Self::Guid).ok();
        Ok(number.or_else(guid).unwrap_or_else(|| Self::Name(text.to_owned())))
    }
}

impl fmt::Display for PartitionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Guid(guid) => guid.fmt(f),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

impl PartitionChoice {
    fn is(&self, partition: &Partition) -> bool {
        match self {
            Self::Number(number) => partition.number == *number,
            Self::Guid(guid) => partition.guid == *guid,
            Self::Name(name) => partition.name == *name,
        }
    }
}

/// What came out by a LUKS2 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecryptedLuks {
    /// The header's UUID.
    pub uuid: Uuid,
    /// SHA-256 of the header's 16 MiB.
    pub header_sha256: [u8; 32],
    /// Bytes of the volume.
    pub bytes: u64,
    /// Bytes of it that were read from the journal: not 0 if it was not closed.
    pub journal_bytes: u64,
}

/// Decrypts all of a volume with a LUKS2 header into a file, which appears when all
/// of it was authentic. `passphrase` may be the content of a key file.
///
/// # Errors
/// [`DecryptError`], by step.
pub fn decrypt_luks(
    disk_path: &Path,
    partition: Option<&PartitionChoice>,
    passphrase: &[u8],
    output_path: &Path,
    threads: Option<NonZeroUsize>,
    progress: &dyn Progress,
) -> Result<DecryptedLuks, DecryptError> {
    let path = || disk_path.to_owned();
    let file =
        File::open(disk_path).map_err(|source| DecryptError::Open { path: path(), source })?;
    let read_error = |source| DecryptError::Read { path: path(), source };
    // Of a block device too.
    let bytes = (&file).seek(SeekFrom::End(0)).map_err(read_error)?;
    let region = match partition_table(&file, bytes).map_err(read_error)? {
        None if partition.is_some() => {
            return Err(DecryptError::NoPartitions { path: path() });
        }
        None => Region::new(&file, 0, bytes),
        Some(table) => {
            let table = table.map_err(|source| DecryptError::Table { path: path(), source })?;
            let choice = partition.ok_or_else(|| DecryptError::Partitions { path: path() })?;
            let mut chosen = table.partitions.iter().filter(|found| choice.is(found));
            // Names and GUIDs are anybody's: two of the same are none.
            let (Some(found), None) = (chosen.next(), chosen.next()) else {
                return Err(DecryptError::Partition { path: path(), choice: choice.clone() });
            };
            Region::new(&file, found.first_lba * SECTOR, found.sectors() * SECTOR)
        }
    };

    let mut header = vec![0; HEADER_SIZE];
    if region.len() < header.len() as u64 {
        return Err(DecryptError::TooSmall { path: path() });
    }
    region.read_exact_at(&mut header, 0).map_err(read_error)?;
    let header = Header::parse(&header, &KdfLimits::default())
        .map_err(|source| DecryptError::Header { path: path(), source })?;
    let layout = header
        .layout(region.len() / SECTOR)
        .map_err(|source| DecryptError::Layout { path: path(), source })?;
    progress.stage("unlocking the keyslot", None);
    let key = header
        .unlock(passphrase)
        .map_err(|source| DecryptError::Keyslot { path: path(), source })?;
    let volume =
        Volume::open(&layout, &key, &region).map_err(|source| volume_error(disk_path, source))?;
    let bytes = layout.volume_sectors() * SECTOR;
    write_out(&volume, disk_path, bytes, output_path, threads, progress)?;
    Ok(DecryptedLuks {
        uuid: header.uuid(),
        header_sha256: *header.sha256(),
        bytes,
        journal_bytes: volume.journal_bytes(),
    })
}

/// The partition table, if there is one.
fn partition_table(file: &File, bytes: u64) -> io::Result<Option<Result<Table, gpt::GptError>>> {
    let mut head = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX).min(gpt::PRIMARY_BYTES)];
    file.read_exact_at(&mut head, 0)?;
    let is_table = head.get(gpt::SECTOR..).is_some_and(|rest| rest.starts_with(b"EFI PART"));
    Ok(is_table.then(|| Table::parse(&head, bytes / SECTOR)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_number_a_guid_or_a_name() {
        let guid = "6d7ae1c6-5ba5-4d4f-9a1b-7f5ffab24aa1";
        let parse = |text: &str| text.parse::<PartitionChoice>().unwrap();
        assert_eq!(parse("3"), PartitionChoice::Number(3));
        assert_eq!(parse(guid), PartitionChoice::Guid(Uuid::try_parse(guid).unwrap()));
        assert_eq!(parse("root"), PartitionChoice::Name("root".to_owned()));
        assert_eq!(parse("-1"), PartitionChoice::Name("-1".to_owned()));
    }
}
