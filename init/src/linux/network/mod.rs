//! The network by system calls: what [`crate::network`] decides is done here, and undone.

mod control;
mod keeper;
mod port;
mod rtnetlink;
mod sysctl;

use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use protocol::config::{Addressing, Network};

use crate::network::NetworkError;
use crate::network::rtnetlink::Change;
use crate::network::select::{self, Link};
use control::Control;
use keeper::{Keeper, Keeping};

/// How often is looked whether a link or its carrier has come.
const LOOK: Duration = Duration::from_millis(20);

/// Where a lease that changes later is told.
pub(crate) type Log = Box<dyn Fn(&str) + Send>;

/// A link that is up and has its addresses, until [`Connection::close`].
#[derive(Debug)]
pub struct Connection {
    control: Control,
    keeping: Option<Keeping>,
}

impl Connection {
    /// Brings the link up and gives it its addresses, at most until `until`. Returns also
    /// what it has. A lease is kept up by a thread, which tells `log` of what changes.
    ///
    /// # Errors
    /// [`NetworkError`]; then the link is as it was.
    pub fn open(
        network: &Network,
        until: Instant,
        log: Log,
    ) -> Result<(Self, String), NetworkError> {
        let mut socket = rtnetlink::Socket::open().map_err(NetworkError::List)?;
        let link = wait_for_link(&mut socket, network, until)?;
        let mut connection = Self { control: Control::new(socket, link), keeping: None };
        match connection.set(network, until, log) {
            Ok(has) => {
                let line = format!("{} {has}", connection.control.link());
                Ok((connection, line))
            }
            Err(error) => {
                // The first error is the one to tell.
                let _second = connection.close();
                Err(error)
            }
        }
    }

    fn set(&mut self, network: &Network, until: Instant, log: Log) -> Result<String, NetworkError> {
        let control = &mut self.control;
        // Before the link is up: nothing of a router's advertisement is taken.
        sysctl::quiet_ipv6(control, wants_ipv6(&network.addressing))?;
        if let Some(mtu) = network.mtu {
            control.set_mtu(mtu.into())?;
        }
        control.apply(Change::Up(true), Change::Up(false))?;
        wait_for_carrier(control, network, until)?;
        match &network.addressing {
            Addressing::Static { addresses, gateways } => set_static(control, addresses, gateways),
            Addressing::Dhcp => {
                let (keeping, lease) =
                    Keeper::open(control, network, log)?.start(network, until)?;
                self.keeping = Some(keeping);
                Ok(format!("has {lease}"))
            }
        }
    }

    /// Takes the addresses, the routes and the link down again, and ends the thread.
    ///
    /// # Errors
    /// The first from the system; the rest is done all the same.
    pub fn close(mut self) -> io::Result<()> {
        let lease = self.keeping.take().map_or(Ok(()), Keeping::stop);
        lease.and(self.control.undo())
    }
}

fn wants_ipv6(addressing: &Addressing) -> bool {
    match addressing {
        Addressing::Dhcp => false,
        Addressing::Static { addresses, .. } => addresses.iter().any(|(ip, _)| ip.is_ipv6()),
    }
}

/// Gives the link the configured addresses and default routes.
fn set_static(
    control: &mut Control,
    addresses: &[(IpAddr, u8)],
    gateways: &[IpAddr],
) -> Result<String, NetworkError> {
    let mut has = "has".to_owned();
    for (address, prefix) in addresses {
        control.add_address(*address, *prefix)?;
        has.push_str(&format!(" {address}/{prefix}"));
    }
    for gateway in gateways {
        let on_link = !addresses.iter().any(|(ip, prefix)| contains(*ip, *prefix, *gateway));
        control.add_default_route(*gateway, on_link)?;
        has.push_str(&format!(", router {gateway}"));
    }
    Ok(has)
}

/// Whether the subnet of `address` contains `other`.
fn contains(address: IpAddr, prefix: u8, other: IpAddr) -> bool {
    let (bits, differing) = match (address, other) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (32, u128::from(u32::from(a) ^ u32::from(b))),
        // A router's link-local address (RFC 4291, 2.5.6) is on every link.
        (IpAddr::V6(_), IpAddr::V6(b)) if b.is_unicast_link_local() => return true,
        (IpAddr::V6(a), IpAddr::V6(b)) => (128, u128::from(a) ^ u128::from(b)),
        _ => return false,
    };
    let host: u32 = bits - u32::from(prefix).min(bits);
    differing.checked_shr(host).unwrap_or(0) == 0
}

fn wait_for_link(
    socket: &mut rtnetlink::Socket,
    network: &Network,
    until: Instant,
) -> Result<Link, NetworkError> {
    loop {
        let links = links(socket)?;
        if let Some(link) = select::choose(&links, &network.link)? {
            return Ok(link.clone());
        }
        if Instant::now() >= until {
            return Err(NetworkError::Missing {
                wanted: select::name(&network.link),
                deadline: network.deadline,
                seen: select::summary(&links),
            });
        }
        thread::sleep(LOOK);
    }
}

fn wait_for_carrier(
    control: &mut Control,
    network: &Network,
    until: Instant,
) -> Result<(), NetworkError> {
    loop {
        if control.has_carrier()? {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(NetworkError::NoCarrier {
                link: control.link().to_string(),
                deadline: network.deadline,
            });
        }
        thread::sleep(LOOK);
    }
}

/// The links that may be used.
fn links(socket: &mut rtnetlink::Socket) -> Result<Vec<Link>, NetworkError> {
    let infos = socket.links().map_err(NetworkError::List)?;
    let with_driver = infos.into_iter().filter_map(|info| {
        let driver = driver(&info.name);
        Link::new(info, driver)
    });
    Ok(with_driver.collect())
}

/// The driver of a link's device, as sysfs has it.
fn driver(link: &str) -> Option<String> {
    let driver = std::fs::read_link(format!("/sys/class/net/{link}/device/driver")).ok()?;
    Some(driver.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_in_no_subnet_is_on_the_link() {
        let holds = |address: &str, prefix, gateway: &str| {
            contains(address.parse().unwrap(), prefix, gateway.parse().unwrap())
        };
        assert!(holds("192.0.2.7", 24, "192.0.2.254"));
        assert!(!holds("192.0.2.7", 24, "192.0.3.1"));
        assert!(!holds("192.0.2.7", 32, "192.0.2.1"));
        assert!(holds("192.0.2.7", 32, "192.0.2.7"));
        assert!(holds("192.0.2.7", 0, "203.0.113.1"));
        assert!(holds("2001:db8::5", 64, "2001:db8::1"));
        assert!(!holds("2001:db8::5", 64, "2001:db8:0:1::1"));
        assert!(!holds("2001:db8::5", 128, "2001:db8::1"));
        assert!(holds("2001:db8::5", 64, "fe80::1"));
        assert!(holds("2001:db8::5", 0, "::1"));
        assert!(!holds("192.0.2.7", 24, "fe80::1"));
        assert!(!holds("2001:db8::5", 200, "2001:db8::1"));
    }
}
