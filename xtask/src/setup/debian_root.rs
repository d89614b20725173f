//! The Debian root of the demo and the end-to-end tests: a tar in the cache.
//!
//! It is what a user would bring: stock packages with systemd and an SSH
//! server, and the host keys that the package made when it was installed,
//! which PID 1 has to hide.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::apt::Machine;
use super::cached;
use super::mmdebstrap::{EXCLUDED, Root, write_script};
use crate::command;

/// Beyond Debian's essential packages.
const PACKAGES: &str =
    "systemd,systemd-sysv,udev,kmod,openssh-server,iproute2,cryptsetup-bin,dmsetup,e2fsprogs";

const CUSTOMIZE: &str = include_str!("../../debian-root/customize");

/// The tar.
pub(crate) fn tar(cache: &Path) -> PathBuf {
    top(cache).join("root.tar")
}

/// The SSH key that the root lets in.
pub(crate) fn ssh_key(cache: &Path) -> PathBuf {
    cache.join("ssh/id_ed25519")
}

pub(crate) fn is_current(cache: &Path) -> bool {
    recipe(cache).is_ok_and(|recipe| cached::is_current(&top(cache), &recipe))
}

pub(crate) fn make(cache: &Path, machine: &Machine) -> Result<()> {
    make_ssh_key(cache)?;
    println!(
        "setup: making a small Debian {} with systemd and openssh-server in the cache, once: \
         the demo and the end-to-end tests boot it",
        machine.release
    );
    cached::replace(&top(cache), &recipe(cache)?, |directory| {
        let customize = directory.join("customize");
        write_script(&customize, CUSTOMIZE)?;
        let key = ssh_key(cache).with_extension("pub").display().to_string();
        let root =
            Root { packages: PACKAGES, hook: &customize, environment: &[("AUTHORIZED_KEY", key)] };
        root.tar(machine, &directory.join("root.tar"), &directory.join("mmdebstrap.log"))?;
        fs::remove_file(customize).context("remove the customize hook")
    })
}

fn make_ssh_key(cache: &Path) -> Result<()> {
    let key = ssh_key(cache);
    if key.exists() && key.with_extension("pub").exists() {
        return Ok(());
    }
    println!("setup: making an SSH key in the cache: the demo logs in with it");
    let directory = key.parent().context("the key has no directory")?;
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    fs::set_permissions(directory, Permissions::from_mode(0o700)).context("close ssh/")?;
    let _ = fs::remove_file(&key);
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "ravelin demo", "-f"]).arg(&key);
    command::run(&mut keygen)
}

fn top(cache: &Path) -> PathBuf {
    cache.join("debian-root")
}

/// All that the tar depends on, but for the versions in the archive.
fn recipe(cache: &Path) -> Result<String> {
    let key =
        fs::read_to_string(ssh_key(cache).with_extension("pub")).context("read the SSH key")?;
    Ok([PACKAGES, &EXCLUDED.join(" "), &key, CUSTOMIZE].join("\n"))
}
