//! What guest and host side of the simulator say to each other over the
//! virtio-serial port.
//!
//! A stream of frames, one answer a question, numbers little-endian:
//!
//! | question: offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | `RSQ1` |
//! | 4 | 4 | number of the question, repeated by the answer |
//! | 8 | 1 | 1 report, 2 derived key |
//! | 9 | 3 | zero |
//! | 12 | 4 | VMPL |
//! | 16 | 64 | report: REPORT_DATA; key: [`KeyRequest`], zeros after it |
//!
//! | answer: offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | `RSA1` |
//! | 4 | 4 | number of the question |
//! | 8 | 1 | status: 0 done, 1 busy, 2 refused, 3 failed |
//! | 9 | 1 | 1: something else changed the report's inputs meanwhile |
//! | 10 | 2 | zero |
//! | 12 | 4 | status of the firmware (56860, chapter "Status Codes") |
//! | 16 | 4 | length of the report or key, at most 4096 |
//! | 20 | 4 | length of the certificate table, at most 32768 |
//! | 24 | | both |
//!
//! The number lets the guest drop the late answer to a question that it gave up.

use std::io::{self, Read};

/// Bytes of a question.
pub const QUESTION_BYTES: usize = 80;
/// Bytes of an answer before its parts.
pub const ANSWER_HEAD_BYTES: usize = 24;
/// The longest report or key.
pub const MAX_MAIN: usize = 4096;
/// The longest certificate table.
pub const MAX_CERTIFICATES: usize = 32 * 1024;

const QUESTION: [u8; 4] = *b"RSQ1";
const ANSWER: [u8; 4] = *b"RSA1";
const REPORT: u8 = 1;
const KEY: u8 = 2;

/// A frame that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The first four bytes are others.
    #[error("the frame does not begin with its mark")]
    Mark,
    /// A kind, a status or a flag that is not defined, or a reserved byte.
    #[error("byte {offset} of the frame is {value:#04x}")]
    Value {
        /// Its offset.
        offset: usize,
        /// What it is.
        value: u8,
    },
    /// A part longer than it may be.
    #[error("a part of {found} bytes is announced, {limit} are allowed")]
    Length {
        /// The length.
        found: u32,
        /// The most.
        limit: usize,
    },
}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// What the guest asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A report with this REPORT_DATA.
    Report([u8; 64]),
    /// A derived key.
    Key(KeyRequest),
}

/// The fields of MSG_KEY_REQ (56860, section 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyRequest {
    /// ROOT_KEY_SELECT, bit 0: 1 for the guest's key (VMRK); KEY_SEL, bits 2:1, otherwise:
    /// 1 VCEK, 2 VLEK, 0 the VLEK where one is installed, else the VCEK.
    pub root_key_select: u32,
    /// GUEST_FIELD_SELECT.
    pub guest_field_select: u64,
    /// GUEST_SVN.
    pub guest_svn: u32,
    /// TCB_VERSION, in the order of a report's bytes.
    pub tcb: [u8; 8],
}

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Its number.
    pub number: u32,
    /// The privilege level that asks.
    pub vmpl: u32,
    /// What is asked for.
    pub ask: Ask,
}

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// With a report or key.
    Done,
    /// The host is throttling: ask again.
    Busy,
    /// The firmware refused the parameters.
    Refused,
    /// The simulator could not.
    Failed,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The question's number.
    pub number: u32,
    /// How it ended.
    pub status: Status,
    /// Whether the guest must behave as if another program had written the
    /// report's inputs meanwhile.
    pub disturbed: bool,
    /// The firmware's status; 0 is success.
    pub firmware: u32,
    /// The report or key.
    pub main: Vec<u8>,
    /// The certificate table.
    pub certificates: Vec<u8>,
}

impl Answer {
    /// An answer without contents.
    #[must_use]
    pub const fn empty(number: u32, status: Status, firmware: u32) -> Self {
        Self {
            number,
            status,
            disturbed: false,
            firmware,
            main: Vec::new(),
            certificates: Vec::new(),
        }
    }

