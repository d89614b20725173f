//! An RPM package (RPM's `docs/manual/format_v4`): a lead, two headers, and the files in a
//! packed newc archive. Numbers are big-endian.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 96 | lead, of which only the magic is read |
//! | 96 | | signatures: a header, filled up to a multiple of 8 |
//! | | | description: a header |
//! | | | packed archive |
//!
//! | header: offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | magic and version 1 |
//! | 4 | 4 | reserved |
//! | 8 | 4 | number of index entries of 16 bytes |
//! | 12 | 4 | bytes of the store, which follows the index |

use std::io::{BufReader, Read};

use super::{KernelFileError, unpack};
use crate::initramfs::{Kind, Limits, ReadError, Reader};

/// The first bytes of a package.
pub(super) const MAGIC: &[u8] = &[0xed, 0xab, 0xee, 0xdb];

const LEAD: usize = 96;
const HEADER_MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 1];

/// What is in a package at the most. (Fedora's kernels have 5000 files.)
const LIMITS: Limits = Limits { entries: 200_000, bytes: 8 << 30 };

/// The text of the configuration: `boot/config-*`, or `config` beside the modules.
pub(super) fn configuration(bytes: &[u8]) -> Result<Vec<u8>, KernelFileError> {
    let mut files = Files::open(bytes)?;
    while let Some(path) = files.next_file()? {
        let path = path.strip_prefix("usr/").unwrap_or(&path);
        let beside_modules = path.strip_prefix("lib/modules/").and_then(|p| p.split_once('/'));
        let named = path.strip_prefix("boot/config-").is_some_and(|name| !name.contains('/'));
        if named || beside_modules.is_some_and(|(_, name)| name == "config") {
            let limit = kernel_config::MAX_TEXT;
            let text = files.archive.content(limit)?;
            return text.ok_or(KernelFileError::Bomb { what: "configuration", limit });
        }
    }
    Err(KernelFileError::Package("it has no configuration (of Fedora's, kernel-core has)"))
}

/// A whole package.
pub(crate) struct Rpm(pub(super) Vec<u8>);

impl Rpm {
    pub(crate) fn files(&self) -> Result<Files<'_>, KernelFileError> {
        Files::open(&self.0)
    }
}

/// The regular files of a package, one after another.
pub(crate) struct Files<'a> {
    archive: Reader<BufReader<Box<dyn Read + 'a>>>,
}

impl<'a> Files<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, KernelFileError> {
        let failed = |source| KernelFileError::Unpack { what: "package's files", source };
        let packed = archive(bytes).ok_or(KernelFileError::Package("its headers end early"))?;
        let reader = BufReader::new(unpack::reader(packed).map_err(failed)?);
        Ok(Self { archive: Reader::with_limits(reader, LIMITS) })
    }

    /// The path of the next regular file: relative, and without `.` and `..`. Other names
    /// are passed over; no kernel's file has them.
    pub(crate) fn next_file(&mut self) -> Result<Option<String>, KernelFileError> {
        while let Some(entry) = self.archive.next_entry()? {
            let name = entry.name.strip_prefix(b"./").unwrap_or(&entry.name);
            let Ok(path) = std::str::from_utf8(name) else { continue };
            let clean = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
            if clean && entry.kind() == Kind::File {
                return Ok(Some(path.to_owned()));
            }
        }
        Ok(None)
    }
}

impl Read for Files<'_> {
    /// The content of the file that was named last.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.archive.read_content(buffer).map_err(std::io::Error::other)
    }
}

/// What follows the headers.
fn archive(bytes: &[u8]) -> Option<&[u8]> {
    let signatures = bytes.get(LEAD..)?;
    let description = signatures.get(header(signatures)?.checked_next_multiple_of(8)?..)?;
    description.get(header(description)?..)
}

/// The length of the header that begins here.
fn header(bytes: &[u8]) -> Option<usize> {
    let (head, _) = bytes.split_first_chunk::<16>()?;
    let [magic, _, entries, store] = head.as_chunks::<4>().0 else { return None };
    let number = |bytes: &[u8; 4]| usize::try_from(u32::from_be_bytes(*bytes)).ok();
    let index = number(entries)?.checked_mul(16)?;
    (*magic == HEADER_MAGIC).then_some(())?;
    index.checked_add(number(store)?)?.checked_add(16)
}

impl From<ReadError> for KernelFileError {
    fn from(error: ReadError) -> Self {
        let source = std::io::Error::other(error);
        KernelFileError::Unpack { what: "package's files", source }
    }
}
