//! How a long run over an image uses the machine and tells about itself.

use std::num::NonZeroUsize;
use std::thread;

/// How to [`build`](crate::build()) a tree. The result does not depend on it.
#[derive(Clone, Copy)]
pub struct BuildOptions<'a> {
    /// How many threads work at once; `None` is one for each core.
    pub threads: Option<NonZeroUsize>,
    /// Told how many *more* bytes of data are done (the calls' sum is the size
    /// of the data), from any thread and in any order.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// How to [`verify`](crate::verify()) an image. The result does not depend on it.
pub type VerifyOptions<'a> = BuildOptions<'a>;

impl BuildOptions<'_> {
    pub(crate) fn thread_count(&self) -> usize {
        self.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }
}

impl Default for BuildOptions<'_> {
    fn default() -> Self {
        Self { threads: None, progress: &|_| {} }
    }
}
