//! The boot as one readable list of steps.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::config::{Config, OnFailure, Protection};
use protocol::hooks::Stage;
use protocol::layout;
use protocol::receipt::{Event, Receipt, short};
use protocol::release::VolumeName;

use crate::codes::Code;
use crate::failure::{self, Failure, Step};
use crate::platform::{Level, Platform};
use crate::reports::Guest;
use crate::steps::root::OpenRoot;
use crate::steps::{
    configuration, disks, evidence, handover, harden, hooks, identity, modules, mounts, network,
    root, unlock, volumes, writable,
};
use crate::volume::Opened;

/// What the boot has found out so far, and where its time went.
#[derive(Debug)]
pub struct Progress {
    /// The step that is being done.
    pub step: Step,
    /// What to do if it goes wrong.
    pub on_failure: OnFailure,
    /// What was done, for the reports.
    pub receipt: Receipt,
    /// The dm-verity root, once there is one: asked about corruption when a
    /// later step fails.
    pub root: Option<OpenRoot>,
    /// Whether the network is up, or half of it.
    pub network: bool,
    /// Whether owners are served.
    pub owners: bool,
    /// The volumes with a key that are open, in the order in which they were opened.
    pub volumes: Vec<OpenVolume>,
    /// Volumes that were made of blank disks in this boot: they may have no file system.
    pub made: Vec<VolumeName>,
    /// The name of the source of reports, once it is open.
    pub reports: Option<&'static str>,
    /// Whose reports they are: all of one guest.
    pub guest: Guest,
    /// Time spent in the kernel, loading modules.
    pub modules_time: Duration,
    /// Time spent finding disks, most of it waiting.
    pub disks_time: Duration,
    /// Time spent waiting for the network, for owners and for hooks.
    pub waiting: Duration,
}

/// A volume with a key that is open.
#[derive(Debug)]
pub struct OpenVolume {
    /// The volume.
    pub opened: Opened,
    /// Whether it gets a file system if it has none.
    pub may_format: bool,
}

impl Progress {
    fn new() -> Progress {
        Progress {
            step: Step::Mounts,
            on_failure: OnFailure::PowerOff,
            receipt: Receipt::default(),
            root: None,
            network: false,
            owners: false,
            volumes: Vec::new(),
            made: Vec::new(),
            reports: None,
            guest: Guest::default(),
            modules_time: Duration::ZERO,
            disks_time: Duration::ZERO,
            waiting: Duration::ZERO,
        }
    }

    fn begin(&mut self, platform: &impl Platform, step: Step) {
        self.step = step;
        platform.begin(step, self.on_failure);
    }
}

/// How long what was written may take to reach its disks when the machine stops.
const CLOSING: Duration = Duration::from_secs(10);

/// Boots, and comes back only if that failed: then the machine has been told to
/// stop.
pub fn boot(platform: &impl Platform) {
    let mut progress = Progress::new();
    let Err(failure) = run(platform, &mut progress);
    let failure = name_corruption(platform, &progress, failure);
    // Nobody is talked to any more when the machine says that it stops.
    unlock::stop_serving(platform, &mut progress);
    let _machine_stops = network::down(platform, &mut progress);
    refuse(platform, progress.step, failure.code(), &failure.causes(), progress.on_failure);
    close_volumes(platform, &mut progress);
    platform.stop(progress.on_failure);
}

/// The list. Each step logs one line when it is done.
fn run(platform: &impl Platform, progress: &mut Progress) -> Result<Infallible, Failure> {
    progress.begin(platform, Step::Mounts);
    mounts::mount_kernel_file_systems(platform)?;
    done(platform, Step::Mounts, "proc sys dev run");

    progress.begin(platform, Step::Configuration);
    let (config, cmdline) = configuration::read(platform, progress)?;
    let hooks = hooks::find(platform)?;
    configuration::record(&config, &hooks, &mut progress.receipt);
    done(platform, Step::Configuration, &configuration::summary(&config));

    progress.begin(platform, Step::Modules);
    let loaded = timed(platform, &mut progress.modules_time, || {
        modules::load(platform, &cmdline, &mut progress.receipt)
    })?;
    done(platform, Step::Modules, &loaded);

    progress.begin(platform, Step::Harden);
    let given_up = harden::give_up(platform, &config, &mut progress.receipt)?;
    done(platform, Step::Harden, &given_up);

    progress.begin(platform, Step::Disks);
    let disks = timed(platform, &mut progress.disks_time, || disks::find(platform, &config))?;
    disks.record(&config, &mut progress.receipt);
    done(platform, Step::Disks, &disks.summary());

    run_hooks(platform, &config, &disks, &hooks, Stage::PreRoot, progress)?;

    get_keys(platform, &config, &disks, progress)?;

    progress.begin(platform, Step::Root);
    let program = open_root(platform, &config, &disks, progress)?;
    done(platform, Step::Root, &root::summary(&config));

    run_hooks(platform, &config, &disks, &hooks, Stage::PostRoot, progress)?;

    progress.begin(platform, Step::Writable);
    let upper = volumes::upper_layer(platform, &config, &disks, progress)?;
    let layer = writable::add(platform, &config.writable, upper.as_ref())?;
    layer.record(&config.writable, &mut progress.receipt);
    done(platform, Step::Writable, &layer.to_string());

    if !config.volumes.is_empty() {
        progress.begin(platform, Step::Volumes);
        let mounted = volumes::mount(platform, &config, &disks, progress)?;
        done(platform, Step::Volumes, &mounted);
    }

    progress.begin(platform, Step::Identity);
    let identity = identity::make(platform, &config)?;
    done(platform, Step::Identity, &identity.summary);

    progress.begin(platform, Step::Evidence);
    let evidence = evidence::leave(platform, &config, &identity, progress)?;
    done(platform, Step::Evidence, &evidence);

    run_hooks(platform, &config, &disks, &hooks, Stage::PreHandOver, progress)?;

    progress.begin(platform, Step::HandOver);
    Err(handover::hand_over(platform, &config, progress, &program))
}

