//! Signing by ssh-agent: a real one, and ones that misbehave.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod responder_support;
mod unlock_support;
#[path = "../../attestation/tests/verify_support/mod.rs"]
mod verify_support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Ran, tool};
use host::unlock::identity::{Identity, IdentityError, Places};
use protocol::release::SSHSIG_NAMESPACE;
use responder_support::{accepting, at_home, vm};
use ssh_key::{PublicKey, SshSig};
use unlock_support::{Guest, home, owner};
use zeroize::Zeroizing;

/// `ravelin unlock` with this agent.
fn unlock(home: &Path, guest: &Guest, agent: &Path, arguments: &[&str]) -> Ran {
    let mut command = at_home(home);
    command.env("SSH_AUTH_SOCK", agent).arg("unlock").args(accepting());
    command.args(["--address", &guest.address, "--sidecar", "root.img.toml"]);
    command.args(arguments).output().unwrap().into()
}

/// The program of OpenSSH's, which ends with the test.
struct RealAgent {
    child: Child,
    socket: PathBuf,
}

impl RealAgent {
    fn start(directory: &Path) -> Option<Self> {
        let (agent, _add) = (tool("ssh-agent")?, tool("ssh-add")?);
        let socket = directory.join("agent.socket");
        let mut command = Command::new(agent);
        command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let start = Instant::now();
        while !socket.exists() {
            assert!(start.elapsed() < Duration::from_secs(30), "no agent");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { child, socket })
    }

    fn add(&self, key: &Path) {
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
        fs::set_permissions(key, mode).unwrap();
        let mut command = Command::new("ssh-add");
        command.env("SSH_AUTH_SOCK", &self.socket).arg("-q").arg(key);
        assert!(command.status().unwrap().success());
    }
}

impl Drop for RealAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_agent_signs() {
    let home = home();
    let path = home.path();
    let Some(agent) = RealAgent::start(path) else { return };
    let guest = Guest::good(vm());
    fs::rename(path.join(".ssh"), path.join("keys")).unwrap();
    // Nothing in it, nothing in ~/.ssh.
    let ran = unlock(path, &guest, &agent.socket, &[]).code(3);
    assert!(ran.stderr.contains("the agent has 0 keys that could"), "{}", ran.stderr);
    let ran = unlock(path, &guest, &agent.socket, &["--identity", "keys/id_ed25519.pub"]).code(3);
    assert!(ran.stderr.contains("the agent does not have the key SHA256:"), "{}", ran.stderr);
    agent.add(&path.join("keys/id_ed25519"));
    fs::remove_file(path.join("keys/id_ed25519")).unwrap();
    // Its only key, and the one that is named.
    let ran = unlock(path, &guest, &agent.socket, &[]).ok();
    assert!(ran.stderr.contains("asking the agent to sign"), "{}", ran.stderr);
    unlock(path, &guest, &agent.socket, &["--identity", "keys/id_ed25519.pub"]).ok();
    assert_eq!(guest.taken().len(), 2);
    // Two: which is meant? One that could never be meant does not count.
    let Some(keygen) = tool("ssh-keygen") else { return };
    for (kind, name) in [("rsa", "rsa"), ("ecdsa", "p256")] {
        let mut command = Command::new(&keygen);
        command.args(["-q", "-N", "", "-t", kind, "-f"]).arg(path.join(name));
        assert!(command.status().unwrap().success());
        agent.add(&path.join(name));
        let code = if kind == "rsa" { 0 } else { 3 };
        unlock(path, &guest, &agent.socket, &[]).code(code);
    }
    let ran = unlock(path, &guest, &agent.socket, &["--identity", "rsa.pub"]).code(3);
    assert!(ran.stderr.contains("of the type ssh-rsa releases nothing"), "{}", ran.stderr);
    // ECDSA by the agent and from a file, and an encrypted file that the agent has.
    let places = Places { home: None, agent: Some(agent.socket.clone()) };
    let never = |path: &Path| -> Result<_, IdentityError> { panic!("asked for {path:?}") };
    for (name, places) in [("p256.pub", &places), ("p256", &Places::default())] {
        signs(
            Identity::find(Some(&path.join(name)), places, never).unwrap(),
            &path.join("p256.pub"),
        );
    }
    let mut command = Command::new(&keygen);
    command.args(["-q", "-p", "-P", "", "-N", "horse", "-f"]).arg(path.join("p256"));
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    let identity = Identity::find(Some(&path.join("p256")), &places, never).unwrap();
    assert!(identity.is_in_agent());
    let passphrase = |text: &'static str| {
        move |_path: &Path| Ok::<_, IdentityError>(Zeroizing::new(text.as_bytes().to_vec()))
    };
    let nowhere = Places::default();
    let file = path.join("p256");
    signs(
        Identity::find(Some(&file), &nowhere, passphrase("horse")).unwrap(),
        &path.join("p256.pub"),
    );
    let wrong = Identity::find(Some(&file), &nowhere, passphrase("house"));
    assert!(matches!(wrong, Err(IdentityError::Passphrase { .. })));
}

