//! Asking again: a VM that still boots refuses or resets connections, and a
//! busy one says so. For the responder and for the release of keys.

use std::time::{Duration, Instant};

use super::address::Address;
use super::exchange::{Answer, AskError, ask};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The deadline of one question and its answer, and how long a VM that says
    /// that it is busy is asked again.
    pub attempt: Duration,
    /// How long a VM that does not answer is asked again; zero: not at all.
    pub wait: Duration,
}

/// Why an attempt failed, as far as patience is concerned.
pub trait Passing {
    /// Whether the same attempt may succeed a little later.
    fn may_pass(&self) -> bool;
    /// Whether the VM said that it is busy: then it is there.
    fn is_busy(&self) -> bool;
}

impl Passing for AskError {
    fn may_pass(&self) -> bool {
        Self::may_pass(self)
    }

    fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// Asks until there is an answer or the time is up. Each attempt has a nonce of
/// its own. `told` hears of the first failure that is waited out.
///
/// # Errors
/// The last attempt's.
pub fn ask_patiently(
    address: &Address,
    patience: Patience,
    told: impl FnMut(&AskError),
) -> Result<Answer, AskError> {
    patiently(patience, |limit| ask(address, limit), told)
}

/// Attempts until one succeeds or the time is up; each is told how long it may
/// take. `told` hears of the first failure that is waited out.
///
/// # Errors
/// The last attempt's.
pub fn patiently<T, E: Passing>(
    patience: Patience,
    mut attempt: impl FnMut(Duration) -> Result<T, E>,
    mut told: impl FnMut(&E),
) -> Result<T, E> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut first = true;
    loop {
        let left = patience.wait.saturating_sub(start.elapsed());
        // With a wait, no attempt outlasts it; the first always has its time.
        let limit = if first { patience.attempt } else { patience.attempt.min(left.max(pause)) };
        let error = match attempt(limit) {
            Ok(done) => return Ok(done),
            Err(error) if error.may_pass() => error,
            Err(error) => return Err(error),
        };
        let until =
            if error.is_busy() { patience.wait.max(patience.attempt) } else { patience.wait };
        let Some(left) = until.checked_sub(start.elapsed()).filter(|left| *left > pause) else {
            return Err(error);
        };
        if first {
            told(&error);
            first = false;
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
