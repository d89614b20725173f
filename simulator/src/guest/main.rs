//! `/ravelin-sim`: the guest's side of the simulator.
//!
//! The kernel starts it in the place of PID 1 (`rdinit=`). It loads what the
//! emulation needs, leaves a daemon behind and becomes the unmodified `/init`,
//! with the arguments and the environment that the kernel gave. The daemon needs
//! no file of the initramfs once it runs, and its name begins with `@`, so that
//! systemd lets it live until the very end of a shutdown.

mod daemon;
mod device;
mod log;
mod modules;
mod mounts;
mod port;
mod tsm;

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

const INIT: &str = "/init";
/// systemd spares processes of root's whose name begins so
/// (<https://systemd.io/ROOT_STORAGE_DAEMONS/>).
const DAEMON_NAME: &str = "@ravelin-sim";
const READY: &str = "ready";

fn main() -> ExitCode {
    let daemon = std::env::args().next().is_some_and(|name| name == DAEMON_NAME);
    if daemon {
        let error = daemon::run(READY);
        log::error(&format!("the emulated secure processor stopped: {error}"));
        return ExitCode::FAILURE;
    }
    if !rustix::process::getpid().is_init() {
        eprintln!("ravelin-sim: only the kernel of a simulated VM can start this, as its rdinit");
        return ExitCode::FAILURE;
    }
    // Without the emulation the VM is one without a secure processor, and PID 1
    // decides what that means.
    if let Err(error) = start() {
        log::error(&error);
    }
    let error = Command::new(INIT).args(std::env::args_os().skip(1)).exec();
    log::error(&format!("{INIT} cannot be executed: {error}"));
    ExitCode::FAILURE
}

fn start() -> Result<(), String> {
    mounts::kernel_file_systems().map_err(|(path, error)| format!("mounting {path}: {error}"))?;
    log::info("SIMULATION: this VM has no secure processor; reports come from a simulator");
    modules::load();
    mounts::configfs().map_err(|(path, error)| format!("mounting {path}: {error}"))?;
    spawn().map_err(|error| format!("the emulated secure processor does not start: {error}"))
}

/// Starts the daemon and waits until it serves.
fn spawn() -> io::Result<()> {
    let mut daemon = Command::new("/proc/self/exe")
        .arg0(DAEMON_NAME)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = String::new();
    if let Some(output) = daemon.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    if line.trim_end() == READY {
        return Ok(());
    }
    Err(io::Error::other(if line.is_empty() { "it ended".to_owned() } else { line }))
}
