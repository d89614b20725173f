//! A process of the responder from its first instruction: looks at what it was
//! given, confines itself, says that it is ready, serves.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, sockopt};
use rustix::stdio::{stderr, stdin, stdout};

use super::confine::{confine, failed};
use super::network::Network;
use super::reporter::{Facts, MAX_FACTS, serve};
use super::{Role, RoleError};
use crate::linux::reports::Source;

/// What a process says when it is ready; anything else is an error's text.
pub(super) const READY: &[u8] = b"\0";

/// Log lines at most: a line a minute, however often the source fails.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Runs a role to its end. The argument is the empty directory's path.
pub fn run(role: Role, empty: Option<OsString>) {
    // What `ps` shows would be the number of the program's descriptor.
    if let Ok(name) = CString::new(role.name()) {
        let _optional = rustix::thread::set_name(&name);
    }
    let (to_pid_1, result) = match role {
        Role::Reporter => (stderr(), become_reporter(empty)),
        Role::Network => (stdin(), become_network(empty)),
    };
    if let Err(error) = result {
        let text = error.to_string();
        let _lost = rustix::net::send(to_pid_1, text.as_bytes(), SendFlags::NOSIGNAL);
        std::process::exit(1);
    }
}

fn become_reporter(empty: Option<OsString>) -> Result<(), RoleError> {
    seqpacket(0, stdin())?;
    seqpacket(2, stderr())?;
    close_others()?;
    let empty = open_empty(empty)?;
    let mut message = vec![0; MAX_FACTS];
    let (_, length) = rustix::net::recv(stderr(), &mut *message, RecvFlags::TRUNC)
        .map_err(failed("hearing PID 1"))?;
    let facts = message.get(..length).and_then(Facts::decode).ok_or(RoleError::Facts)?;
    let descriptor =
        stdout().try_clone_to_owned().map_err(failed("taking the source of reports"))?;
    let source =
        Source::from_descriptor(descriptor).map_err(failed("taking the source of reports"))?;
    let kmsg = File::options().write(true).open("/dev/kmsg").ok();
    confine(Role::Reporter, empty)?;
    ready(stderr())?;
    let mut logged = None;
    let log = |line: &str| {
        let now = Instant::now();
        if logged.is_some_and(|last| now.saturating_duration_since(last) < LOG_EVERY) {
            return;
        }
        logged = Some(now);
        if let Some(mut kmsg) = kmsg.as_ref() {
            let _lost =
                kmsg.write_all(format!("<3>{}: {line}\n", Role::Reporter.name()).as_bytes());
        }
    };
    serve(stdin(), &facts, |data, until| source.report(data, until), log)
        .map_err(failed("serving the network side"))
}

fn become_network(empty: Option<OsString>) -> Result<(), RoleError> {
    seqpacket(0, stdin())?;
    let mut listeners = vec![stdout()];
    listening(1, stdout())?;
    if kind(2, stderr())? == FileType::Socket {
        listening(2, stderr())?;
        listeners.push(stderr());
    }
    close_others()?;
    let empty = open_empty(empty)?;
    let mut network = Network::new(stdin(), listeners);
    confine(Role::Network, empty)?;
    ready(stdin())?;
    network.serve().map_err(failed("serving"))
}

fn ready(pid_1: BorrowedFd<'_>) -> Result<(), RoleError> {
    rustix::net::send(pid_1, READY, SendFlags::NOSIGNAL).map_err(failed("telling PID 1"))?;
    Ok(())
}

fn kind(number: u8, fd: BorrowedFd<'_>) -> Result<FileType, RoleError> {
    let wanted = "open";
    let stat = rustix::fs::fstat(fd).map_err(|_err| RoleError::Descriptor { number, wanted })?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// A socket that PID 1 made for messages.
fn seqpacket(number: u8, fd: BorrowedFd<'_>) -> Result<(), RoleError> {
    let is = sockopt::socket_type(fd).is_ok_and(|kind| kind == SocketType::SEQPACKET)
        && sockopt::socket_domain(fd).is_ok_and(|domain| domain == AddressFamily::UNIX);
    let wanted = "PID 1's socket for messages";
    is.then_some(()).ok_or(RoleError::Descriptor { number, wanted })
}

/// A socket that strangers connect to.
fn listening(number: u8, fd: BorrowedFd<'_>) -> Result<(), RoleError> {
    let is = sockopt::socket_acceptconn(fd).unwrap_or(false);
    is.then_some(()).ok_or(RoleError::Descriptor { number, wanted: "a listening socket" })
}

/// Closes what was inherited besides 0, 1 and 2: nothing, if all that PID 1
/// opens is close-on-exec.
fn close_others() -> Result<(), RoleError> {
    let listing = failed("listing descriptors");
    let entries = std::fs::read_dir("/proc/self/fd").map_err(&listing)?;
    let others: Vec<RawFd> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in others {
        // The list's own is closed already.
        let _closed = nix::unistd::close(number);
    }
    Ok(())
}

fn open_empty(path: Option<OsString>) -> Result<OwnedFd, RoleError> {
    let path = path.ok_or(RoleError::NotEmpty)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory =
        rustix::fs::open(&path, flags, Mode::empty()).map_err(failed("opening the empty root"))?;
    let stat = rustix::fs::fstat(&directory).map_err(failed("opening the empty root"))?;
    let list =
        rustix::fs::Dir::read_from(directory.as_fd()).map_err(failed("reading the empty root"))?;
    let anything = list.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name().to_bytes();
        name != b"." && name != b".."
    });
    let writable = stat.st_mode & 0o222 != 0;
    if anything || writable || stat.st_uid != 0 {
        return Err(RoleError::NotEmpty);
    }
    Ok(directory)
}
