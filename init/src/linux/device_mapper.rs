//! Device-mapper by ioctl (`/dev/mapper/control`).

use std::io;
use std::path::PathBuf;

use devicemapper::errors::Error as CoreError;
use devicemapper::{DM, DevId, DmError, DmFlags, DmName, DmOptions, DmUuid};

use crate::platform::VerityTarget;

pub(super) fn create(name: &str, uuid: &str, target: &VerityTarget) -> io::Result<PathBuf> {
    let dm = DM::new().map_err(in_one_line)?;
    let name = DmName::new(name).map_err(in_one_line)?;
    let uuid = DmUuid::new(uuid).map_err(in_one_line)?;
    let read_only = DmOptions::default().set_flags(DmFlags::DM_READONLY);
    let device = dm.device_create(name, Some(uuid), read_only).map_err(in_one_line)?;
    let id = DevId::Name(name);
    dm.table_load(&id, &[table_line(target)], read_only).map_err(in_one_line)?;
    dm.device_suspend(&id, DmOptions::default()).map_err(in_one_line)?;
    // The name that tools show; udev, which would make it, is not there yet.
    let node = PathBuf::from(format!("/dev/mapper/{name}"));
    std::os::unix::fs::symlink(format!("../dm-{}", device.device().minor), &node)?;
    Ok(node)
}

pub(super) fn replace(name: &str, target: &VerityTarget) -> io::Result<()> {
    let dm = DM::new().map_err(in_one_line)?;
    let id = DevId::Name(DmName::new(name).map_err(in_one_line)?);
    let read_only = DmOptions::default().set_flags(DmFlags::DM_READONLY);
    dm.table_load(&id, &[table_line(target)], read_only).map_err(in_one_line)?;
    // A resume with an inactive table suspends, exchanges and goes on. The
    // device is read-only: no file system has to be frozen, nothing flushed.
    let swap = DmOptions::default().set_flags(DmFlags::DM_SKIP_LOCKFS | DmFlags::DM_NOFLUSH);
    dm.device_suspend(&id, swap).map_err(in_one_line)?;
    Ok(())
}

/// dm-verity's status is `V`, or `C` once a block did not match.
pub(super) fn is_corrupted(name: &str) -> io::Result<bool> {
    let dm = DM::new().map_err(in_one_line)?;
    let id = DevId::Name(DmName::new(name).map_err(in_one_line)?);
    let (_, targets) = dm.table_status(&id, DmOptions::default()).map_err(in_one_line)?;
    Ok(targets.iter().any(|(_, _, _, status)| status.starts_with('C')))
}

fn table_line(target: &VerityTarget) -> (u64, u64, String, String) {
    (0, target.sectors, verity::Table::TARGET.to_owned(), target.params.clone())
}

/// The crate's own text of a failed ioctl is a dump of its argument.
fn in_one_line(error: DmError) -> io::Error {
    match error {
        DmError::Core(CoreError::Ioctl(number, _, _, errno)) => {
            io::Error::other(format!("device-mapper ioctl {number}: {errno}"))
        }
        DmError::Core(_) | DmError::Dm(..) => io::Error::other(error.to_string()),
    }
}
