//! The hand-over: the last things that only PID 1 can do, then the real init.

use std::path::Path;

use protocol::config::{Config, Hardening};
use protocol::layout;

use super::harden;
use super::kind;
use super::mounts::KMSG_LIMIT;
use super::root::DM_NAME;
use crate::boot::{Progress, log};
use crate::failure::{self, Failure};
use crate::platform::{Kind, Level, Platform};

/// The file systems that the real system takes over.
const MOVED: [&str; 4] = [layout::DEV, layout::PROC, layout::SYS, layout::RUN];

/// Moves the mounts, arms dm-verity, frees the initramfs and becomes `program`.
/// Returns only a failure.
pub fn hand_over(
    platform: &impl Platform,
    config: &Config,
    progress: &Progress,
    program: &Path,
) -> Failure {
    match prepare(platform, config, progress, program) {
        Err(failure) => failure,
        Ok(()) => Failure::HandOver {
            program: program.to_owned(),
            source: platform.hand_over(Path::new(layout::SYSROOT), program),
        },
    }
}

fn prepare(
    platform: &impl Platform,
    config: &Config,
    progress: &Progress,
    program: &Path,
) -> Result<(), Failure> {
    let root = Path::new(layout::SYSROOT);
    // All of them are looked at before the first is moved: until then the
    // failure block reaches the log the usual way.
    let targets = MOVED.map(|from| (Path::new(from), root.join(from.trim_start_matches('/'))));
    for (from, to) in &targets {
        let there = kind(platform, to)?;
        if there != Some(Kind::Directory) {
            return Err(Failure::RootIncomplete { path: from.to_path_buf() });
        }
    }
    if let Some(open) = &progress.root {
        platform.replace_verity(DM_NAME, &open.final_target).map_err(Failure::VeritySetup)?;
    }
    let own = platform
        .elapsed()
        .saturating_sub(progress.modules_time)
        .saturating_sub(progress.disks_time)
        .saturating_sub(progress.waiting);
    log(
        platform,
        Level::Info,
        &format!(
            "hand-over: {} (modules {} ms, disks {} ms, own {} ms)",
            program.display(),
            progress.modules_time.as_millis(),
            progress.disks_time.as_millis(),
            own.as_millis()
        ),
    );
    let _fixed_by_command_line = platform.write(Path::new(KMSG_LIMIT), b"ratelimit\n");
    if config.harden.contains(&Hardening::Console) {
        harden::close_console(platform)?;
    }
    for (from, to) in &targets {
        platform.move_mount(from, to).map_err(failure::path("moving the mount", *from))?;
    }
    Ok(())
}
