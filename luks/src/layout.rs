//! The geometry of a dm-integrity device: what lies where on the disk.
//!
//! All of it follows from a few numbers, so nothing has to be read from the disk.
//! Sectors are the kernel's, of 512 bytes; a *block* is one sector of the volume
//! (512 or 4096 bytes), the unit of encryption. From the data offset on:
//!
//! | part | sectors |
//! |---|---|
//! | superblock | 8 |
//! | journal | sections × section size |
//! | area 0: metadata, then data | metadata run, 2^interleave |
//! | area 1 … | the same |
//!
//! The last area may be cut short. The volume's size is the largest multiple of 8
//! sectors that fits the device (its size counts from its own start, whatever the
//! data offset), by the kernel's rule.
//!
//! Specification: Linux `drivers/md/dm-integrity.c`, `calculate_journal_section_size`,
//! `calculate_device_limits`, `get_data_sector`; 6.12, with `fix_padding`.

use std::fmt;
use std::str::FromStr;

use crate::cipher::Cipher;

/// The kernel's sector, in bytes: the unit of all positions.
pub const SECTOR: u64 = SECTOR_BYTES as u64;
/// The same, for the lengths of buffers.
pub(crate) const SECTOR_BYTES: usize = 512;
/// The binary logarithm of the interleave that cryptsetup and the kernel choose.
pub const DEFAULT_INTERLEAVE_LOG2: u8 = 15;
/// Where data starts behind a LUKS2 header, in sectors: 16 MiB.
pub const LUKS2_DATA_OFFSET: u64 = (16 << 20) / SECTOR;

/// No device is larger, in sectors: the kernel's `loff_t`.
const MAX_SECTORS: u64 = i64::MAX as u64 / SECTOR;
/// The largest journal that the kernel chooses by itself, in sectors.
const MAX_DEFAULT_JOURNAL: u64 = 131_072;
const SUPERBLOCK_SECTORS: u64 = 8;
/// Sectors of a journal section that hold entries, and the bytes of each that do.
const SECTION_ENTRY_SECTORS: u64 = 8;
const ENTRY_BYTES: u64 = 504;
/// The kernel's default for a buffer, in sectors.
const DEFAULT_BUFFER: u64 = 128;
/// A metadata run is a multiple of this many bytes (`fix_padding`).
const RUN_ALIGNMENT: u64 = 4096;

/// The size of a volume's sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SectorSize {
    /// 512 bytes.
    B512,
    /// 4096 bytes, the usual choice.
    B4096,
}

impl SectorSize {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }

    /// For the lengths of buffers.
    pub(crate) const fn to_usize(self) -> usize {
        self.bytes() as usize
    }

    /// The binary logarithm of how many of the kernel's sectors it is.
    pub(crate) const fn sectors_log2(self) -> u8 {
        match self {
            Self::B512 => 0,
            Self::B4096 => 3,
        }
    }

    /// How many of the kernel's sectors it is.
    pub(crate) const fn sectors(self) -> u64 {
        1 << self.sectors_log2()
    }
}

impl fmt::Display for SectorSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().fmt(f)
    }
}

impl TryFrom<u32> for SectorSize {
    type Error = LayoutError;

    fn try_from(bytes: u32) -> Result<Self, LayoutError> {
        match bytes {
            512 => Ok(Self::B512),
            4096 => Ok(Self::B4096),
            _ => Err(LayoutError::SectorSize(bytes.to_string())),
        }
    }
}

impl FromStr for SectorSize {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        match text {
            "512" => Ok(Self::B512),
            "4096" => Ok(Self::B4096),
            _ => Err(LayoutError::SectorSize(text.to_owned())),
        }
    }
}

/// What determines a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayoutParams {
    /// The cipher, for the size of its metadata.
    pub cipher: Cipher,
    /// The size of the volume's sectors.
    pub sector_size: SectorSize,
    /// The binary logarithm of the sectors in an area: 3 to 31.
    pub interleave_log2: u8,
    /// Sectors of the journal: a multiple of its sections' size, see
    /// [`LayoutParams::with_default_journal`].
    pub journal_sectors: u32,
    /// Sectors of the whole device, what is before the data offset included.
    pub device_sectors: u64,
    /// Where the superblock is, in sectors: a multiple of 8.
    pub data_offset: u64,
}

