//! Where the parts of an encrypted disk lie.
//!
//! | disk with a partition table, bytes | content |
//! |---|---|
//! | 0..17408 | protective MBR, partition table |
//! | 1 MiB | the volume: LUKS2 header, superblock, journal, data |
//! | end of the last MiB | the partition table's backup |
//!
//! A bare disk is the volume.

use luks::{Layout, VolumeSpec};

use super::sidecar::volume_bytes;
use super::{EncryptedDisk, EncryptedPartition, EncryptedSidecarError};
use crate::disk::seed;

/// Partitions start at multiples of this, as partitioning tools do it.
const ALIGNMENT: u64 = 1 << 20;

/// The parts of a disk.
pub(super) struct DiskArea {
    /// First byte of the volume.
    pub(super) offset: u64,
    /// Bytes of the volume.
    volume: u64,
    /// Bytes of the disk.
    pub(super) size: u64,
    partitioned: bool,
}

impl DiskArea {
    pub(super) fn new(layout: &Layout, partitioned: bool) -> Result<Self, EncryptedSidecarError> {
        let volume = volume_bytes(layout);
        if !partitioned {
            return Ok(Self { offset: 0, volume, size: volume, partitioned });
        }
        // The last MiB has room for the table's backup.
        let size = volume
            .checked_next_multiple_of(ALIGNMENT)
            .and_then(|volume| volume.checked_add(2 * ALIGNMENT))
            .ok_or(EncryptedSidecarError::TooLargeDisk)?;
        Ok(Self { offset: ALIGNMENT, volume, size, partitioned })
    }

    /// With the identifiers that follow from the volume's.
    pub(super) fn describe(&self, file: String, spec: &VolumeSpec) -> EncryptedDisk {
        let id = spec.volume_id();
        let partition = EncryptedPartition {
            disk_guid: seed::uuid("ravelin encrypted disk guid v1", id, &[]),
            guid: id,
            offset: self.offset,
            size: self.volume,
        };
        EncryptedDisk { file, size: self.size, partition: self.partitioned.then_some(partition) }
    }
}
