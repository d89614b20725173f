//! What drives the DHCP client: a port, a clock, and the link that gets the lease.

use std::error::Error as _;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use protocol::config::Network;
use protocol::text::printable;
use rustix::rand::{GetRandomFlags, getrandom};

use super::control::Control;
use super::port::{Port, Stop, Woken};
use super::{Log, rtnetlink};
use crate::network::NetworkError;
use crate::network::dhcp::{Change, Client, Lease, REPLY_MAX};

/// Datagrams that are read before the next pause, and how long that is: who floods the
/// port gets at most 800 datagrams a second looked at.
const BURST: usize = 16;
const PAUSE: Duration = Duration::from_millis(20);

/// The pause after an error, such as that of a link that is gone.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// A client with its port, and the link that gets what is leased.
pub(super) struct Keeper {
    port: Port,
    start: Instant,
    client: Client<fn() -> u32>,
    /// Of the lease alone.
    control: Control,
    takes_mtu: bool,
    held: Option<Lease>,
    log: Log,
}

/// The thread that keeps the lease.
#[derive(Debug)]
pub(super) struct Keeping {
    stop: Stop,
    thread: JoinHandle<io::Result<()>>,
}

impl Keeping {
    /// Ends the thread, and takes the lease from the link. The server is not told: the VM
    /// goes on living at this address.
    pub(super) fn stop(self) -> io::Result<()> {
        self.stop.stop()?;
        self.thread.join().map_err(|_panic| io::Error::other("the DHCP client's thread died"))?
    }
}

impl Keeper {
    /// Opens the client's port on the link of `control`.
    pub(super) fn open(
        control: &Control,
        network: &Network,
        log: Log,
    ) -> Result<Self, NetworkError> {
        let link = control.link().clone();
        let netlink = rtnetlink::Socket::open().map_err(NetworkError::List)?;
        let port = Port::open(&link.name).map_err(|source| NetworkError::System {
            action: "opening the DHCP client's port 68",
            link: link.to_string(),
            source,
        })?;
        Ok(Self {
            port,
            start: Instant::now(),
            client: Client::new(link.mac, random),
            control: Control::new(netlink, link),
            takes_mtu: network.mtu.is_none(),
            held: None,
            log,
        })
    }

    /// Waits for a lease, at most until `until`; then a thread keeps it.
    pub(super) fn start(
        mut self,
        network: &Network,
        until: Instant,
    ) -> Result<(Keeping, Lease), NetworkError> {
        let lease = match self.wait_for_lease(network, until) {
            Ok(lease) => lease,
            Err(error) => {
                // The first error is the one to tell.
                let _second = self.control.undo();
                return Err(error);
            }
        };
        let (stop, link) = (self.port.stopper(), self.control.link().to_string());
        let thread = thread::Builder::new().spawn(move || self.keep());
        let action = "starting the DHCP client's thread";
        let thread = thread.map_err(|source| NetworkError::System { action, link, source })?;
        Ok((Keeping { stop, thread }, lease))
    }

