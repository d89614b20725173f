//! The certificate table of an extended report: `auxblob` of configfs-tsm, the
//! second buffer of SNP_GET_EXT_REPORT.
//!
//! GHCB specification (56421) revision 2.03, section 4.1.8.1: entries of 24
//! bytes, ended by one of zeros, then the certificates.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 16 | GUID, in the order in which it is written (RFC 4122) |
//! | 16 | 4 | offset of the certificate from the table's start, little-endian |
//! | 20 | 4 | its length, little-endian |
//!
//! The host wrote all of it. Certificates are DER; some hosts store PEM.

use std::fmt;

use super::crl::Crl;
use super::error::CertificateError;
use super::x509::Certificate;

/// The kernel passes at most 16 KiB; a file may be somewhat larger.
const LIMIT: usize = 64 * 1024;
/// More entries than kinds of certificates exist.
const ENTRIES: usize = 32;
const ENTRY: usize = 24;

/// What an entry of the table holds, by its GUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// c0b406a4-a803-4952-9743-3fb6014cd0ae.
    Ark,
    /// 4ab7b379-bbac-4fe4-a02f-05aef327c782; holds an ASVK where a VLEK signs.
    Ask,
    /// 63da758d-e664-4564-adc5-f4b93be8accd.
    Vcek,
    /// a8074bc2-a25a-483e-aae6-39c045a0b8a1.
    Vlek,
    /// 92f81bc3-5811-4d3d-97ff-d19f88dc67ea.
    Crl,
    /// Anything else.
    Other([u8; 16]),
}

impl EntryKind {
    /// The kind with this GUID.
    #[must_use]
    pub const fn from_guid(guid: [u8; 16]) -> Self {
        match u128::from_be_bytes(guid) {
            0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae => Self::Ark,
            0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782 => Self::Ask,
            0x63da_758d_e664_4564_adc5_f4b9_3be8_accd => Self::Vcek,
            0xa807_4bc2_a25a_483e_aae6_39c0_45a0_b8a1 => Self::Vlek,
            0x92f8_1bc3_5811_4d3d_97ff_d19f_88dc_67ea => Self::Crl,
            _ => Self::Other(guid),
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ark => f.write_str("ARK"),
            Self::Ask => f.write_str("ASK"),
            Self::Vcek => f.write_str("VCEK"),
            Self::Vlek => f.write_str("VLEK"),
            Self::Crl => f.write_str("CRL"),
            Self::Other(guid) => write!(f, "entry {}", hex::encode(guid)),
        }
    }
}

/// One entry: its kind and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the GUID says it is.
    pub kind: EntryKind,
    /// The certificate, not parsed.
    pub bytes: Vec<u8>,
}

/// A certificate table. Nothing in it is authenticated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateTable {
    entries: Vec<Entry>,
}

impl CertificateTable {
    /// Reads a table. An empty slice, and one of zeros, is an empty table:
    /// the host gave no certificates.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        if bytes.len() > LIMIT {
            return Err(TableError::TooLarge { found: bytes.len(), limit: LIMIT });
        }
        let mut heads = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (head, after) =
                rest.split_first_chunk::<ENTRY>().ok_or(TableError::NotTerminated)?;
            rest = after;
            if head.iter().all(|byte| *byte == 0) {
                break;
            }
            if heads.len() == ENTRIES {
                return Err(TableError::TooManyEntries { limit: ENTRIES });
            }
            heads.push(Head::read(head));
            if rest.is_empty() {
                return Err(TableError::NotTerminated);
            }
        }
        let start = (heads.len() + 1) * ENTRY;
        let mut entries: Vec<Entry> = Vec::with_capacity(heads.len());
        for Head { kind, offset, length } in heads {
            let outside = TableError::Outside { kind, offset, length, size: bytes.len() };
            let end = offset.checked_add(length).filter(|_| offset >= start && length > 0);
            let Some(found) = end.and_then(|end| bytes.get(offset..end)) else {
                return Err(outside);
            };
            if entries.iter().any(|entry| entry.kind == kind) {
                return Err(TableError::Duplicate { kind });
            }
            entries.push(Entry { kind, bytes: found.to_vec() });
        }
        Ok(Self { entries })
    }

    /// All entries, in the table's order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The certificate of one kind, if the table has it.
    ///
    /// # Errors
    ///
    /// [`TableError::Certificate`] if it does not parse.
    pub fn certificate(&self, kind: EntryKind) -> Result<Option<Certificate>, TableError> {
        let Some(entry) = self.entries.iter().find(|entry| entry.kind == kind) else {
            return Ok(None);
        };
        let parsed = Certificate::load(&entry.bytes);
        parsed.map(Some).map_err(|source| TableError::Certificate { kind, source })
    }

    /// The revocation list, if the table has one.
    ///
    /// # Errors
    ///
    /// [`TableError::Certificate`] if it does not parse.
    pub fn crl(&self) -> Result<Option<Crl>, TableError> {
        let kind = EntryKind::Crl;
        let Some(entry) = self.entries.iter().find(|entry| entry.kind == kind) else {
            return Ok(None);
        };
        Crl::load(&entry.bytes).map(Some).map_err(|source| TableError::Certificate { kind, source })
    }
}

