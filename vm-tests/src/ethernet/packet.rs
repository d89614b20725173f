//! Ethernet II, ARP, UDP over IPv4, and who has an IPv6 address, as far as a small
//! network needs them.
//!
//! Specifications: RFC 826 (ARP), RFC 791 (IPv4), RFC 768 (UDP), RFC 1071 (checksum),
//! RFC 8200 (IPv6), RFC 4443 (ICMPv6), RFC 4861 (neighbour discovery). Integers are
//! big-endian.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// All stations of a wire.
pub const BROADCAST: Mac = [0xff; 6];

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;
const ARP: [u8; 2] = [0x08, 0x06];
const UDP: u8 = 17;
/// Ethernet, IPv4, and the lengths of their addresses.
const ARP_START: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Ethernet frames are at least this long, without the checksum.
const MIN_FRAME: usize = 60;

/// An ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// 1 asks, 2 answers.
    pub operation: u16,
    /// Who sends it.
    pub sender: (Mac, Ipv4Addr),
    /// Whom it is about; the Ethernet address is zeros in a question.
    pub target: (Mac, Ipv4Addr),
}

/// A UDP datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The station that sends it.
    pub source_mac: Mac,
    /// The station that gets it.
    pub destination_mac: Mac,
    /// Its address and port.
    pub source: SocketAddrV4,
    /// Where it goes to.
    pub destination: SocketAddrV4,
    /// The content.
    pub payload: Vec<u8>,
}

impl Arp {
    /// Takes a frame apart. `None` if it is no ARP.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let packet = payload_of(frame, ARP)?.strip_prefix(&ARP_START)?;
        let (operation, rest) = packet.split_first_chunk()?;
        let (sender, rest) = station(rest)?;
        let (target, _) = station(rest)?;
        Some(Self { operation: u16::from_be_bytes(*operation), sender, target })
    }

    /// The frame, to one station or all.
    #[must_use]
    pub fn frame(&self, destination: Mac) -> Vec<u8> {
        let (sender, target) = (self.sender, self.target);
        let parts: [&[u8]; 6] = [
            &ARP_START,
            &self.operation.to_be_bytes(),
            &sender.0,
            &sender.1.octets(),
            &target.0,
            &target.1.octets(),
        ];
        ethernet(destination, sender.0, ARP, &parts.concat())
    }
}

impl Datagram {
    /// Takes a frame apart. `None` if it is no UDP over IPv4 with right lengths and
    /// checksums.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (destination_mac, rest) = frame.split_first_chunk()?;
        let (source_mac, _) = rest.split_first_chunk()?;
        let packet = payload_of(frame, IPV4)?;
        let header_size = usize::from(packet.first()? & 0x0f) * 4;
        let total = usize::from(number(packet, 2)?);
        let (header, udp) = packet.get(..total)?.split_at_checked(header_size)?;
        let fragmented = number(header, 6)? & 0x3fff != 0;
        if header_size < 20 || packet.first()? >> 4 != 4 || header.get(9) != Some(&UDP) {
            return None;
        }
        let (source, destination) = (address(header, 12)?, address(header, 16)?);
        let checksum = number(udp, 6)?;
        let pseudo = pseudo_header(source, destination, udp.len())?;
        if fragmented || sum(&[header]) != 0 || usize::from(number(udp, 4)?) != udp.len() {
            return None;
        }
        if checksum != 0 && sum(&[&pseudo, udp]) != 0 {
            return None;
        }
        Some(Self {
            source_mac: *source_mac,
            destination_mac: *destination_mac,
            source: SocketAddrV4::new(source, number(udp, 0)?),
            destination: SocketAddrV4::new(destination, number(udp, 2)?),
            payload: udp.get(8..)?.to_vec(),
        })
    }

    /// The frame. `None` if the content is too long for one packet; it may well be
    /// longer than the wire's MTU.
    #[must_use]
    pub fn frame(&self) -> Option<Vec<u8>> {
        let (source, destination) = (*self.source.ip(), *self.destination.ip());
        let udp_size = u16::try_from(self.payload.len() + 8).ok()?;
        let total = udp_size.checked_add(20)?;
        let mut header = vec![0x45, 0];
        header.extend(total.to_be_bytes());
        // No identification; may not be fragmented.
        header.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]);
        header.extend(source.octets());
        header.extend(destination.octets());
        let checksum = sum(&[&header]).to_be_bytes();
        header.get_mut(10..12)?.copy_from_slice(&checksum);

        let mut udp = Vec::new();
        for number in [self.source.port(), self.destination.port(), udp_size, 0] {
            udp.extend(number.to_be_bytes());
        }
        udp.extend(&self.payload);
        let checksum = match sum(&[&pseudo_header(source, destination, udp.len())?, &udp]) {
            // 0 would say that there is none.
            0 => u16::MAX,
            checksum => checksum,
        };
        udp.get_mut(6..8)?.copy_from_slice(&checksum.to_be_bytes());
        header.extend(udp);
        Some(ethernet(self.destination_mac, self.source_mac, IPV4, &header))
    }
}

