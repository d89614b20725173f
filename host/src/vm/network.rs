//! The `[network]` table of a `vm.toml`: the VM's one network card.

use std::fmt;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::str::FromStr;

use protocol::config::hardware_address;
use serde::Deserialize;

use super::ValueError;
use super::value::is_name;

/// The network card. Without `bridge` or `tap` it is on QEMU's user network: the guest
/// reaches out, and what is forwarded reaches the guest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Network {
    /// This port on 127.0.0.1 leads to the guest's port 22.
    pub ssh_port: Option<NonZeroU16>,
    /// This port on 127.0.0.1 leads to the guest's responder (`attest.port` of
    /// its measured configuration).
    pub attest_port: Option<NonZeroU16>,
    /// This port on 127.0.0.1 leads to where the guest waits for keys
    /// (`unlock.port` of its measured configuration).
    pub unlock_port: Option<NonZeroU16>,
    /// Further forwarded ports.
    #[serde(default)]
    pub forward: Vec<Forward>,
    /// A bridge of the host's that the card is connected to, by QEMU's bridge helper.
    pub bridge: Option<InterfaceName>,
    /// A tap device that exists already and that the user may open.
    pub tap: Option<InterfaceName>,
    /// The card's address. Needed with `bridge` and `tap`: QEMU gives all cards the same.
    pub mac: Option<Mac>,
}

/// What the card is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link<'a> {
    /// QEMU's user network.
    User,
    /// A bridge.
    Bridge(&'a InterfaceName),
    /// A tap device.
    Tap(&'a InterfaceName),
}

impl Network {
    /// What the card is connected to.
    #[must_use]
    pub fn link(&self) -> Link<'_> {
        match (&self.bridge, &self.tap) {
            (Some(bridge), _) => Link::Bridge(bridge),
            (None, Some(tap)) => Link::Tap(tap),
            (None, None) => Link::User,
        }
    }

    /// The named forwards: the key, the host's port.
    pub(super) fn named(&self) -> [(&'static str, Option<NonZeroU16>); 3] {
        [
            ("ssh_port", self.ssh_port),
            ("attest_port", self.attest_port),
            ("unlock_port", self.unlock_port),
        ]
    }

    /// Two settings of which one excludes the other: the key, and why.
    pub(super) fn link_contradiction(&self) -> Option<(&'static str, String)> {
        let key = match (&self.bridge, &self.tap) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                return Some(("tap", "a card is on a bridge or on a tap device".to_owned()));
            }
            (Some(_), None) => "bridge",
            (None, Some(_)) => "tap",
        };
        let forwarded = self.named().into_iter().find_map(|(name, port)| port.map(|_| name));
        let forwarded = forwarded.or_else(|| (!self.forward.is_empty()).then_some("forward"));
        if let Some(name) = forwarded {
            let message = format!(
                "{name} is for the user network; with a {key} the VM has an address of its own \
                 ([attest] address and [unlock] address name it)"
            );
            return Some((name, message));
        }
        if self.mac.is_none() {
            let message = format!(
                "a {key} needs a mac that no other card has, such as mac = \"52:54:00:12:34:56\""
            );
            return Some((key, message));
        }
        None
    }
}

/// One forwarded port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Forward {
    /// `tcp` or `udp`.
    #[serde(default)]
    pub protocol: Protocol,
    /// The address that is listened on.
    #[serde(default = "loopback")]
    pub host_address: Ipv4Addr,
    /// The port that is listened on.
    pub host_port: NonZeroU16,
    /// The guest's port.
    pub guest_port: NonZeroU16,
}

fn loopback() -> Ipv4Addr {
    Ipv4Addr::LOCALHOST
}

/// What is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The name as QEMU and this file write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

/// The name of a network interface of the host: 1 to 15 letters, digits, `.`, `_`, `-`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = ValueError;

    fn try_from(name: String) -> Result<Self, ValueError> {
        // 15: IFNAMSIZ without its end.
        if is_name(&name, 15) && !matches!(name.as_str(), "." | "..") {
            Ok(Self(name))
        } else {
            Err(ValueError::new(format!(
                "an interface's name is 1 to 15 letters, digits, '.', '_' or '-', not \"{}\"",
                name.escape_default()
            )))
        }
    }
}

/// The address of a network card: six bytes, no group's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Mac([u8; 6]);

impl FromStr for Mac {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        hardware_address(text).map(Self).map_err(|_refused| {
            ValueError::new(format!(
                "a mac is six pairs of digits of one card, such as \"52:54:00:12:34:56\", not \
                 \"{}\"",
                text.escape_default()
            ))
        })
    }
}

impl TryFrom<String> for Mac {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let mac = |text: &str| text.parse::<Mac>().map(|mac| mac.to_string()).ok();
        assert_eq!(mac("52:54:00:AB:cd:01").as_deref(), Some("52:54:00:ab:cd:01"));
        for bad in [
            "",
            "52:54:00:ab:cd",
            "52:54:00:ab:cd:01:02",
            "53:54:00:ab:cd:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
            "5254:00:ab:cd:01",
            "52:54:00:ab:cd:0g",
            "+2:54:00:ab:cd:01",
            "52:54:00:ab:cd:01,x=y",
        ] {
            assert_eq!(mac(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn interfaces() {
        for good in ["br0", "virbr0", "tap-web.1", "a23456789012345"] {
            assert!(InterfaceName::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "a234567890123456", "br 0", "br0,x", "-br", "..", "br/0", "é"] {
            assert!(InterfaceName::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