struct Head {
    kind: EntryKind,
    offset: usize,
    length: usize,
}

impl Head {
    fn read(head: &[u8; ENTRY]) -> Self {
        let guid = head.first_chunk().copied().unwrap_or_default();
        let number = |at: usize| {
            let bytes = head.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
            usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
        };
        Self { kind: EntryKind::from_guid(guid), offset: number(16), length: number(20) }
    }
}

/// Why bytes are no certificate table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// Too many bytes.
    #[error("a certificate table of {found} bytes is too large; at most {limit} are read")]
    TooLarge {
        /// Bytes given.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The entries end without the one of zeros.
    #[error("the certificate table's entries are not terminated")]
    NotTerminated,
    /// Too many entries.
    #[error("the certificate table has more than {limit} entries")]
    TooManyEntries {
        /// Entries allowed.
        limit: usize,
    },
    /// An entry that points outside of the table's certificates.
    #[error(
        "the certificate table's {kind} is at {offset} with {length} bytes, outside of the \
         certificates in the table's {size} bytes"
    )]
    Outside {
        /// Which entry.
        kind: EntryKind,
        /// Its offset.
        offset: usize,
        /// Its length.
        length: usize,
        /// The table's length.
        size: usize,
    },
    /// Two entries of one kind.
    #[error("the certificate table has two entries of the kind {kind}")]
    Duplicate {
        /// Which kind.
        kind: EntryKind,
    },
    /// An entry that is no certificate or list.
    #[error("the certificate table's {kind} is unusable")]
    Certificate {
        /// Which entry.
        kind: EntryKind,
        /// Why.
        #[source]
        source: CertificateError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARK: u128 = 0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae;
    const VCEK: u128 = 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd;

    fn head(guid: u128, offset: u32, length: u32) -> Vec<u8> {
        [guid.to_be_bytes().as_slice(), &offset.to_le_bytes(), &length.to_le_bytes()].concat()
    }

    fn table(heads: &[(u128, u32, u32)], tail: &[u8]) -> Vec<u8> {
        let mut out: Vec<u8> = heads.iter().flat_map(|(g, o, l)| head(*g, *o, *l)).collect();
        out.extend([0; ENTRY]);
        out.extend(tail);
        out
    }

    #[test]
    fn reads_entries() {
        let bytes = table(&[(VCEK, 96, 2), (ARK, 98, 1), (7, 96, 3)], b"abc\0\0");
        let parsed = CertificateTable::parse(&bytes).unwrap();
        let kinds: Vec<_> = parsed.entries().iter().map(|entry| entry.kind).collect();
        let other = EntryKind::Other(7_u128.to_be_bytes());
        assert_eq!(kinds, [EntryKind::Vcek, EntryKind::Ark, other]);
        assert_eq!(parsed.entries()[0].bytes, b"ab");
        assert_eq!(parsed.entries()[1].bytes, b"c");
        assert!(parsed.certificate(EntryKind::Ask).unwrap().is_none());
        assert!(parsed.certificate(EntryKind::Ark).is_err());
        assert!(parsed.crl().unwrap().is_none());
        assert_eq!(CertificateTable::parse(&[]).unwrap().entries(), []);
        assert_eq!(CertificateTable::parse(&[0; 4096]).unwrap().entries(), []);
    }

    #[test]
    fn refuses_damage() {
        let outside = |offset, length| table(&[(VCEK, offset, length)], &[1; 8]);
        for bytes in [
            outside(0, 8),
            outside(47, 8),
            outside(48, 9),
            outside(56, 1),
            outside(48, 0),
            outside(u32::MAX, u32::MAX),
            outside(48, u32::MAX),
        ] {
            let error = CertificateTable::parse(&bytes).unwrap_err();
            assert!(matches!(error, TableError::Outside { .. }), "{error}");
        }
        let error = |bytes: &[u8]| CertificateTable::parse(bytes).unwrap_err();
        let twice = table(&[(VCEK, 72, 1), (VCEK, 73, 1)], b"ab");
        assert!(matches!(error(&twice), TableError::Duplicate { kind: EntryKind::Vcek }));
        assert!(matches!(error(&head(VCEK, 24, 1)), TableError::NotTerminated));
        assert!(matches!(error(&[1; 10]), TableError::NotTerminated));
        let many: Vec<_> = (1..=33).map(|guid| (guid, 2000, 1)).collect();
        assert!(matches!(error(&table(&many, &[1; 4000])), TableError::TooManyEntries { .. }));
        assert!(matches!(error(&vec![1; LIMIT + 1]), TableError::TooLarge { .. }));
    }
}