impl LayoutParams {
    /// Interleave and journal as cryptsetup and the kernel choose them for a device
    /// of this size.
    #[must_use]
    pub fn with_default_journal(
        cipher: Cipher,
        sector_size: SectorSize,
        device_sectors: u64,
        data_offset: u64,
    ) -> Self {
        let section = Section::new(cipher, sector_size);
        let wanted = (device_sectors >> 7).min(MAX_DEFAULT_JOURNAL);
        let sectors = (wanted / section.sectors).max(1) * section.sectors;
        Self {
            cipher,
            sector_size,
            interleave_log2: DEFAULT_INTERLEAVE_LOG2,
            journal_sectors: u32::try_from(sectors).unwrap_or(u32::MAX),
            device_sectors,
            data_offset,
        }
    }
}

/// The shape of a journal section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Section {
    /// Bytes of an entry.
    pub(crate) entry_size: u64,
    /// Entries in a section.
    pub(crate) entries: u64,
    /// Sectors of a section, entries and data.
    pub(crate) sectors: u64,
}

impl Section {
    fn new(cipher: Cipher, sector_size: SectorSize) -> Self {
        let entry_size =
            (8 + 8 * sector_size.sectors() + cipher.metadata_size() as u64).next_multiple_of(8);
        let entries = ENTRY_BYTES / entry_size * SECTION_ENTRY_SECTORS;
        let sectors = entries * sector_size.sectors() + SECTION_ENTRY_SECTORS;
        Self { entry_size, entries, sectors }
    }
}

/// A layout that a device can have: no sum or product of its numbers overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    params: LayoutParams,
    section: Section,
    sections: u32,
    /// Sectors of the metadata before each area.
    metadata_run: u64,
    provided: u64,
}

impl Layout {
    /// Computes a layout.
    ///
    /// # Errors
    /// Numbers that no device has, by field.
    pub fn new(params: LayoutParams) -> Result<Self, LayoutError> {
        let LayoutParams { interleave_log2, journal_sectors, device_sectors, data_offset, .. } =
            params;
        if !(3..=31).contains(&interleave_log2) {
            return Err(LayoutError::Interleave(interleave_log2));
        }
        if !data_offset.is_multiple_of(8) || data_offset > MAX_SECTORS {
            return Err(LayoutError::DataOffset(data_offset));
        }
        if device_sectors > MAX_SECTORS {
            return Err(LayoutError::DeviceTooLarge(device_sectors));
        }
        let section = Section::new(params.cipher, params.sector_size);
        let journal = u64::from(journal_sectors);
        if journal == 0 || !journal.is_multiple_of(section.sectors) {
            let multiple = section.sectors;
            return Err(LayoutError::Journal { sectors: journal_sectors, multiple });
        }
        let sections = u32::try_from(journal / section.sectors).unwrap_or(u32::MAX);
        let blocks = 1_u64 << (interleave_log2 - params.sector_size.sectors_log2());
        let run = params.cipher.metadata_size() as u64 * blocks;
        let metadata_run = run.next_multiple_of(RUN_ALIGNMENT) / SECTOR;
        let mut layout = Self { params, section, sections, metadata_run, provided: 0 };
        for bit in (3..i64::BITS - 1).rev() {
            let larger = layout.provided | 1 << bit;
            if larger <= device_sectors && layout.data_sector(larger - 1) < device_sectors {
                layout.provided = larger;
            }
        }
        if layout.provided == 0 {
            return Err(LayoutError::DeviceTooSmall(device_sectors));
        }
        Ok(layout)
    }

    /// The smallest device, in whole MiB, on which a volume has at least this many
    /// sectors, with the default journal.
    ///
    /// # Errors
    /// More than any device has.
    pub fn for_volume(
        cipher: Cipher,
        sector_size: SectorSize,
        data_offset: u64,
        sectors: u64,
    ) -> Result<Self, LayoutError> {
        const MIB: u64 = (1 << 20) / SECTOR;
        if sectors > MAX_SECTORS / 2 {
            return Err(LayoutError::DeviceTooLarge(sectors));
        }
        let mut device = data_offset.saturating_add(sectors).next_multiple_of(MIB);
        loop {
            let params =
                LayoutParams::with_default_journal(cipher, sector_size, device, data_offset);
            let provided = match Self::new(params) {
                Ok(layout) if layout.provided >= sectors => return Ok(layout),
                Ok(layout) => layout.provided,
                Err(LayoutError::DeviceTooSmall(_)) => 0,
                Err(error) => return Err(error),
            };
            device = device.saturating_add((sectors - provided).next_multiple_of(MIB));
        }
    }

