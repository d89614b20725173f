//! How a long run over a volume uses the machine and tells about itself.

use std::num::NonZeroUsize;
use std::thread;

/// How to seal or open a volume. The result does not depend on it.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How many threads work at once; `None` is one for each core.
    pub threads: Option<NonZeroUsize>,
    /// Told how many *more* bytes of the volume are done, from any thread and in
    /// any order.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

impl Options<'_> {
    pub(crate) fn thread_count(&self) -> usize {
        self.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { threads: None, progress: &|_| {} }
    }
}
