//! Where the parts of an image lie.
//!
//! | disk file, bytes | content |
//! |---|---|
//! | 0..17408 | protective MBR, partition table |
//! | 1 MiB | root partition: the file system, rounded up to 4096 bytes |
//! | next MiB | verity partition: superblock, hash tree |
//! | end of the last MiB | the partition table's backup |

use std::path::Path;

use protocol::config::Selector;
use protocol::gpt;
use uuid::Uuid;
use verity::RootHash;

use super::{BuildError, Disk, Partition, Target, seed};

/// Partitions start at multiples of this, as partitioning tools do it.
const ALIGNMENT: u64 = 1 << 20;
/// The file system ends at a multiple of this: a kernel reads squashfs in larger
/// pieces than the blocks that it uses.
const DATA_ALIGNMENT: u64 = 4096;

/// The files' names, as they go into the sidecar.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) data: String,
    /// Empty for a disk.
    pub(super) hash: String,
}

impl Names {
    /// Checks that the outputs are distinct files in the sidecar's directory.
    pub(super) fn of(target: &Target, sidecar: &Path) -> Result<Names, BuildError> {
        let (_, sidecar_name) = split(sidecar)?;
        let beside = |path: &Path| {
            let (directory, name) = split(path)?;
            if directory != split(sidecar)?.0 {
                let problem =
                    "has to be in the sidecar's directory, so that both are found together";
                return Err(BuildError::Names { path: path.to_owned(), problem });
            }
            Ok(name)
        };
        let (data, hash) = match target {
            Target::Disk { path } => (beside(path)?, String::new()),
            Target::Files { data, hash, data_serial, hash_serial } => {
                for serial in [data_serial, hash_serial] {
                    let valid = format!("serial:{serial}").parse::<Selector>().is_ok();
                    if !valid || data_serial == hash_serial {
                        return Err(BuildError::Serial { serial: serial.clone() });
                    }
                }
                (beside(data)?, beside(hash)?)
            }
        };
        if data == hash || data == sidecar_name || hash == sidecar_name {
            let problem = "is the name of two outputs";
            return Err(BuildError::Names { path: sidecar.to_owned(), problem });
        }
        Ok(Names { data, hash })
    }
}

/// The directory, without links, and the name.
fn split(path: &Path) -> Result<(std::path::PathBuf, String), BuildError> {
    let refused = |problem| BuildError::Names { path: path.to_owned(), problem };
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|name| !name.contains(char::is_control))
        .ok_or_else(|| refused("names no file, or is not plain text"))?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = parent
        .canonicalize()
        .map_err(|source| BuildError::Directory { path: path.to_owned(), source })?;
    Ok((directory, name.to_owned()))
}

/// Where the file system starts in its file.
pub(super) fn data_offset(target: &Target) -> u64 {
    match target {
        Target::Disk { .. } => ALIGNMENT,
        Target::Files { .. } => 0,
    }
}

/// The bytes that the hash tree covers.
pub(super) fn data_bytes(file_system: u64) -> Result<u64, BuildError> {
    file_system.checked_next_multiple_of(DATA_ALIGNMENT).ok_or(BuildError::TooLarge)
}

/// The parts of a disk.
pub(super) struct DiskArea {
    pub(super) data_bytes: u64,
    pub(super) hash_offset: u64,
    pub(super) hash_bytes: u64,
    pub(super) size: u64,
}

impl DiskArea {
    pub(super) fn new(data_bytes: u64, hash_bytes: u64) -> Result<DiskArea, BuildError> {
        let after = |start: u64, length: u64| {
            start.checked_add(length).and_then(|end| end.checked_next_multiple_of(ALIGNMENT))
        };
        let sizes = after(ALIGNMENT, data_bytes).and_then(|hash_offset| {
            let end = hash_offset.checked_add(hash_bytes)?;
            Some((hash_offset, after(end, gpt::BACKUP_BYTES as u64)?))
        });
        let (hash_offset, size) = sizes.ok_or(BuildError::TooLarge)?;
        Ok(DiskArea { data_bytes, hash_offset, hash_bytes, size })
    }