    /// What it was computed from.
    #[must_use]
    pub fn params(&self) -> &LayoutParams {
        &self.params
    }

    /// The size of the volume, in sectors: dm-integrity's `provided_data_sectors`,
    /// and the length of both tables.
    #[must_use]
    pub fn volume_sectors(&self) -> u64 {
        self.provided
    }

    /// Sections of the journal.
    #[must_use]
    pub fn journal_sections(&self) -> u32 {
        self.sections
    }

    /// Sectors of the buffers in which the kernel holds metadata: 128, or as many
    /// as divide a metadata run.
    pub(crate) fn buffer_sectors(&self) -> u64 {
        DEFAULT_BUFFER.min(1 << self.metadata_run.trailing_zeros())
    }

    pub(crate) fn section(&self) -> Section {
        self.section
    }

    /// The first byte of the journal on the device.
    pub(crate) fn journal_offset(&self) -> u64 {
        (self.params.data_offset + SUPERBLOCK_SECTORS) * SECTOR
    }

    /// Where the first area starts, in sectors of the device.
    fn areas(&self) -> u64 {
        self.params.data_offset + SUPERBLOCK_SECTORS + u64::from(self.params.journal_sectors)
    }

    /// Where a sector of the volume is, in sectors of the device.
    pub(crate) fn data_sector(&self, sector: u64) -> u64 {
        let area = sector >> self.params.interleave_log2;
        // Its own sectors of data and metadata: at most twice the device's size.
        self.areas() + (area + 1) * self.metadata_run + sector
    }

    /// Where a sector's metadata is, in bytes of the device.
    pub(crate) fn metadata_offset(&self, sector: u64) -> u64 {
        let LayoutParams { interleave_log2, sector_size, cipher, .. } = self.params;
        let area = sector >> interleave_log2;
        let first = area << interleave_log2;
        let blocks = (sector - first) >> sector_size.sectors_log2();
        (self.areas() + first + area * self.metadata_run) * SECTOR
            + blocks * cipher.metadata_size() as u64
    }
}

