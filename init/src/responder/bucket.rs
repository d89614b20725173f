//! How many reports may be asked for: the secure processor is shared by all
//! guests of the machine and slow, and the network side answers anyone.

use std::time::{Duration, Instant};

/// Reports that may be asked for at once.
const BURST: u32 = 8;

/// Time in which one more may be asked for: four a second.
const EVERY: Duration = Duration::from_millis(250);

/// A token bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: u32,
    since: Instant,
}

impl Bucket {
    pub(super) const fn full(now: Instant) -> Self {
        Self { tokens: BURST, since: now }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        while self.tokens < BURST && now.saturating_duration_since(self.since) >= EVERY {
            self.tokens += 1;
            self.since += EVERY;
        }
        if self.tokens == BURST {
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
        let mut bucket = Bucket::full(start);
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
