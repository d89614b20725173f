//! What a guest says of itself.

use super::{MAX_VOLUMES, ReleaseError, VolumeName};
use crate::responder::{MAX_CERTIFICATES, REPORT};
use crate::tlv::{self, Fields};

/// What a guest says of itself, and the report that makes it worth something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// ATTESTATION_REPORT, as the secure processor gave it.
    pub report: Box<[u8; REPORT]>,
    /// The host's certificate table, where it gave one.
    pub certificates: Option<Vec<u8>>,
    /// The receipt head that REPORT_DATA binds, if it does.
    pub receipt_head: Option<[u8; 32]>,
    /// How many owners have to agree (`unlock.threshold`).
    pub threshold: u8,
    /// The volumes that it waits for, ascending.
    pub wanted: Vec<VolumeName>,
}

const REPORT_FIELD: u8 = 1;
const CERTIFICATES: u8 = 2;
const RECEIPT_HEAD: u8 = 3;
const THRESHOLD: u8 = 4;
const WANTED: u8 = 5;

impl Evidence {
    /// The content of an evidence frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        tlv::write(&mut out, REPORT_FIELD, self.report.as_slice());
        if let Some(certificates) = &self.certificates {
            tlv::write(&mut out, CERTIFICATES, certificates);
        }
        if let Some(head) = &self.receipt_head {
            tlv::write(&mut out, RECEIPT_HEAD, head);
        }
        tlv::write(&mut out, THRESHOLD, &[self.threshold]);
        let names: Vec<&str> = self.wanted.iter().map(VolumeName::as_str).collect();
        tlv::write(&mut out, WANTED, names.join(",").as_bytes());
        out
    }

    /// Reads a content.
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub fn decode(content: &[u8]) -> Result<Self, ReleaseError> {
        let (mut report, mut certificates, mut receipt_head) = (None, None, None);
        let (mut threshold, mut wanted) = (None, None);
        let mut fields = Fields::new(content);
        while let Some((tag, value)) = fields.next()? {
            let length = ReleaseError::Length { tag, length: value.len() };
            match tag {
                REPORT_FIELD => {
                    let bytes: &[u8; REPORT] = value.try_into().map_err(|_size| length)?;
                    report = Some(Box::new(*bytes));
                }
                CERTIFICATES if value.len() <= MAX_CERTIFICATES => {
                    certificates = Some(value.to_vec());
                }
                CERTIFICATES => return Err(length),
                RECEIPT_HEAD => receipt_head = Some(value.try_into().map_err(|_size| length)?),
                THRESHOLD => match value {
                    [count] if *count > 0 => threshold = Some(*count),
                    _ => return Err(length),
                },
                WANTED => wanted = Some(names(value)?),
                _ => return Err(ReleaseError::UnknownField { tag }),
            }
        }
        Ok(Self {
            report: report.ok_or(ReleaseError::Missing { what: "report" })?,
            certificates,
            receipt_head,
            threshold: threshold.ok_or(ReleaseError::Missing { what: "threshold" })?,
            wanted: wanted.ok_or(ReleaseError::Missing { what: "volumes" })?,
        })
    }
}

/// Names between commas, strictly ascending, at least one.
fn names(value: &[u8]) -> Result<Vec<VolumeName>, ReleaseError> {
    let text = std::str::from_utf8(value).map_err(|_utf8| ReleaseError::Name)?;
    let mut names = Vec::with_capacity(MAX_VOLUMES);
    for name in text.split(',') {
        let name: VolumeName = name.parse()?;
        if names.len() == MAX_VOLUMES || names.last().is_some_and(|last| *last >= name) {
            return Err(ReleaseError::VolumeOrder);
        }
        names.push(name);
    }
    Ok(names)
}