    /// The frame. A part longer than it may be makes it one that fails.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let length =
            |part: &[u8], limit| u32::try_from(part.len()).ok().filter(|_| part.len() <= limit);
        let lengths =
            length(&self.main, MAX_MAIN).zip(length(&self.certificates, MAX_CERTIFICATES));
        let Some((main, certificates)) = lengths else {
            return Self::empty(self.number, Status::Failed, 0).encode();
        };
        let mut frame = ANSWER.to_vec();
        frame.extend(self.number.to_le_bytes());
        frame.push(match self.status {
            Status::Done => 0,
            Status::Busy => 1,
            Status::Refused => 2,
            Status::Failed => 3,
        });
        frame.push(u8::from(self.disturbed));
        frame.extend([0; 2]);
        frame.extend(self.firmware.to_le_bytes());
        frame.extend(main.to_le_bytes());
        frame.extend(certificates.to_le_bytes());
        frame.extend(&self.main);
        frame.extend(&self.certificates);
        frame
    }

    /// Reads one frame.
    ///
    /// # Errors
    /// What `from` answers; [`WireError`] inside for a frame that is none.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = Fields::read::<ANSWER_HEAD_BYTES>(from)?;
        head.mark(ANSWER)?;
        let number = head.u32();
        let status = match head.u8() {
            0 => Status::Done,
            1 => Status::Busy,
            2 => Status::Refused,
            3 => Status::Failed,
            value => return Err(WireError::Value { offset: 8, value }.into()),
        };
        let disturbed = match head.u8() {
            0 => false,
            1 => true,
            value => return Err(WireError::Value { offset: 9, value }.into()),
        };
        head.zeros(2)?;
        let firmware = head.u32();
        let (main, certificates) = (head.u32(), head.u32());
        let main = part(from, main, MAX_MAIN)?;
        let certificates = part(from, certificates, MAX_CERTIFICATES)?;
        Ok(Self { number, status, disturbed, firmware, main, certificates })
    }
}

impl Question {
    /// The frame.
    #[must_use]
    pub fn encode(&self) -> [u8; QUESTION_BYTES] {
        let mut frame = QUESTION.to_vec();
        frame.extend(self.number.to_le_bytes());
        frame.push(match self.ask {
            Ask::Report(_) => REPORT,
            Ask::Key(_) => KEY,
        });
        frame.extend([0; 3]);
        frame.extend(self.vmpl.to_le_bytes());
        match &self.ask {
            Ask::Report(data) => frame.extend(data),
            Ask::Key(key) => {
                frame.extend(key.root_key_select.to_le_bytes());
                frame.extend(key.guest_field_select.to_le_bytes());
                frame.extend(key.guest_svn.to_le_bytes());
                frame.extend(key.tcb);
            }
        }
        let mut out = [0; QUESTION_BYTES];
        for (to, from) in out.iter_mut().zip(frame) {
            *to = from;
        }
        out
    }

    /// Reads one frame.
    ///
    /// # Errors
    /// What `from` answers; [`WireError`] inside for a frame that is none.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut frame = Fields::read::<QUESTION_BYTES>(from)?;
        frame.mark(QUESTION)?;
        let number = frame.u32();
        let kind = frame.u8();
        frame.zeros(3)?;
        let vmpl = frame.u32();
        let ask = match kind {
            REPORT => Ask::Report(frame.take()),
            KEY => {
                let key = KeyRequest {
                    root_key_select: frame.u32(),
                    guest_field_select: u64::from_le_bytes(frame.take()),
                    guest_svn: frame.u32(),
                    tcb: frame.take(),
                };
                frame.zeros(40)?;
                Ask::Key(key)
            }
            value => return Err(WireError::Value { offset: 8, value }.into()),
        };
        Ok(Self { number, vmpl, ask })
    }
}

