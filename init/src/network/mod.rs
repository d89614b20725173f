//! The network that PID 1 uses while it waits for keys: what has to be decided, encoded
//! and read, without a system call.
//!
//! - [`select`] picks the link;
//! - [`rtnetlink`] is the small part of the kernel's routing protocol that is needed;
//! - [`dhcp`] is a DHCPv4 client that owns no socket and no clock.
//!
//! **Threat.** Links, their names, addresses and drivers come from the host, and so does
//! every datagram. The most that they can get is that there is no network, which the host
//! can have anyway: what is read is bounded, and nothing of it is believed but addresses,
//! a router and an MTU. There is no resolver and no name.

pub mod dhcp;
mod error;
pub mod rtnetlink;
pub mod select;

pub use error::NetworkError;
