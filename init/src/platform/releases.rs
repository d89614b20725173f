//! What the boot may do to get keys from their owners.

use std::error::Error;
use std::io;
use std::time::Duration;

use protocol::config::Unlock;
use protocol::receipt::Head;
use protocol::release::{Release, Status, VolumeName};

use crate::reports::Guest;

/// A release that enough owners signed.
pub struct Released {
    /// The release. It wipes itself.
    pub release: Release,
    /// Fingerprints of the owners' keys (SHA-256, as ssh-keygen shows them).
    pub owners: Vec<String>,
}

/// The owners' releases.
pub trait Releases {
    /// Starts to serve owners on `unlock.port`: each in a session of its own, attested
    /// by a report of the source that was opened, with what was done until now in it, if
    /// it is of this guest.
    /// Returns what the log says of it.
    ///
    /// # Errors
    /// If it cannot listen, or make its key.
    fn serve_owners(
        &self,
        unlock: &Unlock,
        wanted: &[VolumeName],
        evidence_deadline: Duration,
        receipt_head: &Head,
        guest: &Guest,
    ) -> Result<String, Box<dyn Error + Send + Sync>>;
    /// Waits for a release of as many owners as are needed, at most until PID 1 has run
    /// for `until`. `None` if the time is over.
    ///
    /// # Errors
    /// From the system, or if owners are not served.
    fn wait_for_release(&self, until: Option<Duration>) -> io::Result<Option<Released>>;
    /// Waits, for a bounded time, until the owners of that release have recorded the epochs
    /// that they were told. Whether one of them has: false means that no owner may know.
    ///
    /// # Errors
    /// If owners are not served.
    fn wait_until_recorded(&self) -> io::Result<bool>;
    /// Tells the owners of that release what became of it. After a refusal, others may
    /// come.
    fn answer_owners(&self, status: &Status);
    /// Stops serving: sessions, listener and keys are gone when it returns. Nothing if
    /// nobody was served.
    fn stop_serving_owners(&self);
}
