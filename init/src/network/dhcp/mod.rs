//! A DHCPv4 client (RFC 2131, options of RFC 2132) without a socket and without a clock.
//!
//! It asks for an address, a mask, a router and an MTU, and reads nothing else: no name,
//! no resolver, no boot file, no route. Numbers are in the network's byte order.
//!
//! - [`Query`] is what the client sends;
//! - [`Reply`] is what a server may answer, [`Lease`] what is believed of it;
//! - [`Client`] is the state machine of RFC 2131, section 4.4.

mod client;
mod lease;
mod options;
mod query;
mod reply;
mod timing;

pub use client::{Change, Client, Progress, Step, To};
pub use lease::{Lease, Term};
pub use options::OptionsError;
pub use query::{Purpose, Query};
pub use reply::{RefusedReply, Reply};

/// UDP ports of server and client.
pub const SERVER_PORT: u16 = 67;
/// See [`SERVER_PORT`].
pub const CLIENT_PORT: u16 = 68;

/// The longest reply that is read, in bytes: what fits into an Ethernet frame.
pub const REPLY_MAX: usize = 1472;

/// `op` of a request and a reply (RFC 2131, table 1).
const BOOTREQUEST: u8 = 1;
const BOOTREPLY: u8 = 2;

/// Ethernet, and the length of its addresses.
const HTYPE: u8 = 1;
const HLEN: u8 = 6;

/// Offsets of the fields (RFC 2131, figure 1).
const XID: usize = 4;
const YIADDR: usize = 16;
const CHADDR: usize = 28;
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const OPTIONS: usize = 240;

/// The four bytes before the options (RFC 2131, section 3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Options (RFC 2132).
mod code {
    pub(super) const PAD: u8 = 0;
    pub(super) const MASK: u8 = 1;
    pub(super) const ROUTER: u8 = 3;
    pub(super) const MTU: u8 = 26;
    pub(super) const REQUESTED: u8 = 50;
    pub(super) const LEASE: u8 = 51;
    pub(super) const OVERLOAD: u8 = 52;
    pub(super) const TYPE: u8 = 53;
    pub(super) const SERVER: u8 = 54;
    pub(super) const PARAMETERS: u8 = 55;
    pub(super) const MAX_SIZE: u8 = 57;
    pub(super) const RENEWAL: u8 = 58;
    pub(super) const REBINDING: u8 = 59;
    pub(super) const END: u8 = 255;
}

/// Values of the message type (RFC 2132, section 9.6).
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod reply_tests;
#[cfg(test)]
mod server;
