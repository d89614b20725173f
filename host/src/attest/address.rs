//! Where a VM's responder is.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::Deserialize;

/// The responder's port in the guest, where nothing else is said (`attest.port`).
pub const GUEST_PORT: u16 = 4777;

/// An address over TCP or vsock.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[non_exhaustive]
pub enum Address {
    /// TCP.
    Tcp {
        /// A name or an IP address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A VM of this machine (`AF_VSOCK`).
    Vsock {
        /// The VM's context id.
        cid: u32,
        /// The port.
        port: u32,
    },
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{}\" is no address; write HOST:PORT, [IPV6]:PORT or vsock:CID:PORT (port and CID from 1)",
    .0.escape_debug()
)]
pub struct AddressError(String);

impl Address {
    /// SNPGuard's, where neither the command line nor vm.toml says another.
    #[must_use]
    pub fn snpguard() -> Self {
        Self::Tcp { host: "localhost".to_owned(), port: 8080 }
    }

    /// Where a VM of this machine waits for keys, if nothing says another place.
    #[must_use]
    pub fn usual_unlock() -> Self {
        Self::Tcp { host: "127.0.0.1".to_owned(), port: protocol::release::PORT }
    }

    /// A port of this machine.
    #[must_use]
    pub fn loopback(port: NonZeroU16) -> Self {
        Self::Tcp { host: "127.0.0.1".to_owned(), port: port.get() }
    }

    /// `CID[:PORT]`; without a port that of the responder.
    ///
    /// # Errors
    /// If it is not that.
    pub fn vsock(text: &str) -> Result<Self, AddressError> {
        Self::vsock_or(text, GUEST_PORT)
    }

    /// `CID[:PORT]`; without a port that of the release of keys.
    ///
    /// # Errors
    /// If it is not that.
    pub fn unlock_vsock(text: &str) -> Result<Self, AddressError> {
        Self::vsock_or(text, protocol::release::PORT)
    }

    fn vsock_or(text: &str, usual: u16) -> Result<Self, AddressError> {
        let error = || AddressError(text.to_owned());
        let (cid, port) = match text.split_once(':') {
            Some((cid, port)) => (cid, number(port).ok_or_else(error)?),
            None => (text, u32::from(usual)),
        };
        let cid = number(cid).filter(|cid| *cid != u32::MAX).ok_or_else(error)?;
        Ok(Self::Vsock { cid, port })
    }
}

/// A decimal number from 1, without sign.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|number| *number > 0)
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(text.to_owned());
        if let Some(rest) = text.strip_prefix("vsock:") {
            return Self::vsock(rest).map_err(|_error| error());
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let port = number(port).and_then(|port| u16::try_from(port).ok()).ok_or_else(error)?;
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']').ok_or_else(error)?,
            // Two colons without brackets: where does the port begin?
            None if host.contains(':') => return Err(error()),
            None => host,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
        if host.is_empty() || host.len() > 255 || !host.bytes().all(plain) {
            return Err(error());
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        for text in ["localhost:8080", "[::1]:4777", "10.0.0.1:1", "vsock:3:4777"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!(Address::vsock("7").unwrap().to_string(), "vsock:7:4777");
        assert_eq!(Address::unlock_vsock("7").unwrap().to_string(), "vsock:7:4778");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "::1:80",
            "[::1:80",
            ":80",
            "a b:80",
            "a\n:80",
            "vsock:0:1",
            "vsock:4294967295:1",
            "vsock:x:1",
            "vsock:3:0",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }
}