fn part(from: &mut impl Read, length: u32, limit: usize) -> io::Result<Vec<u8>> {
    let found = usize::try_from(length).ok().filter(|found| *found <= limit);
    let Some(found) = found else {
        return Err(WireError::Length { found: length, limit }.into());
    };
    let mut bytes = vec![0; found];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A frame's bytes, taken from the front. Past the end it yields zeros; each
/// user takes exactly what the frame has.
struct Fields {
    bytes: Vec<u8>,
    at: usize,
}

impl Fields {
    fn read<const N: usize>(from: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; N];
        from.read_exact(&mut bytes)?;
        Ok(Self { bytes: bytes.to_vec(), at: 0 })
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        for (to, from) in out.iter_mut().zip(self.bytes.iter().skip(self.at)) {
            *to = *from;
        }
        self.at += N;
        out
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u8(&mut self) -> u8 {
        let [byte] = self.take();
        byte
    }

    fn mark(&mut self, mark: [u8; 4]) -> Result<(), WireError> {
        if self.take() == mark { Ok(()) } else { Err(WireError::Mark) }
    }

    fn zeros(&mut self, count: usize) -> Result<(), WireError> {
        for _ in 0..count {
            let offset = self.at;
            let value = self.u8();
            if value != 0 {
                return Err(WireError::Value { offset, value });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions() -> [Question; 2] {
        let key = KeyRequest {
            root_key_select: 1,
            guest_field_select: 0x3f,
            guest_svn: 7,
            tcb: [1, 2, 3, 4, 5, 6, 7, 8],
        };
        [
            Question { number: 9, vmpl: 0, ask: Ask::Report([0xa5; 64]) },
            Question { number: u32::MAX, vmpl: 3, ask: Ask::Key(key) },
        ]
    }

    fn answer() -> Answer {
        Answer {
            number: 9,
            status: Status::Done,
            disturbed: true,
            firmware: 0x16,
            main: vec![1; 1184],
            certificates: vec![2; 5000],
        }
    }

    #[test]
    fn frames_come_back() {
        for question in questions() {
            assert_eq!(Question::read(&mut question.encode().as_slice()).unwrap(), question);
        }
        let bytes = answer().encode();
        assert_eq!(bytes.len(), ANSWER_HEAD_BYTES + 6184);
        let mut rest = bytes.as_slice();
        assert_eq!(Answer::read(&mut rest).unwrap(), answer());
        assert!(rest.is_empty());
    }

    #[test]
    fn cut_frames_are_errors() {
        for question in questions() {
            for length in 0..QUESTION_BYTES {
                assert!(Question::read(&mut &question.encode()[..length]).is_err());
            }
        }
        let bytes = answer().encode();
        for length in 0..bytes.len() {
            assert!(Answer::read(&mut &bytes[..length]).is_err());
        }
    }

    /// A changed byte is refused or changes a field; never more is read than
    /// the limits allow.
    #[test]
    fn every_changed_byte_shows() {
        for question in questions() {
            for at in 0..QUESTION_BYTES {
                let mut bytes = question.encode();
                bytes[at] ^= 0x80;
                assert_ne!(Question::read(&mut bytes.as_slice()).ok(), Some(question), "byte {at}");
            }
        }
        let good = answer().encode();
        for at in 0..ANSWER_HEAD_BYTES {
            let mut bytes = good.clone();
            bytes[at] ^= 0x80;
            assert_ne!(Answer::read(&mut bytes.as_slice()).ok(), Some(answer()), "byte {at}");
        }
        let mut endless = good.clone();
        endless[19] = 0xff;
        let error = Answer::read(&mut endless.as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("4096 are allowed"), "{error}");
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let answer = Answer { main: vec![0; MAX_MAIN + 1], ..answer() };
        let read = Answer::read(&mut answer.encode().as_slice()).unwrap();
        assert_eq!(read, Answer::empty(9, Status::Failed, 0));
    }
}
