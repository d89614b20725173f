//! The SEV metadata: which guest pages the hypervisor adds at launch besides the
//! firmware, and as what.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0x00 | 4 | `ASEV` |
//! | 0x04 | 4 | length in bytes, with this header |
//! | 0x08 | 4 | version: 1 |
//! | 0x0c | 4 | number of sections |
//! | 0x10 | 12 each | guest-physical address, size in bytes, type |
//!
//! All little-endian. The sections are measured in the order in which they
//! stand here, which differs between builds. Source: edk2
//! `OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm`, and QEMU's
//! `target/i386/sev.c`.

use super::super::chain::PAGE;
use super::{FirmwareError, MAX_PAGES, MAX_SECTIONS};

const SIGNATURE: [u8; 4] = *b"ASEV";
const HEADER: u32 = 16;
const DESCRIPTOR: u32 = 12;

/// What a section is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SectionKind {
    /// Memory that is accepted before the firmware runs: zero pages.
    SecureMemory,
    /// The page in which the secure processor puts the guest's keys.
    Secrets,
    /// The page of CPUID values, checked by the secure processor.
    Cpuid,
    /// The calling area of a service module (SVSM): zero pages.
    CallingArea,
    /// The page with the hashes of kernel, initrd and command line.
    KernelHashes,
}

impl SectionKind {
    fn from_type(value: u32) -> Option<Self> {
        match value {
            1 => Some(Self::SecureMemory),
            2 => Some(Self::Secrets),
            3 => Some(Self::Cpuid),
            4 => Some(Self::CallingArea),
            0x10 => Some(Self::KernelHashes),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::SecureMemory => "secure memory",
            Self::Secrets => "secrets page",
            Self::Cpuid => "CPUID page",
            Self::CallingArea => "SVSM calling area",
            Self::KernelHashes => "kernel hashes",
        }
    }

    /// Whether it must be one page: the structure in it has one, and tools
    /// differ about what follows.
    const fn is_one_page(self) -> bool {
        matches!(self, Self::Secrets | Self::Cpuid | Self::KernelHashes)
    }
}

/// One section of the SEV metadata: whole pages below 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Section {
    kind: SectionKind,
    gpa: u32,
    pages: u32,
}

impl Section {
    /// What it is for.
    #[must_use]
    pub const fn kind(&self) -> SectionKind {
        self.kind
    }

    /// Its guest-physical address in bytes, a multiple of 4096.
    #[must_use]
    pub const fn gpa(&self) -> u32 {
        self.gpa
    }

    /// Its size in pages of 4096 bytes, at least 1.
    #[must_use]
    pub const fn pages(&self) -> u32 {
        self.pages
    }

    fn new(index: usize, [gpa, size, value]: [u32; 3]) -> Result<Self, FirmwareError> {
        let kind =
            SectionKind::from_type(value).ok_or(FirmwareError::SectionType { index, value })?;
        let rule = if !gpa.is_multiple_of(PAGE) {
            Some("page-aligned")
        } else if size == 0 || !size.is_multiple_of(PAGE) {
            Some("one or more whole pages")
        } else if kind.is_one_page() && size != PAGE {
            Some("exactly one page")
        } else if gpa.checked_add(size - 1).is_none() {
            Some("below 4 GiB")
        } else {
            None
        };
        match rule {
            None => Ok(Self { kind, gpa, pages: size / PAGE }),
            Some(rule) => {
                Err(FirmwareError::SectionRange { index, kind: kind.name(), gpa, size, rule })
            }
        }
    }
}

/// The sections of the metadata that begins `offset` bytes before the end of
/// `image`, in their order.
pub(super) fn parse(image: &[u8], offset: u32) -> Result<Vec<Section>, FirmwareError> {
    let metadata = usize::try_from(offset)
        .ok()
        .and_then(|offset| image.len().checked_sub(offset))
        .and_then(|start| image.get(start..))
        .ok_or(FirmwareError::MetadataOffset { offset })?;
    let (signature, rest) =
        metadata.split_first_chunk::<4>().ok_or(FirmwareError::MetadataOffset { offset })?;
    if *signature != SIGNATURE {
        return Err(FirmwareError::MetadataSignature);
    }
    let ([length, version, count], rest) =
        words(rest).ok_or(FirmwareError::MetadataOffset { offset })?;
    if version != 1 {
        return Err(FirmwareError::MetadataVersion { version });
    }
    let sections_count = usize::try_from(count).unwrap_or(usize::MAX);
    if sections_count > MAX_SECTIONS {
        return Err(FirmwareError::TooManySections { sections: count });
    }
    let mismatch = || FirmwareError::MetadataLength { length, sections: count };
    if length > offset || length < HEADER + count * DESCRIPTOR {
        return Err(mismatch());
    }
    let mut sections = Vec::with_capacity(sections_count);
    let mut pages = 0_u32;
    let mut rest = rest;
    for index in 0..sections_count {
        let (descriptor, next) = words(rest).ok_or_else(mismatch)?;
        let section = Section::new(index, descriptor)?;
        pages = pages.saturating_add(section.pages);
        if pages > MAX_PAGES {
            return Err(FirmwareError::TooManyPages);
        }
        sections.push(section);
        rest = next;
    }
    Ok(sections)
}

