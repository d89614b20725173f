//! The responder's real processes: what they have given up, whom they answer,
//! and how they end. Needs root, as PID 1 has it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that goes wrong fails")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use init::responder::{Setup, StartError, start};
use protocol::host_keys::HostKeys;
use protocol::receipt::Receipt;
use protocol::responder::{HEAD, Status, question, read_head};
use rustix::process::{Pid, Signal, kill_process};

/// A directory for one test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("responder-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("source")).unwrap();
        fs::create_dir_all(path.join("empty")).unwrap();
        fs::set_permissions(path.join("empty"), fs::Permissions::from_mode(0o555)).unwrap();
        Self(path)
    }

    fn empty(&self) -> PathBuf {
        self.0.join("empty")
    }

    /// A directory in which questions can be made, and none has an answer.
    fn source(&self) -> OwnedFd {
        fs::File::open(self.0.join("source")).unwrap().into()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.0);
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: the responder is started by root only");
    }
    root
}

fn setup(port: u16, source: OwnedFd, empty: PathBuf) -> Setup<'static> {
    Setup {
        program: Path::new(env!("CARGO_BIN_EXE_init")),
        port,
        host_keys: HostKeys::default(),
        receipt: Receipt::default(),
        source,
        deadline: Duration::from_secs(5),
        report_id: [0; 32],
        empty,
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// This process's children that were started as `name` with `empty`.
fn find(name: &str, empty: &Path) -> Option<Pid> {
    let wanted = format!("{name}\0{}\0", empty.display());
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        (line == wanted.as_bytes()).then(|| Pid::from_raw(number).unwrap())
    })
}

fn status(pid: Pid, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn link(pid: Pid, name: &str) -> PathBuf {
    fs::read_link(format!("/proc/{}/{name}", pid.as_raw_nonzero())).unwrap()
}

/// Waits for the end of a child, and whether SIGSYS was it.
fn end_of(pid: Pid) -> Option<i32> {
    let options = rustix::process::WaitOptions::empty();
    let (_, status) = rustix::process::waitpid(Some(pid), options).unwrap().unwrap();
    status.terminating_signal()
}

fn ask(port: u16) -> (Status, usize) {
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    client.write_all(&question(&[7; 32])).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    read_head(answer.first_chunk::<HEAD>().unwrap()).unwrap()
}

#[test]
fn both_are_confined_and_serve() {
    if !is_root() {
        return;
    }
    let directory = Directory::new("confined");
    let (port, empty) = (free_port(), directory.empty());
    let line = start(setup(port, directory.source(), empty.clone())).unwrap();
    assert!(line.ends_with(&format!("port {port}")), "{line}");
    let network = find("ravelin-responder", &empty).unwrap();
    let reporter = find("ravelin-reporter", &empty).unwrap();

    // The source has no answer; both live on.
    for _ in 0..3 {
        assert_eq!(ask(port), (Status::Unavailable, 0));
    }
    for (pid, user) in [(network, "65537 65537 65537 65537"), (reporter, "0 0 0 0")] {
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        assert_eq!(status(pid, "Seccomp"), "2");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status(pid, set), "0000000000000000", "{set}");
        }
        assert_eq!(status(pid, "Uid"), user);
        assert_eq!(status(pid, "Gid"), user);
        assert_eq!(status(pid, "Groups"), "");
        assert_eq!(status(pid, "Threads"), "1");
        assert!(status(pid, "Name").starts_with("ravelin-"));
        for set in ["SigIgn", "SigBlk", "SigCgt"] {
            let set = u64::from_str_radix(&status(pid, set), 16).unwrap();
            assert_eq!(set & 1 << (Signal::TERM.as_raw() - 1), 0, "systemd's shutdown ends it");
        }
        assert_eq!(link(pid, "root"), empty);
        assert_eq!(link(pid, "cwd"), empty);
        assert_eq!(link(pid, "exe"), Path::new("/memfd:ravelin (deleted)"));
        let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap();
        assert_eq!(environment, b"");
        // Not dumpable: what is in /proc is root's.
        let owner = fs::metadata(format!("/proc/{}/fd", pid.as_raw_nonzero())).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), 0);
    }
    let descriptors = |pid: Pid| -> Vec<String> {
        let fds = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).unwrap();
        let targets = fds.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        let mut targets: Vec<_> = targets.map(|target| target.display().to_string()).collect();
        targets.sort();
        targets
    };
    // The connections of the questions are closed when it has seen their ends.
    let until = Instant::now() + Duration::from_secs(60);
    let mut has = descriptors(network);
    while has.len() > 3 && Instant::now() < until {
        std::thread::yield_now();
        has = descriptors(network);
    }
    assert!(
        has.iter().all(|target| target.starts_with("socket:") || target == "/dev/null"),
        "{has:?}"
    );
    assert_eq!(has.len(), 3, "{has:?}");
    let source = directory.0.join("source").display().to_string();
    let known = |target: &String| {
        target.starts_with("socket:") || *target == source || target == "/dev/kmsg"
    };
    let has = descriptors(reporter);
    assert!(has.iter().all(known), "{has:?}");

    // One ends with the other; neither by the filter.
    kill_process(network, Signal::TERM).unwrap();
    assert_eq!(end_of(network), Some(Signal::TERM.as_raw()));
    assert_eq!(end_of(reporter), None);
}

#[test]
fn the_network_side_ends_with_the_reporter() {
    if !is_root() {
        return;
    }
    let directory = Directory::new("ends");
    let (port, empty) = (free_port(), directory.empty());
    start(setup(port, directory.source(), empty.clone())).unwrap();
    let network = find("ravelin-responder", &empty).unwrap();
    let reporter = find("ravelin-reporter", &empty).unwrap();
    let idle = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    kill_process(reporter, Signal::TERM).unwrap();
    assert_eq!(end_of(reporter), Some(Signal::TERM.as_raw()));
    assert_eq!(end_of(network), None);
    drop(idle);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}

#[test]
fn what_is_not_right_is_said() {
    if !is_root() {
        return;
    }
    let directory = Directory::new("refused");
    // A source that is none.
    let null: OwnedFd = fs::File::open(directory.0.join("source")).unwrap().into();
    fs::write(directory.0.join("file"), b"").unwrap();
    let file: OwnedFd = fs::File::open(directory.0.join("file")).unwrap().into();
    let error = start(setup(free_port(), file, directory.empty())).unwrap_err();
    assert!(error.to_string().contains("taking the source of reports"), "{error}");
    // A root that is not empty.
    let error = start(setup(free_port(), null, directory.0.clone())).unwrap_err();
    assert!(matches!(error, StartError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("not an empty one"), "{error}");
    // A port that is taken.
    let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = start(setup(port, directory.source(), directory.empty())).unwrap_err();
    assert!(error.to_string().contains("listening on TCP"), "{error}");
}

/// Started by anybody else than PID 1, a role does nothing.
#[test]
fn a_role_needs_its_descriptors() {
    use std::os::unix::process::CommandExt as _;
    for role in ["ravelin-reporter", "ravelin-responder"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_init"));
        let output = command.arg0(role).arg("/").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{role}");
    }
}
