//! How PID 1 starts the two processes.
//!
//! They are started as programs, not forked: PID 1 may have threads, and its
//! memory has held private keys. The program is a sealed copy in memory of
//! PID 1's own, so that nothing of the initramfs is held by it.
//!
//! The network side is first; the reporter, which makes its questions worth
//! anything, hears the facts from PID 1 on a socket that the network side never
//! has. PID 1 goes on when both have said that they are confined.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use protocol::host_keys::HostKeys;
use protocol::receipt::Receipt;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::network::PATIENCE;
use super::reporter::Facts;
use super::role::READY;
use super::{Role, StartError, listen};

/// How long a process may take to be ready.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(10);

/// What the responder is started with.
#[derive(Debug)]
pub struct Setup<'a> {
    /// PID 1's own program: `/proc/self/exe`.
    pub program: &'a Path,
    /// TCP and vsock port.
    pub port: u16,
    /// The VM's SSH host keys.
    pub host_keys: HostKeys,
    /// The boot receipt.
    pub receipt: Receipt,
    /// The source of reports: the directory `tsm/report` of configfs, or
    /// `/dev/sev-guest`.
    pub source: OwnedFd,
    /// How long one report may take.
    pub deadline: Duration,
    /// REPORT_ID of the report that was made at boot: every other one is of
    /// another guest.
    pub report_id: [u8; 32],
    /// An empty directory of root's with mode 0555, which becomes the root of
    /// both.
    pub empty: PathBuf,
}

/// Starts both processes and waits until they are confined. Returns what the
/// log says of where it listens.
///
/// # Errors
/// [`StartError`]; then neither process stays.
pub fn start(setup: Setup<'_>) -> Result<String, StartError> {
    let program = sealed_copy(setup.program).map_err(failed("copying the program"))?;
    let tcp = listen::tcp(setup.port).map_err(failed("listening on TCP"))?;
    let vsock = listen::vsock(setup.port).map_err(failed("listening on vsock"))?;
    let on = if vsock.is_some() { "TCP and vsock" } else { "TCP" };
    let (asked, asking) = pair().map_err(failed("making a socket pair"))?;
    let (control, controlled) = pair().map_err(failed("making a socket pair"))?;

    let third = vsock.map_or_else(Stdio::null, Stdio::from);
    let stdio = [Stdio::from(asking), Stdio::from(tcp), third];
    spawn(&program, Role::Network, &setup.empty, stdio)?;
    ready(Role::Network, &asked)?;

    let facts = Facts {
        host_keys: setup.host_keys,
        receipt: setup.receipt,
        // Nobody waits longer for the network side.
        deadline: setup.deadline.min(PATIENCE),
        report_id: setup.report_id,
    };
    rustix::net::send(&control, &facts.encode(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
        .map_err(failed("telling the reporter"))?;
    let stdio = [Stdio::from(asked), Stdio::from(setup.source), Stdio::from(controlled)];
    spawn(&program, Role::Reporter, &setup.empty, stdio)?;
    ready(Role::Reporter, &control)?;
    Ok(format!("{on} port {}", setup.port))
}

/// A copy of the program that nobody can change.
fn sealed_copy(program: &Path) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know that a memfd is to be executed, and do not
    // need to.
    let memfd = match rustix::fs::memfd_create("ravelin", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create("ravelin", flags)?,
        other => other?,
    };
    let mut copy = File::from(memfd);
    io::copy(&mut File::open(program)?, &mut copy)?;
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&copy, seals)?;
    Ok(copy)
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Starts a role. PID 1 keeps none of `stdio`; the child's end is PID 1's to
/// reap as any other's.
fn spawn(
    program: &File,
    role: Role,
    empty: &Path,
    [stdin, stdout, stderr]: [Stdio; 3],
) -> Result<(), StartError> {
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    let mut command = Command::new(path);
    command.arg0(role.name()).arg(empty).env_clear().current_dir("/");
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    command.spawn().map(drop).map_err(failed("starting a process of the responder"))
}

/// Waits until a process says that it is ready.
fn ready(role: Role, socket: &OwnedFd) -> Result<(), StartError> {
    let until = Instant::now() + READY_WITHIN;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or_default();
        let mut fds = [PollFd::new(socket, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) => return Err(StartError::Silent { role }),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed("waiting for the responder")(error)),
        }
    }
    let mut message = [0; 1024];
    match rustix::net::recv(socket, &mut message, RecvFlags::DONTWAIT) {
        Ok((_, 0)) | Err(Errno::CONNRESET) => Err(StartError::Ended { role }),
        Ok((_, length)) => match message.get(..length) {
            Some(READY) => Ok(()),
            text => {
                let message = String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
                Err(StartError::Refused { role, message })
            }
        },
        Err(error) => Err(failed("waiting for the responder")(error)),
    }
}

fn failed<E: Into<io::Error>>(action: &'static str) -> impl Fn(E) -> StartError {
    move |source| StartError::System { action, source: source.into() }
}
