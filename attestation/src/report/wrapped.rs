//! Reports inside something else.
//!
//! | form | recognised by | report at |
//! |---|---|---|
//! | bare, and configfs-tsm's `outblob` | its length, 1184 | 0 |
//! | MSG_REPORT_RSP, as `/dev/sev-guest` returns it (56860, section 7.3, Table 25) | REPORT_SIZE = 1184 at offset 4 | 32 |
//! | Azure HCL blob | `HCLA` at offset 0 | 32 |
//! | SNPGuard's JSON | `{` | its fields |
//!
//! Nothing of a wrapping is signed. It is checked for consistency and then
//! dropped, but for the HCL blob's runtime data, which REPORT_DATA binds.

use super::{LENGTH, Report, ReportError, ReportVersion, snpguard};

/// No wrapping is larger: SNPGuard's JSON, pretty-printed, has about 16 KiB.
const LIMIT: usize = 64 * 1024;
/// Length of the headers of MSG_REPORT_RSP and of an HCL blob.
const HEADER: usize = 32;
/// Length of the buffer in which `/dev/sev-guest` returns MSG_REPORT_RSP.
const DEVICE_BUFFER: usize = 4000;

/// What a report came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Container {
    /// Nothing: the bare 1184 bytes.
    Bare,
    /// MSG_REPORT_RSP of `/dev/sev-guest`.
    Response,
    /// An Azure HCL blob.
    Hcl,
    /// SNPGuard's JSON.
    SnpguardJson,
}

/// A report taken out of what it came in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unwrapped {
    /// The report.
    pub report: Report,
    /// What it came in.
    pub container: Container,
    /// The runtime data of an HCL blob: the JSON whose SHA-256 is the first
    /// half of REPORT_DATA. Not authenticated until that was compared.
    pub runtime_data: Option<Vec<u8>>,
}

impl Unwrapped {
    /// Recognises the form and takes the report out.
    ///
    /// # Errors
    ///
    /// [`ReportError`], of the form that was recognised.
    pub fn read(bytes: &[u8]) -> Result<Self, ReportError> {
        if bytes.len() > LIMIT {
            return Err(ReportError::TooLarge { found: bytes.len(), limit: LIMIT });
        }
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if bytes.len() == LENGTH {
            Ok(Self::plain(Report::parse(bytes)?, Container::Bare))
        } else if bytes.starts_with(b"HCLA") {
            Self::from_hcl(bytes)
        } else if first == Some(&b'{') {
            Ok(Self::plain(snpguard::parse(bytes)?, Container::SnpguardJson))
        } else if word(bytes, 4) == u32::try_from(LENGTH).ok() {
            Ok(Self::plain(from_response(bytes)?, Container::Response))
        } else if bytes.len() < LENGTH
            && word(bytes, 0).and_then(ReportVersion::from_number).is_some()
        {
            // A response's STATUS is none of these; a report's GUEST_SVN is often zero.
            let (needed, found) = (LENGTH, bytes.len());
            Err(ReportError::Truncated { container: "a report", needed, found })
        } else if word(bytes, 4) == Some(0) {
            Ok(Self::plain(from_response(bytes)?, Container::Response))
        } else {
            Err(ReportError::UnknownForm { found: bytes.len() })
        }
    }

    fn plain(report: Report, container: Container) -> Self {
        Self { report, container, runtime_data: None }
    }

    /// An Azure HCL blob: a header of 32 bytes, the report, then the request
    /// data: five 32-bit little-endian numbers (size, version, report type,
    /// hash type, length of what follows) and the runtime data.
    fn from_hcl(bytes: &[u8]) -> Result<Self, ReportError> {
        let truncated = |needed| ReportError::Truncated {
            container: "an HCL blob",
            needed,
            found: bytes.len(),
        };
        let start = HEADER + LENGTH;
        let report = bytes.get(HEADER..start).ok_or_else(|| truncated(start))?;
        let data = start + 20;
        let runtime_data = match (word(bytes, start + 8), word(bytes, start + 16)) {
            (Some(2), Some(length)) => {
                let end = data.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
                Some(bytes.get(data..end).ok_or_else(|| truncated(end))?.to_vec())
            }
            (Some(found), Some(_)) => return Err(ReportError::HclType { found }),
            _ if bytes.len() == start => None,
            _ => return Err(truncated(data)),
        };
        Ok(Self { report: Report::parse(report)?, container: Container::Hcl, runtime_data })
    }
}

