//! Volumes with a key, by system calls.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use luks::{ReadAt, VolumeKey, WriteAt};
use protocol::config::Sealing;
use rustix::fs::{Advice, OFlags};

use super::{Linux, device_mapper, keyring, program::Run, reports};
use crate::platform::{Access, DerivedKey, Disk, Target, Volumes};
use crate::reports::ReportError;

impl Volumes for Linux {
    fn open_disk(&self, device: &Path, access: Access) -> io::Result<Box<dyn Disk>> {
        // Of a block device, O_EXCL is the kernel's claim (open(2)).
        let exclusive = if access == Access::Exclusive { OFlags::EXCL } else { OFlags::empty() };
        let file = OpenOptions::new()
            .read(true)
            .write(access != Access::Read)
            .custom_flags(exclusive.bits().cast_signed())
            .open(device)?;
        Ok(Box::new(BlockDevice(file)))
    }

    fn device_number(&self, device: &Path) -> io::Result<String> {
        let number = std::fs::metadata(device)?.rdev();
        Ok(format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number)))
    }

    fn load_target(&self, name: &str, uuid: &str, target: &Target) -> io::Result<()> {
        device_mapper::load_target(name, uuid, target)
    }

    fn load_target_with_key(
        &self,
        name: &str,
        uuid: &str,
        target: &Target,
        description: &str,
        key: &VolumeKey,
    ) -> io::Result<()> {
        let mut is_loaded = false;
        let load = || {
            device_mapper::load_target(name, uuid, target)?;
            is_loaded = true;
            Ok(())
        };
        let result = keyring::with_logon_key(description, key.as_bytes(), load);
        if result.is_err() && is_loaded {
            let _first_error_counts = device_mapper::remove(name);
        }
        result
    }

    fn loaded_target(&self, name: &str) -> io::Result<Target> {
        device_mapper::loaded_target(name)
    }

    fn start_target(&self, name: &str) -> io::Result<PathBuf> {
        device_mapper::start(name)
    }

    fn remove_target(&self, name: &str) -> io::Result<()> {
        device_mapper::remove(name)
    }

    fn run_in_root(
        &self,
        root: &Path,
        program: &Path,
        arguments: &[&str],
        until: Duration,
    ) -> io::Result<i32> {
        // On the console, which the host reads, it is not shown: fsck names files.
        Run { root, program, arguments, environment: &[], level: 7 }.to_end(self.start + until)
    }

    fn derived_key(&self, sealing: &Sealing, until: Duration) -> Result<DerivedKey, ReportError> {
        reports::derived_key(sealing, self.start + until)
    }
}

/// A block device, through the kernel's page cache.
struct BlockDevice(File);

impl ReadAt for BlockDevice {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        ReadAt::read_exact_at(&self.0, buf, offset)
    }
}

impl WriteAt for BlockDevice {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        WriteAt::write_all_at(&self.0, buf, offset)
    }
}

impl Disk for BlockDevice {
    fn flush(&self) -> io::Result<()> {
        rustix::fs::fsync(&self.0)?;
        // Clean pages are dropped at once; the whole device.
        rustix::fs::fadvise(&self.0, 0, None, Advice::DontNeed)?;
        Ok(())
    }
}
