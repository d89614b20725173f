//! How often something may be done for anyone who asks.

use std::time::{Duration, Instant};

/// Reports that may be asked for at once: the secure processor is shared by all
/// guests of the machine and slow, and the network side answers anyone.
pub(crate) const REPORTS: u32 = 8;

/// Time in which one more report may be asked for: four a second.
pub(crate) const REPORT_EVERY: Duration = Duration::from_millis(250);

/// A token bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    burst: u32,
    every: Duration,
    tokens: u32,
    since: Instant,
}

impl Bucket {
    /// `burst` tokens at once, and one more in each time of `every`.
    pub(crate) const fn full(burst: u32, every: Duration, now: Instant) -> Self {
        Self { burst, every, tokens: burst, since: now }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        while self.tokens < self.burst && now.saturating_duration_since(self.since) >= self.every {
            self.tokens += 1;
            self.since += self.every;
        }
        if self.tokens == self.burst {
            self.since = now;
        }
        let taken = self.tokens.checked_sub(1);
        self.tokens = taken.unwrap_or(0);
        taken.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_four_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::full(REPORTS, REPORT_EVERY, start);
        let taken = |bucket: &mut Bucket, at: u64| {
            (0..100).filter(|_| bucket.take(start + Duration::from_millis(at))).count()
        };
        assert_eq!(taken(&mut bucket, 0), 8);
        assert_eq!(taken(&mut bucket, 249), 0);
        assert_eq!(taken(&mut bucket, 250), 1);
        assert_eq!(taken(&mut bucket, 1250), 4);
        assert_eq!(taken(&mut bucket, 1_000_000), 8);
    }
}
