//! SNPGuard's `report.json`: what its `verify_report` reads.
//!
//! The form is serde's of the structure in the `sev` crate 4.0.0: one object
//! whose members stand in the order of the report's bytes and cover them all,
//! with byte arrays as arrays of integers. So the writer is a table that walks
//! over the report (AMD 56860, section 7.3).

use std::fmt::Write as _;

use protocol::responder::REPORT;

/// One member of the object.
enum Member {
    /// A little-endian integer of this many bytes.
    Integer(&'static str, usize),
    /// An array of this many bytes.
    Bytes(&'static str, usize),
    /// A TCB version, in the layout of Milan and Genoa, the only one that
    /// SNPGuard knows.
    Tcb(&'static str),
}

use Member::{Bytes, Integer, Tcb};

/// The members before the signature.
const MEMBERS: [Member; 32] = [
    Integer("version", 4),
    Integer("guest_svn", 4),
    Integer("policy", 8),
    Bytes("family_id", 16),
    Bytes("image_id", 16),
    Integer("vmpl", 4),
    Integer("sig_algo", 4),
    Tcb("current_tcb"),
    Integer("plat_info", 8),
    Integer("_author_key_en", 4),
    Integer("_reserved_0", 4),
    Bytes("report_data", 64),
    Bytes("measurement", 48),
    Bytes("host_data", 32),
    Bytes("id_key_digest", 48),
    Bytes("author_key_digest", 48),
    Bytes("report_id", 32),
    Bytes("report_id_ma", 32),
    Tcb("reported_tcb"),
    Bytes("_reserved_1", 24),
    Bytes("chip_id", 64),
    Tcb("committed_tcb"),
    Integer("current_build", 1),
    Integer("current_minor", 1),
    Integer("current_major", 1),
    Integer("_reserved_2", 1),
    Integer("committed_build", 1),
    Integer("committed_minor", 1),
    Integer("committed_major", 1),
    Integer("_reserved_3", 1),
    Tcb("launch_tcb"),
    Bytes("_reserved_4", 168),
];

/// The members of the signature.
const SIGNATURE: [Member; 3] = [Bytes("r", 72), Bytes("s", 72), Bytes("_reserved", 368)];

/// The members of a TCB version.
const TCB: [Member; 5] = [
    Integer("bootloader", 1),
    Integer("tee", 1),
    Bytes("_reserved", 4),
    Integer("snp", 1),
    Integer("microcode", 1),
];

/// The report as SNPGuard writes it.
#[must_use]
pub fn json(report: &[u8; REPORT]) -> String {
    let mut rest = report.as_slice();
    let mut text = object(&MEMBERS, &mut rest);
    text.pop();
    text.push_str(",\"signature\":");
    text.push_str(&object(&SIGNATURE, &mut rest));
    text.push('}');
    text
}

fn object(members: &[Member], rest: &mut &[u8]) -> String {
    let mut text = String::from("{");
    for member in members {
        if text.len() > 1 {
            text.push(',');
        }
        // Writing into a String does not fail.
        let _infallible = match member {
            Integer(name, length) => {
                let number = take(rest, *length)
                    .iter()
                    .rev()
                    .fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
                write!(text, "\"{name}\":{number}")
            }
            Bytes(name, length) => write!(text, "\"{name}\":{}", array(take(rest, *length))),
            Tcb(name) => write!(text, "\"{name}\":{}", object(&TCB, rest)),
        };
    }
    text.push('}');
    text
}

fn array(bytes: &[u8]) -> String {
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// The next bytes; the table adds up to the report, which a test checks.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (head, tail) = rest.split_at_checked(length).unwrap_or((*rest, &[]));
    *rest = tail;
    head
}

#[cfg(test)]
mod tests {
    use attestation::report::Unwrapped;

    use super::*;

    /// The reader of SNPGuard's form, which was held against SNPGuard's own
    /// files, gives back every byte.
    #[test]
    fn every_byte_comes_back() {
        let mut report = [0; REPORT];
        for (index, byte) in report.iter_mut().enumerate() {
            *byte = u8::try_from(index % 251).unwrap();
        }
        report[..4].copy_from_slice(&[3, 0, 0, 0]);
        let text = json(&report);
        assert_eq!(Unwrapped::read(text.as_bytes()).unwrap().report.as_bytes(), &report);
        assert!(text.starts_with("{\"version\":3,\"guest_svn\":"), "{text}");
        assert!(text.contains("\"current_tcb\":{\"bootloader\":"), "{text}");
    }
}
