//! What the boot may do with hooks.

use std::io;
use std::path::Path;
use std::time::Duration;

use protocol::hooks::Stage;

/// One run of a hook.
#[derive(Debug)]
pub struct Hook<'a> {
    /// Its file in the initramfs.
    pub path: &'a Path,
    /// Where the boot is; its one argument.
    pub stage: Stage,
    /// Its environment, but for `PATH`.
    pub environment: &'a [(&'static str, String)],
}

/// Hooks.
pub trait Hooks {
    /// Runs a hook and waits for its end: its exit status. What it said is in the log
    /// then. It is killed when PID 1 has run for `until`; in any case all that it has
    /// started has ended when this returns.
    ///
    /// # Errors
    /// From the system; `TimedOut`; a signal.
    fn run_hook(&self, hook: &Hook<'_>, until: Duration) -> io::Result<i32>;
}
