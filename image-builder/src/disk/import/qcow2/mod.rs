//! qcow2 disk images, versions 2 and 3: read-only, and only what one file holds.
//!
//! Threat: the image is somebody else's. It names no other file that would be opened, its
//! tables are checked before they are followed (each table is somewhere in the file, once,
//! and no content lies in a table), and memory does not depend on what it claims: the L1
//! table is at most 32 MiB and no larger than the file, beside it are a few clusters of at
//! most 2 MiB. Reference counts say what a writer may reuse; a reader has no use for them,
//! and they are not read.
//!
//! Specification: QEMU's `docs/interop/qcow2.rst`.

mod compressed;
mod error;
mod header;
mod recent;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;

use verity::ReadAt;

pub use error::Qcow2Error;

use header::{ENTRY, HEAD, Header, MAGIC, overlap};
use recent::Recent;

/// Bits of an entry that hold an offset.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// Of an entry: the cluster has one reference. A reader has no use for it.
const COPIED: u64 = 1 << 63;
/// Of an L2 entry: the cluster is compressed.
const COMPRESSED: u64 = 1 << 62;
/// Of an L2 entry of version 3: the cluster is zeros.
const ZERO: u64 = 1;
/// Compressed clusters are counted in sectors of this many bytes.
const SECTOR: u64 = 512;
/// L2 tables, and unpacked clusters, that are kept.
const KEPT: usize = 8;

