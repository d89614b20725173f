//! What a journal in use says: the sectors that the areas do not have yet.
//!
//! A volume that was not closed, because its machine lost power, has sectors in the
//! journal that are newer than those in the areas. The kernel copies them when it
//! opens the volume; here they are found, and read in place of the old ones.
//!
//! **Threat.** A journal is not authenticated: a host can write entries of its own.
//! What they lead to is authenticated as any sector is, so such an entry can put back
//! an old sector, which a host can do without a journal, and nothing else.
//!
//! Specification: Linux `drivers/md/dm-integrity.c`, `replay_journal` and
//! `do_journal_write`. Where the kernel ends in an I/O error of the whole volume,
//! here is an error.

use std::collections::BTreeMap;

use super::{COMMIT_IDS, ENTRY_SECTORS, UNUSED, commit_id, entry_offset, is_empty, section_bytes};
use crate::layout::{Layout, SECTOR, SECTOR_BYTES};
use crate::open::{OpenError, read_disk};
use disk_io::ReadAt;

/// Blocks that are looked up in a journal at most: about 50 MiB of memory. The
/// journal that the kernel chooses for the largest disk has 119 000.
const MAX_BLOCKS: usize = 1 << 20;
const SEQUENCES: u8 = 4;

/// The blocks of a volume that are in its journal.
pub(crate) struct Overlay {
    layout: Layout,
    /// The newest entry of a block, by the block's first sector in the volume.
    entries: BTreeMap<u64, Place>,
}

/// An entry of the journal.
#[derive(Clone, Copy)]
struct Place {
    section: u32,
    entry: u64,
}

/// What the first look at a journal tells.
struct Survey {
    /// Whether no entry of it is used.
    empty: bool,
    /// For each sequence, the last section with a sector of it.
    last: [Option<u32>; SEQUENCES as usize],
}

/// Where a replay starts.
struct Start {
    section: u32,
    sequence: u8,
}

impl Overlay {
    /// Finds the blocks in the journal of a disk, in two passes over it.
    pub(crate) fn find<R: ReadAt + ?Sized>(layout: &Layout, disk: &R) -> Result<Self, OpenError> {
        let mut overlay = Self { layout: *layout, entries: BTreeMap::new() };
        let mut section = vec![0; usize::try_from(section_bytes(layout)).unwrap_or(0)];
        let survey = Survey::of(layout, disk, &mut section)?;
        if let Some(Start { section: first, mut sequence }) = survey.start(layout)? {
            let sections = layout.journal_sections();
            for index in (first..sections).chain(0..first) {
                if index == 0 && first != 0 {
                    sequence = next(sequence);
                }
                read_disk(disk, &mut section, overlay.section_offset(index))?;
                // What a crash left half written was not promised to anyone.
                if !is_whole(&section, index, sequence) {
                    break;
                }
                overlay.add(&section, index)?;
            }
        }
        Ok(overlay)
    }

    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Puts the blocks of the journal over what was read from the areas: `data` from
    /// this sector of the volume on, with its metadata.
    pub(crate) fn apply<R: ReadAt + ?Sized>(
        &self,
        disk: &R,
        first: u64,
        data: &mut [u8],
        metadata: &mut [u8],
    ) -> Result<(), OpenError> {
        let params = self.layout.params();
        let (block, size) = (params.sector_size.to_usize(), params.cipher.metadata_size());
        let end = first + data.len() as u64 / SECTOR;
        for (sector, place) in self.entries.range(first..end) {
            let number = (sector - first) >> params.sector_size.sectors_log2();
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            let data = data.chunks_exact_mut(block).nth(number);
            let metadata = metadata.chunks_exact_mut(size).nth(number);
            if let (Some(data), Some(metadata)) = (data, metadata) {
                self.read(disk, *place, data, metadata)?;
            }
        }
        Ok(())
    }

    /// Reads a block from the journal.
    fn read<R: ReadAt + ?Sized>(
        &self,
        disk: &R,
        place: Place,
        data: &mut [u8],
        metadata: &mut [u8],
    ) -> Result<(), OpenError> {
        let sectors = self.layout.params().sector_size.sectors();
        let section = self.section_offset(place.section);
        read_disk(disk, data, section + (ENTRY_SECTORS + place.entry * sectors) * SECTOR)?;
        let last_bytes = section + entry_offset(self.layout.section(), place.entry) + 8;
        for (number, sector) in (0..).zip(data.chunks_exact_mut(SECTOR_BYTES)) {
            if let Some(end) = sector.last_chunk_mut::<8>() {
                read_disk(disk, end, last_bytes + number * 8)?;
            }
        }
        read_disk(disk, metadata, last_bytes + sectors * 8)
    }

