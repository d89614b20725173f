//! A network under a test's control: raw Ethernet frames between QEMU and this process.
//!
//! QEMU's user network answers DHCP as it should. Here the test is the whole network, so
//! it can answer as a host would that means harm.
//!
//! [`Link`] is the wire, over a pair of unix datagram sockets (QEMU 7.2 or later);
//! [`packet`] takes frames apart and makes them; [`dhcp`] has the messages; and
//! [`Responder`] is a small network on it: ARP for its own address, and a DHCP server
//! with a [`Behaviour`].

pub mod dhcp;
pub mod packet;
mod responder;

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

pub use responder::{Behaviour, Responder, STATION, Seen};

use crate::OrFail;

/// The largest frame that QEMU sends, with room for offloads that are not there.
const MAX_FRAME: usize = 65_536;

/// One end of a wire, the other end of which is a network card of QEMU's.
#[derive(Debug)]
pub struct Link {
    // A path of its own: a socket's may have 107 bytes at most.
    directory: TempDir,
    socket: UnixDatagram,
}

impl Link {
    /// A wire without a machine.
    ///
    /// # Panics
    /// If there can be no socket.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("ravelin-link-")
            .tempdir()
            .or_fail("make a directory for a link");
        let socket = UnixDatagram::bind(directory.path().join("test")).or_fail("bind a link");
        Self { directory, socket }
    }

    /// Where frames for the test go to.
    #[must_use]
    pub fn test_end(&self) -> PathBuf {
        self.directory.path().join("test")
    }

    /// Where frames for the guest go to; QEMU makes it.
    #[must_use]
    pub fn guest_end(&self) -> PathBuf {
        self.directory.path().join("guest")
    }

    /// What QEMU needs for a card on this wire.
    #[must_use]
    pub fn qemu_arguments(&self) -> [String; 4] {
        let (test, guest) = (self.test_end(), self.guest_end());
        let netdev = format!(
            "dgram,id=link0,local.type=unix,local.path={},remote.type=unix,remote.path={}",
            guest.display(),
            test.display()
        );
        let device = "virtio-net-pci,netdev=link0,romfile=".to_owned();
        ["-netdev".to_owned(), netdev, "-device".to_owned(), device]
    }

    /// The next frame from the guest. `None` if there is none in time.
    ///
    /// # Panics
    /// If the socket fails.
    #[must_use]
    pub fn receive(&self, limit: Duration) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(limit)).or_fail("set a time limit");
        let mut frame = vec![0; MAX_FRAME];
        match self.socket.recv(&mut frame) {
            Ok(bytes) => {
                frame.truncate(bytes);
                Some(frame)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Err(error).or_fail("receive a frame"),
        }
    }

    /// Sends a frame to the guest; tells whether it is on its way. It is not if there
    /// is no machine, or one that does not take it.
    pub fn send(&self, frame: &[u8]) -> bool {
        // The guest may be gone, or not read: never wait for it.
        let _same = self.socket.set_write_timeout(Some(Duration::from_millis(200)));
        self.socket.send_to(frame, self.guest_end()).is_ok()
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
