//! Writing a volume: superblock, empty journal, and every sector encrypted with its
//! tag, in one pass over the data and on all cores.
//!
//! Every sector is sealed, also those that are zero: a sector that was never sealed
//! is an I/O error for whoever reads it. In memory are at most three pieces (of 512 KiB)
//! with their metadata for each thread, and one more.

use std::io;

use rand_core::CryptoRngCore;
use zeroize::{Zeroize, Zeroizing};

use crate::cipher::sector::{Nonces, SectorCipher};
use crate::journal;
use crate::key::VolumeKey;
use crate::layout::{Layout, SECTOR};
use crate::outlet::{Outlet, Sealed};
use crate::pieces::{Piece, STEP};
use crate::spec::VolumeSpec;
use crate::tail::TAIL_SIZE;
use disk_io::Options;
use disk_io::{ReadAt, WriteAt};

/// Writes a new volume to a disk: from the data offset of `spec` on, to the end of
/// its last sector. A LUKS2 header before that is [`NewHeader`](crate::NewHeader)'s.
///
/// The file system is the first `data_bytes` bytes of `data`; the volume behind them
/// is zeros up to its tail. `disk` has to be blank (a new file): what lies between
/// the parts is not written. Nothing is synchronised to the disk.
///
/// # Errors
/// Data that does not fit, a key of another cipher, before anything is written;
/// then data that cannot be read or ends early, and a disk that cannot be written,
/// with the offset.
pub fn seal(
    spec: &VolumeSpec,
    key: &VolumeKey,
    data: &(impl ReadAt + ?Sized),
    data_bytes: u64,
    disk: &(impl WriteAt + ?Sized),
    random: &mut impl CryptoRngCore,
    options: &Options<'_>,
) -> Result<(), SealError> {
    seal_content(spec, key, data, data_bytes, disk, random, options)?;
    let layout = spec.layout();
    write(disk, &layout.superblock(), layout.params().data_offset * SECTOR)
}

/// All of [`seal`] but the superblock, which makes the rest a volume. For a device
/// where an interrupted run must not look like one: the caller makes this durable, and
/// writes [`Layout::superblock`] then.
///
/// # Errors
/// As [`seal`].
pub fn seal_content(
    spec: &VolumeSpec,
    key: &VolumeKey,
    data: &(impl ReadAt + ?Sized),
    data_bytes: u64,
    disk: &(impl WriteAt + ?Sized),
    random: &mut impl CryptoRngCore,
    options: &Options<'_>,
) -> Result<(), SealError> {
    let layout = spec.layout();
    let room = spec.tail_offset();
    if data_bytes > room {
        return Err(SealError::DataTooLarge { bytes: data_bytes, room });
    }
    let cipher = match SectorCipher::new(key) {
        Some(cipher) if key.cipher() == layout.params().cipher => cipher,
        _ => return Err(SealError::Key),
    };
    let mut seed = Zeroizing::new([0; 32]);
    random.try_fill_bytes(seed.as_mut()).map_err(|source| SealError::Random { source })?;
    let plain = Plain { data, data_bytes, room, tail: Zeroizing::new(spec.new_tail()) };
    let sealer = Sealer { layout, cipher, nonces: Nonces::new(&seed) };

    let section = journal::section_bytes(layout);
    for index in 0..layout.journal_sections() {
        let offset = layout.journal_offset() + u64::from(index) * section;
        write(disk, &journal::empty_section(layout, index), offset)?;
    }
    let outlet = Outlet::new(options.thread_count(), |piece: Piece, sealed: &Sealed| {
        write(disk, &sealed.data, layout.data_sector(piece.first) * SECTOR)?;
        write(disk, &sealed.metadata, layout.metadata_offset(piece.first))
    });
    disk_io::for_each(
        options.thread_count(),
        layout.pieces(),
        || (),
        |(), index| {
            let piece = layout.piece(index);
            let sealed = sealer.piece(piece, &plain, outlet.room(), options.progress)?;
            outlet.put(piece, sealed)
        },
    )
}

