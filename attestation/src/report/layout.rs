//! Where each field of an attestation report lies.
//!
//! 56860 (SEV Secure Nested Paging Firmware ABI Specification) revision 1.58,
//! section 7.3, Table 23 "ATTESTATION_REPORT Structure"; the signature's inner
//! layout is the chapter on signature formats. All integers are little-endian.
//!
//! | offset | bytes | field | since version |
//! |---|---|---|---|
//! | 000h | 4 | VERSION | 2 |
//! | 004h | 4 | GUEST_SVN | 2 |
//! | 008h | 8 | POLICY | 2 |
//! | 010h | 16 | FAMILY_ID | 2 |
//! | 020h | 16 | IMAGE_ID | 2 |
//! | 030h | 4 | VMPL | 2 |
//! | 034h | 4 | SIGNATURE_ALGO | 2 |
//! | 038h | 8 | CURRENT_TCB | 2 |
//! | 040h | 8 | PLATFORM_INFO | 2 |
//! | 048h | 4 | flags: AUTHOR_KEY_EN, MASK_CHIP_KEY, SIGNING_KEY | 2 |
//! | 04Ch | 4 | reserved, zero | 2 |
//! | 050h | 64 | REPORT_DATA | 2 |
//! | 090h | 48 | MEASUREMENT | 2 |
//! | 0C0h | 32 | HOST_DATA | 2 |
//! | 0E0h | 48 | ID_KEY_DIGEST | 2 |
//! | 110h | 48 | AUTHOR_KEY_DIGEST | 2 |
//! | 140h | 32 | REPORT_ID | 2 |
//! | 160h | 32 | REPORT_ID_MA | 2 |
//! | 180h | 8 | REPORTED_TCB | 2 |
//! | 188h | 1 | CPUID_FAM_ID (reserved, zero in version 2) | 3 |
//! | 189h | 1 | CPUID_MOD_ID (reserved, zero in version 2) | 3 |
//! | 18Ah | 1 | CPUID_STEP (reserved, zero in version 2) | 3 |
//! | 18Bh | 21 | reserved, zero | 2 |
//! | 1A0h | 64 | CHIP_ID | 2 |
//! | 1E0h | 8 | COMMITTED_TCB | 2 |
//! | 1E8h | 3 | CURRENT_BUILD, CURRENT_MINOR, CURRENT_MAJOR | 2 |
//! | 1EBh | 1 | reserved, zero | 2 |
//! | 1ECh | 3 | COMMITTED_BUILD, COMMITTED_MINOR, COMMITTED_MAJOR | 2 |
//! | 1EFh | 1 | reserved, zero | 2 |
//! | 1F0h | 8 | LAUNCH_TCB | 2 |
//! | 1F8h | 8 | LAUNCH_MIT_VECTOR (reserved, zero before) | 5 |
//! | 200h | 8 | CURRENT_MIT_VECTOR (reserved, zero before) | 5 |
//! | 208h | 152 | reserved, zero | 2 |
//! | 2A0h | 72 | SIGNATURE: R, little-endian, zero-extended from 48 bytes | 2 |
//! | 2E8h | 72 | SIGNATURE: S, the same | 2 |
//! | 330h | 368 | SIGNATURE: reserved, zero | 2 |
//!
//! The signature covers 000h up to and not including 2A0h.

/// Length of a report in bytes.
pub const LENGTH: usize = 0x4a0;
/// Length of the part that the signature covers; the signature follows it.
pub const SIGNED_LENGTH: usize = 0x2a0;

pub(super) const VERSION: usize = 0x000;
pub(super) const GUEST_SVN: usize = 0x004;
pub(super) const POLICY: usize = 0x008;
pub(super) const FAMILY_ID: usize = 0x010;
pub(super) const IMAGE_ID: usize = 0x020;
pub(super) const VMPL: usize = 0x030;
pub(super) const SIGNATURE_ALGO: usize = 0x034;
pub(super) const CURRENT_TCB: usize = 0x038;
pub(super) const PLATFORM_INFO: usize = 0x040;
pub(super) const FLAGS: usize = 0x048;
pub(super) const REPORT_DATA: usize = 0x050;
pub(super) const MEASUREMENT: usize = 0x090;
pub(super) const HOST_DATA: usize = 0x0c0;
pub(super) const ID_KEY_DIGEST: usize = 0x0e0;
pub(super) const AUTHOR_KEY_DIGEST: usize = 0x110;
pub(super) const REPORT_ID: usize = 0x140;
pub(super) const REPORT_ID_MA: usize = 0x160;
pub(super) const REPORTED_TCB: usize = 0x180;
pub(super) const CPUID: usize = 0x188;
pub(super) const CHIP_ID: usize = 0x1a0;
pub(super) const COMMITTED_TCB: usize = 0x1e0;
pub(super) const CURRENT_VERSION: usize = 0x1e8;
pub(super) const COMMITTED_VERSION: usize = 0x1ec;
pub(super) const LAUNCH_TCB: usize = 0x1f0;
pub(super) const LAUNCH_MIT_VECTOR: usize = 0x1f8;
pub(super) const CURRENT_MIT_VECTOR: usize = 0x200;
pub(super) const SIGNATURE_R: usize = 0x2a0;
pub(super) const SIGNATURE_S: usize = 0x2e8;

/// Reserved bytes inside the signed part that are zero in every version:
/// offset and length.
pub(super) const RESERVED: [(usize, usize); 5] =
    [(0x04c, 4), (0x18b, 21), (0x1eb, 1), (0x1ef, 1), (0x208, 152)];
/// Reserved before version 3: where the CPUID bytes are.
pub(super) const RESERVED_BEFORE_3: (usize, usize) = (0x188, 3);
/// Reserved before version 5: where the mitigation vectors are.
pub(super) const RESERVED_BEFORE_5: (usize, usize) = (0x1f8, 16);
/// Reserved bytes of the signature, which nothing signs.
pub(super) const RESERVED_SIGNATURE: (usize, usize) = (0x330, 368);

/// Copies the field of `N` bytes at offset `AT`. That it lies inside the
/// report is checked when this is compiled.
pub(super) fn field<const AT: usize, const N: usize>(raw: &[u8; LENGTH]) -> [u8; N] {
    const { assert!(AT + N <= LENGTH, "the field lies outside the report") };
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(raw.iter().skip(AT)) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_add_up() {
        assert_eq!(SIGNATURE_R, SIGNED_LENGTH);
        assert_eq!(SIGNATURE_S, SIGNATURE_R + 72);
        assert_eq!(RESERVED_SIGNATURE.0, SIGNATURE_S + 72);
        assert_eq!(RESERVED_SIGNATURE.0 + RESERVED_SIGNATURE.1, LENGTH);
        assert_eq!(RESERVED[4].0 + RESERVED[4].1, SIGNED_LENGTH);
    }
}
