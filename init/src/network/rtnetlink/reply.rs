//! What the kernel answers.

use super::message::{Attributes, u16_at, u32_at};
use super::{
    ARPHRD_ETHER, IFF_LOOPBACK, IFF_LOWER_UP, IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, Malformed,
    Message, NLMSG_DONE, NLMSG_ERROR, RTM_NEWLINK,
};

/// Length of `struct ifinfomsg`.
const IFINFOMSG: usize = 16;

/// Longest name of a link, with its zero byte.
const IFNAMSIZ: usize = 16;

/// A link as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// Its number, not 0.
    pub index: u32,
    /// Its name: 1 to 15 characters, no `/`, not `.` or `..`. The host may have chosen it.
    pub name: String,
    /// Its hardware address, if it is an Ethernet link.
    pub mac: Option<[u8; 6]>,
    /// The loopback.
    pub loopback: bool,
    /// It has a carrier (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// MTU in bytes.
    pub mtu: u32,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The request was carried out.
    Done,
    /// It was refused with this error number, positive.
    Refused(i32),
    /// A part of the answer: `RTM_NEWLINK`, for [`link`].
    Link(&'a [u8]),
    /// Something else.
    Other,
}

/// Reads what a message is.
///
/// # Errors
/// If it is too short for what it says it is.
pub fn answer<'a>(message: &Message<'a>) -> Result<Answer<'a>, Malformed> {
    match message.kind {
        NLMSG_ERROR | NLMSG_DONE => {
            let number = u32_at(message.payload, 0).ok_or(Malformed("an error has no number"))?;
            match number.cast_signed() {
                0 => Ok(Answer::Done),
                // A finished list may say how many it had.
                positive if positive > 0 => Ok(Answer::Done),
                negative => Ok(Answer::Refused(negative.saturating_neg())),
            }
        }
        RTM_NEWLINK => Ok(Answer::Link(message.payload)),
        _ => Ok(Answer::Other),
    }
}

/// Reads `struct ifinfomsg` and its attributes.
///
/// # Errors
/// If something is cut, or a name or an index is none.
pub fn link(payload: &[u8]) -> Result<LinkInfo, Malformed> {
    let header = || Some((u16_at(payload, 2)?, u32_at(payload, 4)?, u32_at(payload, 8)?));
    let (hardware, index, flags) = header().ok_or(Malformed("a link is cut"))?;
    let attributes = payload.get(IFINFOMSG..).ok_or(Malformed("a link is cut"))?;
    if index == 0 {
        return Err(Malformed("a link has no index"));
    }
    let (mut name, mut mac, mut mtu) = (None, None, 0);
    for attribute in Attributes(attributes) {
        match attribute? {
            (IFLA_IFNAME, value) => name = Some(text(value)?),
            (IFLA_ADDRESS, value) if hardware == ARPHRD_ETHER => mac = value.try_into().ok(),
            (IFLA_MTU, value) => mtu = u32_at(value, 0).ok_or(Malformed("an MTU is cut"))?,
            _ => {}
        }
    }
    Ok(LinkInfo {
        index,
        name: name.ok_or(Malformed("a link has no name"))?,
        mac,
        loopback: flags & IFF_LOOPBACK != 0,
        carrier: flags & IFF_LOWER_UP != 0,
        mtu,
    })
}

/// A name that can stand in a path, as the kernel makes sure itself
/// (`dev_valid_name`).
fn text(value: &[u8]) -> Result<String, Malformed> {
    const NONE: Malformed = Malformed("a link's name is none");
    let name = value.strip_suffix(&[0]).unwrap_or(value);
    let name = str::from_utf8(name).map_err(|_err| NONE)?;
    let bad = |c: char| c == '/' || c == ':' || c == '\0' || c.is_whitespace();
    if name.is_empty()
        || name.len() >= IFNAMSIZ
        || name == "."
        || name == ".."
        || name.contains(bad)
    {
        return Err(NONE);
    }
    Ok(name.to_owned())
}