/// The hooks of one stage: no step where there are none.
fn run_hooks(
    platform: &impl Platform,
    config: &Config,
    disks: &disks::Disks,
    hooks: &hooks::Found,
    stage: Stage,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let of_stage = hooks.iter().filter(|(of, _)| *of == stage);
    let of_stage: Vec<&Path> = of_stage.map(|(_, path)| path.as_path()).collect();
    if of_stage.is_empty() {
        return Ok(());
    }
    let step = Step::Hooks(stage);
    progress.begin(platform, step);
    let ran = timed(platform, &mut progress.waiting, || {
        hooks::run(platform, config, disks, stage, &of_stage, &mut progress.receipt)
    })?;
    done(platform, step, &ran);
    Ok(())
}

/// The part of the boot in which others are talked to: none of it where no key comes
/// from an owner. The network is down again when it is over.
fn get_keys(
    platform: &impl Platform,
    config: &Config,
    disks: &disks::Disks,
    progress: &mut Progress,
) -> Result<(), Failure> {
    if let Some(settings) = &config.network {
        progress.begin(platform, Step::Network);
        let start = platform.elapsed();
        let up = network::up(platform, settings, progress)?;
        progress.waiting += platform.elapsed().saturating_sub(start);
        let wanted = settings.addressing.to_string();
        progress.receipt.push(&Event::Network { wanted, has: up.clone() });
        done(platform, Step::Network, &up);
    }
    // The network is there for owners alone.
    if let Some(settings) = &config.unlock {
        progress.begin(platform, Step::Unlock);
        let opened = unlock::open(platform, config, settings, disks, progress)?;
        network::down(platform, progress)?;
        done(platform, Step::Unlock, &opened);
    }
    Ok(())
}

fn open_root(
    platform: &impl Platform,
    config: &Config,
    disks: &disks::Disks,
    progress: &mut Progress,
) -> Result<PathBuf, Failure> {
    if let Protection::Encrypted(settings) = &config.root.protection {
        let is_root = |volume: &&OpenVolume| volume.opened.name == VolumeName::root();
        let open = progress.volumes.iter().find(is_root);
        // Open since the step `unlock`, or the boot is not here.
        let open = open.ok_or_else(|| Failure::OwnerServer("the root was not released".into()))?;
        root::mount_encrypted(platform, config, settings, &open.opened.node)?;
    } else {
        progress.root = root::open(platform, config, disks, &mut progress.receipt)?;
        root::mount(platform, config, disks, progress.root.as_ref())?;
    }
    let init = root::check_init(platform, config)?;
    let fstype = config.root.fstype.to_string();
    progress.receipt.push(&Event::Root { fstype, init: short(&init.display().to_string()) });
    Ok(init)
}

/// Runs `action` and adds the time it took to `total`.
pub fn timed<T>(platform: &impl Platform, total: &mut Duration, action: impl FnOnce() -> T) -> T {
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
/// disk's own error otherwise. Of encrypted volumes the kernel's log tells the two
/// apart, and nothing else does.
fn name_corruption(platform: &impl Platform, progress: &Progress, failure: Failure) -> Failure {
    if progress.root.is_some() && platform.verity_is_corrupted(root::DM_NAME).unwrap_or(false) {
        return Failure::VerityMismatch(Box::new(failure));
    }
    // Opening a volume names its own errors.
    let opening = matches!(failure, Failure::Volume { .. }) || progress.step == Step::Unlock;
    if opening || !failure.is_io_error() {
        failure
    } else if progress.root.is_some() && progress.step != Step::Volumes {
        Failure::DiskError(Box::new(failure))
    } else if !progress.volumes.is_empty() {
        Failure::DiskNotAuthentic(Box::new(failure))
    } else {
        failure
    }
}

/// Takes out the mounts on volumes with a key, which writes what is in memory, and then
/// the volumes, whose keys the kernel has. As far as it goes: the machine stops next.
fn close_volumes(platform: &impl Platform, progress: &mut Progress) {
    if progress.volumes.is_empty() {
        return;
    }
    // What was written goes to disks that may never answer.
    platform.stop_after(CLOSING, progress.on_failure);
    // With all that is mounted below it.
    for mount in [layout::SYSROOT, writable::VOLUME_LAYER] {
        let _may_not_be_mounted = platform.detach_mount(mount.as_ref());
    }
    unlock::close_all(platform, progress);
}

/// The failure block. The step is where it happened, the code what happened.
fn refuse(platform: &impl Platform, step: Step, code: &Code, causes: &[String], how: OnFailure) {
    for line in failure::block(step, code, causes, how) {
        platform.log(Level::Error, &line);
    }
}

#[cfg(test)]
#[path = "boot_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "boot_encrypted_tests.rs"]
mod encrypted_tests;

#[cfg(test)]
#[path = "boot_hooks_tests.rs"]
mod hooks_tests;

#[cfg(test)]
#[path = "boot_receipt_tests.rs"]
mod receipt_tests;

#[cfg(test)]
#[path = "boot_faults_tests.rs"]
mod faults_tests;
