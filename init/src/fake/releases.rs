//! The owners of the recording machine.

use std::error::Error;
use std::io;
use std::time::Duration;

use protocol::config::Unlock;
use protocol::release::{Status, VolumeName};

use super::Fake;
use crate::platform::{Released, Releases};

impl Releases for Fake {
    fn serve_owners(
        &self,
        _unlock: &Unlock,
        _wanted: &[VolumeName],
        _evidence_deadline: Duration,
    ) -> Result<String, Box<dyn Error + Send + Sync>> {
        Err("not built yet".into())
    }

    fn wait_for_release(&self, _until: Option<Duration>) -> io::Result<Option<Released>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn answer_owners(&self, _status: &Status) {}

    fn stop_serving_owners(&self) {}
}
