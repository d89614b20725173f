//! DHCPv4 messages: RFC 2131 (format), RFC 2132 (options). Integers are big-endian.

use std::net::Ipv4Addr;

use super::packet::Mac;

/// The server's port.
pub const SERVER_PORT: u16 = 67;
/// The client's.
pub const CLIENT_PORT: u16 = 68;

/// Options, by their numbers.
pub mod option {
    /// The subnet's mask.
    pub const MASK: u8 = 1;
    /// Routers, the first choice first.
    pub const ROUTER: u8 = 3;
    /// Name servers.
    pub const NAME_SERVER: u8 = 6;
    /// The address that a client wants.
    pub const REQUESTED: u8 = 50;
    /// The lease, in seconds.
    pub const LEASE: u8 = 51;
    /// What a message is: [`super::Kind`].
    pub const KIND: u8 = 53;
    /// Which server.
    pub const SERVER: u8 = 54;
    /// What a client asks for.
    pub const PARAMETERS: u8 = 55;
    /// The end of the options.
    pub const END: u8 = 255;
}

/// What a message is, as option 53 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Is there a server?
    Discover = 1,
    /// Here is one, with an address.
    Offer = 2,
    /// That address, please.
    Request = 3,
    /// Not that one.
    Decline = 4,
    /// It is yours.
    Ack = 5,
    /// It is not.
    Nak = 6,
    /// Done with it.
    Release = 7,
    /// Only the options, please.
    Inform = 8,
}

const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Bytes before the cookie.
const FIXED: usize = 236;

/// A message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it is.
    pub kind: Kind,
    /// The transaction, which an answer has to name.
    pub transaction: [u8; 4],
    /// Seconds since the client began.
    pub seconds: u16,
    /// The broadcast flag: an answer has to go to all.
    pub broadcast: bool,
    /// The client's own address, when it renews.
    pub client_address: Ipv4Addr,
    /// Its station.
    pub mac: Mac,
    /// All options, in their order.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Request {
    /// Takes a message of a client apart. `None` if it is none.
    #[must_use]
    pub fn parse(message: &[u8]) -> Option<Self> {
        let fixed = message.get(..FIXED)?;
        // From a client, Ethernet, addresses of 6 bytes.
        if fixed.get(..3)? != [1, 1, 6] {
            return None;
        }
        let mut rest = message.get(FIXED..)?.strip_prefix(&COOKIE)?;
        let mut options = Vec::new();
        loop {
            let (code, after) = rest.split_first()?;
            if *code == option::END {
                break;
            }
            if *code == 0 {
                rest = after;
                continue;
            }
            let (length, after) = after.split_first()?;
            let (value, after) = after.split_at_checked(usize::from(*length))?;
            options.push((*code, value.to_vec()));
            rest = after;
        }
        let of = |code| options.iter().find(|(found, _)| *found == code).map(|(_, value)| value);
        let kind = match of(option::KIND)?.as_slice() {
            [1] => Kind::Discover,
            [3] => Kind::Request,
            [4] => Kind::Decline,
            [7] => Kind::Release,
            [8] => Kind::Inform,
            _ => return None,
        };
        Some(Self {
            kind,
            transaction: *fixed.get(4..)?.first_chunk()?,
            seconds: u16::from_be_bytes(*fixed.get(8..)?.first_chunk()?),
            broadcast: fixed.get(10)? & 0x80 != 0,
            client_address: Ipv4Addr::from(*fixed.get(12..)?.first_chunk::<4>()?),
            mac: *fixed.get(28..)?.first_chunk()?,
            options,
        })
    }

    /// The value of an option.
    #[must_use]
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(found, _)| *found == code).map(|(_, value)| value.as_slice())
    }

    /// The address that it asks for, in the option or as its own.
    #[must_use]
    pub fn wanted(&self) -> Option<Ipv4Addr> {
        match self.option(option::REQUESTED) {
            Some(value) => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?)),
            None => Some(self.client_address).filter(|address| !address.is_unspecified()),
        }
    }
}

/// A message of a server, which may be as wrong as a test likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The transaction.
    pub transaction: [u8; 4],
    /// The client's station.
    pub mac: Mac,
    /// The address for the client.
    pub address: Ipv4Addr,
    /// Code and value; a value longer than 255 bytes is split as RFC 3396 says.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Reply {
    /// The message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut message = vec![2, 1, 6, 0];
        message.extend(self.transaction);
        message.resize(16, 0);
        message.extend(self.address.octets());
        message.resize(28, 0);
        message.extend(self.mac);
        message.resize(FIXED, 0);
        message.extend(COOKIE);
        for (code, value) in &self.options {
            // Also the option that has no value.
            let parts = value.chunks(255).chain(value.is_empty().then_some(&[][..]));
            for part in parts {
                message.push(*code);
                message.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
                message.extend(part);
            }
        }
        message.push(option::END);
        message
    }
}
