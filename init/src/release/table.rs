//! The sessions there are, and which one makes room for another.
//!
//! A stranger may open as many connections as he likes; an owner has to get in all the
//! same. So the session that goes is one of the source that has most, of those the one
//! that has come least far, and of those the oldest. One of whom a listed owner has
//! signed never goes. A stranger at one address thus pushes out his own sessions only.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

/// How long a newcomer waits for sessions that were given up: they end at once, on a
/// machine that is not too busy.
const LEAVING: Duration = Duration::from_secs(1);

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

    /// Takes a session in, and gives up another where there are too many. Waits a moment
    /// for those that were given up before; false if they do not end.
    pub(super) fn enter(&self, control: &Arc<Control>, source: Source) -> bool {
        let stopped = |sessions: &Vec<Session>| {
            sessions.iter().filter(|session| session.control.is_stopped()).count()
        };
        let sessions = self.wait_while(LEAVING, |sessions| stopped(sessions) >= self.limit);
        let Some(mut sessions) = sessions else { return false };
        let strangers = |session: &&Session| {
            session.control.stage() < Stage::Signed && !session.control.is_stopped()
        };
        if sessions.iter().filter(strangers).count() >= self.limit {
            let of_source = |source| {
                sessions.iter().filter(strangers).filter(|other| other.source == source).count()
            };
            // The first of equals is the oldest.
            let weakest = sessions.iter().filter(strangers).min_by_key(|session| {
                (usize::MAX - of_source(session.source), session.control.stage())
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
            self.wait_while(gently, |sessions| !sessions.is_empty());
        }
    }

    /// The sessions once enough have left that `busy` is over; `None` if that takes
    /// longer than `within`.
    fn wait_while(
        &self,
        within: Duration,
        busy: impl Fn(&Vec<Session>) -> bool,
    ) -> Option<MutexGuard<'_, Vec<Session>>> {
        let waited = self.left.wait_timeout_while(self.lock(), within, |sessions| busy(sessions));
        let (sessions, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        (!waited.timed_out()).then_some(sessions)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(table: &Table, source: Source, stage: Stage) -> Arc<Control> {
        let control = Arc::new(Control::new().unwrap());
        assert!(table.enter(&control, source));
        control.reach(stage);
        control
    }

    const A: Source = Source::V4([192, 0, 2, 1]);
    const B: Source = Source::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0]);

    #[test]
    fn who_has_most_goes_first_then_who_has_come_less_far_then_the_oldest() {
        let table = Table::new(4);
        let signed = enter(&table, A, Stage::Signed);
        let attested = enter(&table, A, Stage::Attested);
        let alone = enter(&table, B, Stage::New);
        let old = enter(&table, A, Stage::New);
        let young = enter(&table, A, Stage::New);
        let stopped = || [&signed, &attested, &alone, &old, &young].map(|c| c.is_stopped());
        assert_eq!(stopped(), [false; 5]);
        // Of A there are more than of B.
        enter(&table, B, Stage::Signed);
        assert_eq!(stopped(), [false, false, false, true, false]);
        enter(&table, B, Stage::Signed);
        enter(&table, B, Stage::Signed);
        assert_eq!(stopped(), [false, false, false, true, false], "there is room again");
        // A: attested and young. B: alone. One more of A, and A has most: of its three the
        // one that has come least far goes, and never the one of B.
        let next = enter(&table, A, Stage::Attested);
        enter(&table, A, Stage::Attested);
        assert_eq!(stopped(), [false, false, false, true, true]);
        enter(&table, A, Stage::Attested);
        assert_eq!(stopped(), [false, true, false, true, true], "the oldest of equals");
        assert!(!next.is_stopped());
    }

    /// Attack: one address with many sessions that have come far. Closed: they make room
    /// for each other, not for his next one at the expense of an owner.
    #[test]
    fn a_stranger_at_one_address_pushes_out_his_own_sessions() {
        let table = Table::new(4);
        let strangers: Vec<_> = (0..3).map(|_| enter(&table, A, Stage::Attested)).collect();
        let owner = enter(&table, B, Stage::New);
        for _ in 0..2 {
            enter(&table, A, Stage::Attested);
        }
        assert!(!owner.is_stopped());
        assert!(strangers[0].is_stopped() && strangers[1].is_stopped());
    }

    #[test]
    fn who_does_not_leave_gets_no_successor_for_ever() {
        let table = Table::new(2);
        let sessions: Vec<_> = (0..4).map(|_| enter(&table, A, Stage::New)).collect();
        let another = Arc::new(Control::new().unwrap());
        assert!(!table.enter(&another, A), "two of four were given up and have not ended");
        table.leave(&sessions[0]);
        assert!(table.enter(&another, A));
    }

    #[test]
    fn one_party_is_one_source() {
        let of = |text: &str| Source::of(Some(text.parse().unwrap()));
        assert_eq!(of("192.0.2.1:1"), A);
        assert_eq!(of("[::ffff:192.0.2.1]:2"), A);
        assert_eq!(of("[2001:db8::1]:3"), B);
        assert_eq!(of("[2001:db8::ffff:1]:3"), B);
        assert_ne!(of("[2001:db8:0:1::1]:3"), B);
        assert_eq!(Source::of(None), Source::Vsock);
    }
}
