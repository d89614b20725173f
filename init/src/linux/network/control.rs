//! One link, and how to undo what was done to it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use rustix::io::Errno;

use super::rtnetlink::Socket;
use crate::linux::files;
use crate::network::NetworkError;
use crate::network::rtnetlink::{Change, Verb};
use crate::network::select::Link;

/// The way back from one change.
#[derive(Debug)]
enum Undo {
    Change(Change),
    Write { path: PathBuf, value: Vec<u8> },
}

/// A link that is being set. What is done to it is kept, to be undone in reverse.
#[derive(Debug)]
pub(super) struct Control {
    socket: Socket,
    link: Link,
    done: Vec<Undo>,
}

impl Control {
    pub(super) const fn new(socket: Socket, link: Link) -> Self {
        Self { socket, link, done: Vec::new() }
    }

    pub(super) const fn link(&self) -> &Link {
        &self.link
    }

    /// Makes a change, and keeps the way back.
    pub(super) fn apply(&mut self, change: Change, back: Change) -> Result<(), NetworkError> {
        self.socket.change(self.link.index, change).map_err(|source| NetworkError::Refused {
            action: describe(change),
            link: self.link.to_string(),
            source,
        })?;
        self.done.push(Undo::Change(back));
        Ok(())
    }

    pub(super) fn set_mtu(&mut self, mtu: u32) -> Result<(), NetworkError> {
        self.apply(Change::Mtu(mtu), Change::Mtu(self.link.mtu))
    }

    pub(super) fn add_address(&mut self, address: IpAddr, prefix: u8) -> Result<(), NetworkError> {
        let change = |verb| Change::Address(verb, address, prefix);
        self.apply(change(Verb::Add), change(Verb::Delete))
    }

    pub(super) fn add_default_route(
        &mut self,
        gateway: IpAddr,
        on_link: bool,
    ) -> Result<(), NetworkError> {
        let change = |verb| Change::DefaultRoute { verb, gateway, on_link };
        self.apply(change(Verb::Add), change(Verb::Delete))
    }

    /// Overwrites a small file of procfs, and keeps what was there.
    pub(super) fn write(&mut self, path: PathBuf, value: &[u8]) -> Result<(), NetworkError> {
        /// The values are one number.
        const VALUE_MAX: usize = 64;
        let write = || {
            let before = files::read(&path, VALUE_MAX)?;
            if before.trim_ascii() != value {
                files::overwrite(&path, value)?;
            }
            Ok(before)
        };
        let before = write().map_err(|source| NetworkError::Refused {
            action: format!("writing {}", path.display().to_string().escape_debug()),
            link: self.link.to_string(),
            source,
        })?;
        self.done.push(Undo::Write { path, value: before });
        Ok(())
    }

    /// Whether the link has a carrier now; false as well if it is gone.
    pub(super) fn has_carrier(&mut self) -> Result<bool, NetworkError> {
        let links = self.socket.links().map_err(NetworkError::List)?;
        Ok(links.iter().any(|link| link.index == self.link.index && link.carrier))
    }

    /// Undoes everything, the last first.
    ///
    /// # Errors
    /// The first; the rest is undone all the same. What is gone already is none.
    pub(super) fn undo(&mut self) -> io::Result<()> {
        let mut first = Ok(());
        for undo in std::mem::take(&mut self.done).into_iter().rev() {
            let undone = match undo {
                Undo::Change(change) => self.socket.change(self.link.index, change),
                Undo::Write { path, value } => files::overwrite(&path, &value),
            };
            first =
                first.and(undone.or_else(|error| if gone(&error) { Ok(()) } else { Err(error) }));
        }
        first
    }
}

/// The host may take a link away at any time, and its addresses and settings with it.
fn gone(error: &io::Error) -> bool {
    let gone = [Errno::NODEV, Errno::NOENT, Errno::SRCH, Errno::ADDRNOTAVAIL];
    Errno::from_io_error(error).is_some_and(|errno| gone.contains(&errno))
}

fn describe(change: Change) -> String {
    match change {
        Change::Up(true) => "bringing the link up".to_owned(),
        Change::Up(false) => "taking the link down".to_owned(),
        Change::Mtu(mtu) => format!("setting the MTU {mtu}"),
        Change::Address(Verb::Add, address, prefix) => {
            format!("adding the address {address}/{prefix}")
        }
        Change::Address(Verb::Delete, address, prefix) => {
            format!("removing the address {address}/{prefix}")
        }
        Change::DefaultRoute { verb: Verb::Add, gateway, .. } => {
            format!("adding the default route by {gateway}")
        }
        Change::DefaultRoute { verb: Verb::Delete, gateway, .. } => {
            format!("removing the default route by {gateway}")
        }
    }
}
