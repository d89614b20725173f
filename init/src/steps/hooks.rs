//! Hooks: measured programs of the initramfs that run at three points of the boot.
//!
//! They are looked at as part of the configuration, so that what cannot be run is refused
//! before anything is done. A hook is trusted as PID 1 is. It gets what it may need to
//! know by its environment, and nothing else of PID 1's.

use std::path::{Path, PathBuf};

use protocol::config::Config;
use protocol::hooks::{self, Stage};
use protocol::layout;
use protocol::receipt::{Event, Receipt};

use super::disks::Disks;
use super::kind;
use super::root;
use crate::failure::{self, Failure, ProgramError};
use crate::platform::{Hook, Kind, Platform};

/// The hooks of the initramfs, in the order in which those of one stage run.
pub type Found = Vec<(Stage, PathBuf)>;

/// Finds all hooks, and looks at each.
///
/// # Errors
/// [`Failure::HookRefused`] if there is anything among them that is not a hook.
pub fn find(platform: &impl Platform) -> Result<Found, Failure> {
    let directory = Path::new(layout::HOOKS);
    let mut found = Vec::new();
    if kind(platform, directory)?.is_none() {
        return Ok(found);
    }
    for name in names(platform, directory)? {
        let below = directory.join(&name);
        let Some(stage) = Stage::of_directory(&name) else {
            return Err(refused(below, "is the directory of no stage"));
        };
        for name in names(platform, &below)? {
            let path = below.join(&name);
            let why = if hooks::is_name(&name) {
                why_not(platform, &path)?
            } else {
                Some("has a name that no hook may have")
            };
            if let Some(why) = why {
                return Err(refused(path, why));
            }
            found.push((stage, path));
        }
    }
    Ok(found)
}

/// Runs the hooks of a stage one by one; what the log says.
///
/// # Errors
/// If one says that the boot must not go on, or does not say anything in time.
pub fn run(
    platform: &impl Platform,
    config: &Config,
    disks: &Disks,
    stage: Stage,
    hooks: &[&Path],
    receipt: &mut Receipt,
) -> Result<String, Failure> {
    let environment = environment(config, disks, stage);
    let failed = |source| Failure::Hook { stage, source };
    let mut names = Vec::new();
    for path in hooks.iter().copied() {
        let hook = Hook { path, stage, environment: &environment };
        let until = platform.elapsed() + config.hooks_deadline.duration();
        let program = path.to_owned();
        match platform.run_hook(&hook, until) {
            Ok(0) => {}
            Ok(status) => return Err(failed(ProgramError::Status { program, status })),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                let deadline = config.hooks_deadline.to_string();
                return Err(Failure::HookDeadline { path: program, deadline });
            }
            Err(source) => return Err(failed(ProgramError::System { program, source })),
        }
        let name = name(path);
        receipt.push(&Event::Ran { stage: stage.to_string(), name: name.clone() });
        names.push(name);
    }
    Ok(names.join(" "))
}

/// The name of a hook.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What a hook is told. `docs/initramfs.md` lists it; nothing of it is secret.
fn environment(config: &Config, disks: &Disks, stage: Stage) -> Vec<(&'static str, String)> {
    let node = |path: &Path| path.to_string_lossy().into_owned();
    let volume =
        |(name, device): &(_, super::disks::Device)| format!("{name}={}", device.node.display());
    let volumes: Vec<String> = disks.volumes.iter().map(volume).collect();
    let mut environment = vec![
        ("RAVELIN_HOOKS", hooks::VERSION.to_string()),
        ("RAVELIN_ROOT_MODE", config.root.protection.mode().to_string()),
        ("RAVELIN_ROOT_FSTYPE", config.root.fstype.to_string()),
        ("RAVELIN_ROOT_DEVICE", node(&disks.root.node)),
        ("RAVELIN_VOLUMES", volumes.join(" ")),
    ];
    if let Some(hash) = &disks.hash {
        environment.push(("RAVELIN_HASH_DEVICE", node(&hash.node)));
    }
    if stage != Stage::PreRoot {
        environment.push(("RAVELIN_ROOT", layout::SYSROOT.to_owned()));
    }
    environment
}

/// What is in a directory of hooks.
fn names(platform: &impl Platform, directory: &Path) -> Result<Vec<String>, Failure> {
    if kind(platform, directory)? != Some(Kind::Directory) {
        return Err(refused(directory.to_owned(), "is not a directory"));
    }
    platform.list(directory).map_err(failure::path("listing", directory))
}

/// Why a file is no hook.
fn why_not(platform: &impl Platform, path: &Path) -> Result<Option<&'static str>, Failure> {
    match kind(platform, path)? {
        // Not followed: what runs is what is in this directory.
        Some(Kind::Symlink) => return Ok(Some("is a symbolic link")),
        Some(Kind::File) => {}
        _ => return Ok(Some("is not a regular file")),
    }
    let program =
        platform.program(Path::new("/"), path).map_err(failure::path("looking at", path))?;
    Ok(root::why_not_executable(&program))
}

fn refused(path: PathBuf, why: &'static str) -> Failure {
    Failure::HookRefused { path, why }
}
