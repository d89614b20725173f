//! The binary header: 4096 bytes before the JSON, twice.
//!
//! Its checksum is a plain hash, which anybody can compute: it finds damage, not an
//! attack.
//!
//! Specification: LUKS2 On-Disk Format 1.1.3, chapter 2.1. Integers big-endian:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 6 | `LUKS\xba\xbe`, in the second copy `SKUL\xba\xbe` |
//! | 6 | 2 | version, 2 |
//! | 8 | 8 | size with the JSON, 16384 here |
//! | 16 | 8 | sequence number |
//! | 24 | 48 | label |
//! | 72 | 32 | checksum algorithm, `sha256` here |
//! | 104 | 64 | salt |
//! | 168 | 40 | UUID, as text |
//! | 208 | 48 | subsystem, empty here |
//! | 256 | 8 | offset of this copy, bytes |
//! | 264 | 184 | zeros |
//! | 448 | 64 | SHA-256 of the copy, with this field zero; then zeros |
//! | 512 | 3584 | zeros |

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{COPY_SIZE, Copy, HeaderError, JSON_SIZE};

const BINARY_SIZE: usize = COPY_SIZE - JSON_SIZE;
const CHECKSUM: std::ops::Range<usize> = 448..480;
const ALGORITHM: &[u8] = b"sha256";

/// The fields that Ravelin looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binary {
    pub(super) sequence: u64,
    pub(super) label: String,
    pub(super) uuid: Uuid,
}

fn magic(copy: Copy) -> &'static [u8; 6] {
    match copy {
        Copy::Primary => b"LUKS\xba\xbe",
        Copy::Secondary => b"SKUL\xba\xbe",
    }
}

fn offset(copy: Copy) -> u64 {
    match copy {
        Copy::Primary => 0,
        Copy::Secondary => COPY_SIZE as u64,
    }
}

/// Reads one copy, `bytes`, and returns its binary part and its JSON area.
pub(super) fn parse(bytes: &[u8; COPY_SIZE], copy: Copy) -> Result<(Binary, &[u8]), HeaderError> {
    let invalid = |field| HeaderError::Binary { copy, field };
    let mut rest = bytes.as_slice();
    let mut take = |size: usize| {
        let (field, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        field
    };
    if take(6) != magic(copy) {
        return Err(HeaderError::Magic { copy });
    }
    if take(2) != 2_u16.to_be_bytes() {
        return Err(invalid("version"));
    }
    if take(8) != (COPY_SIZE as u64).to_be_bytes() {
        return Err(invalid("size"));
    }
    let sequence = take(8).try_into().map(u64::from_be_bytes).unwrap_or_default();
    let label = text(take(48)).ok_or(invalid("label"))?.to_owned();
    if text(take(32)).map(str::as_bytes) != Some(ALGORITHM) {
        return Err(invalid("checksum algorithm"));
    }
    take(64);
    let uuid = text(take(40)).and_then(|text| {
        let uuid = Uuid::try_parse(text).ok()?;
        (uuid.to_string() == text).then_some(uuid)
    });
    let uuid = uuid.ok_or(invalid("UUID"))?;
    if text(take(48)) != Some("") {
        return Err(HeaderError::Subsystem);
    }
    if take(8) != offset(copy).to_be_bytes() {
        return Err(invalid("offset"));
    }
    let padding = [
        take(184),
        {
            take(32);
            take(32)
        },
        take(BINARY_SIZE - 512),
    ];
    if padding.into_iter().flatten().any(|byte| *byte != 0) {
        return Err(invalid("reserved bytes"));
    }
    if bytes.get(CHECKSUM) != Some(checksum(bytes).as_slice()) {
        return Err(HeaderError::Checksum { copy });
    }
    Ok((Binary { sequence, label, uuid }, bytes.split_at(BINARY_SIZE).1))
}

/// Makes one copy, with this JSON.
pub(super) fn make(binary: &Binary, copy: Copy, salt: &[u8; 64], json: &[u8]) -> [u8; COPY_SIZE] {
    let uuid = binary.uuid.to_string();
    let fields: [(usize, &[u8]); 12] = [
        (6, magic(copy)),
        (2, &2_u16.to_be_bytes()),
        (8, &(COPY_SIZE as u64).to_be_bytes()),
        (8, &binary.sequence.to_be_bytes()),
        (48, binary.label.as_bytes()),
        (32, ALGORITHM),
        (64, salt),
        (40, uuid.as_bytes()),
        (48, &[]),
        (8, &offset(copy).to_be_bytes()),
        (BINARY_SIZE - 264, &[]),
        (JSON_SIZE, json),
    ];
    let mut bytes = [0; COPY_SIZE];
    let mut rest = bytes.as_mut_slice();
    for (size, value) in fields {
        let (field, after) = rest.split_at_mut(size);
        field.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
        rest = after;
    }
    let checksum = checksum(&bytes);
    bytes.iter_mut().skip(CHECKSUM.start).zip(checksum).for_each(|(to, from)| *to = from);
    bytes
}

fn checksum(bytes: &[u8; COPY_SIZE]) -> [u8; 32] {
    let (before, rest) = bytes.split_at(CHECKSUM.start);
    let after = rest.split_at(64).1;
    Sha256::new().chain_update(before).chain_update([0; 64]).chain_update(after).finalize().into()
}

/// Text that is padded with zeros, and has none inside.
fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|byte| *byte == 0)?;
    let (text, padding) = field.split_at(end);
    let text = std::str::from_utf8(text).ok()?;
    (padding.iter().all(|byte| *byte == 0) && !text.contains(char::is_control)).then_some(text)
}