    /// Adds the used entries of a section, over older ones.
    fn add(&mut self, bytes: &[u8], section: u32) -> Result<(), JournalError> {
        let shape = self.layout.section();
        for entry in 0..shape.entries {
            let at = usize::try_from(entry_offset(shape, entry)).ok();
            let Some(number) = at.and_then(|at| bytes.get(at..)?.first_chunk::<8>()) else {
                continue;
            };
            if number.ends_with(&UNUSED) {
                continue;
            }
            let sector = u64::from_le_bytes(*number);
            if !sector.is_multiple_of(self.layout.params().sector_size.sectors()) {
                return Err(JournalError::Sector { section, entry, sector });
            }
            // The kernel passes these over.
            if sector >= self.layout.volume_sectors() {
                continue;
            }
            self.entries.insert(sector, Place { section, entry });
            if self.entries.len() > MAX_BLOCKS {
                return Err(JournalError::TooLarge);
            }
        }
        Ok(())
    }

    fn section_offset(&self, index: u32) -> u64 {
        self.layout.journal_offset() + u64::from(index) * section_bytes(&self.layout)
    }
}

impl Survey {
    fn of<R: ReadAt + ?Sized>(
        layout: &Layout,
        disk: &R,
        section: &mut [u8],
    ) -> Result<Self, OpenError> {
        let mut survey = Self { empty: true, last: [None; SEQUENCES as usize] };
        for index in 0..layout.journal_sections() {
            let offset = layout.journal_offset() + u64::from(index) * section_bytes(layout);
            read_disk(disk, section, offset)?;
            for (number, end) in (0..).zip(commit_ids(section)) {
                let known = COMMIT_IDS.into_iter().zip(&mut survey.last);
                let last = known
                    .into_iter()
                    .find(|(sequence, _)| commit_id(*sequence, index, number) == end)
                    .ok_or(JournalError::CommitId { section: index, sector: number })?;
                *last.1 = Some(index);
            }
            survey.empty &= is_empty(layout, section);
        }
        Ok(survey)
    }

    fn used(&self, sequence: u8) -> bool {
        self.last(sequence).is_some()
    }

    fn last(&self, sequence: u8) -> Option<u32> {
        self.last.get(usize::from(sequence)).copied().flatten()
    }

    /// Where the oldest section is; `None` if there is nothing to replay.
    fn start(&self, layout: &Layout) -> Result<Option<Start>, JournalError> {
        // The sequences go round, so at least one has to be unused: the one after the
        // newest.
        let unused = if self.used(SEQUENCES - 1) {
            (0..SEQUENCES).find(|sequence| !self.used(*sequence)).ok_or(JournalError::Sequences)?
        } else {
            (0..SEQUENCES).rev().find(|sequence| self.used(*sequence)).map_or(0, next)
        };
        let newest = previous(unused);
        let mut sequence = previous(newest);
        let skipped = !self.used(sequence) && self.used(previous(sequence));
        if self.empty || skipped {
            return Ok(None);
        }
        let mut section = self.last(newest).map_or(0, |last| last + 1);
        if section >= layout.journal_sections() {
            section = 0;
            sequence = next(sequence);
        }
        Ok(Some(Start { section, sequence }))
    }
}

/// Whether every sector of a section was written with it.
fn is_whole(bytes: &[u8], section: u32, sequence: u8) -> bool {
    let Some(sequence) = COMMIT_IDS.get(usize::from(sequence)) else { return false };
    (0..).zip(commit_ids(bytes)).all(|(number, end)| end == commit_id(*sequence, section, number))
}

fn commit_ids(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let ends = bytes.chunks_exact(SECTOR_BYTES).filter_map(<[u8]>::last_chunk);
    ends.map(|end| u64::from_le_bytes(*end))
}

fn next(sequence: u8) -> u8 {
    (sequence + 1) % SEQUENCES
}

fn previous(sequence: u8) -> u8 {
    (sequence + SEQUENCES - 1) % SEQUENCES
}

/// Why a journal is refused. The kernel refuses all reads of such a volume, but for
/// [`JournalError::TooLarge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A sector that is of no section.
    #[error("sector {sector} of the journal's section {section} is none of a journal")]
    CommitId {
        /// The section.
        section: u32,
        /// The sector in it.
        sector: u64,
    },
    /// The sections are of all four sequences: which are the newest cannot be told.
    #[error("the journal has sections of all sequences at once")]
    Sequences,
    /// A sector number within a block.
    #[error(
        "entry {entry} of the journal's section {section} is for sector {sector}, where no block \
         starts"
    )]
    Sector {
        /// The section.
        section: u32,
        /// The entry in it.
        entry: u64,
        /// The sector of the volume.
        sector: u64,
    },
    /// More blocks than are held in memory.
    #[error(
        "the journal holds more than {MAX_BLOCKS} blocks: open and close the volume once with \
         cryptsetup, or boot it"
    )]
    TooLarge,
}
