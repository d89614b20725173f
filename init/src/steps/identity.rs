//! The machine's identity: SSH host keys made in memory, and the machine id.
//!
//! A verity image is public, so a private key in it is everybody's: whatever
//! host keys it has are removed from view. New ones are made only once the
//! kernel's random generator is ready; nothing that the host supplies counts
//! towards that (no virtio-rng, `random.trust_bootloader=off`).

use std::path::Path;

use protocol::config::{Config, HostKeyKind, MachineId};
use protocol::layout;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey};

use crate::boot::log;
use crate::failure::{self, Failure};
use crate::platform::{Kind, Level, Platform};

/// Makes the identity; returns what the log says of it.
///
/// # Errors
/// If the random generator is not ready in time, or a file cannot be made.
pub fn make(platform: &impl Platform, config: &Config) -> Result<String, Failure> {
    let machine_id = match config.machine_id {
        MachineId::Fresh => fresh_machine_id(platform, config)?,
        MachineId::Keep => "kept",
    };
    let keys = if config.host_keys.is_empty() {
        "left alone".to_owned()
    } else {
        host_keys(platform, config)?
    };
    Ok(format!("machine id {machine_id}, host keys {keys}"))
}

/// `/etc/machine-id` empty: systemd makes an id and does not take the boot for
/// the first one (machine-id(5)). D-Bus's own copy would be taken over as the
/// id, so it goes too.
fn fresh_machine_id(platform: &impl Platform, config: &Config) -> Result<&'static str, Failure> {
    let etc = in_root("etc");
    if kind(platform, &etc)? != Some(Kind::Directory) {
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

fn host_keys(platform: &impl Platform, config: &Config) -> Result<String, Failure> {
    let directory = in_root("etc/ssh");
    // Through a link, the image's own keys would stay in view.
    for path in [&in_root("etc"), &directory] {
        match kind(platform, path)? {
            Some(Kind::Directory) => {}
            None => return Ok("not needed (no /etc/ssh)".to_owned()),
            Some(_) => {
                let what = "something else";
                return Err(Failure::NotADirectory { path: path.clone(), what });
            }
        }
    }
    let old: Vec<String> = platform
        .list(&directory)
        .map_err(failure::path("listing", &directory))?
        .into_iter()
        .filter(|name| name.starts_with("ssh_host_"))
        .collect();
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
    for kind in &config.host_keys {
        made.push(host_key(platform, &directory, *kind)?);
    }
    for line in made {
        log(platform, Level::Info, &format!("ssh host key {line}"));
    }
    Ok(format!("made ({} of the image masked)", old.len()))
}

/// Makes one key; returns its public line's kind and fingerprint.
fn host_key(
    platform: &impl Platform,
    directory: &Path,
    kind: HostKeyKind,
) -> Result<String, Failure> {
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
    let public = format!("{}\n", key.public_key().to_openssh().map_err(failed)?);

    let path = directory.join(name);
    platform
        .create_file(&path, 0o600, private.as_bytes())
        .map_err(failure::path("making", &path))?;
    let path = directory.join(format!("{name}.pub"));
    platform
        .create_file(&path, 0o644, public.as_bytes())
        .map_err(failure::path("making", &path))?;
    Ok(format!("{algorithm} {}", key.fingerprint(HashAlg::Sha256)))
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
