//! Accepts connections, each into a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::control::{Control, Waker};
use super::session::{self, Shared};
use super::socket::{self, Socket};
use super::table::Source;

/// After an error, or where there is no room, before the next is accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is woken. The listeners are closed when it returns.
pub(super) fn run(listeners: Vec<OwnedFd>, stop: &Waker, shared: &Arc<Shared>) {
    loop {
        let watched = listeners.iter().map(OwnedFd::as_fd).chain([stop.as_fd()]);
        let mut fds: Vec<_> =
            watched.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        if socket::poll(&mut fds, None).is_err() {
            thread::sleep(PAUSE);
        }
        if fds.last().is_some_and(|fd| !fd.revents().is_empty()) {
            return;
        }
        for listener in &listeners {
            match accept(listener) {
                Ok(Some((connection, source))) => {
                    if begin(connection, source, shared).is_err() {
                        pause(stop);
                    }
                }
                Ok(None) => {}
                Err(_) => pause(stop),
            }
        }
    }
}

/// A little time for what is short to come back: descriptors, threads, memory.
fn pause(stop: &Waker) {
    let mut fds = [PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN)];
    let _early = socket::poll(&mut fds, Some(Instant::now() + PAUSE));
}

fn accept(listener: &OwnedFd) -> io::Result<Option<(OwnedFd, Source)>> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    match rustix::net::acceptfrom_with(listener, flags) {
        Ok((connection, peer)) => {
            let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
            Ok(Some((connection, Source::of(peer))))
        }
        // The one that was there is gone again.
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED | Errno::PROTO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The connection is closed if this fails.
fn begin(connection: OwnedFd, source: Source, shared: &Arc<Shared>) -> io::Result<()> {
    let control = Arc::new(Control::new()?);
    if !shared.table.enter(&control, source) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let (theirs, own) = (Arc::clone(shared), Arc::clone(&control));
    let thread = thread::Builder::new().name("release".to_owned());
    let started = thread.spawn(move || {
        session::run(Socket::new(connection), &own, &theirs);
        // What it asked the secure processor for is of no use any more.
        own.stop();
        theirs.agreement.session_is_over();
        theirs.table.leave(&own);
    });
    if started.is_err() {
        shared.table.leave(&control);
    }
    started.map(drop)
}
