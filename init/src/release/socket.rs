//! A connection that never blocks: TCP, vsock, or one end of a socket pair.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, sockopt};

use super::control::Waker;

/// A dead peer of TCP is noticed after about this, where nothing is sent.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The connection.
pub(super) struct Socket(OwnedFd);

/// What a wait ended with.
pub(super) struct Ready {
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) broken: bool,
}

impl Socket {
    pub(super) fn new(socket: OwnedFd) -> Self {
        // Not of every kind of socket: then there is none of it.
        let _tcp_alone = sockopt::set_tcp_nodelay(&socket, true);
        let _tcp_alone = sockopt::set_socket_keepalive(&socket, true);
        let _tcp_alone = sockopt::set_tcp_keepidle(&socket, KEEPALIVE);
        let _tcp_alone = sockopt::set_tcp_keepintvl(&socket, KEEPALIVE);
        Self(socket)
    }

    /// Says that nothing more will come.
    pub(super) fn finish(&self) {
        let _gone = rustix::net::shutdown(&self.0, Shutdown::Write);
    }

    /// Waits until one of `interest` is possible or `waker` is woken, at most until
    /// `until`.
    pub(super) fn wait(
        &self,
        waker: &Waker,
        interest: PollFlags,
        until: Option<Instant>,
    ) -> io::Result<Ready> {
        let mut fds = [
            PollFd::from_borrowed_fd(self.0.as_fd(), interest),
            PollFd::from_borrowed_fd(waker.as_fd(), PollFlags::IN),
        ];
        poll(&mut fds, until)?;
        let [socket, woken] = fds.map(|fd| fd.revents());
        if !woken.is_empty() {
            waker.clear();
        }
        Ok(Ready {
            readable: socket.contains(PollFlags::IN),
            writable: socket.contains(PollFlags::OUT),
            broken: socket.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL),
        })
    }
}

/// poll(2) until an instant; a signal ends it early.
pub(super) fn poll(fds: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<()> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let timeout = left.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    match rustix::event::poll(fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (_, length) = rustix::net::recv(&self.0, buffer, RecvFlags::DONTWAIT)?;
        Ok(length)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&self.0, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
