//! What a host hands to a verifier: reports in all their containers, and certificate
//! tables with the certificates in them. The first byte says which.

use attestation::certificate::{Bundle, Certificate, CertificateTable, Crl};
use attestation::report::{LENGTH, Report, Unwrapped};

pub(super) fn run(data: &[u8]) {
    let Some((which, content)) = data.split_first() else { return };
    match which {
        0 => {
            if let Ok(unwrapped) = Unwrapped::read(content) {
                let again = Report::parse(unwrapped.report.as_bytes());
                assert!(again.is_ok_and(|report| report == unwrapped.report));
                let _ = format!("{:?}", unwrapped.report);
            }
        }
        1 => {
            let _ = CertificateTable::parse(content);
        }
        2 => {
            let _ = Bundle::read(content);
        }
        3 => {
            let _ = Certificate::load(content);
        }
        _ => {
            let _ = Crl::load(content);
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut report = [0; LENGTH];
    report.iter_mut().zip([3_u8, 0, 0, 0]).for_each(|(to, from)| *to = from);
    let length = u32::try_from(LENGTH).unwrap_or(0).to_le_bytes();
    let response = [&[0; 4][..], &length, &[0; 24], &report].concat();
    // One entry and the end: GUID, offset, length.
    let table = [&[0x63; 16][..], &[48, 0, 0, 0, 4, 0, 0, 0], &[0; 24], b"abcd"].concat();
    let seed = |which: u8, content: &[u8]| [&[which], content].concat();
    vec![seed(0, &report), seed(0, &response), seed(1, &table), seed(2, &table)]
}
