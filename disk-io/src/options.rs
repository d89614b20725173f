//! How a long run over a disk uses the machine and tells about itself.

use std::num::NonZeroUsize;
use std::thread;

/// How to build, check, seal or open something. The result does not depend on it.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How many threads work at once; `None` is one for each core.
    pub threads: Option<NonZeroUsize>,
    /// Told how many *more* bytes of the data are done (the calls' sum is the
    /// size of the data), from any thread and in
    /// any order.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

impl Options<'_> {
    /// How many threads that is, at least 1.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        self.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { threads: None, progress: &|_| {} }
    }
}
