//! rtnetlink: links, addresses and default routes (Linux `rtnetlink(7)`, and
//! `include/uapi/linux/{netlink,rtnetlink,if_link,if_addr}.h`).
//!
//! Numbers are in the machine's byte order, addresses in the network's.

mod message;
mod reply;
mod request;

pub use message::{Malformed, Message, Messages};
pub use reply::{Answer, LinkInfo, answer, link};
pub use request::{Change, Request, Verb};

/// Message types.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;

/// Attributes of a link.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;

/// Flags of a link.
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 1 << 3;
const IFF_LOWER_UP: u32 = 1 << 16;

/// The hardware type of Ethernet (`linux/if_arp.h`).
const ARPHRD_ETHER: u16 = 1;

/// Address families.
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Length of a message's header, `struct nlmsghdr`.
const HEADER: usize = 16;

/// Everything is padded to this.
const ALIGNMENT: usize = 4;

#[cfg(test)]
mod tests;
