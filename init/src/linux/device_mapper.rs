//! Device-mapper by ioctl (`/dev/mapper/control`).

use std::io;
use std::path::{Path, PathBuf};

use devicemapper::errors::Error as CoreError;
use devicemapper::{DM, DevId, DmError, DmFlags, DmName, DmOptions, DmUuid};

use crate::platform::{Target, VerityTarget};

/// The kernel's number of ENXIO: there is no device of that name.
const NO_DEVICE: i32 = nix::libc::ENXIO;

pub(super) fn create(name: &str, uuid: &str, target: &VerityTarget) -> io::Result<PathBuf> {
    load(name, uuid, table_line(target), read_only())?;
    start(name)
}

pub(super) fn replace(name: &str, target: &VerityTarget) -> io::Result<()> {
    let dm = DM::new().map_err(in_one_line)?;
    let id = id(name)?;
    dm.table_load(&id, &[table_line(target)], read_only()).map_err(in_one_line)?;
    // A resume with an inactive table suspends, exchanges and goes on. The
    // device is read-only: no file system has to be frozen, nothing flushed.
    let swap = DmOptions::default().set_flags(DmFlags::DM_SKIP_LOCKFS | DmFlags::DM_NOFLUSH);
    dm.device_suspend(&id, swap).map_err(in_one_line)?;
    Ok(())
}

/// dm-verity's status is `V`, or `C` once a block did not match.
pub(super) fn is_corrupted(name: &str) -> io::Result<bool> {
    let dm = DM::new().map_err(in_one_line)?;
    let (_, targets) = dm.table_status(&id(name)?, DmOptions::default()).map_err(in_one_line)?;
    Ok(targets.iter().any(|(_, _, _, status)| status.starts_with('C')))
}

/// Makes a device and loads a table into it, for reading and writing.
pub(super) fn load_target(name: &str, uuid: &str, target: &Target) -> io::Result<()> {
    let line = (0, target.sectors, target.kind.clone(), target.params.clone());
    load(name, uuid, line, DmOptions::default())
}

/// The table that was loaded and not started.
pub(super) fn loaded_target(name: &str) -> io::Result<Target> {
    let dm = DM::new().map_err(in_one_line)?;
    let flags = DmFlags::DM_QUERY_INACTIVE_TABLE | DmFlags::DM_STATUS_TABLE;
    let options = DmOptions::default().set_flags(flags);
    let (_, targets) = dm.table_status(&id(name)?, options).map_err(in_one_line)?;
    match <[_; 1]>::try_from(targets) {
        Ok([(0, sectors, kind, params)]) => Ok(Target { kind, sectors, params }),
        Ok(_) | Err(_) => Err(io::Error::other("the loaded table is not one target from 0 on")),
    }
}

/// Starts a device that has a table; its node.
pub(super) fn start(name: &str) -> io::Result<PathBuf> {
    let dm = DM::new().map_err(in_one_line)?;
    let device = dm.device_suspend(&id(name)?, DmOptions::default()).map_err(in_one_line)?;
    // The name that tools show; udev, which would make it, is not there yet.
    let (node, to) = (node(name), format!("../dm-{}", device.device().minor));
    match std::os::unix::fs::symlink(&to, &node) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // It may be this very link, but no other.
            if std::fs::read_link(&node)? == Path::new(&to) { Ok(node) } else { Err(error) }
        }
        made => made.map(|()| node),
    }
}

/// Takes a device away, if there is one.
pub(super) fn remove(name: &str) -> io::Result<()> {
    let dm = DM::new().map_err(in_one_line)?;
    match dm.device_remove(&id(name)?, DmOptions::default()) {
        Ok(_) => {}
        Err(DmError::Core(CoreError::Ioctl(_, _, _, errno))) if *errno as i32 == NO_DEVICE => {}
        Err(error) => return Err(in_one_line(error)),
    }
    match std::fs::remove_file(node(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _gone => Ok(()),
    }
}

/// A device that has no table is not left behind.
fn load(
    name: &str,
    uuid: &str,
    line: (u64, u64, String, String),
    options: DmOptions,
) -> io::Result<()> {
    let dm = DM::new().map_err(in_one_line)?;
    let uuid = DmUuid::new(uuid).map_err(in_one_line)?;
    let dm_name = DmName::new(name).map_err(in_one_line)?;
    dm.device_create(dm_name, Some(uuid), options).map_err(in_one_line)?;
    let loaded = dm.table_load(&DevId::Name(dm_name), &[line], options).map_err(in_one_line);
    if loaded.is_err() {
        let _first_error_counts = remove(name);
    }
    loaded.map(drop)
}

fn id(name: &str) -> io::Result<DevId<'_>> {
    Ok(DevId::Name(DmName::new(name).map_err(in_one_line)?))
}

fn node(name: &str) -> PathBuf {
    PathBuf::from(format!("/dev/mapper/{name}"))
}

fn read_only() -> DmOptions {
    DmOptions::default().set_flags(DmFlags::DM_READONLY)
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
