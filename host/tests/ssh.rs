//! The real OpenSSH client with what `ravelin ssh-config` writes, a real sshd
//! behind it, and a responder that tells the truth or not.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
mod responder_support;
#[path = "../../attestation/tests/verify_support/mod.rs"]
mod verify_support;

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use base64ct::{Base64, Encoding};
use common::{Ran, names, tool};
use protocol::host_keys::HostKeys;
use protocol::responder::{Status, answer, refusal};
use responder_support::{
    AT, Responder, accepting, ask, at_home, evidence, host_keys, vm, write_root,
};

/// An sshd of the test's own: its keys, its configuration, one process a
/// connection, which ends with it.
struct Sshd {
    port: u16,
    keys: HostKeys,
}

fn keygen(path: &Path) -> Vec<u8> {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    Base64::decode_vec(public.split_whitespace().nth(1).unwrap()).unwrap()
}

impl Sshd {
    fn new(program: &Path, home: &Path, name: &str) -> Self {
        let path = |end: &str| home.join(format!("{name}-{end}"));
        let keys = HostKeys::new([keygen(&path("host"))]).unwrap();
        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            path("host").display(),
            home.join("user.pub").display()
        );
        fs::write(path("config"), config).unwrap();
        if rustix::process::geteuid().is_root() {
            // Started as root, sshd wants it there; the package's service makes it.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (program, config, log) = (program.to_owned(), path("config"), path("log"));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream: OwnedFd = stream.unwrap().into();
                let mut sshd = Command::new(&program);
                sshd.arg("-i").arg("-f").arg(&config).arg("-E").arg(&log);
                sshd.stdin(stream.try_clone().unwrap()).stdout(stream).stderr(Stdio::null());
                let mut child = sshd.spawn().unwrap();
                std::thread::spawn(move || child.wait());
            }
        });
        Self { port, keys }
    }
}

struct Setup {
    _directory: tempfile::TempDir,
    home: PathBuf,
    sshd: Sshd,
}

/// A home whose name needs quoting everywhere, or `None` without OpenSSH.
fn setup() -> Option<Setup> {
    let program = tool("sshd")?;
    tool("ssh")?;
    let directory = tempfile::tempdir().unwrap();
    // sshd's own configuration cannot name such a directory.
    let user = directory.path().join("user");
    keygen(&user);
    let sshd = Sshd::new(&program, directory.path(), "vm");
    let home = directory.path().join("it's a \"100%\\h\" home #1");
    fs::create_dir(&home).unwrap();
    write_root(&home);
    Some(Setup { _directory: directory, home, sshd })
}

impl Setup {
    fn config(&self, responder: &Responder, port: u16, more: &[&str]) -> Ran {
        let port = port.to_string();
        let words = ["--hostname", "127.0.0.1", "--port", &port, "--output", "ssh.conf"];
        ask(&self.home, &["ssh-config", "web"], responder, &[&words[..], more].concat())
    }

