//! Signals, as the kernel gave them to PID 1.
#![expect(unsafe_code, reason = "signal(2) has no safe form: a handler could be anything")]

use std::io;

use nix::sys::signal::{SigHandler, Signal, signal};

/// Undoes what the Rust runtime does at its start: it ignores SIGPIPE, and what
/// is ignored stays so across execve(2).
pub(super) fn restore() -> io::Result<()> {
    // SAFETY: the default action is no handler that could run.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    Ok(())
}
