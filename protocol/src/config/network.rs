//! Settings of the network that PID 1 uses while it waits for keys.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::error::ConfigError;
use super::settings::Settings;
use super::values::{ValueError, words};
use crate::units::{Deadline, decimal};

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

/// The mode; addresses and routers where they are configured.
impl fmt::Display for Addressing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Addressing::Static { addresses, gateways } = self else {
            return f.write_str(NetworkMode::Dhcp.as_str());
        };
        f.write_str(NetworkMode::Static.as_str())?;
        addresses.iter().try_for_each(|(address, prefix)| write!(f, " {address}/{prefix}"))?;
        gateways.iter().try_for_each(|gateway| write!(f, ", router {gateway}"))
    }
}

words! {
    /// The word in `network.mode`.
    NetworkMode {
        /// DHCPv4.
        Dhcp = "dhcp",
        /// As configured.
        Static = "static",
    }
}

impl FromStr for LinkSelector {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<LinkSelector, ValueError> {
        match text.split_once(':') {
            None if text == "only" => Ok(LinkSelector::Only),
            Some(("mac", address)) => hardware_address(address).map(LinkSelector::Mac),
            Some(("driver", name)) => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
                    Ok(LinkSelector::Driver(name.to_owned()))
                } else {
                    Err(ValueError("a driver's name is 1 to 64 of letters, digits, _ and -"))
                }
            }
            _ => Err(ValueError("an unknown kind of selector")),
        }
    }
}

/// The address of one link: six pairs of hexadecimal digits between `:`.
///
/// # Errors
/// Text that is none, the address of zeros, and that of a group.
pub fn hardware_address(text: &str) -> Result<[u8; 6], ValueError> {
    let malformed = ValueError("a hardware address is six pairs of hexadecimal digits between :");
    let mut address = [0; 6];
    let mut pairs = text.split(':');
    for byte in &mut address {
        let pair = pairs.next().filter(|pair| pair.len() == 2).ok_or(malformed.clone())?;
        // `from_str_radix` takes a sign.
        let digits = pair.bytes().all(|b| b.is_ascii_hexdigit());
        let value = u8::from_str_radix(pair, 16).ok().filter(|_| digits);
        *byte = value.ok_or(malformed.clone())?;
    }
    match address {
        _ if pairs.next().is_some() => Err(malformed),
        [0, 0, 0, 0, 0, 0] => Err(ValueError("no link has the hardware address of zeros")),
        [first, ..] if first & 1 == 1 => Err(ValueError("a hardware address of a group")),
        _ => Ok(address),
    }
}

/// Addresses with their prefix lengths: 1 to 8, each once.
pub(super) struct Addresses(pub(super) Vec<(IpAddr, u8)>);

impl FromStr for Addresses {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Addresses, ValueError> {
        let mut addresses: Vec<(IpAddr, u8)> = Vec::new();
        for item in text.split(',') {
            let (address, prefix) =
                item.split_once('/').ok_or(ValueError("an address without /PREFIX"))?;
            let address = host_address(address)?;
            let prefix =
                decimal(prefix).map_err(|_malformed| ValueError("a prefix is a number"))?;
            if prefix == 0 || prefix > bits(address) {
                return Err(ValueError("a prefix is from 1 to 32, or to 128 for IPv6"));
            }
            let (IpAddr::V4(_), host @ 2..) = (address, bits(address) - prefix) else {
                // A /31 (RFC 3021), /32, or IPv6: all addresses are hosts'.
                push(&mut addresses, (address, prefix))?;
                continue;
            };
            let mask = u128::MAX >> (128 - u32::from(host));
            if matches!(number(address) & mask, low if low == 0 || low == mask) {
                return Err(ValueError("an address that is that of its network, or its broadcast"));
            }
            push(&mut addresses, (address, prefix))?;
        }
        Ok(Addresses(addresses))
    }
}

fn push(addresses: &mut Vec<(IpAddr, u8)>, new: (IpAddr, u8)) -> Result<(), ValueError> {
    if addresses.iter().any(|(address, _)| *address == new.0) {
        return Err(ValueError("an address is there twice"));
    }
    if addresses.len() == 8 {
        return Err(ValueError("more than 8 addresses"));
    }
    addresses.push(new);
    Ok(())
}

/// Default gateways: at most one of each family.
pub(super) struct Gateways(pub(super) Vec<IpAddr>);

impl FromStr for Gateways {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Gateways, ValueError> {
        let mut gateways: Vec<IpAddr> = Vec::new();
        for item in text.split(',') {
            let gateway = host_address(item)?;
            if gateways.iter().any(|other| other.is_ipv4() == gateway.is_ipv4()) {
                return Err(ValueError("two gateways of one family"));
            }
            gateways.push(gateway);
        }
        Ok(Gateways(gateways))
    }
}

/// An address that a host can have.
fn host_address(text: &str) -> Result<IpAddr, ValueError> {
    let address: IpAddr = text.parse().map_err(|_malformed| ValueError("not an IP address"))?;
    let special = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.octets().first() == Some(&0),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    if special || address.is_unspecified() || address.is_loopback() || address.is_multicast() {
        return Err(ValueError("not the address of one host on a network"));
    }
    Ok(address)
}

const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Whether `gateway` can be reached on the link.
fn reachable(gateway: IpAddr, addresses: &[(IpAddr, u8)]) -> bool {
    let link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
    addresses.iter().any(|(address, prefix)| {
        let shift = u32::from(bits(*address).saturating_sub(*prefix));
        let same =
            |a: IpAddr, b: IpAddr| number(a).checked_shr(shift) == number(b).checked_shr(shift);
        address.is_ipv4() == gateway.is_ipv4() && (link_local || same(*address, gateway))
    })
}

/// An MTU in bytes.
pub(super) struct Mtu(pub(super) u16);

impl FromStr for Mtu {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Mtu, ValueError> {
        match decimal(text) {
            // The least that every IPv4 host takes (RFC 791).
            Ok(mtu @ 576..) => Ok(Mtu(mtu)),
            _ => Err(ValueError("not an MTU")),
        }
    }
}

/// The network, where a key comes from an owner.
pub(super) fn read(settings: &Settings) -> Result<Network, ConfigError> {
    let mtu = settings.optional::<Mtu>("network.mtu")?.map(|mtu| mtu.0);
    let addressing = match settings.value("network.mode")? {
        NetworkMode::Dhcp => Addressing::Dhcp,
        NetworkMode::Static => {
            let addresses = settings.value::<Addresses>("network.address")?.0;
            let gateways = settings.optional::<Gateways>("network.gateway")?;
            let gateways = gateways.map_or_else(Vec::new, |gateways| gateways.0);
            if !gateways.iter().all(|gateway| reachable(*gateway, &addresses)) {
                return Err(ConfigError::Conflict(
                    "a gateway of network.gateway is in no prefix of network.address, nor an IPv6 \
                     link-local address; PID 1 could not reach it",
                ));
            }
            if addresses.iter().any(|(address, _)| gateways.contains(address)) {
                return Err(ConfigError::Conflict(
                    "a gateway of network.gateway is one of the addresses in network.address",
                ));
            }
            // RFC 8200, section 5.
            if mtu.is_some_and(|mtu| mtu < 1280) && addresses.iter().any(|(ip, _)| ip.is_ipv6()) {
                return Err(ConfigError::Conflict(
                    "network.mtu is below 1280, and IPv6 needs that much",
                ));
            }
            Addressing::Static { addresses, gateways }
        }
    };
    Ok(Network {
        link: settings.value("network.link")?,
        addressing,
        mtu,
        deadline: settings.value("deadline.network")?,
    })
}
