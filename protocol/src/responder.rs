//! What the attestation responder and its clients say to each other, over TCP
//! or vsock: one question and one answer a connection, then the guest closes.
//!
//! | question, 40 bytes | |
//! |---|---|
//! | 0 | magic and version, [`MAGIC`] |
//! | 8 | nonce, 32 bytes |
//!
//! | answer | |
//! |---|---|
//! | 0 | magic and version, [`MAGIC`] |
//! | 8 | status, 1 byte ([`Status`]) |
//! | 9 | zero, 3 bytes |
//! | 12 | length of the body, 4 bytes, big-endian |
//! | 16 | body: the fields of [`Evidence`] if the status is 0, else nothing |
//!
//! Fields are tag (1 byte), length (4 bytes, big-endian) and value, tags
//! ascending: 1 report, 2 certificates (optional), 3 SSH host keys
//! ([`HostKeys::encode`]), 4 receipt head (optional, 32 bytes), 5 receipt (optional, the
//! text of [`Receipt`], which leads to that head).
//!
//! **Threat.** Both directions pass through the host. Nothing here is secret or
//! authentic: the report is signed, and its REPORT_DATA binds the nonce and the
//! keys ([`crate::report_data::Binding::Responder`]). The certificates are the
//! host's word and are verified as such.

use crate::host_keys::{HostKeys, HostKeysError};
use crate::receipt::{Receipt, ReceiptError};
use crate::report_data::Nonce;
use crate::tlv::{self, Fields, TlvError};

/// First bytes of every question and answer: name and version of the format.
pub const MAGIC: &[u8; 8] = b"ravelin\x01";

/// Bytes of a question.
pub const QUESTION: usize = 40;

/// Bytes of an answer before its body.
pub const HEAD: usize = 16;

/// The longest body, in bytes.
pub const MAX_BODY: usize = 128 << 10;

/// Bytes of a report (AMD 56860, ATTESTATION_REPORT).
pub const REPORT: usize = 1184;

/// The longest certificate table that is passed on, in bytes. The kernel's own
/// limit is 16 KiB (`SEV_FW_BLOB_MAX_SIZE`).
pub const MAX_CERTIFICATES: usize = 32 << 10;

const TAG_REPORT: u8 = 1;
const TAG_CERTIFICATES: u8 = 2;
const TAG_HOST_KEYS: u8 = 3;
const TAG_RECEIPT_HEAD: u8 = 4;
const TAG_RECEIPT: u8 = 5;

/// The question that carries a nonce.
#[must_use]
pub fn question(nonce: &Nonce) -> [u8; QUESTION] {
    let mut out = [0; QUESTION];
    let (magic, rest) = out.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    rest.copy_from_slice(nonce);
    out
}

/// The nonce of a question.
///
/// # Errors
/// [`ResponderError::Magic`].
pub fn read_question(question: &[u8; QUESTION]) -> Result<Nonce, ResponderError> {
    let rest = question.strip_prefix(MAGIC).ok_or(ResponderError::Magic)?;
    rest.try_into().map_err(|_err| ResponderError::Magic)
}

/// How the responder answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Evidence follows.
    Evidence = 0,
    /// Too many questions at the moment; ask again.
    Busy = 1,
    /// The secure processor gave no report; the guest's log says why.
    Unavailable = 2,
    /// The question has another magic or version.
    Malformed = 3,
}

impl Status {
    const ALL: [Status; 4] =
        [Status::Evidence, Status::Busy, Status::Unavailable, Status::Malformed];
}

/// What a VM says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// ATTESTATION_REPORT, as the secure processor gave it. [`REPORT`] bytes;
    /// their content is for the verifier to judge.
    pub report: Box<[u8; REPORT]>,
    /// The host's certificate table (GHCB specification, extended guest
    /// request), where it gave one; at most [`MAX_CERTIFICATES`] bytes.
    pub certificates: Option<Vec<u8>>,
    /// The SSH host keys that REPORT_DATA binds.
    pub host_keys: HostKeys,
    /// The receipt head that REPORT_DATA binds, if it does.
    pub receipt_head: Option<[u8; 32]>,
    /// The receipt that leads to it; a guest of an older release has none.
    pub receipt: Option<Receipt>,
}

