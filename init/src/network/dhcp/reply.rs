//! What a server answers.

use std::net::Ipv4Addr;

use super::lease::Lease;
use super::options::{Options, OptionsError};
use super::{
    ACK, BOOTREPLY, CHADDR, COOKIE, HLEN, HTYPE, NAK, OFFER, OPTIONS, REPLY_MAX, XID, YIADDR,
};

/// An answer to this client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// DHCPOFFER.
    Offer(Lease),
    /// DHCPACK.
    Ack(Lease),
    /// DHCPNAK, from this server.
    Nak(Ipv4Addr),
}

/// Why a datagram is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedReply {
    /// Too short or too long.
    #[error("it has {0} bytes, not 240 to 1472")]
    Size(usize),
    /// No DHCP reply, or for somebody else: nothing to speak of.
    #[error("it answers another client or another question")]
    NotOurs,
    /// The options.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// No message type, or none that a client gets.
    #[error("its message type is none that a client gets")]
    Type,
    /// No server identifier.
    #[error("it does not name its server (option 54)")]
    NoServer,
    /// A server that cannot be.
    #[error("its server {0} is no address of a host")]
    Server(Ipv4Addr),
    /// No mask.
    #[error("it has no subnet mask (option 1)")]
    NoMask,
    /// A mask that cannot be.
    #[error("its subnet mask {0} is none, or larger than /8")]
    Mask(Ipv4Addr),
    /// An address that cannot be.
    #[error("its address {address}/{prefix} is none that a host can have")]
    Address {
        /// What was offered.
        address: Ipv4Addr,
        /// With this prefix length.
        prefix: u8,
    },
    /// A router that cannot be.
    #[error("its router {router} is no other host of {address}/{prefix}")]
    Router {
        /// The router.
        router: Ipv4Addr,
        /// The address that was offered.
        address: Ipv4Addr,
        /// With this prefix length.
        prefix: u8,
    },
    /// No lease time.
    #[error("it has no lease time (option 51)")]
    NoTerm,
    /// A lease time that is of no use.
    #[error("its lease time of {seconds} s is below 30 s")]
    Term {
        /// What was offered.
        seconds: u32,
    },
    /// Not what was asked for: another address or server, or out of turn.
    #[error("it does not fit what was asked")]
    Unasked,
}

impl Reply {
    /// Reads a datagram that should answer the question `xid` of the client `mac`.
    ///
    /// # Errors
    /// [`RefusedReply`].
    pub fn read(datagram: &[u8], xid: u32, mac: [u8; 6]) -> Result<Self, RefusedReply> {
        if !(OPTIONS..=REPLY_MAX).contains(&datagram.len()) {
            return Err(RefusedReply::Size(datagram.len()));
        }
        let ours = datagram.starts_with(&[BOOTREPLY, HTYPE, HLEN])
            && at(datagram, XID) == Some(xid.to_be_bytes())
            && at(datagram, CHADDR) == Some(mac)
            && at(datagram, OPTIONS - COOKIE.len()) == Some(COOKIE);
        if !ours {
            return Err(RefusedReply::NotOurs);
        }
        let options = Options::read(datagram)?;
        let address = at::<4>(datagram, YIADDR).map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from);
        match options.kind {
            Some([OFFER]) => Lease::read(address, &options).map(Reply::Offer),
            Some([ACK]) => Lease::read(address, &options).map(Reply::Ack),
            Some([NAK]) => {
                options.server.map(|server| Reply::Nak(server.into())).ok_or(RefusedReply::NoServer)
            }
            _ => Err(RefusedReply::Type),
        }
    }
}

fn at<const N: usize>(datagram: &[u8], offset: usize) -> Option<[u8; N]> {
    datagram.get(offset..)?.first_chunk().copied()
}
