//! Keys from their owners: wait for releases until one opens every volume that needs
//! one.
//!
//! A release is all or nothing. Where it does not open something, everything is closed
//! again, its owners are told why, and others may come. So it is where no owner says in
//! time that the new epochs are recorded: whoever boots without, boots what the owners
//! would let the host put back. Nothing of what is on a disk is
//! mounted here, so a wrong key, a wrong disk or an old one costs an answer. Only where
//! the machine itself fails, so that no release could help, the boot ends.
//!
//! **Threat.** The host can swap the disks and put back old ones; it cannot make a
//! release. What is logged is read by the host: names, fingerprints of public keys,
//! causes; never anything of a key.

use std::time::Duration;

use protocol::config::{Config, KeySource, Protection, Unlock, VolumeFormat};
use protocol::receipt::Event;
use protocol::release::{Refusal, Release, ReleasedKey, ReleasedVolume, Status, VolumeName};

use super::disks::Disks;
use super::{entropy, evidence};
use crate::boot::{OpenVolume, Progress, log, timed};
use crate::failure::{self, Failure};
use crate::platform::{Level, Platform};
use crate::volume::{self, OpenError};

/// Opens all volumes whose keys come from owners; returns what the log says of it.
///
/// # Errors
/// If owners cannot be served, none came in time, or the machine fails.
pub fn open(
    platform: &impl Platform,
    config: &Config,
    unlock: &Unlock,
    disks: &Disks,
    progress: &mut Progress,
) -> Result<String, Failure> {
    entropy::wait(platform, config)?;
    let attest = evidence::open(platform, config, progress)?;
    let wanted = wanted(config);
    // Noted before: a part of it may serve when it fails.
    progress.owners = true;
    let names: Vec<VolumeName> = wanted.iter().map(|volume| volume.name.clone()).collect();
    let listening = platform
        .serve_owners(
            unlock,
            &names,
            attest.deadline.duration(),
            progress.receipt.head(),
            &progress.guest,
        )
        .map_err(Failure::OwnerServer)?;
    let line = format!(
        "unlock: waiting for {} of {} owners on {listening}, for {}",
        unlock.threshold,
        unlock.owners.len(),
        listed(&names),
    );
    log(platform, Level::Info, &line);

    let until = unlock.deadline.as_ref().map(|limit| platform.elapsed() + limit.duration());
    let mut refusals = Refusals::default();
    let mut before = 0_u64;
    let owners = loop {
        let released = timed(platform, &mut progress.waiting, || platform.wait_for_release(until))
            .map_err(|error| Failure::OwnerServer(error.into()))?;
        let Some(released) = released else {
            let deadline = unlock.deadline.as_ref().map(ToString::to_string).unwrap_or_default();
            return Err(Failure::UnlockDeadline { deadline });
        };
        let owners = released.owners.join(" ");
        log(platform, Level::Info, &format!("unlock: a release of {owners}"));
        let result = try_release(platform, &wanted, disks, &released.release, progress);
        // Wiped before anything else happens.
        drop(released);
        match result {
            Ok(epochs) => {
                platform.answer_owners(&Status::Opened { epochs });
                let recorded =
                    timed(platform, &mut progress.waiting, || platform.wait_until_recorded());
                if recorded.map_err(|error| Failure::OwnerServer(error.into()))? {
                    platform.answer_owners(&Status::Booting);
                    break owners;
                }
                close_all(platform, progress);
                before += 1;
                let text = "no owner has recorded the epochs in time: the volumes are closed again";
                platform.answer_owners(&Status::refused(Refusal::Unrecorded, text));
                refusals.log(platform, &format!("unlock: gave up the release of {owners}: {text}"));
            }
            Err(refused) => {
                before += 1;
                let text = refused.text();
                platform.answer_owners(&Status::refused(refused.why(), &text));
                refusals.log(platform, &format!("unlock: refused the release of {owners}: {text}"));
                if let Refused::Machine(failure) = refused {
                    return Err(failure);
                }
            }
        }
    };
    stop_serving(platform, progress);
    progress.receipt.push(&Event::Release {
        volumes: listed(&names),
        threshold: format!("{} of {}", unlock.threshold, unlock.owners.len()),
        owners: owners.clone(),
        before: before.to_string(),
    });
    for volume in &progress.volumes {
        // Maybe with a release that was given up.
        let made = progress.made.contains(&volume.opened.name);
        volume.opened.record("owner", made, &mut progress.receipt);
    }
    Ok(format!("{} opened by {owners}", listed(&names)))
}

/// Ends all sessions with owners.
pub fn stop_serving(platform: &impl Platform, progress: &mut Progress) {
    if std::mem::take(&mut progress.owners) {
        platform.stop_serving_owners();
    }
}

/// A volume that needs a release.
struct Wanted {
    name: VolumeName,
    format: VolumeFormat,
    /// Whether a blank disk is formatted without the owner's word.
    provision_if_blank: bool,
}

impl Wanted {
    /// The same with the permission to provision, where the configuration gives it and
    /// the owner does not.
    fn permits(&self, released: &ReleasedVolume) -> Option<ReleasedVolume> {
        match &released.key {
            ReleasedKey::Spec { spec, secret } if self.provision_if_blank => Some(ReleasedVolume {
                name: released.name.clone(),
                key: ReleasedKey::Spec { spec: *spec, secret: secret.clone() },
                min_epoch: released.min_epoch,
                provision: true,
            }),
            ReleasedKey::Spec { .. } | ReleasedKey::Luks { .. } => None,
        }
    }
}