/// Three little-endian words and what follows them.
fn words(data: &[u8]) -> Option<([u32; 3], &[u8])> {
    let (first, data) = data.split_first_chunk::<4>()?;
    let (second, data) = data.split_first_chunk::<4>()?;
    let (third, data) = data.split_first_chunk::<4>()?;
    Some(([first, second, third].map(|word| u32::from_le_bytes(*word)), data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(version: u32, sections: &[[u32; 3]]) -> Vec<u8> {
        let count = u32::try_from(sections.len()).unwrap();
        let mut bytes = SIGNATURE.to_vec();
        for word in [HEADER + count * DESCRIPTOR, version, count] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        for word in sections.iter().flatten() {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn parse_all(bytes: &[u8]) -> Result<Vec<Section>, FirmwareError> {
        parse(bytes, u32::try_from(bytes.len()).unwrap())
    }

    #[test]
    fn order_is_kept() {
        let sections = [
            [0x81_1000, 0x1_f000, 1],
            [0x81_0000, 0x1000, 0x10],
            [0x80_d000, 0x1000, 2],
            [0x80_e000, 0x1000, 3],
            [0x80_f000, 0x1000, 4],
        ];
        let parsed = parse_all(&metadata(1, &sections)).unwrap();
        let found: Vec<_> = parsed.iter().map(|s| (s.gpa(), s.pages(), s.kind())).collect();
        assert_eq!(
            found,
            [
                (0x81_1000, 31, SectionKind::SecureMemory),
                (0x81_0000, 1, SectionKind::KernelHashes),
                (0x80_d000, 1, SectionKind::Secrets),
                (0x80_e000, 1, SectionKind::Cpuid),
                (0x80_f000, 1, SectionKind::CallingArea),
            ]
        );
    }

    #[test]
    fn hostile_metadata_has_typed_errors() {
        let one = |section| parse_all(&metadata(1, &[section])).unwrap_err();
        assert!(matches!(one([0, 0x1000, 5]), FirmwareError::SectionType { index: 0, value: 5 }));
        let rule = |section| {
            let FirmwareError::SectionRange { rule, .. } = one(section) else {
                panic!("another error for {section:x?}")
            };
            rule
        };
        assert_eq!(rule([1, 0x1000, 1]), "page-aligned");
        assert_eq!(rule([0, 0, 1]), "one or more whole pages");
        assert_eq!(rule([0, 0x1001, 1]), "one or more whole pages");
        assert_eq!(rule([0, 0x2000, 2]), "exactly one page");
        assert_eq!(rule([0, 0x2000, 0x10]), "exactly one page");
        assert_eq!(rule([0xffff_f000, 0x2000, 1]), "below 4 GiB");
        assert!(parse_all(&metadata(1, &[[0xffff_f000, 0x1000, 1]])).is_ok());

        assert!(parse_all(&metadata(1, &[[0, 0x0800_0000, 1]; 2])).is_ok());
        let many =
            parse_all(&metadata(1, &[[0, 0x0800_0000, 1], [0, 0x0800_1000, 1]])).unwrap_err();
        assert!(matches!(many, FirmwareError::TooManyPages));
        let many = parse_all(&metadata(1, &[[0, 0xffff_f000, 1]])).unwrap_err();
        assert!(matches!(many, FirmwareError::TooManyPages));
        let many = parse_all(&metadata(1, &vec![[0, 0x1000, 1]; 257])).unwrap_err();
        assert!(matches!(many, FirmwareError::TooManySections { sections: 257 }));
        assert!(matches!(
            parse_all(&metadata(2, &[])),
            Err(FirmwareError::MetadataVersion { version: 2 })
        ));
        assert!(matches!(
            parse_all(b"NOPE0000000000000000"),
            Err(FirmwareError::MetadataSignature)
        ));
        assert!(matches!(parse(&[0; 8], 9), Err(FirmwareError::MetadataOffset { offset: 9 })));
        assert!(matches!(parse(b"ASEV", 4), Err(FirmwareError::MetadataOffset { offset: 4 })));
        let mut short = metadata(1, &[[0, 0x1000, 1]]);
        short[4] = 27;
        assert!(matches!(parse_all(&short), Err(FirmwareError::MetadataLength { .. })));
        let mut long = metadata(1, &[[0, 0x1000, 1]]);
        long[4] = 29;
        assert!(matches!(parse_all(&long), Err(FirmwareError::MetadataLength { .. })));
        let mut count = metadata(1, &[[0, 0x1000, 1]]);
        count[12] = 2;
        assert!(matches!(parse_all(&count), Err(FirmwareError::MetadataLength { .. })));
        count[12..16].copy_from_slice(&[0xff; 4]);
        assert!(matches!(parse_all(&count), Err(FirmwareError::TooManySections { .. })));
    }
}
