//! Asking again: a VM that still boots refuses or resets connections, and a
//! busy one says so.

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

/// Asks until there is an answer or the time is up. Each attempt has a nonce of
/// its own. `told` hears of the first failure that is waited out.
///
/// # Errors
/// The last attempt's.
pub fn ask_patiently(
    address: &Address,
    patience: Patience,
    mut told: impl FnMut(&AskError),
) -> Result<Answer, AskError> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut first = true;
    loop {
        let left = patience.wait.saturating_sub(start.elapsed());
        // With a wait, no attempt outlasts it; the first always has its time.
        let limit = if first { patience.attempt } else { patience.attempt.min(left.max(pause)) };
        let error = match ask(address, limit) {
            Ok(answer) => return Ok(answer),
            Err(error) if error.may_pass() => error,
            Err(error) => return Err(error),
        };
        let busy = matches!(error, AskError::Busy { .. });
        let until = if busy { patience.wait.max(patience.attempt) } else { patience.wait };
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
