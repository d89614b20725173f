//! Reading a volume on the owner's side: every sector is authenticated before any
//! byte of it comes out.
//!
//! **Threat.** The disk may come back from the host. Nothing on it says how to read
//! it: layout and key come from the caller. A sector with an older ciphertext and
//! the tag of that time is accepted, as the format has it (docs/security.md).
//!
//! A journal in use holds sectors that the areas do not have yet: they are read from
//! there, so that what comes out is what the kernel would give.

use std::io;

use zeroize::Zeroizing;

use crate::cipher::sector::SectorCipher;
use crate::journal::{JournalError, Overlay};
use crate::key::VolumeKey;
use crate::layout::{Layout, SECTOR};
use crate::pieces::STEP;
use crate::spec::VolumeSpec;
use crate::superblock::{SUPERBLOCK_SIZE, SuperblockError};
use crate::tail::{Epoch, TAIL_SIZE, TailError};
use disk_io::Options;
use disk_io::{ReadAt, WriteAt};

/// A volume on a disk.
pub struct Volume<'a, R: ?Sized> {
    layout: &'a Layout,
    cipher: SectorCipher,
    journal: Overlay,
    disk: &'a R,
}

impl<'a, R: ReadAt + ?Sized> Volume<'a, R> {
    /// Opens a volume: its superblock is the one that follows from the layout, and
    /// what its journal holds is found.
    ///
    /// # Errors
    /// Another superblock, a journal that the kernel would refuse, a key of another
    /// cipher, a disk that cannot be read.
    pub fn open(layout: &'a Layout, key: &VolumeKey, disk: &'a R) -> Result<Self, OpenError> {
        let cipher = match SectorCipher::new(key) {
            Some(cipher) if key.cipher() == layout.params().cipher => cipher,
            _ => return Err(OpenError::Key),
        };
        let mut superblock = [0; SUPERBLOCK_SIZE];
        read_disk(disk, &mut superblock, layout.params().data_offset * SECTOR)?;
        layout.check_superblock(&superblock)?;
        let journal = Overlay::find(layout, disk)?;
        Ok(Self { layout, cipher, journal, disk })
    }

    /// How many bytes of the volume are read from the journal: not 0 if the volume was
    /// not closed.
    #[must_use]
    pub fn journal_bytes(&self) -> u64 {
        self.journal.blocks() * u64::from(self.layout.params().sector_size.bytes())
    }

    /// Reads and checks the tail of a volume with this specification, whose layout
    /// this is.
    ///
    /// # Errors
    /// A tail that is not authentic (a wrong key, above all), or is another one.
    pub fn epoch(&self, spec: &VolumeSpec) -> Result<Epoch, OpenError> {
        let mut tail = Zeroizing::new([0; TAIL_SIZE]);
        self.read(tail.as_mut(), spec.tail_offset() / SECTOR)?;
        Ok(spec.check_tail(&tail)?)
    }

    /// Reads whole sectors of the volume from this one on.
    ///
    /// # Errors
    /// The first sector that is not authentic; `buffer` is wiped then.
    ///
    /// A position or a length that is not whole sectors of the volume reads as not
    /// authentic.
    pub fn read(&self, buffer: &mut [u8], first: u64) -> Result<(), OpenError> {
        let mut metadata = Vec::new();
        let result = self.read_with(buffer, first, &mut metadata);
        if result.is_err() {
            buffer.fill(0);
        }
        result
    }

    /// Decrypts the first `bytes` bytes of the volume, whole sectors of 4096 bytes,
    /// into `to`, which has to be blank: pieces of zeros are left out.
    ///
    /// # Errors
    /// The first sector of the volume that is not authentic, whichever thread finds
    /// it; also what cannot be read or written. What was written is authentic.
    pub fn decrypt(
        &self,
        bytes: u64,
        to: &(impl WriteAt + ?Sized),
        options: &Options<'_>,
    ) -> Result<(), OpenError> {
        let volume = self.layout.volume_sectors() * SECTOR;
        if bytes > volume || !bytes.is_multiple_of(4096) {
            return Err(OpenError::Range { bytes, volume });
        }
        let step = STEP as u64;
        let state = || (Zeroizing::new(vec![0; STEP]), Vec::new());
        let count = bytes.div_ceil(step);
        disk_io::for_each(options.thread_count(), count, state, |(buffer, metadata), index| {
            let offset = index * step;
            let length = usize::try_from(step.min(bytes - offset)).unwrap_or(0);
            let (buffer, _) = buffer.split_at_mut(length);
            self.read_with(buffer, offset / SECTOR, metadata)?;
            // Block by block, because comparing slices is fast.
            if buffer.as_chunks::<4096>().0.iter().any(|block| *block != [0; 4096]) {
                to.write_all_at(buffer, offset)
                    .map_err(|source| OpenError::Write { offset, source })?;
            }
            (options.progress)(buffer.len() as u64);
            Ok(())
        })
    }

