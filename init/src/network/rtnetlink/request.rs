//! What PID 1 asks the kernel to do.

use std::net::IpAddr;

use super::{
    AF_INET, AF_INET6, ALIGNMENT, HEADER, IFF_UP, IFLA_MTU, RTM_DELADDR, RTM_DELROUTE, RTM_GETLINK,
    RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE,
};

/// Flags of a request.
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

/// Attributes of an address.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;

/// No duplicate address detection: the address can be used at once (RFC 4862, 5.4).
const IFA_F_NODAD: u8 = 2;

/// Attributes of a route.
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

/// Fields of a route: the main table, configured by a person, global, unicast.
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RTN_UNICAST: u8 = 1;

/// The gateway is on the link, whatever the addresses say.
const RTNH_F_ONLINK: u32 = 4;

/// Whether something is added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Fails with EEXIST if it is there.
    Add,
    /// Fails with EADDRNOTAVAIL or ESRCH if it is not there.
    Delete,
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Brings the link up, or down.
    Up(bool),
    /// Sets its MTU, in bytes.
    Mtu(u32),
    /// An address with its prefix length; IPv6 without duplicate address detection.
    Address(Verb, IpAddr, u8),
    /// The default route of the gateway's family. `on_link`: the gateway is in no subnet
    /// of the link's addresses.
    DefaultRoute {
        /// Add or delete.
        verb: Verb,
        /// The router.
        gateway: IpAddr,
        /// `RTNH_F_ONLINK`.
        on_link: bool,
    },
}

/// A request, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request(Vec<u8>);

impl Request {
    /// Asks for all links.
    #[must_use]
    pub fn list_links(sequence: u32) -> Self {
        let mut request = Self::start(RTM_GETLINK, NLM_F_DUMP, sequence);
        request.interface(0, 0, 0);
        request.finish()
    }

    /// Asks for a change of the link with this index; the kernel acknowledges it.
    #[must_use]
    pub fn change(sequence: u32, index: u32, change: Change) -> Self {
        match change {
            Change::Up(up) => {
                let mut request = Self::start(RTM_NEWLINK, NLM_F_ACK, sequence);
                request.interface(index, if up { IFF_UP } else { 0 }, IFF_UP);
                request.finish()
            }
            Change::Mtu(mtu) => {
                let mut request = Self::start(RTM_NEWLINK, NLM_F_ACK, sequence);
                request.interface(index, 0, 0);
                request.attribute(IFLA_MTU, &mtu.to_ne_bytes());
                request.finish()
            }
            Change::Address(verb, address, prefix) => {
                let kind = by(verb, RTM_NEWADDR, RTM_DELADDR);
                let mut request = Self::start(kind, flags(verb), sequence);
                request.address(index, address, prefix);
                request.finish()
            }
            Change::DefaultRoute { verb, gateway, on_link } => {
                let kind = by(verb, RTM_NEWROUTE, RTM_DELROUTE);
                let mut request = Self::start(kind, flags(verb), sequence);
                request.default_route(index, gateway, on_link);
                request.finish()
            }
        }
    }

    /// The bytes of the datagram.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn start(kind: u16, flags: u16, sequence: u32) -> Self {
        let mut bytes = Vec::with_capacity(64);
        // The length: known at the end.
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        // The sender's port: the kernel fills it in.
        bytes.extend_from_slice(&[0; 4]);
        debug_assert_eq!(bytes.len(), HEADER);
        Self(bytes)
    }

    /// `struct ifinfomsg`.
    fn interface(&mut self, index: u32, flags: u32, changed: u32) {
        self.0.extend_from_slice(&[0; 4]);
        self.0.extend_from_slice(&index.to_ne_bytes());
        self.0.extend_from_slice(&flags.to_ne_bytes());
        self.0.extend_from_slice(&changed.to_ne_bytes());
    }

    /// `struct ifaddrmsg` and the address.
    fn address(&mut self, index: u32, address: IpAddr, prefix: u8) {
        let flags = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
        self.0.extend_from_slice(&[family(address), prefix, flags, RT_SCOPE_UNIVERSE]);
        self.0.extend_from_slice(&index.to_ne_bytes());
        self.ip(IFA_LOCAL, address);
        self.ip(IFA_ADDRESS, address);
        if let IpAddr::V4(v4) = address
            && prefix < 31
        {
            let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            self.attribute(IFA_BROADCAST, &(u32::from(v4) | hosts).to_be_bytes());
        }
    }

    /// `struct rtmsg`, the gateway and the link.
    fn default_route(&mut self, index: u32, gateway: IpAddr, on_link: bool) {
        self.0.extend_from_slice(&[family(gateway), 0, 0, 0]);
        self.0.extend_from_slice(&[RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RTN_UNICAST]);
        let flags = if on_link { RTNH_F_ONLINK } else { 0 };
        self.0.extend_from_slice(&flags.to_ne_bytes());
        self.ip(RTA_GATEWAY, gateway);
        self.attribute(RTA_OIF, &index.to_ne_bytes());
    }

    fn ip(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.attribute(kind, &v4.octets()),
            IpAddr::V6(v6) => self.attribute(kind, &v6.octets()),
        }
    }

    fn attribute<const N: usize>(&mut self, kind: u16, value: &[u8; N]) {
        // Values have 16 bytes at most.
        let length = u16::try_from(4 + N).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
    }

    fn finish(mut self) -> Self {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX).to_ne_bytes();
        for (field, byte) in self.0.iter_mut().zip(length) {
            *field = byte;
        }
        self
    }
}

const fn by(verb: Verb, add: u16, delete: u16) -> u16 {
    match verb {
        Verb::Add => add,
        Verb::Delete => delete,
    }
}

const fn flags(verb: Verb) -> u16 {
    by(verb, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, NLM_F_ACK)
}

const fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}