/// The identity's signature is one by this key.
fn signs(mut identity: Identity, public: &Path) {
    let blob = identity.sign(b"statement").unwrap();
    let signature = <SshSig as ssh_encoding::Decode>::decode(&mut blob.as_slice()).unwrap();
    let key = PublicKey::read_openssh_file(public).unwrap();
    key.verify(SSHSIG_NAMESPACE, b"statement", &signature).unwrap();
    assert!(key.verify("file", b"statement", &signature).is_err());
}

/// An agent that answers each request with the next of these, over and over.
fn agent(directory: &Path, name: &str, answers: Vec<Vec<u8>>) -> PathBuf {
    let socket = directory.join(name);
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            for answer in &answers {
                let mut head = [0; 4];
                if stream.read_exact(&mut head).is_err() {
                    break;
                }
                let mut request = vec![0; u32::from_be_bytes(head).try_into().unwrap()];
                stream.read_exact(&mut request).unwrap();
                let _ = stream.write_all(answer);
            }
        }
    });
    socket
}

fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 1).unwrap().to_be_bytes();
    [&length[..], &[kind], content].concat()
}

fn string(content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
}

#[test]
fn an_agent_that_misbehaves_releases_nothing() {
    let home = home();
    let path = home.path();
    fs::remove_file(path.join(".ssh/id_ed25519")).unwrap();
    let blob = owner().public_key().to_bytes().unwrap();
    let keys = message(12, &[&[0, 0, 0, 1], &string(&blob)[..], &string(b"me")].concat());
    let forged = [string(b"ssh-ed25519"), string(&[9; 64])].concat();
    let cases = [
        (vec![u32::MAX.to_be_bytes().to_vec()], "the agent's answer makes no sense: its length"),
        (vec![vec![0; 4]], "the agent's answer makes no sense: its length"),
        (vec![message(12, &[0xff; 4])], "makes no sense: it is cut"),
        (vec![message(12, &[0, 0, 0, 1, 0xff, 0, 0, 0])], "makes no sense: it is cut"),
        (vec![message(5, &[])], "it has no list of keys"),
        (vec![message(12, &[0; 4])], "the agent has 0 keys that could"),
        (vec![keys.clone()], "the agent gave no answer"),
        (vec![keys.clone(), message(5, &[])], "the agent refused to sign"),
        (vec![keys.clone(), message(14, &string(b"junk"))], "no signature that is known here"),
        (vec![keys, message(14, &string(&forged))], "made no valid signature"),
    ];
    let guest = Guest::good(vm());
    for (number, (answers, expected)) in cases.into_iter().enumerate() {
        let socket = agent(path, &format!("agent{number}"), answers);
        let ran = unlock(path, &guest, &socket, &[]).code(3);
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    let ran = unlock(path, &guest, &path.join("nobody"), &[]).code(3);
    assert!(ran.stderr.contains("cannot be reached"), "{}", ran.stderr);
    assert!(guest.taken().is_empty());
}