impl Evidence {
    /// The fields, as the body of an answer has them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        tlv::write(&mut out, TAG_REPORT, self.report.as_slice());
        if let Some(certificates) = &self.certificates {
            tlv::write(&mut out, TAG_CERTIFICATES, certificates);
        }
        tlv::write(&mut out, TAG_HOST_KEYS, &self.host_keys.encode());
        if let Some(head) = &self.receipt_head {
            tlv::write(&mut out, TAG_RECEIPT_HEAD, head);
        }
        if let Some(receipt) = &self.receipt {
            tlv::write(&mut out, TAG_RECEIPT, receipt.as_str().as_bytes());
        }
        out
    }

    /// Reads what [`Evidence::encode`] wrote.
    ///
    /// # Errors
    /// [`ResponderError`] for everything else.
    pub fn decode(body: &[u8]) -> Result<Self, ResponderError> {
        let (mut report, mut certificates, mut host_keys) = (None, None, None);
        let (mut receipt_head, mut receipt) = (None, None);
        let mut fields = Fields::new(body);
        while let Some((tag, value)) = fields.next()? {
            let length = ResponderError::Length { tag, length: value.len() };
            match tag {
                TAG_REPORT => {
                    let bytes: [u8; REPORT] = value.try_into().map_err(|_err| length)?;
                    report = Some(Box::new(bytes));
                }
                TAG_CERTIFICATES if value.len() > MAX_CERTIFICATES => return Err(length),
                TAG_CERTIFICATES => certificates = Some(value.to_vec()),
                TAG_HOST_KEYS => host_keys = Some(HostKeys::decode(value)?),
                TAG_RECEIPT_HEAD => {
                    receipt_head = Some(value.try_into().map_err(|_err| length)?);
                }
                TAG_RECEIPT => {
                    let head = receipt_head.as_ref();
                    let head = head.ok_or(ResponderError::Missing { what: "receipt head" })?;
                    receipt = Some(Receipt::decode(value)?.bound_by(head)?);
                }
                _ => return Err(ResponderError::UnknownField { tag }),
            }
        }
        Ok(Self {
            report: report.ok_or(ResponderError::Missing { what: "report" })?,
            certificates,
            host_keys: host_keys.ok_or(ResponderError::Missing { what: "host keys" })?,
            receipt_head,
            receipt,
        })
    }
}

/// A whole answer.
#[must_use]
pub fn answer(evidence: &Evidence) -> Vec<u8> {
    with_head(Status::Evidence, &evidence.encode())
}

/// The answer of any other status than [`Status::Evidence`].
#[must_use]
pub fn refusal(status: Status) -> Vec<u8> {
    with_head(status, &[])
}

fn with_head(status: Status, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + body.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[status as u8, 0, 0, 0]);
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// The head of an answer: its status, and how many bytes follow.
///
/// # Errors
/// [`ResponderError`]; also if the body is longer than [`MAX_BODY`], or there
/// is one without evidence.
pub fn read_head(head: &[u8; HEAD]) -> Result<(Status, usize), ResponderError> {
    let rest = head.strip_prefix(MAGIC).ok_or(ResponderError::Magic)?;
    let rest: [u8; 8] = rest.try_into().map_err(|_err| ResponderError::Magic)?;
    let [status, zeros @ .., a, b, c, d] = rest;
    let known = Status::ALL.into_iter().find(|known| *known as u8 == status);
    let status = known.ok_or(ResponderError::UnknownStatus { status })?;
    if zeros != [0; 3] {
        return Err(ResponderError::Magic);
    }
    let length = u32::from_be_bytes([a, b, c, d]);
    match usize::try_from(length) {
        Ok(length) if length <= MAX_BODY && (length > 0) == (status == Status::Evidence) => {
            Ok((status, length))
        }
        _ => Err(ResponderError::BodyLength { length }),
    }
}

