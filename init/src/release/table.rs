//! The sessions there are, and which one makes room for another.
//!
//! A stranger may open as many connections as he likes; an owner has to get in all the
//! same. So nobody is turned away: the session that goes is one that has come less far
//! than the others, of the source that has most, and of those the oldest. One of whom a
//! listed owner has signed never goes. A stranger at one address thus pushes out his
//! own sessions first.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::control::{Control, Stage};

/// Where a connection comes from, as far as one party has it: an IPv4 address, an IPv6
/// network of 64 bits, or vsock (the host).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
    Vsock,
}

impl Source {
    pub(super) fn of(peer: Option<SocketAddr>) -> Self {
        match peer.map(|peer| peer.ip().to_canonical()) {
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
            None => Self::Vsock,
        }
    }
}

/// All sessions, in the order in which they came.
pub(super) struct Table {
    limit: usize,
    sessions: Mutex<Vec<Session>>,
    left: Condvar,
}

struct Session {
    control: Arc<Control>,
    source: Source,
}

impl Table {
    /// Of at most `limit` sessions of strangers.
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, sessions: Mutex::new(Vec::new()), left: Condvar::new() }
    }

    /// Takes a session in, and gives up another where there are too many. False if
    /// those that were given up have not ended yet: then it has to wait.
    pub(super) fn enter(&self, control: &Arc<Control>, source: Source) -> bool {
        let mut sessions = self.lock();
        let strangers = |session: &&Session| {
            session.control.stage() < Stage::Signed && !session.control.is_stopped()
        };
        if sessions.iter().filter(|session| session.control.is_stopped()).count() >= self.limit {
            return false;
        }
        if sessions.iter().filter(strangers).count() >= self.limit {
            let of_source = |source| {
                sessions.iter().filter(strangers).filter(|other| other.source == source).count()
            };
            // The first of equals is the oldest.
            let weakest = sessions.iter().filter(strangers).min_by_key(|session| {
                (session.control.stage(), usize::MAX - of_source(session.source))
            });
            if let Some(weakest) = weakest {
                weakest.control.stop();
            }
        }
        sessions.push(Session { control: Arc::clone(control), source });
        true
    }

    /// A session is over.
    pub(super) fn leave(&self, control: &Arc<Control>) {
        self.lock().retain(|session| !Arc::ptr_eq(&session.control, control));
        self.left.notify_all();
    }

    /// Ends all: within `gently` those that have something to say yet, then all. Gives
    /// up on those that are still there after that time again.
    pub(super) fn clear(&self, gently: Duration) {
        for end in [Control::end, Control::stop] {
            self.lock().iter().for_each(|session| end(&session.control));
            self.wait_until_empty(Instant::now() + gently);
        }
    }

    fn wait_until_empty(&self, until: Instant) {
        let mut sessions = self.lock();
        while !sessions.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.left.wait_timeout(sessions, left);
            sessions = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