    fn read_with(
        &self,
        buffer: &mut [u8],
        first: u64,
        metadata: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        let params = self.layout.params();
        let (block, size) = (params.sector_size.to_usize(), params.cipher.metadata_size());
        let step = params.sector_size.sectors();
        let sectors = buffer.len() as u64 / SECTOR;
        let end = first.checked_add(sectors).filter(|end| *end <= self.layout.volume_sectors());
        if end.is_none() || !first.is_multiple_of(step) || !buffer.len().is_multiple_of(block) {
            return Err(OpenError::NotAuthentic { sector: first });
        }
        // Runs within an area are in one place.
        let area = 1_u64 << params.interleave_log2;
        let (mut sector, mut rest) = (first, buffer);
        while !rest.is_empty() {
            let run = (area - sector % area).min(rest.len() as u64 / SECTOR);
            let (data, after) = rest.split_at_mut(usize::try_from(run * SECTOR).unwrap_or(0));
            rest = after;
            metadata.resize(data.len() / block * size, 0);
            read_disk(self.disk, data, self.layout.data_sector(sector) * SECTOR)?;
            read_disk(self.disk, metadata, self.layout.metadata_offset(sector))?;
            self.journal.apply(self.disk, sector, data, metadata)?;
            let blocks = data.chunks_exact_mut(block).zip(metadata.chunks_exact(size));
            for (data, metadata) in blocks {
                if !self.cipher.open(sector, data, metadata) {
                    return Err(OpenError::NotAuthentic { sector });
                }
                sector += step;
            }
        }
        Ok(())
    }
}

/// Fills `buffer` from a byte of the disk on.
pub(crate) fn read_disk<R: ReadAt + ?Sized>(
    disk: &R,
    buffer: &mut [u8],
    offset: u64,
) -> Result<(), OpenError> {
    let len = buffer.len() as u64;
    disk.read_exact_at(buffer, offset).map_err(|source| {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            OpenError::Ended { offset, len }
        } else {
            OpenError::Read { offset, len, source }
        }
    })
}

/// Why a volume, or a part of it, cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The key is another cipher's.
    #[error("the volume key is not of the volume's cipher")]
    Key,
    /// The superblock is another one.
    #[error(transparent)]
    Superblock(#[from] SuperblockError),
    /// The journal is none that the kernel wrote.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A sector is not as it was sealed with this key.
    #[error(
        "sector {sector} of the volume (512 bytes each) is not authentic: the disk was changed, or \
         this is not its key"
    )]
    NotAuthentic {
        /// The sector, in units of 512 bytes.
        sector: u64,
    },
    /// The tail is another one.
    #[error(transparent)]
    Tail(#[from] TailError),
    /// More than the volume has, or not whole sectors.
    #[error("{bytes} bytes are not the beginning of a volume of {volume} bytes")]
    Range {
        /// What was asked for.
        bytes: u64,
        /// The volume.
        volume: u64,
    },
    /// The disk ends early.
    #[error("the disk ends within the {len} bytes from {offset} on: it was truncated")]
    Ended {
        /// The first of the bytes that were asked for.
        offset: u64,
        /// How many they were.
        len: u64,
    },
    /// The disk cannot be read.
    #[error("cannot read {len} bytes at byte {offset} of the disk")]
    Read {
        /// The first of the bytes that were asked for.
        offset: u64,
        /// How many they were.
        len: u64,
        /// What it reports.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("cannot write at byte {offset} of the output")]
    Write {
        /// Where.
        offset: u64,
        /// What it reports.
        source: io::Error,
    },
}