/// Bytes that are no question or answer of this format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponderError {
    /// Another service, or another version of the format.
    #[error("this is not Ravelin's attestation protocol, or another version of it")]
    Magic,
    /// A status that this version does not have.
    #[error("the answer has the unknown status {status}")]
    UnknownStatus {
        /// The status.
        status: u8,
    },
    /// A body that is too long, or that does not go with the status.
    #[error(
        "the answer has a body of {length} bytes; at most {MAX_BODY} are accepted, and none without evidence"
    )]
    BodyLength {
        /// Its length.
        length: u32,
    },
    /// Not a list of fields.
    #[error("the evidence is malformed: {0}")]
    Fields(#[from] TlvError),
    /// A field that this version does not have.
    #[error("the evidence has the unknown field {tag:#04x}")]
    UnknownField {
        /// Its tag.
        tag: u8,
    },
    /// A field of another length than it has.
    #[error("the evidence's field {tag:#04x} has {length} bytes")]
    Length {
        /// Its tag.
        tag: u8,
        /// Its length.
        length: usize,
    },
    /// A field is not there.
    #[error("the evidence has no {what}")]
    Missing {
        /// Which field.
        what: &'static str,
    },
    /// The host keys are not a set of keys.
    #[error("the evidence's host keys are malformed: {0}")]
    HostKeys(#[from] HostKeysError),
    /// The receipt is none, or not the one of the head.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        Evidence {
            report: Box::new([7; REPORT]),
            certificates: Some(vec![1, 2, 3]),
            host_keys: HostKeys::new([b"\0\0\0\x01x".to_vec()]).unwrap(),
            receipt_head: Some(*receipt().head()),
            receipt: Some(receipt()),
        }
    }

    fn receipt() -> Receipt {
        Receipt::decode(b"root\terofs\t/sbin/init\n").unwrap()
    }

    #[test]
    fn questions_and_answers_come_back() {
        assert_eq!(read_question(&question(&[3; 32])), Ok([3; 32]));
        let answer = answer(&evidence());
        let (head, body) = answer.split_first_chunk::<HEAD>().unwrap();
        assert_eq!(read_head(head), Ok((Status::Evidence, body.len())));
        assert_eq!(Evidence::decode(body), Ok(evidence()));
        for status in [Status::Busy, Status::Unavailable, Status::Malformed] {
            let head: [u8; HEAD] = refusal(status).try_into().unwrap();
            assert_eq!(read_head(&head), Ok((status, 0)));
        }
    }

    #[test]
    fn every_cut_is_refused() {
        let body = evidence().encode();
        let whole: Vec<usize> =
            (0..body.len()).filter(|length| Evidence::decode(&body[..*length]).is_ok()).collect();
        // The last two fields, head and receipt, are optional.
        let receipt = 5 + receipt().as_str().len();
        assert_eq!(whole, [body.len() - receipt - 37, body.len() - receipt]);
    }

    #[test]
    fn heads_are_read_strictly() {
        let good: [u8; HEAD] = *answer(&evidence()).first_chunk().unwrap();
        let changed = |index: usize, value: u8| {
            let mut head = good;
            head[index] = value;
            read_head(&head)
        };
        assert_eq!(changed(0, b'R'), Err(ResponderError::Magic));
        assert_eq!(changed(7, 2), Err(ResponderError::Magic));
        assert_eq!(changed(8, 9), Err(ResponderError::UnknownStatus { status: 9 }));
        assert!(matches!(changed(8, 1), Err(ResponderError::BodyLength { .. })));
        assert_eq!(changed(11, 1), Err(ResponderError::Magic));
        assert!(matches!(changed(12, 1), Err(ResponderError::BodyLength { .. })));
        let mut question = question(&[0; 32]);
        question[7] = 2;
        assert_eq!(read_question(&question), Err(ResponderError::Magic));
    }

    #[test]
    fn unknown_and_wrong_fields_are_refused() {
        let mut body = evidence().encode();
        tlv::write(&mut body, 6, b"");
        assert_eq!(Evidence::decode(&body), Err(ResponderError::UnknownField { tag: 6 }));
        let mut short = Vec::new();
        tlv::write(&mut short, TAG_REPORT, &[0; REPORT - 1]);
        assert_eq!(
            Evidence::decode(&short),
            Err(ResponderError::Length { tag: 1, length: REPORT - 1 })
        );
        assert_eq!(Evidence::decode(b""), Err(ResponderError::Missing { what: "report" }));
    }

    #[test]
    fn a_receipt_leads_to_its_head() {
        let mut other = evidence();
        other.receipt_head = Some([9; 32]);
        let decode = |evidence: &Evidence| Evidence::decode(&evidence.encode());
        assert_eq!(decode(&other), Err(ResponderError::Receipt(ReceiptError::Head)));
        other.receipt_head = None;
        assert_eq!(decode(&other), Err(ResponderError::Missing { what: "receipt head" }));
        other.receipt = None;
        assert_eq!(decode(&other), Ok(other));
    }
}
