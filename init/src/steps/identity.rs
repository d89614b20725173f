//! The machine's identity: SSH host keys and the machine id.

use std::path::Path;

use protocol::config::{Config, MachineId, Writable};
use protocol::layout;

use super::host_keys::{self, HostKey, remove};
use super::kind;
use crate::boot::log;
use crate::failure::{self, Failure};
use crate::platform::{Kind, Level, Platform};

/// What the machine is known by.
#[derive(Debug, Default)]
pub struct Identity {
    /// The SSH host keys: those that were made, and those that the root keeps.
    pub host_keys: Vec<HostKey>,
    /// What the log says.
    pub summary: String,
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
    let keeps = config.writable == Writable::Disk;
    let (host_keys, keys) = if config.host_keys.is_empty() && !keeps {
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
    if config.writable == Writable::Disk {
        let (keys, made) = host_keys::keep(platform, config, &directory)?;
        let kept = keys.len().saturating_sub(made);
        return Ok((keys, format!("{kept} kept, {made} made")));
    }
    let (keys, old) = host_keys::replace(platform, config, &directory)?;
    Ok((keys, format!("made ({old} of the image masked)")))
}

fn warn_of_public_keys(platform: &impl Platform) -> Result<(), Failure> {
    let directory = in_root("etc/ssh");
    if kind(platform, &directory)? == Some(Kind::Directory)
        && !host_keys::files(platform, &directory)?.is_empty()
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
