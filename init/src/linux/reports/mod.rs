//! The kernel's two interfaces to the secure processor's reports.
//!
//! configfs-tsm (Linux 6.7 and later) is preferred: it is the documented
//! interface, takes one `write` and two `read`s, and gives the host's
//! certificate table as bytes. `/dev/sev-guest` serves older kernels.

mod derived_key;
mod sev_guest;
mod tsm;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use protocol::config::{EvidenceSource, Sealing};
use sev::firmware::guest::Firmware;

use crate::platform::DerivedKey;
use crate::reports::{RawReport, ReportError};

/// How long to wait before a busy source is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// A source that is there.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The directory `report` of configfs-tsm.
    Tsm(Arc<OwnedFd>),
    /// `/dev/sev-guest`.
    SevGuest(Arc<Mutex<Firmware>>),
}

impl Source {
    /// The first source that is there and that `wanted` allows.
    pub(crate) fn find(wanted: EvidenceSource) -> Result<Self, ReportError> {
        let mut looked_at = Vec::new();
        if wanted != EvidenceSource::SevGuest {
            match tsm::open() {
                Ok(directory) => return Ok(Self::Tsm(Arc::new(directory))),
                Err(error) => looked_at.push(format!("{}: {error}", tsm::PATH)),
            }
        }
        if wanted != EvidenceSource::Tsm {
            match sev_guest::open() {
                Ok(device) => return Ok(Self::SevGuest(Arc::new(device))),
                Err(error) => looked_at.push(format!("{}: {error}", sev_guest::PATH)),
            }
        }
        Err(ReportError::NoSource { looked_at: looked_at.join("; ") })
    }

    /// The source behind what [`Source::descriptor`] gave, in another process.
    /// The `sev` crate opens the device itself, so this comes before anything
    /// that takes the file system away.
    pub(crate) fn from_descriptor(fd: OwnedFd) -> io::Result<Self> {
        use rustix::fs::FileType;
        match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::Directory => Ok(Self::Tsm(Arc::new(fd))),
            FileType::CharacterDevice => Ok(Self::SevGuest(Arc::new(sev_guest::open()?))),
            FileType::RegularFile
            | FileType::Symlink
            | FileType::BlockDevice
            | FileType::Fifo
            | FileType::Socket
            | FileType::Unknown => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// What the log calls it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Tsm(_) => "configfs-tsm",
            Self::SevGuest(_) => "/dev/sev-guest",
        }
    }

    /// What [`Source::from_descriptor`] takes in another process.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tsm(directory) => directory.try_clone(),
            Self::SevGuest(_) => sev_guest::descriptor(),
        }
    }

    /// Asks for a report over `data`. Waits in the kernel; a busy source is
    /// asked again until `until`.
    pub(crate) fn report(&self, data: &[u8; 64], until: Instant) -> Result<RawReport, ReportError> {
        let started = Instant::now();
        loop {
            let answer = match self {
                Self::Tsm(directory) => tsm::ask(directory.as_fd(), data),
                Self::SevGuest(device) => sev_guest::ask(device, data),
            };
            match answer? {
                Answer::Report(bytes, certificates) => {
                    return RawReport::check(&bytes, certificates, data);
                }
                Answer::Busy if Instant::now() + AGAIN >= until => {
                    return Err(deadline(until.saturating_duration_since(started)));
                }
                Answer::Busy => thread::sleep(AGAIN),
            }
        }
    }

    /// The same in a thread of its own, so that a call that does not come back
    /// cannot keep PID 1 past `until`.
    pub(crate) fn report_in_time(
        &self,
        data: &[u8; 64],
        until: Instant,
    ) -> Result<RawReport, ReportError> {
        let (source, data) = (self.clone(), *data);
        in_time(until, move || source.report(&data, until))
    }
}

/// A key that the secure processor derives. Only `/dev/sev-guest` gives one,
/// wherever the reports come from.
pub(super) fn derived_key(sealing: &Sealing, until: Instant) -> Result<DerivedKey, ReportError> {
    let sealing = *sealing;
    in_time(until, move || {
        let started = Instant::now();
        let device = derived_key::open().map_err(|error| ReportError::NoSource {
            looked_at: format!("{}: {error}", sev_guest::PATH),
        })?;
        loop {
            match derived_key::ask(&device, &sealing)? {
                Some(key) => return Ok(key),
                None if Instant::now() + AGAIN >= until => {
                    return Err(deadline(until.saturating_duration_since(started)));
                }
                None => thread::sleep(AGAIN),
            }
        }
    })
}

/// Asks in a thread of its own.
fn in_time<T: Send + 'static>(
    until: Instant,
    ask: impl FnOnce() -> Result<T, ReportError> + Send + 'static,
) -> Result<T, ReportError> {
    let started = Instant::now();
    let (answer, wait) = mpsc::channel();
    let asking = thread::Builder::new().spawn(move || {
        let _nobody_waits = answer.send(ask());
    });
    asking.map_err(|source| ReportError::Io { action: "starting a thread", source })?;
    match wait.recv_timeout(until.saturating_duration_since(started)) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(deadline(until.saturating_duration_since(started))),
        Err(RecvTimeoutError::Disconnected) => {
            Err(ReportError::Device("the asking thread ended".to_owned()))
        }
    }
}

fn deadline(waited: Duration) -> ReportError {
    ReportError::Deadline { deadline: format!("{} ms", waited.as_millis()) }
}

/// What one attempt brought.
enum Answer {
    /// A report and, where there is one, the host's certificate table.
    Report(Vec<u8>, Option<Vec<u8>>),
    /// Somebody else is asking, or the firmware asks for patience.
    Busy,
}