/// Asks which station has an IPv6 address (RFC 4861, section 4.3).
#[must_use]
pub fn solicitation(sender: (Mac, Ipv6Addr), target: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    // The group of all addresses with this end (RFC 4291, section 2.7.1).
    let group =
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    // Type, code, checksum, reserved; the target; the sender's station as option 1.
    let mut icmp = vec![135, 0, 0, 0, 0, 0, 0, 0];
    icmp.extend(target.octets());
    icmp.extend([1, 1]);
    icmp.extend(sender.0);
    let checksum = sum(&[&pseudo_header_v6(sender.1, group, &icmp), &icmp]).to_be_bytes();
    icmp.splice(2..4, checksum);
    // Version 6; 32 bytes follow; what only a neighbour can send has the hop limit 255.
    let header = [0x60, 0, 0, 0, 0, 32, ICMPV6, 255];
    let packet = [&header[..], &sender.1.octets(), &group.octets(), &icmp].concat();
    ethernet([0x33, 0x33, 0xff, a, b, c], sender.0, IPV6, &packet)
}

/// A station says that it has an IPv6 address (RFC 4861, section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertisement {
    /// Who says it.
    pub station: Mac,
    /// Which.
    pub target: Ipv6Addr,
}

impl Advertisement {
    /// Takes a frame apart. `None` if it is none with a right checksum.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let packet = payload_of(frame, IPV6)?;
        let (header, rest) = packet.split_at_checked(40)?;
        let icmp = rest.get(..usize::from(number(header, 4)?))?;
        let (source, destination) = (address_v6(header, 8)?, address_v6(header, 24)?);
        let is_one = header.get(6..8)? == [ICMPV6, 255] && icmp.starts_with(&[136, 0]);
        let pseudo = pseudo_header_v6(source, destination, icmp);
        if !is_one || sum(&[&pseudo, icmp]) != 0 {
            return None;
        }
        Some(Self { station: *frame.get(6..)?.first_chunk()?, target: address_v6(icmp, 8)? })
    }
}

fn pseudo_header_v6(source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    // No packet of Ethernet has more than 16 bits of length.
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&source.octets()[..], &destination.octets(), &[0, 0], &length, &[0, 0, 0, ICMPV6]].concat()
}

fn ethernet(destination: Mac, source: Mac, kind: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let mut frame = [&destination[..], &source, &kind, payload].concat();
    frame.resize(frame.len().max(MIN_FRAME), 0);
    frame
}

fn payload_of(frame: &[u8], kind: [u8; 2]) -> Option<&[u8]> {
    frame.get(12..)?.strip_prefix(&kind)
}

fn station(bytes: &[u8]) -> Option<((Mac, Ipv4Addr), &[u8])> {
    let (mac, rest) = bytes.split_first_chunk()?;
    let (address, rest) = rest.split_first_chunk::<4>()?;
    Some(((*mac, Ipv4Addr::from(*address)), rest))
}

fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, udp: usize) -> Option<Vec<u8>> {
    let size = u16::try_from(udp).ok()?.to_be_bytes();
    Some([&source.octets()[..], &destination.octets(), &[0, UDP], &size].concat())
}

/// The complement of the sum: 0 over what has a right checksum in it. Each part but the
/// last has an even length.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        let high = pair.first().copied().unwrap_or_default();
        let low = pair.get(1).copied().unwrap_or_default();
        sum += u32::from(u16::from_be_bytes([high, low]));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or_default()
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(*bytes.get(at..)?.first_chunk::<4>()?))
}

fn address_v6(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(*bytes.get(at..)?.first_chunk::<16>()?))
}