/// Whether a file that starts like this is a qcow image of some version.
pub(super) fn claims(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// A qcow2 image in `file`. Read at offsets of the disk.
pub struct Qcow2<T> {
    file: T,
    /// Bytes of the file.
    bytes: u64,
    header: Header,
    /// Offset of each L2 table; zero where there is none.
    l1: Vec<u64>,
    /// The same ones, sorted, without zeros.
    tables: Vec<u64>,
    /// L2 tables by their offset.
    l2: Recent<Vec<u64>>,
    /// Unpacked clusters by their L2 entry.
    unpacked: Recent<Vec<u8>>,
}

/// Where the content of a cluster is.
enum Cluster {
    Zeros,
    Stored { offset: u64 },
    Compressed { offset: u64, length: u64, entry: u64 },
}

impl<T: ReadAt> Qcow2<T> {
    /// Opens the image in a file of `bytes` bytes.
    ///
    /// # Errors
    /// [`Qcow2Error`] on what is damaged, and by name what is not supported.
    pub fn open(file: T, bytes: u64) -> Result<Self, Qcow2Error> {
        let mut head = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX).min(HEAD)];
        let failed = |offset| move |source| Qcow2Error::Read { offset, source };
        file.read_exact_at(&mut head, 0).map_err(failed(0))?;
        let header = Header::parse(&head, bytes)?;
        let length = header.l1.end.saturating_sub(header.l1.start);
        let mut table = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut table, header.l1.start).map_err(failed(header.l1.start))?;
        let (recent, unpacked) = (Recent::new(KEPT), Recent::new(KEPT));
        let mut image =
            Self { file, bytes, header, l1: Vec::new(), tables: Vec::new(), l2: recent, unpacked };
        image.check_l1(entries(&table))?;
        Ok(image)
    }

    /// Bytes of the disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.header.size
    }

    /// Takes the L1 table over: every L2 table is in the file, and nowhere twice.
    fn check_l1(&mut self, l1: Vec<u64>) -> Result<(), Qcow2Error> {
        let covered = self.cluster_bytes().saturating_mul(self.cluster_bytes() / ENTRY);
        let mut tables = Vec::new();
        for (number, entry) in (0_u64..).zip(&l1) {
            if entry & !(OFFSET | COPIED) != 0 {
                let (guest, entry) = (number.saturating_mul(covered), *entry);
                let problem = "reserved bits of an L1 entry are set";
                return Err(Qcow2Error::Entry { guest, entry, problem });
            }
            let offset = entry & OFFSET;
            if offset == 0 {
                continue;
            }
            let end = offset.checked_add(self.cluster_bytes()).filter(|end| *end <= self.bytes);
            let Some(end) = end.filter(|_| self.is_aligned(offset)) else {
                let (table, file) = ("L2 table", self.bytes);
                return Err(Qcow2Error::Table { table, offset, file });
            };
            if let Some(first) = self.fixed_table_in(&(offset..end)) {
                return Err(Qcow2Error::Overlap { first, second: "L2 table", offset });
            }
            tables.push(offset);
        }
        tables.sort_unstable();
        if let Some([offset, _]) = tables.array_windows().find(|[a, b]| a == b) {
            let (first, second) = ("L2 table", "L2 table");
            return Err(Qcow2Error::Overlap { first, second, offset: *offset });
        }
        self.l1 = l1.into_iter().map(|entry| entry & OFFSET).collect();
        self.tables = tables;
        Ok(())
    }

    fn cluster_bytes(&self) -> u64 {
        1 << self.header.cluster_bits
    }

    fn is_aligned(&self, offset: u64) -> bool {
        offset.is_multiple_of(self.cluster_bytes())
    }

    /// Which of the tables that the header names, or the header, lies in a range.
    fn fixed_table_in(&self, range: &Range<u64>) -> Option<&'static str> {
        let header = 0..self.cluster_bytes();
        let tables = [
            ("header", &header),
            ("L1 table", &self.header.l1),
            ("refcount table", &self.header.refcounts),
        ];
        tables.into_iter().find(|(_, table)| overlap(range, table)).map(|(name, _)| name)
    }

    /// Whether content would lie in a table.
    fn in_a_table(&self, range: &Range<u64>) -> bool {
        let first = range.start & !self.cluster_bytes().saturating_sub(1);
        let next = self.tables.partition_point(|table| *table < first);
        let l2 = self.tables.get(next).is_some_and(|table| *table < range.end);
        l2 || self.fixed_table_in(range).is_some()
    }

    /// Which entry of the L1 table, and of its L2 table, is for a byte of the disk.
    fn indices(&self, guest: u64) -> (usize, usize) {
        let cluster = guest >> self.header.cluster_bits;
        let entries = self.cluster_bytes() / ENTRY;
        let index = |number| usize::try_from(number).unwrap_or(usize::MAX);
        (index(cluster / entries), index(cluster % entries))
    }

    /// Where the content of the cluster with byte `guest` of the disk is.
    fn cluster(&self, guest: u64) -> Result<Cluster, Qcow2Error> {
        let (first, second) = self.indices(guest);
        let table = self.l1.get(first).copied().unwrap_or(0);
        if table == 0 {
            return Ok(Cluster::Zeros);
        }
        let l2 = self.l2.get_or(table, || {
            let mut bytes = vec![0; usize::try_from(self.cluster_bytes()).unwrap_or(usize::MAX)];
            let failed = |source| Qcow2Error::Read { offset: table, source };
            self.file.read_exact_at(&mut bytes, table).map_err(failed)?;
            Ok(entries(&bytes))
        })?;
        self.decode(guest, l2.get(second).copied().unwrap_or(0))
    }

    fn decode(&self, guest: u64, entry: u64) -> Result<Cluster, Qcow2Error> {
        let refused = |problem| Err(Qcow2Error::Entry { guest, entry, problem });
        if entry & COMPRESSED != 0 {
            // The offset has this many bits, what is above counts sectors.
            let bits = 62_u32.saturating_sub(self.header.cluster_bits.saturating_sub(8));
            let entry = entry & !(COMPRESSED | COPIED);
            let offset = entry & (1_u64 << bits).wrapping_sub(1);
            let sectors = (entry >> bits).saturating_add(1);
            let length = sectors.saturating_mul(SECTOR).saturating_sub(offset % SECTOR);
            // The last sector of a file need not be whole.
            let length = length.min(self.bytes.saturating_sub(offset));
            if length == 0 {
                return refused("a compressed cluster is behind the end of the file");
            }
            if self.in_a_table(&(offset..offset.saturating_add(length))) {
                return refused("a compressed cluster lies in a table");
            }
            return Ok(Cluster::Compressed { offset, length, entry });
        }
        let zero = if self.header.has_zero_flag { ZERO } else { 0 };
        if entry & !(OFFSET | COPIED | zero) != 0 {
            return refused("reserved bits of an L2 entry are set");
        }
        let offset = entry & OFFSET;
        if !self.is_aligned(offset) {
            return refused("a cluster is not at the start of one");
        }
        if entry & zero != 0 || offset == 0 {
            return Ok(Cluster::Zeros);
        }
        if offset >= self.bytes {
            return refused("a cluster is behind the end of the file");
        }
        if self.in_a_table(&(offset..offset.saturating_add(self.cluster_bytes()))) {
            return refused("a cluster lies in a table: the tables form a loop, or overlap");
        }
        Ok(Cluster::Stored { offset })
    }

    /// Fills `buf` from byte `guest` of the disk on, all of it in one cluster.
    fn read_in_cluster(&self, buf: &mut [u8], guest: u64) -> Result<(), Qcow2Error> {
        let within = guest % self.cluster_bytes();
        match self.cluster(guest)? {
            Cluster::Zeros => buf.fill(0),
            Cluster::Stored { offset } => {
                // The last cluster of a file need not be whole: the rest is zeros.
                let start = offset.saturating_add(within);
                let there = self.bytes.saturating_sub(start);
                let there = usize::try_from(there).unwrap_or(usize::MAX).min(buf.len());
                let (stored, rest) = buf.split_at_mut(there);
                let failed = |source| Qcow2Error::Read { offset: start, source };
                self.file.read_exact_at(stored, start).map_err(failed)?;
                rest.fill(0);
            }
            Cluster::Compressed { offset, length, entry } => {
                let cluster = self.unpacked.get_or(entry, || self.unpack(guest, offset, length))?;
                let start = usize::try_from(within).unwrap_or(usize::MAX);
                let content = cluster.get(start..).unwrap_or_default();
                buf.iter_mut().zip(content).for_each(|(to, from)| *to = *from);
            }
        }
        Ok(())
    }

    fn unpack(&self, guest: u64, offset: u64, length: u64) -> Result<Vec<u8>, Qcow2Error> {
        let size = usize::try_from(self.cluster_bytes()).unwrap_or(usize::MAX);
        // An entry cannot say more than two clusters.
        let mut packed = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let failed = |source| Qcow2Error::Read { offset, source };
        self.file.read_exact_at(&mut packed, offset).map_err(failed)?;
        let mut cluster = vec![0; size];
        compressed::unpack(self.header.compression, &packed, &mut cluster)
            .map_err(|source| Qcow2Error::Unpack { guest, source })?;
        Ok(cluster)
    }

    /// The first byte from `start` on that is in a cluster with content, below `end`. What
    /// is before it reads as zeros.
    ///
    /// # Errors
    /// [`Qcow2Error`] on a table that is damaged.
    pub fn next_content(&self, start: u64, end: u64) -> Result<Option<u64>, Qcow2Error> {
        let mut at = start;
        let end = end.min(self.size());
        while at < end {
            let (first, _) = self.indices(at);
            let step = if self.l1.get(first).is_none_or(|table| *table == 0) {
                self.cluster_bytes().saturating_mul(self.cluster_bytes() / ENTRY)
            } else if let Cluster::Zeros = self.cluster(at)? {
                self.cluster_bytes()
            } else {
                return Ok(Some(at));
            };
            at = (at / step).saturating_add(1).saturating_mul(step);
        }
        Ok(None)
    }
}

impl<T: ReadAt> ReadAt for Qcow2<T> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = u64::try_from(buf.len()).ok().and_then(|length| offset.checked_add(length));
        if end.is_none_or(|end| end > self.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let left = self.cluster_bytes().saturating_sub(at % self.cluster_bytes());
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let (piece, after) = rest.split_at_mut(count);
            self.read_in_cluster(piece, at)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            at = at.saturating_add(u64::try_from(count).unwrap_or(0));
            rest = after;
        }
        Ok(())
    }
}

fn entries(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect()
}
