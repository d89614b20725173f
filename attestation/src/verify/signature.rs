//! The report's signature: ECDSA on P-384 with SHA-384 over its first 672
//! bytes (56860 revision 1.58, section 7.3, Table 23; the format of R and S is
//! in the chapter on signature formats).
//!
//! - SIGNATURE_ALGO must be 1. It is inside the signed part, and nothing else
//!   is ever tried.
//! - R and S are 72 bytes, little-endian. Their upper 24 bytes must be zero;
//!   the value must be at least 1 and below the group's order.
//! - Both S and its negation verify, in every implementation of ECDSA. AMD's
//!   processors do not choose the lower one, so either is accepted, and a
//!   signature's bytes must not be taken for a report's identity.
//! - The 368 bytes after S must be zero. Nothing signs them, so they could
//!   otherwise be changed at will.
//!
//! # Which implementation, and how fast
//!
//! `cargo bench -p attestation --bench verification` prints the table anew;
//! with `--features bench-alternatives` it has all rows. One core of a shared
//! x86-64 server, release profile, one run:
//!
//! | | per second | µs | of the raw rate |
//! |---|---|---|---|
//! | `ring` 0.17 (in use), raw | 1487 | 672.7 | 100 % |
//! | whole verification, warm chain | 1484 | 673.9 | 99.8 % |
//! | `p384` 0.13, raw | 875 | 1143.1 | 58.8 % |
//! | `aws-lc-rs` 1, raw | 4567 | 218.9 | 307 % |
//! | `graviola` 0.3, raw | 3002 | 333.1 | 202 % |
//! | chain validation, from DER (two RSA-4096 signatures) | 3276 | 305.3 | |
//!
//! `ring` is not the fastest, but fast enough by far: a connection needs one
//! verification, 0.7 ms of the 50 ms that it may take. What speaks for it is
//! that nothing is added. The project's TLS uses it anyway, and it verifies
//! the certificates' RSASSA-PSS too. `p384` is slower, and needs the `rsa`
//! crate beside it. `aws-lc-rs` is three times as fast, at the price of a second
//! large C library in the owner's binary and minutes of building. `graviola`
//! runs only on processors with certain extensions (it panics on others) and
//! is young. A service that verifies thousands of reports a second may
//! exchange [`verifies`], the only place that would change.

use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

use super::check::{Check, Unchecked};
use super::checks::{Checks, Findings};
use super::finding::{FindingCode, Mismatch};
use crate::certificate::Leaf;
use crate::report::{Report, SigningKey};

/// The group's order, big-endian (SEC 2, section 2.5.1, secp384r1).
const ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

/// Records whether the leaf's key signed the report.
pub(super) fn check(checks: &mut Checks, report: &Report, leaf: Option<&Leaf>) -> bool {
    let Some(leaf) = leaf else {
        checks.skip(Check::Signature, Unchecked::NoLeaf);
        return false;
    };
    checks.make(Check::Signature, |findings| {
        if report.signature_algorithm() != 1 {
            let found = report.signature_algorithm();
            let expected = "1 (ECDSA P-384 with SHA-384)";
            findings.fail(Mismatch::new(FindingCode::SignatureAlgorithm, expected, found));
        }
        if let Some(offset) = report.reserved_signature_offsets().next() {
            let found = format_args!("a value at byte {offset:#x}");
            findings.fail(Mismatch::new(FindingCode::SignatureReserved, "zeros", found));
        }
        let Some(signature) = fixed(report, findings) else { return };
        if !verifies(leaf.public_key(), &report.signed_bytes(), &signature) {
            let expected = format_args!("a signature by the {}'s key", leaf.kind());
            let found = "one that is not";
            findings.fail(Mismatch::new(FindingCode::SignatureInvalid, expected, found));
        }
    })
}

/// The one operation that all else here is built around: whether `signature`
/// (R then S, each 48 bytes, big-endian) over `message` verifies under `key`
/// (an uncompressed point). Public for benchmarks; to verify a report, use
/// [`crate::verify::verify`].
#[must_use]
pub fn verifies(key: &[u8; 97], message: &[u8], signature: &[u8; 96]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key).verify(message, signature).is_ok()
}

/// The report's signature as R then S, each 48 bytes, big-endian: the form
/// that [`verifies`] takes. `None` if either has bits above 384.
#[must_use]
pub fn fixed_signature(report: &Report) -> Option<[u8; 96]> {
    let (r, s) = (narrow(&report.signature_r())?, narrow(&report.signature_s())?);
    let mut out = [0; 96];
    for (to, from) in out.iter_mut().zip(r.iter().chain(&s)) {
        *to = *from;
    }
    Some(out)
}

/// The signature in its fixed form, if R and S are numbers that it can have.
fn fixed(report: &Report, findings: &mut Findings) -> Option<[u8; 96]> {
    let (r, s) = (report.signature_r(), report.signature_s());
    if r.iter().chain(&s).all(|byte| *byte == 0) {
        let unsigned = report.flags().signing_key() == SigningKey::None;
        let found = if unsigned { "zeros, and no signing key named" } else { "zeros" };
        findings.fail(Mismatch::new(FindingCode::SignatureAbsent, "a signature", found));
        return None;
    }
    let parts = [
        (r, FindingCode::SignatureROverlong, FindingCode::SignatureRRange),
        (s, FindingCode::SignatureSOverlong, FindingCode::SignatureSRange),
    ];
    let mut good = true;
    for (part, overlong, range) in parts {
        match narrow(&part) {
            None => findings.fail(Mismatch::new(overlong, "48 bytes", hex::encode(part))),
            Some(number) if number == [0; 48] || number >= ORDER => {
                let expected = "1 to the group's order less 1";
                findings.fail(Mismatch::new(range, expected, hex::encode(number)));
            }
            Some(_) => continue,
        }
        good = false;
    }
    if good { fixed_signature(report) } else { None }
}

/// 72 little-endian bytes as 48 big-endian ones, if the number fits.
fn narrow(part: &[u8; 72]) -> Option<[u8; 48]> {
    let (low, high) = part.split_first_chunk::<48>()?;
    let mut number = *low;
    number.reverse();
    high.iter().all(|byte| *byte == 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrows_little_endian() {
        let mut part = [0; 72];
        part[0] = 1;
        part[47] = 0xff;
        let number = narrow(&part).unwrap();
        assert_eq!((number[47], number[0]), (1, 0xff));
        part[48] = 1;
        assert_eq!(narrow(&part), None);
        part[48] = 0;
        part[71] = 0x80;
        assert_eq!(narrow(&part), None);
    }
}
