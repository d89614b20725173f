//! The machine's identity: SSH host keys made in memory, and the machine id.
//!
//! A verity image is public, so a private key in it is everybody's: whatever
//! host keys it has are removed from view. New ones are made only once the
//! kernel's random generator is ready; a seed or a device of the host's does not
//! count towards that (no virtio-rng, `random.trust_bootloader=off`).

use std::path::Path;

use protocol::config::{Config, HostKeyKind, MachineId};
use protocol::layout;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey};

use crate::boot::log;
use crate::failure::{self, Failure};
use crate::platform::{Kind, Level, Platform};

/// What the machine is known by.
#[derive(Debug, Default)]
pub struct Identity {
    /// The SSH host keys that were made.
    pub host_keys: Vec<HostKey>,
    /// What the log says.
    pub summary: String,
}

/// The public half of an SSH host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// Which kind.
    pub kind: HostKeyKind,
    /// The public-key blob (RFC 4253, section 6.6).
    pub blob: Vec<u8>,
    /// The same as a line of OpenSSH: type and base64.
    pub line: String,
}

/// Makes the identity.
///
/// # Errors
/// If the random generator is not ready in time, or a file cannot be made.
pub fn make(platform: &impl Platform, config: &Config) -> Result<Identity, Failure> {
    let machine_id = match config.machine_id {
        MachineId::Fresh => fresh_machine_id(platform, config)?,
        MachineId::Keep => "kept",
    };
    let (host_keys, keys) = if config.host_keys.is_empty() {
        warn_of_public_keys(platform)?;
        (Vec::new(), "left alone".to_owned())
    } else {
        host_keys(platform, config)?
    };
    Ok(Identity { host_keys, summary: format!("machine id {machine_id}, host keys {keys}") })
}

/// `/etc/machine-id` empty: systemd makes an id and does not take the boot for
/// the first one (machine-id(5)). D-Bus's own copy would be taken over as the
/// id, so it goes too.
fn fresh_machine_id(platform: &impl Platform, config: &Config) -> Result<&'static str, Failure> {
    let etc = in_root("etc");
    if !is_directory(platform, &etc)? {
        return Ok("not needed (no /etc)");
    }
    let file = etc.join("machine-id");
    remove(platform, &file)?;
    platform.create_file(&file, 0o444, b"").map_err(failure::path("making", &file))?;
    let dbus = in_root("var/lib/dbus/machine-id");
    if config.writable.covers("/var/lib/dbus") && kind(platform, &dbus)? == Some(Kind::File) {
        remove(platform, &dbus)?;
    }
    Ok("empty")
}

fn host_keys(platform: &impl Platform, config: &Config) -> Result<(Vec<HostKey>, String), Failure> {
    let directory = in_root("etc/ssh");
    // Through a link, the image's own keys would stay in view.
    if !is_directory(platform, &in_root("etc"))? || !is_directory(platform, &directory)? {
        return Ok((Vec::new(), "not needed (no /etc/ssh)".to_owned()));
    }
    let old = host_key_files(platform, &directory)?;
    for name in &old {
        remove(platform, &directory.join(name))?;
    }
    let until = platform.elapsed() + config.entropy_deadline.duration();
    let ready =
        platform.wait_for_entropy(until).map_err(failure::path("waiting for", "/dev/random"))?;
    if !ready {
        return Err(Failure::EntropyDeadline { deadline: config.entropy_deadline.to_string() });
    }
    let mut made = Vec::new();
    let mut lines = Vec::new();
    for kind in &config.host_keys {
        let (key, line) = host_key(platform, &directory, *kind)?;
        made.push(key);
        lines.push(line);
    }
    for line in lines {
        log(platform, Level::Info, &format!("ssh host key {line}"));
    }
    Ok((made, format!("made ({} of the image masked)", old.len())))
}

/// Makes one key; returns it with its kind and fingerprint for the log.
fn host_key(
    platform: &impl Platform,
    directory: &Path,
    kind: HostKeyKind,
) -> Result<(HostKey, String), Failure> {
    let failed = |source| Failure::HostKey { kind: kind.as_str(), source };
    let (algorithm, name) = match kind {
        HostKeyKind::Ed25519 => (Algorithm::Ed25519, "ssh_host_ed25519_key"),
        HostKeyKind::EcdsaP256 => {
            (Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }, "ssh_host_ecdsa_key")
        }
    };
    // The key, its encoding and the generator's buffers wipe themselves.
    let key = PrivateKey::random(&mut OsRng, algorithm.clone()).map_err(failed)?;
    let private = key.to_openssh(LineEnding::LF).map_err(failed)?;
    let line = key.public_key().to_openssh().map_err(failed)?;
    let blob = key.public_key().to_bytes().map_err(failed)?;

    let path = directory.join(name);
    platform
        .create_file(&path, 0o600, private.as_bytes())
        .map_err(failure::path("making", &path))?;
    let path = directory.join(format!("{name}.pub"));
    platform
        .create_file(&path, 0o644, format!("{line}\n").as_bytes())
        .map_err(failure::path("making", &path))?;
    let said = format!("{algorithm} {}", key.fingerprint(HashAlg::Sha256));
    Ok((HostKey { kind, blob, line }, said))
}

fn host_key_files(platform: &impl Platform, directory: &Path) -> Result<Vec<String>, Failure> {
    let names = platform.list(directory).map_err(failure::path("listing", directory))?;
    Ok(names.into_iter().filter(|name| name.starts_with("ssh_host_")).collect())
}

fn warn_of_public_keys(platform: &impl Platform) -> Result<(), Failure> {
    let directory = in_root("etc/ssh");
    if kind(platform, &directory)? == Some(Kind::Directory)
        && !host_key_files(platform, &directory)?.is_empty()
    {
        let line = "the image has SSH host keys and ssh.host_keys=none leaves them: \
                    who can read the disk has them too";
        log(platform, Level::Error, line);
    }
    Ok(())
}

/// False if there is nothing.
fn is_directory(platform: &impl Platform, path: &Path) -> Result<bool, Failure> {
    match kind(platform, path)? {
        Some(Kind::Directory) => Ok(true),
        None => Ok(false),
        Some(_) => Err(Failure::NotADirectory { path: path.to_owned(), what: "something else" }),
    }
}

fn in_root(path: &str) -> std::path::PathBuf {
    Path::new(layout::SYSROOT).join(path)
}

fn kind(platform: &impl Platform, path: &Path) -> Result<Option<Kind>, Failure> {
    platform.kind(path).map_err(failure::path("looking at", path))
}

fn remove(platform: &impl Platform, path: &Path) -> Result<(), Failure> {
    match kind(platform, path)? {
        None => Ok(()),
        Some(_) => platform.remove_file(path).map_err(failure::path("removing", path)),
    }
}
