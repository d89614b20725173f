//! The quorum between the sessions' threads and PID 1's, which waits for it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use protocol::release::Status;

use super::quorum::{Count, Member, Quorum, Refused, Vote};
use crate::platform::Released;

/// A [`Quorum`], and what is notified when it changes.
pub(super) struct Agreement {
    quorum: Mutex<Quorum>,
    changed: Condvar,
}

impl Agreement {
    pub(super) const fn new(quorum: Quorum) -> Self {
        Self { quorum: Mutex::new(quorum), changed: Condvar::new() }
    }

    pub(super) fn offer(&self, member: Member, vote: Vote) -> Result<Count, Refused> {
        let count = self.lock().offer(member, vote, Instant::now());
        self.changed.notify_all();
        count
    }

    /// Waits for enough owners, at most until `until`; wipes what expires meanwhile and
    /// calls `expired` then.
    pub(super) fn wait(&self, until: Option<Instant>, expired: impl Fn()) -> Option<Released> {
        let mut quorum = self.lock();
        loop {
            if quorum.expire(Instant::now()) {
                expired();
            }
            if let Some(released) = quorum.take() {
                return Some(released);
            }
            let now = Instant::now();
            if until.is_some_and(|until| until <= now) {
                return None;
            }
            quorum = match until.into_iter().chain(quorum.expires()).min() {
                Some(next) => {
                    let waited = self.changed.wait_timeout(quorum, next.duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(quorum).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    pub(super) fn answer(&self, status: &Status) {
        self.lock().answer(status, Instant::now());
    }

    pub(super) fn close(&self) {
        self.lock().close();
    }

    fn lock(&self) -> MutexGuard<'_, Quorum> {
        self.quorum.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