/// Numbers that no volume has.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Not 512 or 4096.
    #[error("{0:?} is no sector size of a volume; 512 and 4096 are")]
    SectorSize(String),
    /// Not 3 to 31.
    #[error("2^{0} sectors cannot be the interleave of a volume; 2^3 to 2^31 can")]
    Interleave(u8),
    /// Not whole sections.
    #[error(
        "{sectors} sectors cannot be the journal of this volume: it is made of sections of \
         {multiple} sectors, at least one"
    )]
    Journal {
        /// The journal.
        sectors: u32,
        /// A section.
        multiple: u64,
    },
    /// Not a multiple of 8, or beyond any device.
    #[error("sector {0} cannot be the data offset of a volume; it has to be a multiple of 8")]
    DataOffset(u64),
    /// More than a device can have.
    #[error("{0} sectors are more than a device can have")]
    DeviceTooLarge(u64),
    /// Not enough room for anything.
    #[error("a device of {0} sectors has no room for this volume")]
    DeviceTooSmall(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices that the kernel's dm-integrity (6.12) and cryptsetup 2.6.1 formatted,
    /// 40 MiB each: sectors of the volume, sections, journal.
    #[test]
    fn reference_devices() {
        for (cipher, sector_size, provided, journal) in [
            (Cipher::AesXtsHmacSha256, SectorSize::B512, 44_432, 616),
            (Cipher::AesXtsHmacSha256, SectorSize::B4096, 48_104, 528),
            (Cipher::Aegis128Random, SectorSize::B512, 44_432, 616),
            (Cipher::AesGcmRandom, SectorSize::B512, 44_944, 616),
        ] {
            let params =
                LayoutParams::with_default_journal(cipher, sector_size, 81_920, LUKS2_DATA_OFFSET);
            let layout = Layout::new(params).unwrap();
            assert_eq!(layout.volume_sectors(), provided, "{cipher} {sector_size}");
            assert_eq!(params.journal_sectors, journal, "{cipher} {sector_size}");
        }
    }

    /// The parts of every layout are apart and inside of the device, and one block
    /// more would not be.
    #[test]
    fn parts_do_not_overlap() {
        let mut tried = 0;
        for cipher in Cipher::ALL {
            for sector_size in [SectorSize::B512, SectorSize::B4096] {
                for interleave_log2 in [3, 4, 9, 15, 20] {
                    for device in (400..300_000).step_by(9_973).chain([1 << 33, MAX_SECTORS]) {
                        for data_offset in [0, 8, LUKS2_DATA_OFFSET] {
                            let params = LayoutParams {
                                interleave_log2,
                                ..LayoutParams::with_default_journal(
                                    cipher,
                                    sector_size,
                                    device,
                                    data_offset,
                                )
                            };
                            match Layout::new(params) {
                                Ok(layout) => check(&layout),
                                Err(LayoutError::DeviceTooSmall(_)) => continue,
                                Err(error) => panic!("{params:?}: {error}"),
                            }
                            tried += 1;
                        }
                    }
                }
            }
        }
        assert!(tried > 1000, "{tried}");
    }

    fn check(layout: &Layout) {
        let params = layout.params();
        let (volume, block) = (layout.volume_sectors(), params.sector_size.sectors());
        assert!(volume.is_multiple_of(8));
        let journal_end = layout.journal_offset() + u64::from(params.journal_sectors) * SECTOR;
        assert_eq!(layout.metadata_offset(0), journal_end);
        let area = 1_u64 << params.interleave_log2;
        let size = params.cipher.metadata_size() as u64;
        for first in [0, area, 5 * area, (volume - 1) / area * area] {
            if first >= volume {
                continue;
            }
            let data = layout.data_sector(first) * SECTOR;
            let last_block = first + area - block;
            // All metadata of an area is before its data, and its data before the
            // next area's metadata.
            assert!(layout.metadata_offset(first) + (area / block) * size <= data);
            assert_eq!(
                layout.metadata_offset(last_block),
                layout.metadata_offset(first) + (area / block - 1) * size
            );
            assert_eq!(layout.metadata_offset(first + area), data + area * SECTOR);
        }
        assert!(layout.data_sector(volume - 1) < params.device_sectors);
        assert!(layout.data_sector(volume + 7) >= params.device_sectors);
    }

    #[test]
    fn impossible_numbers_are_refused() {
        let good = LayoutParams::with_default_journal(
            Cipher::AesXtsHmacSha256,
            SectorSize::B4096,
            81_920,
            LUKS2_DATA_OFFSET,
        );
        let with = |change: &dyn Fn(&mut LayoutParams)| {
            let mut params = good;
            change(&mut params);
            Layout::new(params).unwrap_err()
        };
        for log2 in [0, 2, 32, 255] {
            assert_eq!(with(&|p| p.interleave_log2 = log2), LayoutError::Interleave(log2));
        }
        for sectors in [0, 1, 263, 265, u32::MAX] {
            let error = with(&|p| p.journal_sectors = sectors);
            assert_eq!(error, LayoutError::Journal { sectors, multiple: 264 });
        }
        for offset in [1, 4, 32_769, u64::MAX - 7] {
            assert_eq!(with(&|p| p.data_offset = offset), LayoutError::DataOffset(offset));
        }
        for sectors in [0, 1, 32_768, 33_000, 33_400] {
            let error = with(&|p| p.device_sectors = sectors);
            assert_eq!(error, LayoutError::DeviceTooSmall(sectors));
        }
        let error = with(&|p| p.device_sectors = MAX_SECTORS + 1);
        assert_eq!(error, LayoutError::DeviceTooLarge(MAX_SECTORS + 1));
        assert_eq!(
            with(&|p| p.data_offset = MAX_SECTORS / 8 * 8),
            LayoutError::DeviceTooSmall(81_920)
        );
    }

    #[test]
    fn a_volume_gets_the_room_that_it_asks_for() {
        for cipher in Cipher::ALL {
            for sector_size in [SectorSize::B512, SectorSize::B4096] {
                for sectors in [8, 2048, 100_000, 4 << 20, 1 << 34] {
                    let layout =
                        Layout::for_volume(cipher, sector_size, LUKS2_DATA_OFFSET, sectors)
                            .unwrap();
                    assert!(layout.volume_sectors() >= sectors);
                    assert!(layout.volume_sectors() < sectors + sectors / 5 + 20_000);
                    assert!(layout.params().device_sectors.is_multiple_of(2048));
                }
            }
        }
        assert!(Layout::for_volume(Cipher::AesGcmRandom, SectorSize::B512, 0, u64::MAX).is_err());
    }
}
