//! The boot as one readable list of steps.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use protocol::config::{Config, OnFailure};

use crate::codes::Code;
use crate::failure::{self, Failure, Step};
use crate::platform::{Level, Platform};
use crate::steps::root::OpenRoot;
use crate::steps::{
    configuration, disks, evidence, handover, identity, modules, mounts, root, writable,
};

/// What the boot has found out so far, and where its time went.
#[derive(Debug)]
pub struct Progress {
    /// The step that is being done.
    pub step: Step,
    /// What to do if it goes wrong.
    pub on_failure: OnFailure,
    /// The dm-verity root, once there is one: asked about corruption when a
    /// later step fails.
    pub root: Option<OpenRoot>,
    /// Time spent in the kernel, loading modules.
    pub modules_time: Duration,
    /// Time spent finding disks, most of it waiting.
    pub disks_time: Duration,
}

impl Progress {
    fn new() -> Progress {
        Progress {
            step: Step::Mounts,
            on_failure: OnFailure::PowerOff,
            root: None,
            modules_time: Duration::ZERO,
            disks_time: Duration::ZERO,
        }
    }

    fn begin(&mut self, platform: &impl Platform, step: Step) {
        self.step = step;
        platform.begin(step, self.on_failure);
    }
}

/// Boots, and comes back only if that failed: then the machine has been told to
/// stop.
pub fn boot(platform: &impl Platform) {
    let mut progress = Progress::new();
    let Err(failure) = run(platform, &mut progress);
    let failure = name_corruption(platform, &progress, failure);
    refuse(platform, progress.step, failure.code(), &failure.causes(), progress.on_failure);
}

/// The list. Each step logs one line when it is done.
fn run(platform: &impl Platform, progress: &mut Progress) -> Result<Infallible, Failure> {
    progress.begin(platform, Step::Mounts);
    mounts::mount_kernel_file_systems(platform)?;
    done(platform, Step::Mounts, "proc sys dev run");

    progress.begin(platform, Step::Configuration);
    let (config, cmdline) = configuration::read(platform, progress)?;
    done(platform, Step::Configuration, &configuration::summary(&config));

    progress.begin(platform, Step::Modules);
    let loaded = timed(platform, &mut progress.modules_time, || modules::load(platform, &cmdline))?;
    done(platform, Step::Modules, &loaded);

    progress.begin(platform, Step::Disks);
    let disks = timed(platform, &mut progress.disks_time, || disks::find(platform, &config))?;
    done(platform, Step::Disks, &disks.summary());

    progress.begin(platform, Step::Root);
    let program = open_root(platform, &config, &disks, progress)?;
    done(platform, Step::Root, &root::summary(&config));

    progress.begin(platform, Step::Writable);
    let layer = writable::add(platform, &config.writable)?;
    done(platform, Step::Writable, &layer);

    progress.begin(platform, Step::Identity);
    let identity = identity::make(platform, &config)?;
    done(platform, Step::Identity, &identity.summary);

    progress.begin(platform, Step::Evidence);
    let evidence = evidence::leave(platform, &config, &identity)?;
    done(platform, Step::Evidence, &evidence);

    progress.begin(platform, Step::HandOver);
    Err(handover::hand_over(platform, progress, &program))
}

fn open_root(
    platform: &impl Platform,
    config: &Config,
    disks: &disks::Disks,
    progress: &mut Progress,
) -> Result<PathBuf, Failure> {
    progress.root = root::open(platform, config, disks)?;
    root::mount(platform, config, disks, progress.root.as_ref())?;
    root::check_init(platform, config)
}

/// Runs `action` and adds the time it took to `total`.
fn timed<T>(platform: &impl Platform, total: &mut Duration, action: impl FnOnce() -> T) -> T {
    let start = platform.elapsed();
    let result = action();
    *total += platform.elapsed().saturating_sub(start);
    result
}

fn done(platform: &impl Platform, step: Step, what: &str) {
    platform.reap();
    log(platform, Level::Info, &format!("{}: {what}", step.as_str()));
}

/// One line of the boot log.
pub fn log(platform: &impl Platform, level: Level, line: &str) {
    let ms = platform.elapsed().as_millis();
    platform.log(level, &format!("ravelin: [{ms:>5} ms] {line}"));
}

/// An I/O error on a dm-verity root is corruption if dm-verity says so, and the
/// disk's own error otherwise.
fn name_corruption(platform: &impl Platform, progress: &Progress, failure: Failure) -> Failure {
    if progress.root.is_none() {
        return failure;
    }
    if platform.verity_is_corrupted(root::DM_NAME).unwrap_or(false) {
        Failure::VerityMismatch(Box::new(failure))
    } else if failure.is_io_error() {
        Failure::DiskError(Box::new(failure))
    } else {
        failure
    }
}

/// The failure block, then the end. The step is where it happened, the code
/// what happened.
fn refuse(platform: &impl Platform, step: Step, code: &Code, causes: &[String], how: OnFailure) {
    for line in failure::block(step, code, causes, how) {
        platform.log(Level::Error, &line);
    }
    platform.stop(how);
}

#[cfg(test)]
#[path = "boot_tests.rs"]
mod tests;
