//! The DHCP client's UDP port on one link.
//!
//! An ordinary socket, bound to the link: the kernel sends to 255.255.255.255 from
//! 0.0.0.0 where the link has no address, and hands on what comes as a broadcast, which
//! the client asks for. Nothing needs AF_PACKET, and the kernel checks the checksums.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};
use std::sync::Arc;

use crate::network::dhcp::{CLIENT_PORT, Query, REPLY_MAX, SERVER_PORT, To};

/// A socket, and what ends a wait for it.
#[derive(Debug)]
pub(super) struct Port {
    socket: OwnedFd,
    stop: Arc<OwnedFd>,
}

/// Ends every wait for a port, now and later.
#[derive(Debug)]
pub(super) struct Stop(Arc<OwnedFd>);

impl Stop {
    pub(super) fn stop(&self) -> io::Result<()> {
        rustix::io::write(&self.0, &1_u64.to_ne_bytes())?;
        Ok(())
    }
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// By a datagram, or an error of the socket.
    Ready,
    /// The time is over.
    Time,
    /// By [`Stop::stop`].
    Stopped,
}

impl Port {
    pub(super) fn open(link: &str) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let udp = Some(ipproto::UDP);
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, udp)?;
        setsockopt(&socket, sockopt::BindToDevice, &OsString::from(link))?;
        rustix::net::sockopt::set_socket_broadcast(&socket, true)?;
        rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT))?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { socket, stop: Arc::new(stop) })
    }

    pub(super) fn stopper(&self) -> Stop {
        Stop(Arc::clone(&self.stop))
    }

    pub(super) fn send(&self, to: To, query: &Query) -> io::Result<()> {
        let host = match to {
            To::Broadcast => Ipv4Addr::BROADCAST,
            To::Server(server) => server,
        };
        let to = SocketAddrV4::new(host, SERVER_PORT);
        rustix::net::sendto(&self.socket, &query.encode(), SendFlags::NOSIGNAL, &to)?;
        Ok(())
    }

    /// The next datagram, if there is one; the longest that is taken has one byte more
    /// than a reply can have.
    pub(super) fn receive<'a>(
        &self,
        buffer: &'a mut [u8; REPLY_MAX + 1],
    ) -> io::Result<Option<&'a [u8]>> {
        match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) => Ok(buffer.get(..length)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for a datagram for at most `time`.
    pub(super) fn wait(&self, time: Duration) -> io::Result<Woken> {
        let mut fds =
            [PollFd::new(&self.stop, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut fds, time)
    }

    /// Waits for `time`, whatever comes.
    pub(super) fn pause(&self, time: Duration) -> io::Result<Woken> {
        poll(&mut [PollFd::new(&self.stop, PollFlags::IN)], time)
    }
}

/// Waits; the first descriptor is the one that stops.
fn poll(fds: &mut [PollFd<'_>], time: Duration) -> io::Result<Woken> {
    // A moment that is almost over is over after it, not before.
    let time = time.saturating_add(Duration::from_micros(1));
    let timeout = Timespec::try_from(time).map_err(io::Error::other)?;
    match rustix::event::poll(fds, Some(&timeout)) {
        Ok(0) | Err(Errno::INTR) => Ok(Woken::Time),
        Ok(_) if fds.first().is_some_and(|stop| !stop.revents().is_empty()) => Ok(Woken::Stopped),
        Ok(_) => Ok(Woken::Ready),
        Err(error) => Err(error.into()),
    }
}