/// MSG_REPORT_RSP: STATUS, REPORT_SIZE, 24 reserved bytes, the report; then
/// nothing, or zeros up to the length of the device's buffer.
fn from_response(bytes: &[u8]) -> Result<Report, ReportError> {
    let needed = HEADER + LENGTH;
    let truncated =
        || ReportError::Truncated { container: "a MSG_REPORT_RSP", needed, found: bytes.len() };
    let status = word(bytes, 0).ok_or_else(truncated)?;
    if status != 0 {
        return Err(ReportError::ResponseStatus { status });
    }
    let size = word(bytes, 4).ok_or_else(truncated)?;
    if usize::try_from(size) != Ok(LENGTH) {
        return Err(ReportError::ResponseSize { found: size });
    }
    let report = bytes.get(HEADER..needed).ok_or_else(truncated)?;
    if bytes.len() != needed && bytes.len() > DEVICE_BUFFER {
        return Err(ReportError::TooLarge { found: bytes.len(), limit: DEVICE_BUFFER });
    }
    let outside = |offset: &usize| (8..HEADER).contains(offset) || *offset >= needed;
    let set = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(offset, _)| offset);
    if let Some(offset) = set.into_iter().find(outside) {
        return Err(ReportError::ResponseReserved { offset });
    }
    Report::parse(report)
}

/// The 32-bit little-endian number at `offset`.
fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare() -> Vec<u8> {
        let mut bytes = vec![0; LENGTH];
        bytes[0] = 3;
        bytes[0x90] = 0xaa;
        bytes
    }

    fn response(bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0; HEADER];
        out[4..8].copy_from_slice(&1184_u32.to_le_bytes());
        out.extend_from_slice(bytes);
        out
    }

    fn hcl(report_type: u32, length: u32, data: &[u8]) -> Vec<u8> {
        let mut out = b"HCLA".to_vec();
        out.resize(HEADER, 1);
        out.extend(bare());
        for number in [20, 1, report_type, 1, length] {
            out.extend(number.to_le_bytes());
        }
        out.extend(data);
        out
    }

    #[test]
    fn every_form_gives_the_same_report() {
        let report = Report::parse(&bare()).unwrap();
        let mut padded = response(&bare());
        padded.resize(DEVICE_BUFFER, 0);
        for (bytes, container) in [
            (bare(), Container::Bare),
            (response(&bare()), Container::Response),
            (padded, Container::Response),
            (hcl(2, 2, b"{}"), Container::Hcl),
            (hcl(2, 2, b"{}\0\0\0"), Container::Hcl),
        ] {
            let unwrapped = Unwrapped::read(&bytes).unwrap();
            assert_eq!(unwrapped.container, container);
            assert_eq!(unwrapped.report, report);
            let data = unwrapped.runtime_data.as_deref();
            assert_eq!(data, (container == Container::Hcl).then_some(b"{}".as_slice()));
        }
    }

    #[test]
    fn refuses_damaged_wrappings() {
        let edit = |offset: usize, value: u8| {
            let mut bytes = response(&bare());
            bytes[offset] = value;
            bytes
        };
        let mut trailing = response(&bare());
        trailing.push(1);
        let mut long = response(&bare());
        long.resize(DEVICE_BUFFER + 1, 0);
        let cases: [(Vec<u8>, &str); 16] = [
            (edit(0, 0x16), "report.response-status"),
            (edit(8, 1), "report.response-reserved"),
            (edit(31, 1), "report.response-reserved"),
            (trailing, "report.response-reserved"),
            (long, "report.too-large"),
            (vec![0; 32], "report.response-size"),
            (response(&bare()[..1000]), "report.truncated"),
            (response(&[&[9], &bare()[1..]].concat()), "report.version"),
            (bare()[..1000].to_vec(), "report.truncated"),
            (bare()[..8].to_vec(), "report.truncated"),
            (hcl(4, 0, b""), "report.hcl-type"),
            (hcl(2, 9, b"12345678"), "report.truncated"),
            (hcl(2, u32::MAX, b""), "report.truncated"),
            (b"HCLA".to_vec(), "report.truncated"),
            (b"report".to_vec(), "report.form"),
            (vec![b' '; LIMIT + 1], "report.too-large"),
        ];
        for (bytes, code) in cases {
            let error = Unwrapped::read(&bytes).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
        }
        assert_eq!(Unwrapped::read(&[]).unwrap_err().code(), "report.form");
    }
}