    fn ssh(&self, command: &str) -> Ran {
        let mut ssh = Command::new("ssh");
        ssh.current_dir(&self.home).env("HOME", &self.home).stdin(Stdio::null());
        for variable in ["XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "SSH_AUTH_SOCK"] {
            ssh.env_remove(variable);
        }
        ssh.args(["-F", "ssh.conf", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"]);
        ssh.arg(self.home.parent().unwrap().join("user")).args(["web", command]);
        ssh.output().unwrap().into()
    }

    /// Remembered verdicts.
    fn remembered(&self) -> Vec<String> {
        let directory = self.home.join(".local/state/ravelin/verdicts");
        if directory.exists() { names(&directory) } else { Vec::new() }
    }
}

#[test]
fn ssh_logs_in_to_the_attested_vm_and_to_no_other() {
    let Some(setup) = setup() else { return };
    let keys = setup.sshd.keys.clone();
    let good = Responder::good(vm(), keys.clone());
    setup.config(&good, setup.sshd.port, &[]).ok();
    assert_eq!(good.asked(), 0, "writing the configuration asks nobody");
    let ran = setup.ssh("echo logged in").ok();
    assert_eq!(ran.stdout, "logged in\n");
    assert_eq!(good.asked(), 1, "one report for both calls of the command");
    assert!(ran.stderr.contains("NOT AMD's"), "{}", ran.stderr);
    setup.ssh("true").ok();
    assert_eq!(good.asked(), 1, "and for the next connection");
    assert_eq!(setup.remembered().len(), 1);
    assert!(!setup.home.join(".ssh").exists(), "ssh has written no known_hosts");

    // A man in the middle with a host key of his own, before the genuine VM.
    let program = tool("sshd").unwrap();
    let middle = Sshd::new(&program, setup.home.parent().unwrap(), "middle");
    for more in [&["--max-age", "0"][..], &[]] {
        setup.config(&good, middle.port, more).ok();
        let ran = setup.ssh("echo logged in").code(255);
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.contains("Host key verification failed"), "{}", ran.stderr);
    }

    // The whole connection led to a twin, which has the same image, its own keys
    // and a genuine report: only the pinned REPORT_ID tells.
    for (id, code) in [("1d", 0), ("2d", 255)] {
        let pin = format!("[instance]\nreport_id = \"{}\"\n", id.repeat(32));
        fs::write(setup.home.join("pin.toml"), pin).unwrap();
        setup.config(&good, setup.sshd.port, &["--instance", "pin.toml"]).ok();
        let ran = setup.ssh("echo logged in").code(code);
        assert_eq!(ran.stderr.contains("KnownHostsCommand failed"), code != 0, "{}", ran.stderr);
        assert_eq!(ran.stdout.is_empty(), code != 0);
    }

    // The report of another genuine VM, relayed while ssh ends at the first: its keys are not
    // those of the machine that ssh reaches.
    let relayed = Responder::good(vm(), host_keys(9));
    setup.config(&relayed, setup.sshd.port, &[]).ok();
    let ran = setup.ssh("echo logged in").code(255);
    assert!(ran.stderr.contains("Host key verification failed"), "{}", ran.stderr);
}

#[test]
fn ssh_ends_the_connection_if_the_vm_is_refused_or_silent() {
    let Some(setup) = setup() else { return };
    let keys = setup.sshd.keys.clone();
    let mut debugged = vm();
    debugged.set(8, &[0x1f, 0, 0xb]);
    let replayed = Mutex::new(None::<Vec<u8>>);
    let responders = [
        (Responder::good(debugged, keys.clone()), "debug", 1),
        (
            Responder::new(move |_number, _nonce, stream| {
                let mut replayed = replayed.lock().unwrap();
                let old = || answer(&evidence(&vm(), &[7; 32], &keys));
                let _ = stream.write_all(replayed.get_or_insert_with(old));
            }),
            "old answer",
            1,
        ),
        (
            Responder::new(|_number, _nonce, stream| {
                let _ = stream.write_all(&refusal(Status::Unavailable));
            }),
            "no report from its secure processor",
            1,
        ),
    ];
    for (responder, message, asked) in responders {
        setup.config(&responder, setup.sshd.port, &[]).ok();
        let ran = setup.ssh("echo logged in").code(255);
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.contains("KnownHostsCommand failed"), "{}", ran.stderr);
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
        assert_eq!(responder.asked(), asked);
        assert!(setup.remembered().is_empty(), "refusals are not remembered");
    }
    // Without the program there is no key, and so no connection.
    let text = fs::read_to_string(setup.home.join("ssh.conf")).unwrap();
    let moved = text.replace("KnownHostsCommand ", "KnownHostsCommand /nowhere");
    assert_ne!(moved, text);
    fs::write(setup.home.join("ssh.conf"), moved).unwrap();
    let ran = setup.ssh("echo logged in").code(255);
    assert_eq!(ran.stdout, "");
}

fn known_hosts(home: &Path, responder: &Responder, arguments: &[&str]) -> Ran {
    ask(home, &["ssh-known-hosts"], responder, arguments)
}