fn write(disk: &(impl WriteAt + ?Sized), bytes: &[u8], offset: u64) -> Result<(), SealError> {
    let len = bytes.len() as u64;
    disk.write_all_at(bytes, offset).map_err(|source| SealError::Write { offset, len, source })
}

/// The content of a volume.
struct Plain<'a, D: ?Sized> {
    data: &'a D,
    data_bytes: u64,
    /// Where the tail starts.
    room: u64,
    tail: Zeroizing<[u8; TAIL_SIZE]>,
}

impl<D: ReadAt + ?Sized> Plain<'_, D> {
    /// Fills `buffer` with the volume's bytes from `offset`.
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), SealError> {
        let from_data = self.data_bytes.saturating_sub(offset).min(buffer.len() as u64);
        let (data, rest) = buffer.split_at_mut(usize::try_from(from_data).unwrap_or(0));
        if !data.is_empty() {
            let len = data.len() as u64;
            self.data.read_exact_at(data, offset).map_err(|source| {
                if source.kind() == io::ErrorKind::UnexpectedEof {
                    SealError::Ended { offset, len }
                } else {
                    SealError::Read { offset, len, source }
                }
            })?;
        }
        rest.fill(0);
        let rest_offset = offset + from_data;
        let end = rest_offset + rest.len() as u64;
        if end > self.room {
            // A piece is larger than the tail, so both may start before the other.
            let skip = usize::try_from(self.room.saturating_sub(rest_offset)).unwrap_or(0);
            let from = usize::try_from(rest_offset.saturating_sub(self.room)).unwrap_or(0);
            let tail = self.tail.iter().skip(from);
            rest.iter_mut().skip(skip).zip(tail).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }
}

struct Sealer<'a> {
    layout: &'a Layout,
    cipher: SectorCipher,
    nonces: Nonces,
}

impl Sealer<'_> {
    /// A piece of the volume, in `room`. What is not sealed yet is wiped on an error.
    fn piece<D: ReadAt + ?Sized>(
        &self,
        piece: Piece,
        plain: &Plain<'_, D>,
        mut room: Sealed,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Sealed, SealError> {
        room.data.resize(piece.bytes(), 0);
        room.metadata.resize(piece.metadata_bytes(self.layout), 0);
        let params = self.layout.params();
        let (block, size) = (params.sector_size.to_usize(), params.cipher.metadata_size());
        let mut sector = piece.first;
        let steps = room.data.chunks_mut(STEP).zip(room.metadata.chunks_mut(STEP / block * size));
        for (data, metadata) in steps {
            let result = plain.read(data, sector * SECTOR);
            if result.is_err() {
                data.zeroize();
            }
            result?;
            for (data, metadata) in
                data.chunks_exact_mut(block).zip(metadata.chunks_exact_mut(size))
            {
                self.cipher.seal(sector, &self.nonces, data, metadata);
                sector += params.sector_size.sectors();
            }
            progress(data.len() as u64);
        }
        Ok(room)
    }
}

/// Why a volume was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The file system does not fit.
    #[error("{bytes} bytes of data do not fit into a volume with room for {room}")]
    DataTooLarge {
        /// The data.
        bytes: u64,
        /// The room.
        room: u64,
    },
    /// The key is another cipher's.
    #[error("the volume key is not of the volume's cipher")]
    Key,
    /// There are no random bytes.
    #[error("no random bytes for the volume's IVs")]
    Random {
        /// What the generator reports.
        source: rand_core::Error,
    },
    /// The data ends early.
    #[error("the data ends within the {len} bytes from {offset} on: it shrank while it was read")]
    Ended {
        /// The first of the bytes that were asked for.
        offset: u64,
        /// How many they were.
        len: u64,
    },
    /// The data cannot be read.
    #[error("cannot read {len} bytes at byte {offset} of the data")]
    Read {
        /// The first of the bytes that were asked for.
        offset: u64,
        /// How many they were.
        len: u64,
        /// What it reports.
        source: io::Error,
    },
    /// The disk cannot be written.
    #[error("cannot write {len} bytes at byte {offset} of the disk")]
    Write {
        /// The first of the bytes.
        offset: u64,
        /// How many they were.
        len: u64,
        /// What it reports.
        source: io::Error,
    },
}
