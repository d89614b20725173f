//! The socket to the kernel's routing protocol (NETLINK_ROUTE).

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::network::rtnetlink::{Answer, Change, LinkInfo, Messages, Request, answer, link};

/// The kernel's answers have 32 KiB at most (`netlink_recvmsg`, `netlink_dump`).
const BUFFER: usize = 64 << 10;

/// More links than these are not looked at.
const LINKS_MAX: usize = 256;

/// A list that has not ended after so many datagrams never does.
const DATAGRAMS_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Socket {
    socket: OwnedFd,
    sequence: u32,
}

impl Socket {
    pub(super) fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // NETLINK_ROUTE, which is 0.
            None,
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// All links, the first [`LINKS_MAX`] of them.
    pub(super) fn links(&mut self) -> io::Result<Vec<LinkInfo>> {
        let sequence = self.next();
        let mut links = Vec::new();
        self.exchange(sequence, &Request::list_links(sequence), |payload| {
            if links.len() < LINKS_MAX {
                links.push(link(payload).map_err(io::Error::other)?);
            }
            Ok(())
        })?;
        Ok(links)
    }

    /// Changes the link with this index.
    pub(super) fn change(&mut self, index: u32, change: Change) -> io::Result<()> {
        let sequence = self.next();
        self.exchange(sequence, &Request::change(sequence, index, change), |_link| Ok(()))
    }

    /// The number of the next question.
    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends a request and reads the answers up to the last. The kernel writes them while
    /// the request is sent, and those of a list as they are read: there is always one, and
    /// nothing to wait for.
    fn exchange(
        &self,
        sequence: u32,
        request: &Request,
        mut on_link: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.socket, request.as_bytes(), SendFlags::empty(), &kernel)?;
        let mut buffer = vec![0; BUFFER];
        for _ in 0..DATAGRAMS_MAX {
            let (length, _, from) = rustix::io::retry_on_intr(|| {
                rustix::net::recvfrom(&self.socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT)
            })?;
            let sender = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
            if sender.is_none_or(|sender| sender.pid() != 0) {
                continue;
            }
            for message in Messages::new(buffer.get(..length).unwrap_or_default()) {
                let message = message.map_err(io::Error::other)?;
                if message.sequence != sequence {
                    continue;
                }
                match answer(&message).map_err(io::Error::other)? {
                    Answer::Done => return Ok(()),
                    Answer::Refused(number) => return Err(io::Error::from_raw_os_error(number)),
                    Answer::Link(payload) => on_link(payload)?,
                    Answer::Other => {}
                }
            }
        }
        Err(io::Error::other("the kernel's list of links does not end"))
    }
}
