//! When something is said again.

use std::time::Duration;

/// The shortest and the longest time between two tries (RFC 2131, section 4.1).
const FIRST: Duration = Duration::from_secs(4);
const LONGEST: Duration = Duration::from_secs(64);

/// The shortest time between two renewals (RFC 2131, section 4.4.5).
const RENEWAL: Duration = Duration::from_secs(60);

/// After how many tries without an answer an offer is given up: 4 + 8 + 16 seconds.
pub(super) const REQUESTS: u32 = 3;

/// How long to wait for the answer to the try with this number, from 0 on: 4, 8, 16, 32
/// and then 64 seconds, less or more by up to one.
pub(super) fn retry(number: u32, random: u32) -> Duration {
    let exact = doubled(FIRST, number);
    let jitter = Duration::from_millis(u64::from(random % 2001));
    exact + jitter - Duration::from_secs(1)
}

/// How long to wait before everything starts anew for the `number`th time, from 0 on:
/// 1, 2, 4 … 64 seconds. A server that gives and takes gets no more than that.
pub(super) fn restart(number: u32) -> Duration {
    doubled(Duration::from_secs(1), number)
}

/// When to ask again for more time, if `left` is left: after half of it, but not sooner
/// than in a minute, and not later than at its end.
pub(super) fn renewal(left: Duration) -> Duration {
    (left / 2).max(RENEWAL).min(left)
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(6)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_double_up_to_a_minute() {
        let middle: Vec<u64> = (0..7).map(|number| retry(number, 1000).as_secs()).collect();
        assert_eq!(middle, [4, 8, 16, 32, 64, 64, 64]);
        assert_eq!(retry(0, 0), Duration::from_secs(3));
        assert_eq!(retry(0, 2000), Duration::from_secs(5));
        assert!(retry(u32::MAX, u32::MAX) <= Duration::from_secs(65));
        let starts: Vec<u64> = (0..9).map(|number| restart(number).as_secs()).collect();
        assert_eq!(starts, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
    }

    #[test]
    fn renewals_halve_what_is_left() {
        let after = |left| renewal(Duration::from_secs(left)).as_secs();
        assert_eq!([after(1000), after(100), after(60), after(5), after(0)], [500, 60, 60, 5, 0]);
    }
}
