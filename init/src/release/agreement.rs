//! The quorum between the sessions' threads and PID 1's, which waits for it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::release::Status;

use super::control::Control;
use super::quorum::{Count, Quorum, Refused, Vote};
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

    pub(super) fn offer(&self, vote: Vote) -> Result<Count, Refused> {
        let count = self.lock().offer(vote, Instant::now());
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

    /// The owner of this session has recorded the epochs.
    pub(super) fn record(&self, session: &Arc<Control>) {
        self.lock().record(session);
        self.changed.notify_all();
    }

    /// A session is over: who waits for its owner looks again.
    pub(super) fn session_is_over(&self) {
        // With the lock, so that it is not between a look and the wait.
        let _quorum = self.lock();
        self.changed.notify_all();
    }

    /// Waits until all owners of the opened release whose sessions are not over have
    /// recorded the epochs, at most for `within`. Whether one at least has.
    pub(super) fn wait_recorded(&self, within: Duration) -> bool {
        let waited =
            self.changed.wait_timeout_while(self.lock(), within, |quorum| quorum.awaits_records());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_recorded()
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
