//! One-line events for the boot log. What strangers can cause is rate limited, so that
//! they cannot fill the console.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::bucket::Bucket;
use crate::platform::Level;

/// Lines of strangers at once, and the time in which one more is written.
const BURST: u32 = 8;
const EVERY: Duration = Duration::from_secs(10);

/// Where lines go.
pub type Sink = Box<dyn Fn(Level, &str) + Send + Sync>;

/// The log.
pub(super) struct Log {
    sink: Sink,
    strangers: Mutex<(Bucket, u64)>,
}

impl Log {
    pub(super) fn new(sink: Sink) -> Self {
        let bucket = Bucket::full(BURST, EVERY, Instant::now());
        Self { sink, strangers: Mutex::new((bucket, 0)) }
    }

    /// What only an owner or PID 1 can cause.
    pub(super) fn line(&self, level: Level, line: &str) {
        (self.sink)(level, &format!("release: {line}"));
    }

    /// What anybody can cause.
    pub(super) fn stranger(&self, line: &str) {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let (bucket, left_out) = &mut *strangers;
        if !bucket.take(Instant::now()) {
            *left_out = left_out.saturating_add(1);
            return;
        }
        let more = std::mem::take(left_out);
        drop(strangers);
        if more > 0 {
            self.line(Level::Info, &format!("{line} ({more} lines before it were left out)"));
        } else {
            self.line(Level::Info, line);
        }
    }
}