    fn wait_for_lease(&mut self, network: &Network, until: Instant) -> Result<Lease, NetworkError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.turn(left)?;
            if let Some(lease) = self.held {
                return Ok(lease);
            }
            if left.is_zero() {
                return Err(NetworkError::NoLease {
                    link: self.control.link().to_string(),
                    deadline: network.deadline,
                    what: self.client.progress().to_string(),
                });
            }
        }
    }

    /// The thread: keeps the lease until it is stopped, then takes it from the link.
    fn keep(mut self) -> io::Result<()> {
        loop {
            let before = self.held;
            let turned = self.turn(Duration::MAX).or_else(|error| {
                (self.log)(&one_line(&error));
                self.client.give_up(self.start.elapsed());
                self.change(Change::Lost)?;
                self.pause(ERROR_PAUSE)
            });
            self.tell(before);
            match turned {
                Ok(Woken::Stopped) => return self.control.undo(),
                Ok(Woken::Ready | Woken::Time) => {}
                Err(_told) => thread::sleep(ERROR_PAUSE),
            }
        }
    }

    /// Does what is to be done, waits for what comes next, for at most `limit`, and takes
    /// it.
    fn turn(&mut self, limit: Duration) -> Result<Woken, NetworkError> {
        let step = self.client.poll(self.start.elapsed());
        if let Some(change) = step.change {
            self.change(change)?;
        }
        if let Some((to, query)) = step.send {
            // It is sent again later: the link may only be down for a moment.
            let _not_sent = self.port.send(to, &query);
        }
        let time = step.wake.saturating_sub(self.start.elapsed()).min(limit);
        let woken = self.port.wait(time).map_err(|source| self.system("waiting", source))?;
        match woken {
            Woken::Ready => self.receive(),
            woken @ (Woken::Time | Woken::Stopped) => Ok(woken),
        }
    }

    /// Takes a burst of datagrams, then pauses if there may be more.
    fn receive(&mut self) -> Result<Woken, NetworkError> {
        let mut buffer = [0; REPLY_MAX + 1];
        for _ in 0..BURST {
            match self.port.receive(&mut buffer) {
                Ok(Some(datagram)) => {
                    let now = self.start.elapsed();
                    // What is refused is kept by the client, for its progress.
                    if let Ok(Some(change)) = self.client.receive(now, datagram) {
                        self.change(change)?;
                    }
                }
                Ok(None) => return Ok(Woken::Ready),
                Err(_link_gone) => return self.pause(ERROR_PAUSE),
            }
        }
        self.pause(PAUSE)
    }

    fn pause(&self, time: Duration) -> Result<Woken, NetworkError> {
        self.port.pause(time).map_err(|source| self.system("waiting", source))
    }

    fn system(&self, action: &'static str, source: io::Error) -> NetworkError {
        NetworkError::System { action, link: self.control.link().to_string(), source }
    }

    /// Tells of another lease than before, or of none.
    fn tell(&self, before: Option<Lease>) {
        let link = self.control.link();
        match (before, self.held) {
            (Some(_), None) => (self.log)(&format!("{link} has lost its lease")),
            (Some(before), Some(lease)) if !lease.differs(&before) => {}
            (_, Some(lease)) => (self.log)(&format!("{link} has {lease}")),
            (None, None) => {}
        }
    }

    fn change(&mut self, change: Change) -> Result<(), NetworkError> {
        match change {
            Change::Bound(lease) => {
                let before = self.held.replace(lease);
                if before.is_some_and(|before| !lease.differs(&before)) {
                    return Ok(());
                }
                // What cannot be removed will be in the way of the new one.
                let _left = self.control.undo();
                self.set(&lease)
            }
            Change::Lost => {
                self.held = None;
                self.control.undo().map_err(|source| self.system("taking back the lease", source))
            }
        }
    }

    /// Gives the link what the lease says.
    fn set(&mut self, lease: &Lease) -> Result<(), NetworkError> {
        if let Some(mtu) = lease.mtu.filter(|_| self.takes_mtu) {
            // Only advice: a link that cannot do it keeps its own.
            let _refused = self.control.set_mtu(mtu.into());
        }
        self.control.add_address(lease.address.into(), lease.prefix)?;
        match lease.router {
            Some(router) => self.control.add_default_route(router.into(), false),
            None => Ok(()),
        }
    }
}

/// An error and its cause.
fn one_line(error: &NetworkError) -> String {
    let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
    printable(&format!("{error}{cause}"))
}

/// A number that is another one each time; nothing secret depends on it. Never waits.
fn random() -> u32 {
    let mut bytes = [0; 4];
    let _zeros = getrandom(&mut bytes[..], GetRandomFlags::INSECURE);
    u32::from_ne_bytes(bytes)
}
