//! The envelope: messages after each other in a datagram, attributes after each other in
//! a message.

use super::{ALIGNMENT, HEADER};

/// A datagram that does not keep to the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's answer is malformed: {0}")]
pub struct Malformed(pub(super) &'static str);

/// One message of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_seq`: the request's, in its answer.
    pub sequence: u32,
    /// What comes after the header.
    pub payload: &'a [u8],
}

/// The messages of a datagram. Ends after the first that is malformed.
#[derive(Debug, Clone)]
pub struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    /// Reads `datagram`.
    #[must_use]
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let datagram = std::mem::take(&mut self.0);
        if datagram.is_empty() {
            return None;
        }
        let read = || {
            let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
            let message = datagram.get(..length)?;
            let payload = message.get(HEADER..)?;
            let (kind, sequence) = (u16_at(message, 4)?, u32_at(message, 8)?);
            let next = datagram.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
            Some((Message { kind, sequence, payload }, next))
        };
        match read() {
            Some((message, next)) => {
                self.0 = next;
                Some(Ok(message))
            }
            None => Some(Err(Malformed("a message is cut"))),
        }
    }
}

/// The attributes of a message, type and value. Ends after the first that is malformed.
#[derive(Debug, Clone)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        /// NLA_F_NESTED and NLA_F_NET_BYTEORDER.
        const FLAGS: u16 = 0xc000;
        let rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        let read = || {
            let length = usize::from(u16_at(rest, 0)?);
            let kind = u16_at(rest, 2)? & !FLAGS;
            let value = rest.get(4..length)?;
            let next = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
            Some((kind, value, next))
        };
        match read() {
            Some((kind, value, next)) => {
                self.0 = next;
                Some(Ok((kind, value)))
            }
            None => Some(Err(Malformed("an attribute is cut"))),
        }
    }
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}
