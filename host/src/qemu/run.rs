//! Running QEMU: signals are passed on, a time limit is kept, the terminal is
//! as it was afterwards.

use std::io::{self, IsTerminal};
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Command;

/// How long QEMU gets between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// Why QEMU could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The program was not found or cannot be executed.
    #[error("{program} cannot be started")]
    Start {
        /// The program.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The process could not be watched.
    #[error("QEMU cannot be watched")]
    Watch(#[source] io::Error),
}

/// How QEMU ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself: the VM powered off or reset, or QEMU found something wrong.
    Itself(ExitStatus),
    /// Because this program got that signal.
    Signalled(i32),
    /// Because the time was up.
    TimedOut,
}

enum Event {
    Signal(i32),
    Exit(io::Result<ExitStatus>),
}

/// Runs the command with this program's own standard input and output, until
/// it ends.
///
/// # Errors
/// If it cannot be started or watched.
pub fn run(command: &Command, timeout: Option<Duration>) -> Result<Ended, RunError> {
    let (events, received) = mpsc::channel();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(RunError::Watch)?;
    let from_signals = events.clone();
    thread::spawn(move || {
        for signal in signals.forever() {
            if from_signals.send(Event::Signal(signal)).is_err() {
                break;
            }
        }
    });

    let terminal = io::stdin().is_terminal().then(|| tcgetattr(io::stdin()).ok()).flatten();
    let mut child = std::process::Command::new(&command.program)
        .args(&command.arguments)
        .stdin(Stdio::inherit())
        .spawn()
        .map_err(|source| RunError::Start {
            program: command.program.to_string_lossy().into_owned(),
            source,
        })?;
    // A process that was not waited for keeps its id, so that this is it.
    let process = pidfd_open(rustix::process::Pid::from_child(&child), PidfdFlags::empty())
        .map_err(|error| RunError::Watch(error.into()))?;
    thread::spawn(move || events.send(Event::Exit(child.wait())));
    // A process that has ended already needs no signal.
    let send = |signal| {
        let _ = pidfd_send_signal(&process, signal);
    };

    let mut deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut reason = None;
    let status = loop {
        let event = match deadline {
            None => received.recv().map_err(|_closed| RecvTimeoutError::Disconnected),
            Some(at) => received.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(Event::Exit(status)) => break status.map_err(RunError::Watch)?,
            Ok(Event::Signal(signal)) if reason.is_none() => {
                reason = Some(Ended::Signalled(signal));
                send(if signal == SIGINT { Signal::INT } else { Signal::TERM });
                deadline = Some(Instant::now() + GRACE);
            }
            // Whoever asks twice does not want to wait.
            Ok(Event::Signal(_)) => send(Signal::KILL),
            Err(RecvTimeoutError::Timeout) if reason.is_none() => {
                reason = Some(Ended::TimedOut);
                send(Signal::TERM);
                deadline = Some(Instant::now() + GRACE);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                send(Signal::KILL);
                deadline = None;
            }
        }
    };
    if let Some(settings) = terminal {
        // QEMU restores them itself unless it was killed.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &settings);
    }
    Ok(reason.unwrap_or(Ended::Itself(status)))
}