/// The volumes that need a release, by name.
fn wanted(config: &Config) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    if let Protection::Encrypted(encrypted) = &config.root.protection {
        let name = VolumeName::root();
        wanted.push(Wanted { name, format: encrypted.format, provision_if_blank: false });
    }
    for volume in &config.volumes {
        if let KeySource::Owner(format) = volume.key {
            let provision_if_blank = volume.provision_if_blank;
            wanted.push(Wanted { name: volume.name.clone(), format, provision_if_blank });
        }
    }
    wanted.sort_by(|a, b| a.name.cmp(&b.name));
    wanted
}

fn listed(names: &[VolumeName]) -> String {
    names.iter().map(VolumeName::as_str).collect::<Vec<_>>().join(" ")
}

/// Why a release is not used.
enum Refused {
    /// It is for other volumes, or for disks of another kind.
    Release(String),
    /// A volume does not open with it.
    Volume(VolumeName, OpenError),
    /// No release can help.
    Machine(Failure),
}

impl Refused {
    fn volume(name: &VolumeName, error: OpenError) -> Self {
        if error.may_be_the_release() {
            return Self::Volume(name.clone(), error);
        }
        Self::Machine(Failure::Volume { name: name.to_string(), source: error })
    }

    fn why(&self) -> Refusal {
        match self {
            Self::Release(_) => Refusal::Volumes,
            Self::Volume(_, error) => error.refusal(),
            Self::Machine(_) => Refusal::NotOpened,
        }
    }

    /// For the owners and the log.
    fn text(&self) -> String {
        match self {
            Self::Release(text) => text.clone(),
            Self::Volume(name, error) => format!("{name}: {}", failure::causes(error).join(": ")),
            Self::Machine(failure) => {
                format!("{}; the guest stops", failure::causes(failure).join(": "))
            }
        }
    }
}

/// Opens all volumes with a release, or none. On success they are in `progress`, with
/// their next epochs on the disks; returns these.
fn try_release(
    platform: &impl Platform,
    wanted: &[Wanted],
    disks: &Disks,
    release: &Release,
    progress: &mut Progress,
) -> Result<Vec<(VolumeName, u64)>, Refused> {
    check(wanted, release).map_err(Refused::Release)?;
    let result = open_all(platform, wanted, disks, release, progress)
        .and_then(|()| commit_all(platform, progress));
    if result.is_err() {
        close_all(platform, progress);
    }
    result
}

/// The server has compared the names; this does not depend on it.
fn check(wanted: &[Wanted], release: &Release) -> Result<(), String> {
    let same = wanted.len() == release.volumes().len()
        && wanted.iter().zip(release.volumes()).all(|(wanted, volume)| wanted.name == volume.name);
    if !same {
        return Err("it is for other volumes than the configuration's".to_owned());
    }
    for (wanted, volume) in wanted.iter().zip(release.volumes()) {
        let format = match volume.key {
            ReleasedKey::Spec { .. } => VolumeFormat::Ravelin,
            ReleasedKey::Luks { .. } => VolumeFormat::Luks2,
        };
        if format != wanted.format {
            return Err(format!("{}: the configuration says another format", wanted.name));
        }
        if volume.provision && wanted.name == VolumeName::root() {
            return Err("root: a root is made by its owner, not provisioned".to_owned());
        }
    }
    Ok(())
}

/// The root first: most releases are wrong there, if anywhere.
fn open_all(
    platform: &impl Platform,
    wanted: &[Wanted],
    disks: &Disks,
    release: &Release,
    progress: &mut Progress,
) -> Result<(), Refused> {
    let root = VolumeName::root();
    let (first, others): (Vec<_>, Vec<_>) =
        wanted.iter().zip(release.volumes()).partition(|(wanted, _)| wanted.name == root);
    for (wanted, released) in first.into_iter().chain(others) {
        let disk = disks.volume(&wanted.name).map_err(Refused::Machine)?;
        let permitted = wanted.permits(released);
        let released = permitted.as_ref().unwrap_or(released);
        let opened = volume::open_released(platform, disk, released)
            .map_err(|error| Refused::volume(&wanted.name, error))?;
        let may_format = released.provision;
        if opened.formatted {
            progress.made.push(opened.name.clone());
        }
        progress.volumes.push(OpenVolume { opened, may_format });
    }
    Ok(())
}

/// Writes the next epoch of every volume, once all are open.
fn commit_all(
    platform: &impl Platform,
    progress: &mut Progress,
) -> Result<Vec<(VolumeName, u64)>, Refused> {
    let mut epochs = Vec::new();
    for volume in &mut progress.volumes {
        let epoch = volume::commit_epoch(platform, &mut volume.opened)
            .map_err(|error| Refused::volume(&volume.opened.name, error))?;
        epochs.push((volume.opened.name.clone(), epoch));
    }
    epochs.sort();
    Ok(epochs)
}

/// Closes every volume that is open, the last one first.
pub fn close_all(platform: &impl Platform, progress: &mut Progress) {
    while let Some(volume) = progress.volumes.pop() {
        volume::close(platform, &volume.opened.name);
    }
}

/// Refusals in the log. An owner whose key was lost may send thousands; the first few
/// say what is wrong, and one a minute that it goes on.
#[derive(Default)]
struct Refusals {
    logged: u32,
    left_out: u64,
    next: Duration,
}

/// How many are logged as they come.
const AT_ONCE: u32 = 10;
/// How often one is logged after these.
const EVERY: Duration = Duration::from_secs(60);

impl Refusals {
    fn log(&mut self, platform: &impl Platform, line: &str) {
        let now = platform.elapsed();
        if self.logged >= AT_ONCE && now < self.next {
            self.left_out += 1;
            return;
        }
        let before = match std::mem::take(&mut self.left_out) {
            0 => String::new(),
            count => format!(" (and {count} before)"),
        };
        log(platform, Level::Error, &format!("{line}{before}"));
        self.logged = self.logged.saturating_add(1);
        self.next = now + EVERY;
    }
}
