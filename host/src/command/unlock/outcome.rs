//! What became of a release: the VM's statuses, and the sidecars afterwards.

use std::time::{Duration, Instant};

use protocol::release::{Status, VolumeName};

use super::refusal;
use super::volumes::Volume;
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::Terminal;
use crate::unlock::session::Session;

/// Follows the statuses until the volumes are open.
pub(super) fn opened(
    session: &mut Session<'_>,
    limit: Duration,
    terminal: &Terminal,
) -> Result<Vec<(VolumeName, u64)>> {
    let start = Instant::now();
    let mut told = None;
    loop {
        // Never zero, which would be no limit.
        let left = limit.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
        match session.status(left).map_err(refusal::silent)? {
            Status::Accepted { have, need, others } => {
                if told.replace((have, need, others)) == Some((have, need, others)) {
                    continue;
                }
                terminal.note(&format!("accepted: {have} of {need} owners"));
                if others > 0 {
                    terminal.warning(&format!(
                        "{others} of the other owners sent another release than you: compare \
                         sidecars (also `epoch`), keys and --provision"
                    ));
                }
            }
            Status::Opened { epochs } => return Ok(epochs),
            Status::Booting => {
                return Err(Failure::no_answer("the VM boots and did not say with which epochs")
                    .help("the next release tells them; the sidecars were not changed"));
            }
            Status::Refused { why, text } => return Err(refusal::refused(why, &text)),
        }
    }
}

/// Tells the VM that the epochs are recorded, and waits until it boots on.
pub(super) fn booting(session: &mut Session<'_>, limit: Duration) -> Result<()> {
    session.recorded(limit).map_err(refusal::unconfirmed)?;
    match session.status(limit).map_err(refusal::unconfirmed)? {
        Status::Booting => Ok(()),
        Status::Refused { why, text } => Err(refusal::refused(why, &text)),
        Status::Accepted { .. } | Status::Opened { .. } => {
            Err(Failure::no_answer("the VM opened the volumes and says so again")
                .help("another release of PID 1 runs in it; look at its console"))
        }
    }
}

/// Writes the epochs that the VM reports into the sidecars.
pub(super) fn raise_epochs(
    volumes: &[Volume<'_>],
    epochs: &[(VolumeName, u64)],
    terminal: &Terminal,
) -> Result<()> {
    let names = volumes.iter().map(|volume| &volume.planned.name);
    if !names.eq(epochs.iter().map(|(name, _)| name)) {
        return Err(Failure::no_answer("the VM reports the epochs of other volumes")
            .help("another release of PID 1 runs in it; the sidecars were not changed"));
    }
    for (volume, (name, epoch)) in volumes.iter().zip(epochs) {
        let (Some(sidecar), Some(path)) = (&volume.sidecar, volume.planned.sidecar()) else {
            continue;
        };
        if *epoch < sidecar.epoch.0 {
            return Err(Failure::refused(format!(
                "the VM reports epoch {epoch} of the volume {name}, lower than the sidecar's {}",
                sidecar.epoch.0
            ))
            .help("the VM must not have opened it; its sidecar was not changed"));
        }
        if *epoch == sidecar.epoch.0 {
            // Each boot writes the next one, unless another release of PID 1 runs there.
            terminal.warning(&format!("the epoch of the volume {name} did not rise"));
            continue;
        }
        let others = epoch.saturating_sub(sidecar.epoch.0).saturating_sub(1);
        if others > 0 {
            terminal.warning(&format!(
                "the volume {name} was opened {others} times since the last report: by releases \
                 whose answer did not arrive, or by another owner"
            ));
        }
        let mut raised = sidecar.clone();
        raised.epoch = luks::Epoch(*epoch);
        raised.save(path).remedy(format!(
            "the VM is open; set epoch = {epoch} in {} yourself",
            path.display()
        ))?;
    }
    Ok(())
}
