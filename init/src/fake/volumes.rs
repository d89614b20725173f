//! The encrypted volumes of the recording machine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use luks::VolumeKey;
use protocol::config::Sealing;
use zeroize::Zeroizing;

use super::Fake;
use crate::platform::{Disk, Target, Volumes};
use crate::reports::ReportError;

impl Volumes for Fake {
    fn open_disk(&self, _device: &Path, _write: bool) -> io::Result<Box<dyn Disk>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn load_target(&self, _name: &str, _uuid: &str, _target: &Target) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn load_target_with_key(
        &self,
        _name: &str,
        _uuid: &str,
        _target: &Target,
        _description: &str,
        _key: &VolumeKey,
    ) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn loaded_target(&self, _name: &str) -> io::Result<Target> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn start_target(&self, _name: &str) -> io::Result<PathBuf> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_target(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn run_in_root(
        &self,
        _root: &Path,
        _program: &Path,
        _arguments: &[&str],
        _until: Duration,
    ) -> io::Result<i32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn derived_key(
        &self,
        _sealing: &Sealing,
        _until: Duration,
    ) -> Result<Zeroizing<[u8; 32]>, ReportError> {
        Err(ReportError::NoSource { looked_at: "not built yet".to_owned() })
    }
}
