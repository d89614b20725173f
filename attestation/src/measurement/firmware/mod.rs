//! Firmware images: their pages, and what their tables say about the launch.
//!
//! **Threat.** An image comes from a package or a download, so every length and
//! offset in it is checked before use, and memory and work are bounded. An image
//! whose tables tools and hypervisors read differently (a repeated entry, a
//! CPUID section of two pages, an unaligned address) is refused rather than
//! measured one way.
//!
//! The pages are hashed once, when a [`Firmware`] is made; everything that is
//! measured with it afterwards starts from that digest.

mod error;
mod sections;
mod table;

use std::io::Read;

pub use error::FirmwareError;
pub use sections::{Section, SectionKind};

use self::table::Table;
use super::chain::{Chain, PAGE_LEN, page_digest};
use super::digest::LaunchDigest;
use super::parallel;

/// The largest image that is read, in bytes: 64 MiB. QEMU maps images so that
/// they end at 4 GiB; the largest in use have 16 MiB.
pub const MAX_IMAGE: usize = 64 << 20;

const MAX_SECTIONS: usize = 256;

/// 256 MiB; OVMF's sections cover less than 1 MiB.
const MAX_PAGES: u32 = 1 << 16;

const FOUR_GIB: u64 = 1 << 32;

/// Bytes of a padded SEV hash table: what QEMU wants the firmware to reserve.
const HASH_TABLE_SIZE: u32 = 176;

/// A firmware, ready to be measured with: the digest of its pages and what its
/// tables ask the hypervisor for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    pages: LaunchDigest,
    sections: Vec<Section>,
    reset_address: u32,
    hash_table: Option<u32>,
}

impl Firmware {
    /// Reads the tables of a complete image and hashes its pages, on several
    /// threads.
    ///
    /// # Errors
    /// If the image is not whole pages, too large, or its tables are missing or
    /// broken.
    pub fn new(image: &[u8]) -> Result<Self, FirmwareError> {
        if image.len() > MAX_IMAGE {
            return Err(FirmwareError::TooLarge);
        }
        if image.is_empty() || !image.len().is_multiple_of(PAGE_LEN) {
            return Err(FirmwareError::Length { length: image.len() });
        }
        // The tables first: a file that is no firmware costs no hashing.
        let firmware = Self::with_digest(image, LaunchDigest::START)?;
        Ok(Self { pages: pages_digest(image), ..firmware })
    }

    /// Reads a complete image, at most [`MAX_IMAGE`] bytes, to its end.
    ///
    /// # Errors
    /// As [`Firmware::new`], and if the reader fails.
    pub fn read(reader: impl Read) -> Result<Self, FirmwareError> {
        let mut image = Vec::new();
        let limit = u64::try_from(MAX_IMAGE).unwrap_or(u64::MAX).saturating_add(1);
        reader
            .take(limit)
            .read_to_end(&mut image)
            .map_err(|source| FirmwareError::Read { source })?;
        Self::new(&image)
    }

    /// A firmware whose pages were hashed before (by [`Firmware::digest`],
    /// `sev-snp-measure --mode snp:ovmf-hash` or `snpguest generate ovmf-hash`).
    /// `tail` is the image, or as much of its end as holds its tables; its
    /// bytes are *not* compared with the digest.
    ///
    /// # Errors
    /// If the tables are missing or broken.
    pub fn with_digest(tail: &[u8], pages: LaunchDigest) -> Result<Self, FirmwareError> {
        let table = Table::parse(tail)?;
        let offset =
            table.metadata_offset.ok_or(FirmwareError::NoEntry { entry: "SEV metadata" })?;
        let reset_address =
            table.reset_address.ok_or(FirmwareError::NoEntry { entry: "SEV-ES reset block" })?;
        if reset_address == 0 {
            return Err(FirmwareError::ResetAddress);
        }
        let sections = sections::parse(tail, offset)?;
        let hash_table =
            table.hash_table.filter(|(base, size)| *base != 0 && *size >= HASH_TABLE_SIZE);
        Ok(Self { pages, sections, reset_address, hash_table: hash_table.map(|(base, _)| base) })
    }

    /// The launch digest after the firmware's pages and before anything else:
    /// what other tools call the OVMF hash.
    #[must_use]
    pub const fn digest(&self) -> LaunchDigest {
        self.pages
    }

    /// The sections of the SEV metadata, in the order in which they are measured.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Where the vCPUs other than the first start: the base of CS in the upper
    /// 16 bits, IP in the lower. Not zero.
    #[must_use]
    pub const fn reset_address(&self) -> u32 {
        self.reset_address
    }

    /// Whether it checks a kernel, an initrd and a command line against hashes
    /// in the measurement: it has both a SEV hash table and a section for it.
    #[must_use]
    pub fn measures_kernel(&self) -> bool {
        self.hash_table.is_some() && self.has_hashes_section()
    }

    /// The guest-physical address of the kernel-hash table.
    pub(super) const fn hash_table(&self) -> Option<u32> {
        self.hash_table
    }

    pub(super) fn has_hashes_section(&self) -> bool {
        self.sections.iter().any(|section| section.kind() == SectionKind::KernelHashes)
    }
}

/// The launch digest of an image's pages, mapped so that it ends at 4 GiB.
fn pages_digest(image: &[u8]) -> LaunchDigest {
    let (pages, _) = image.as_chunks::<PAGE_LEN>();
    // Pieces of 256 KiB: some for every thread, and few to hand out.
    let pieces: Vec<_> = pages.chunks(64).collect();
    let digests = parallel::map(pieces.len(), |index| {
        let mut last = None;
        let mut digests = Vec::with_capacity(64);
        for page in pieces.get(index).copied().unwrap_or_default() {
            // Images are padded with long runs of equal pages.
            let digest = match last {
                Some((before, digest)) if before == page => digest,
                _ => page_digest(page),
            };
            last = Some((page, digest));
            digests.push(digest);
        }
        digests
    });
    let size = u64::try_from(image.len()).unwrap_or(FOUR_GIB);
    let mut gpa = FOUR_GIB.saturating_sub(size);
    let mut chain = Chain::from_digest(LaunchDigest::START);
    for digest in digests.iter().flatten() {
        chain.normal(gpa, digest);
        gpa = gpa.saturating_add(u64::from(super::chain::PAGE));
    }
    chain.digest()
}
