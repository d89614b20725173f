//! What the client sends.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{BOOTREQUEST, COOKIE, DISCOVER, HLEN, HTYPE, OPTIONS, REQUEST, code};

/// The answer must come as a broadcast: a client without an address cannot get another
/// (RFC 2131, section 4.1).
const BROADCAST: u16 = 0x8000;

/// What is asked for: mask, router, MTU, lease time, T1, T2.
const PARAMETERS: [u8; 6] =
    [code::MASK, code::ROUTER, code::MTU, code::LEASE, code::RENEWAL, code::REBINDING];

/// The longest reply that is asked for: what every host must take (RFC 2131, section 2).
const MAX_SIZE: u16 = 576;

/// Shorter ones are dropped by some relays (RFC 1542, section 2.1).
const SHORTEST: usize = 300;

/// Why a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Who has an address?
    Discover,
    /// This server's offer is taken.
    Select {
        /// The address that was offered.
        address: Ipv4Addr,
        /// Who offered it.
        server: Ipv4Addr,
    },
    /// More time for the address that is in use.
    Extend {
        /// The address.
        address: Ipv4Addr,
    },
}

/// A message to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// The client.
    pub mac: [u8; 6],
    /// The number that the answer must have.
    pub xid: u32,
    /// For how long the client has tried.
    pub since: Duration,
    /// Why.
    pub purpose: Purpose,
}

impl Query {
    /// The message, [`SHORTEST`] bytes or a few more (RFC 2131, figure 1 and table 5).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, flags, ciaddr) = match self.purpose {
            Purpose::Discover => (DISCOVER, BROADCAST, Ipv4Addr::UNSPECIFIED),
            Purpose::Select { .. } => (REQUEST, BROADCAST, Ipv4Addr::UNSPECIFIED),
            Purpose::Extend { address } => (REQUEST, 0, address),
        };
        let seconds = u16::try_from(self.since.as_secs()).unwrap_or(u16::MAX);
        let mut message = Vec::with_capacity(SHORTEST);
        message.extend_from_slice(&[BOOTREQUEST, HTYPE, HLEN, 0]);
        message.extend_from_slice(&self.xid.to_be_bytes());
        message.extend_from_slice(&seconds.to_be_bytes());
        message.extend_from_slice(&flags.to_be_bytes());
        message.extend_from_slice(&ciaddr.octets());
        // yiaddr, siaddr, giaddr.
        message.extend_from_slice(&[0; 12]);
        message.extend_from_slice(&self.mac);
        // The rest of chaddr, sname, file.
        message.resize(OPTIONS - COOKIE.len(), 0);
        message.extend_from_slice(&COOKIE);
        message.extend_from_slice(&[code::TYPE, 1, kind]);
        if let Purpose::Select { address, server } = self.purpose {
            message.extend_from_slice(&[code::REQUESTED, 4]);
            message.extend_from_slice(&address.octets());
            message.extend_from_slice(&[code::SERVER, 4]);
            message.extend_from_slice(&server.octets());
        }
        message.extend_from_slice(&[code::MAX_SIZE, 2]);
        message.extend_from_slice(&MAX_SIZE.to_be_bytes());
        message.extend_from_slice(&[code::PARAMETERS, 6]);
        message.extend_from_slice(&PARAMETERS);
        message.push(code::END);
        message.resize(message.len().max(SHORTEST), code::PAD);
        message
    }
}
