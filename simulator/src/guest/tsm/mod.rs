//! configfs-tsm: `/sys/kernel/config/tsm/report` as Linux's
//! `drivers/virt/coco/tsm.c` (6.12) serves it for the provider `sev_guest`.

mod attribute;
mod entry;
mod files;

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use fuser::{Config, Session, SessionACL};
use rustix::mount::{MountFlags, mount as mount_fs};

use crate::port::Port;

const REPORTS: &str = "/sys/kernel/config/tsm/report";

/// Mounts the emulation over the kernel's own directory, which the module `tsm`
/// has made.
pub(crate) fn mount(port: Arc<Port>) -> io::Result<Session<files::Files>> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
    // The kernel checks the permissions: they are those of configfs.
    let options = format!(
        "fd={},rootmode=40755,user_id=0,group_id=0,allow_other,default_permissions",
        device.as_raw_fd()
    );
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_fs("ravelin-sim", REPORTS, "fuse", flags, options.as_c_str())
        .map_err(|error| io::Error::other(format!("mounting over {REPORTS}: {error}")))?;
    Session::from_fd(files::Files::new(port), device.into(), SessionACL::All, Config::default())
}