    /// With the identifiers that follow from the root hash.
    pub(super) fn describe(&self, file: String, root_hash: &RootHash, seed: Uuid) -> Disk {
        let (root_guid, verity_guid) = partition_guids(root_hash);
        let partition = |number, guid, offset, size| Partition { number, guid, offset, size };
        Disk {
            file,
            size: self.size,
            guid: seed::uuid("ravelin disk guid v1", seed, root_hash.as_bytes()),
            root: partition(1, root_guid, ALIGNMENT, self.data_bytes),
            verity: partition(2, verity_guid, self.hash_offset, self.hash_bytes),
        }
    }
}

/// The Discoverable Partitions Specification's rule: the first and the last 128
/// bits of the root hash.
pub(super) fn partition_guids(root_hash: &RootHash) -> (Uuid, Uuid) {
    let bytes = root_hash.as_bytes();
    let part = |chunk: Option<&[u8; 16]>| chunk.copied().map_or(Uuid::nil(), Uuid::from_bytes);
    (part(bytes.first_chunk()), part(bytes.last_chunk()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{DATA_SERIAL, HASH_SERIAL};

    #[test]
    fn partitions_are_aligned_and_apart() {
        for (data, hash) in [(4096, 4096), (1 << 20, 8192), ((5 << 30) + 4096, 42 << 20)] {
            let area = DiskArea::new(data, hash).unwrap();
            assert_eq!((area.hash_offset % ALIGNMENT, area.size % ALIGNMENT), (0, 0));
            assert!(ALIGNMENT + data <= area.hash_offset);
            assert!(area.hash_offset + hash + 33 * 512 <= area.size);
            let bytes: Vec<u8> = (0..32).collect();
            let hash = RootHash::new(&bytes).unwrap();
            let table = area.describe("x".into(), &hash, Uuid::nil()).table();
            table.primary().unwrap();
        }
        assert!(matches!(DiskArea::new(u64::MAX - 4096, 4096), Err(BuildError::TooLarge)));
        assert!(data_bytes(u64::MAX).is_err());
    }

    #[test]
    fn guids_are_the_ends_of_the_root_hash() {
        let bytes: Vec<u8> = (0..64).collect();
        let (root, verity) = partition_guids(&RootHash::new(&bytes).unwrap());
        assert_eq!(root.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(verity.to_string(), "30313233-3435-3637-3839-3a3b3c3d3e3f");
    }

    #[test]
    fn outputs_are_distinct_and_beside_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let files = |data: &str, hash: &str, serial: &str| Target::Files {
            data: at(data),
            hash: at(hash),
            data_serial: DATA_SERIAL.into(),
            hash_serial: serial.into(),
        };
        let sidecar = at("image.toml");
        let names = Names::of(&files("data", "hash", HASH_SERIAL), &sidecar).unwrap();
        assert_eq!((names.data.as_str(), names.hash.as_str()), ("data", "hash"));
        for target in [
            files("data", "data", HASH_SERIAL),
            files("image.toml", "hash", HASH_SERIAL),
            files("data", "image.toml", HASH_SERIAL),
            files("data", "../hash", HASH_SERIAL),
            files("data", "hash\n", HASH_SERIAL),
            Target::Disk { path: "/".into() },
        ] {
            let error = Names::of(&target, &sidecar).unwrap_err();
            assert!(matches!(error, BuildError::Names { .. }), "{error:?}");
        }
        let error = Names::of(&files("data", "missing/hash", HASH_SERIAL), &sidecar).unwrap_err();
        assert!(matches!(error, BuildError::Directory { .. }), "{error:?}");
        for serial in ["", DATA_SERIAL, "a b", "123456789012345678901"] {
            let error = Names::of(&files("data", "hash", serial), &sidecar).unwrap_err();
            assert!(matches!(error, BuildError::Serial { .. }), "{error:?}");
        }
    }
}
