//! Settings of the network that PID 1 uses while it waits for keys.

use std::net::IpAddr;

use crate::units::Deadline;

/// How PID 1 reaches the network, and for how long it tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Which link.
    pub link: LinkSelector,
    /// How it gets addresses.
    pub addressing: Addressing,
    /// MTU; `None`: the link's, or DHCP's.
    pub mtu: Option<u16>,
    /// How long the link and its address may take.
    pub deadline: Deadline,
}

/// Which link (`network.link`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkSelector {
    /// The only one that is no loopback. `only`.
    Only,
    /// By its hardware address. `mac:52:54:00:12:34:56`.
    Mac([u8; 6]),
    /// The only one with this driver. `driver:virtio_net`.
    Driver(String),
}

/// How the link gets addresses (`network.mode`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    /// By DHCPv4.
    Dhcp,
    /// As configured.
    Static {
        /// Addresses with their prefix lengths, at least one.
        addresses: Vec<(IpAddr, u8)>,
        /// Default gateways, at most one of each family.
        gateways: Vec<IpAddr>,
    },
}
