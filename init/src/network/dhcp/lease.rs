//! What a server may give, and what is believed of it.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::options::Options;
use super::reply::RefusedReply;

/// The shortest lease that is taken: one that is shorter is a server gone wrong, and
/// would be nothing but renewals.
const SHORTEST: u32 = 30;

/// How long an infinite lease is written as (RFC 2131, section 3.3).
const INFINITE: u32 = u32::MAX;

/// MTUs that are used: every IPv4 host takes 576 bytes (RFC 791); 9000 is the usual
/// largest frame.
const MTU: std::ops::RangeInclusive<u16> = 576..=9000;

/// A lease that makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The address: one that a host can have.
    pub address: Ipv4Addr,
    /// Length of its subnet's prefix, 8 to 32.
    pub prefix: u8,
    /// The default gateway: another address of the subnet.
    pub router: Option<Ipv4Addr>,
    /// MTU in bytes, 576 to 9000; none if the server said none or another.
    pub mtu: Option<u16>,
    /// The server that gave it.
    pub server: Ipv4Addr,
    /// For how long; `None`: for ever.
    pub term: Option<Term>,
}

/// Times of a lease, all since the request was sent (RFC 2131, section 4.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// T1: from when on the server is asked for more. At least a second.
    pub renew: Duration,
    /// T2: from when on any server is asked. Not before T1.
    pub rebind: Duration,
    /// When the address must not be used any more. After T2, at least 30 s.
    pub end: Duration,
}

impl Lease {
    /// Reads the address that was offered, and the options.
    pub(super) fn read(address: Ipv4Addr, options: &Options) -> Result<Self, RefusedReply> {
        let server = Ipv4Addr::from(options.server.ok_or(RefusedReply::NoServer)?);
        if !is_host(server) {
            return Err(RefusedReply::Server(server));
        }
        let mask = Ipv4Addr::from(options.mask.ok_or(RefusedReply::NoMask)?);
        let prefix = prefix(mask).ok_or(RefusedReply::Mask(mask))?;
        let subnet = Subnet { address, prefix };
        if !subnet.has_host(address) {
            return Err(RefusedReply::Address { address, prefix });
        }
        let router = options.router.map(Ipv4Addr::from);
        if let Some(router) = router
            && (router == address || !subnet.has_host(router))
        {
            return Err(RefusedReply::Router { router, address, prefix });
        }
        let mtu = options.mtu.map(u16::from_be_bytes).filter(|mtu| MTU.contains(mtu));
        Ok(Self { address, prefix, router, mtu, server, term: Term::read(options)? })
    }

    /// Whether the link has to be set in another way.
    #[must_use]
    pub fn differs(&self, other: &Lease) -> bool {
        (self.address, self.prefix, self.router, self.mtu)
            != (other.address, other.prefix, other.router, other.mtu)
    }
}

/// `10.0.2.15/24 from 10.0.2.2 for 86400 s, router 10.0.2.2`.
impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} from {}", self.address, self.prefix, self.server)?;
        match self.term {
            Some(term) => write!(f, " for {} s", term.end.as_secs())?,
            None => write!(f, " for ever")?,
        }
        self.router.map_or(Ok(()), |router| write!(f, ", router {router}"))?;
        self.mtu.map_or(Ok(()), |mtu| write!(f, ", MTU {mtu}"))
    }
}

impl Term {
    fn read(options: &Options) -> Result<Option<Self>, RefusedReply> {
        let seconds = |option: [u8; 4]| u32::from_be_bytes(option);
        let end = options.lease.map(seconds).ok_or(RefusedReply::NoTerm)?;
        if end == INFINITE {
            return Ok(None);
        }
        if end < SHORTEST {
            return Err(RefusedReply::Term { seconds: end });
        }
        let (renew, rebind) = (options.renewal.map(seconds), options.rebinding.map(seconds));
        // Times that make no sense are as if there were none: a half and seven eighths.
        let rebind = rebind.filter(|at| (1..end).contains(at)).unwrap_or(end - end / 8);
        let renew = renew.filter(|at| (1..=rebind).contains(at)).unwrap_or((end / 2).min(rebind));
        let from = |seconds: u32| Duration::from_secs(seconds.into());
        Ok(Some(Self { renew: from(renew), rebind: from(rebind), end: from(end) }))
    }
}

/// The prefix length of a mask of ones, then zeros. A subnet that is larger than the
/// largest of the classes is none.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    let ones = bits.leading_ones();
    let contiguous = bits.count_ones() == ones;
    u8::try_from(ones).ok().filter(|ones| contiguous && *ones >= 8)
}

/// Whether a single host can have this address.
fn is_host(address: Ipv4Addr) -> bool {
    // 0/8 is "this network", from 224 on there are groups and reserved ones.
    let [first, ..] = address.octets();
    (1..224).contains(&first) && !address.is_loopback()
}

/// The subnet of an address.
#[derive(Clone, Copy)]
struct Subnet {
    address: Ipv4Addr,
    prefix: u8,
}

impl Subnet {
    /// Whether a host of this subnet can have the address: the first and the last are
    /// none, where there are more than two.
    fn has_host(self, address: Ipv4Addr) -> bool {
        let hosts = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        let number = u32::from(address) & hosts;
        let inside = (u32::from(address) ^ u32::from(self.address)) & !hosts == 0;
        inside && is_host(address) && (self.prefix > 30 || (number != 0 && number != hosts))
    }
}
