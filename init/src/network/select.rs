//! Which link is used.

use std::fmt;

use protocol::config::LinkSelector;

use super::NetworkError;
use super::rtnetlink::LinkInfo;

/// A link that may be used: Ethernet, and no loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name, as the kernel has it.
    pub name: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The driver of its device, if it has one.
    pub driver: Option<String>,
    /// It has a carrier.
    pub carrier: bool,
    /// MTU in bytes.
    pub mtu: u32,
}

impl Link {
    /// The link, unless it is a loopback or no Ethernet.
    #[must_use]
    pub fn new(info: LinkInfo, driver: Option<String>) -> Option<Self> {
        let LinkInfo { index, name, mac, loopback, carrier, mtu } = info;
        let mac = mac.filter(|_| !loopback)?;
        Some(Self { index, name, mac, driver, carrier, mtu })
    }
}

/// `eth0 (virtio_net, 52:54:00:12:34:56)`, with what the host chose escaped.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = self.driver.as_deref().unwrap_or("no driver");
        let name = self.name.escape_debug();
        write!(f, "{name} ({}, {})", driver.escape_debug(), Mac(self.mac))
    }
}

/// A hardware address as text.
struct Mac([u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The one link that is wanted; `None` if it is not there (yet).
///
/// # Errors
/// [`NetworkError::Ambiguous`] if there are several.
pub fn choose<'a>(
    links: &'a [Link],
    wanted: &LinkSelector,
) -> Result<Option<&'a Link>, NetworkError> {
    let mut matching = links.iter().filter(|link| match wanted {
        LinkSelector::Only => true,
        LinkSelector::Mac(mac) => link.mac == *mac,
        LinkSelector::Driver(driver) => link.driver.as_ref() == Some(driver),
    });
    match (matching.next(), matching.next()) {
        (found, None) => Ok(found),
        (_, Some(_)) => Err(NetworkError::Ambiguous { wanted: name(wanted), seen: summary(links) }),
    }
}

/// What is wanted, for messages.
#[must_use]
pub fn name(wanted: &LinkSelector) -> String {
    match wanted {
        LinkSelector::Only => "only".to_owned(),
        LinkSelector::Mac(mac) => format!("mac:{}", Mac(*mac)),
        LinkSelector::Driver(driver) => format!("driver:{}", driver.escape_debug()),
    }
}

/// The links that are there, for messages; the first eight of them.
#[must_use]
pub fn summary(links: &[Link]) -> String {
    const SHOWN: usize = 8;
    if links.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<String> = links.iter().take(SHOWN).map(Link::to_string).collect();
    let more = if links.len() > SHOWN { " and more" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, driver: Option<&str>) -> Link {
        let mac = [0x52, 0x54, 0, 0, 0, u8::try_from(index).unwrap()];
        let name = format!("eth{index}");
        Link { index, name, mac, driver: driver.map(str::to_owned), carrier: true, mtu: 1500 }
    }

    #[test]
    fn one_is_found_none_is_waited_for_several_are_refused() {
        let both = [link(1, Some("virtio_net")), link(2, Some("e1000"))];
        let one = &both[..1];
        let (first, second) = (Some(&both[0]), Some(&both[1]));
        let only = LinkSelector::Only;
        assert_eq!(choose(one, &only).unwrap(), first);
        assert_eq!(choose(&[], &only).unwrap(), None);
        assert_eq!(choose(&both, &LinkSelector::Mac(both[1].mac)).unwrap(), second);
        assert_eq!(choose(one, &LinkSelector::Mac(both[1].mac)).unwrap(), None);
        let driver = |name: &str| LinkSelector::Driver(name.to_owned());
        assert_eq!(choose(&both, &driver("e1000")).unwrap(), second);
        assert_eq!(choose(&both, &driver("e100")).unwrap(), None);
        assert_eq!(choose(&[link(1, None)], &driver("")).unwrap(), None);

        let message = choose(&both, &only).unwrap_err().to_string();
        assert!(message.contains("eth1 (virtio_net, 52:54:00:00:00:01)"), "{message}");
        assert!(message.contains("eth2 (e1000, 52:54:00:00:00:02)"), "{message}");
        let twins = [link(1, None), Link { index: 9, ..link(1, None) }];
        assert!(choose(&twins, &LinkSelector::Mac(twins[0].mac)).is_err());
    }

    #[test]
    fn a_loopback_and_what_is_no_ethernet_are_no_candidates() {
        let info = LinkInfo {
            index: 1,
            name: "lo".to_owned(),
            mac: Some([0; 6]),
            loopback: true,
            carrier: true,
            mtu: 65536,
        };
        assert_eq!(Link::new(info.clone(), None), None);
        let tunnel = LinkInfo { loopback: false, mac: None, ..info.clone() };
        assert_eq!(Link::new(tunnel, None), None);
        assert!(Link::new(LinkInfo { loopback: false, ..info }, None).is_some());
    }

    #[test]
    fn many_links_with_bad_names_are_one_short_line() {
        let bad = Link { name: "a\nravelin:".to_owned(), ..link(1, Some("\u{1b}[2J")) };
        let text = summary(&vec![bad; 1000]);
        assert!(text.len() < 1000 && text.ends_with(" and more"), "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}
