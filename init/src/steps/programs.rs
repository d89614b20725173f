//! Programs of the root that PID 1 runs before the hand-over: the root's own fsck
//! and mkfs, from a root that is verified or decrypted already.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::layout;

use super::mounts;
use crate::failure::{self, Failure, ProgramError};
use crate::platform::{Kind, Platform};

/// Where a system has them, in the order in which they are looked for.
const DIRECTORIES: [&str; 3] = ["/sbin", "/usr/sbin", "/usr/bin"];

/// The longest that one may take: a check of a large disk reads much of it.
const LIMIT: Duration = Duration::from_secs(3600);

/// Runs the program `name` of the mounted root with the kernel's /dev and /proc in
/// it, and takes these out again. Returns its path and exit status.
///
/// # Errors
/// [`ProgramError`], but for the status.
pub(super) fn run(
    platform: &impl Platform,
    name: &str,
    arguments: &[&str],
) -> Result<(PathBuf, i32), ProgramError> {
    let root = Path::new(layout::SYSROOT);
    let program = find(platform, root, name)?;
    let around = |failure| ProgramError::Around(Box::new(failure));
    let mounted = Around::mount(platform, root).map_err(around)?;
    let until = platform.elapsed() + LIMIT;
    let ended = platform.run_in_root(root, &program, arguments, until);
    mounted.detach().map_err(around)?;
    match ended {
        Ok(status) => Ok((program, status)),
        Err(source) => Err(ProgramError::System { program, source }),
    }
}

fn find(platform: &impl Platform, root: &Path, name: &str) -> Result<PathBuf, ProgramError> {
    for directory in DIRECTORIES {
        let program = Path::new(directory).join(name);
        match platform.program(root, &program) {
            Ok(found) if found.is_file && found.executable => return Ok(program),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(ProgramError::System { program, source }),
        }
    }
    Err(ProgramError::Missing { name: name.to_owned(), places: DIRECTORIES.join(" ") })
}

/// The kernel's file systems inside the root while a program runs. They are the
/// same ones: a device that PID 1 made is there too.
struct Around<'a, P: Platform> {
    platform: &'a P,
    mounted: Vec<PathBuf>,
}

impl<'a, P: Platform> Around<'a, P> {
    fn mount(platform: &'a P, root: &Path) -> Result<Self, Failure> {
        let mut around = Self { platform, mounted: Vec::new() };
        for from in [layout::DEV, layout::PROC] {
            let target = root.join(from.trim_start_matches('/'));
            let mounted = match platform.kind(&target) {
                Ok(Some(Kind::Directory)) => mounts::mount_again(platform, from, &target),
                Ok(_) => Err(Failure::RootIncomplete { path: PathBuf::from(from) }),
                Err(error) => Err(failure::path("looking at", &target)(error)),
            };
            if let Err(failure) = mounted {
                let _first_failure_counts = around.detach();
                return Err(failure);
            }
            around.mounted.push(target);
        }
        Ok(around)
    }

    fn detach(self) -> Result<(), Failure> {
        let mut result = Ok(());
        for target in self.mounted.iter().rev() {
            let detached = self.platform.detach_mount(target);
            result = result.and(detached.map_err(failure::path("taking out the mount", target)));
        }
        result
    }
}
