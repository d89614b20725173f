//! Ctrl-C and SIGTERM while something is built.
//!
//! Outputs have no name until they are complete, so that ending at once leaves
//! nothing behind; all there is to do is to say so and to end with the right
//! code.

use std::io::Write;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;
use crate::failure::Result;

/// From now on, SIGINT and SIGTERM end the program.
///
/// # Errors
/// If the handlers cannot be installed.
pub(crate) fn end_on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let exit = if signal == SIGINT { Exit::Interrupted } else { Exit::Terminated };
            // The line of a progress bar, if any, is cleared first.
            let text = "\r\x1b[Kinterrupted: unfinished outputs were discarded";
            let _ = writeln!(anstream::stderr(), "{text}");
            std::process::exit(exit.into());
        }
    });
    Ok(())
}