#[test]
fn lines_are_printed_only_for_what_passes() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    write_root(home);
    let good = Responder::good(vm(), host_keys(1));
    let ran = known_hosts(home, &good, &["[127.0.0.1]:2222"]).ok();
    let expected = Base64::encode_string(&host_keys(1).blobs()[0]);
    assert_eq!(ran.stdout, format!("[127.0.0.1]:2222 ssh-ed25519 {expected}\n"));
    for name in ["*", "a,b", "a b", "@revoked", ""] {
        let ran = known_hosts(home, &good, &["--", name]).code(2);
        assert_eq!(ran.stdout, "", "{name:?}");
    }
    let ran = known_hosts(home, &good, &["--json", "web"]).code(2);
    assert!(ran.stderr.contains("no JSON document"), "{}", ran.stderr);

    let mut other = vm();
    other.set(0x90, &[0x77; 48]);
    let ran = known_hosts(home, &Responder::good(other, host_keys(1)), &["web"]).code(1);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("the report is refused: "), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 2, "the reason and the remedy: {}", ran.stderr);
    let none = Responder::good(vm(), HostKeys::default());
    let ran = known_hosts(home, &none, &["web"]).code(1);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("binds no SSH host keys"), "{}", ran.stderr);
    let gone = Responder::new(|_number, _nonce, _stream| {});
    let ran = known_hosts(home, &gone, &["web"]).code(4);
    assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("", 2), "{}", ran.stderr);
}

#[test]
fn a_verdict_is_remembered_for_its_inputs_only() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    write_root(home);
    let good = Responder::good(vm(), host_keys(1));
    let mut expected = 0;
    let mut asks = |arguments: &[&str], again: bool| {
        let all = [&["web"], arguments].concat();
        known_hosts(home, &good, &all).ok();
        expected += usize::from(again);
        assert_eq!(good.asked(), expected, "{arguments:?}");
    };
    asks(&[], true);
    asks(&[], false);
    asks(&["--max-age", "0"], true);
    asks(&["--max-age", "24h"], false);
    // Any other policy, root or certificate is another verdict.
    fs::write(home.join("policy.toml"), "product = \"milan\"\n").unwrap();
    asks(&["--policy", "policy.toml"], true);
    asks(&["--policy", "policy.toml"], false);
    fs::write(home.join("policy.toml"), "product = \"milan\"\n[minimum_tcb]\nsnp = 1\n").unwrap();
    asks(&["--policy", "policy.toml"], true);
    fs::copy(home.join("ark.der"), home.join("again.der")).unwrap();
    asks(&["--certs", "again.der"], true);
    asks(&["--allow", "debug"], true);
    // The server shows a key that the remembered verdict does not have: the VM
    // may be a new one. A key that it has, or none, asks nobody.
    let key = Base64::encode_string(&host_keys(1).blobs()[0]);
    asks(&[&key], false);
    asks(&["NONE"], false);
    asks(&[&Base64::encode_string(&host_keys(2).blobs()[0])], true);

    // What another user could have written is not believed.
    let directory = home.join(".local/state/ravelin/verdicts");
    assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
    for name in names(&directory) {
        let path = directory.join(name);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o622)).unwrap();
    }
    asks(&[], true);
    for name in names(&directory) {
        fs::write(directory.join(name), "{}").unwrap();
    }
    asks(&[], true);
    asks(&[], false);
}

#[test]
fn configurations_that_could_only_fail_are_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    write_root(home);
    let good = Responder::good(vm(), host_keys(1));
    let lines = ask(home, &["ssh-config", "web"], &good, &["--user", "me"]).ok().stdout;
    for line in [
        "Host web\n",
        "    HostName 127.0.0.1\n",
        "    User me\n",
        "    StrictHostKeyChecking yes\n",
        "    UserKnownHostsFile /dev/null\n",
        "    UpdateHostKeys no\n",
        " -- %H %K\n",
    ] {
        assert!(lines.contains(line), "{line:?} in {lines}");
    }
    let run = |arguments: &[&str]| -> Ran {
        let mut command = at_home(home);
        command.args(["ssh-config"]).args(arguments);
        command.output().unwrap().into()
    };
    let ran = run(&["web", "--address", "vm:1", "--at", AT]).code(2);
    assert!(ran.stderr.contains("nothing says which VM is accepted"), "{}", ran.stderr);
    assert!(ran.stderr.contains("there is no vm.toml here"), "{}", ran.stderr);
    let mut accept = vec!["a*b"];
    let accepting = accepting();
    accept.extend(accepting.iter().map(String::as_str));
    run(&accept).code(2);
    accept[0] = "web";
    accept.extend(["--vsock", "3"]);
    let ran = run(&accept).code(2);
    assert!(ran.stderr.contains("--hostname"), "{}", ran.stderr);
    accept.extend(["--policy", "missing.toml"]);
    run(&accept).code(3);
}
