//! Ctrl-C and SIGTERM while something is built or asked for.
//!
//! Outputs have no name until they are complete, so that ending at once leaves
//! nothing behind; all there is to do is to say so and to end with the right
//! code. A terminal that was made silent has to be heard again, whatever ends the
//! program: [`Silent`].

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;
use crate::failure::Result;

/// The silent terminal, and how it was before.
static SILENT: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// From now on, SIGINT and SIGTERM end the program.
///
/// # Errors
/// If the handlers cannot be installed.
pub(crate) fn end_on_signals() -> Result<()> {
    install("interrupted: unfinished outputs were discarded")
}

/// Installs the handlers, once; the text of the first call is what is said.
fn install(text: &'static str) -> Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed {
        return Ok(());
    }
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])?;
    *installed = true;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Kept: no terminal is made silent after this.
            let mut silent = silent();
            restore(&mut silent);
            let exit = match signal {
                SIGINT => Exit::Interrupted,
                SIGTERM => Exit::Terminated,
                _ => {
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                    Exit::Terminated
                }
            };
            // The line of a progress bar, if any, is cleared first.
            let _ = writeln!(anstream::stderr(), "\r\x1b[K{text}");
            std::process::exit(exit.into());
        }
    });
    Ok(())
}

/// A terminal that does not show what is typed, until this is dropped or a signal ends
/// the program.
pub(crate) struct Silent(());

impl Silent {
    /// Silences a terminal.
    ///
    /// # Errors
    /// If it is none, or the handlers cannot be installed.
    pub(crate) fn new(terminal: &File) -> Result<Self> {
        install("interrupted")?;
        let mut silent = silent();
        let before = tcgetattr(terminal)?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO);
        modes.local_modes.insert(LocalModes::ECHONL);
        // Known before it is done.
        *silent = Some((terminal.try_clone()?, before));
        tcsetattr(terminal.as_fd(), OptionalActions::Flush, &modes)?;
        Ok(Self(()))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        restore(&mut silent());
    }
}

fn silent() -> MutexGuard<'static, Option<(File, Termios)>> {
    SILENT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn restore(silent: &mut Option<(File, Termios)>) {
    if let Some((terminal, before)) = silent.take() {
        // Nothing is left to do for a terminal that is gone.
        let _ = tcsetattr(terminal.as_fd(), OptionalActions::Flush, &before);
    }
}
