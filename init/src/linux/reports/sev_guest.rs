//! `/dev/sev-guest`, through the `sev` crate.
//!
//! The plain report only. The crate's extended report reads the certificate
//! table with the host's own offsets and lengths and without bounds (version
//! 8.0.0, `CertTableEntry::parse_table`): a host could have memory of this
//! process copied into "certificates" and read them in the answer. The owner
//! fetches certificates itself instead.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use sev::error::{UserApiError, VmmError};
use sev::firmware::guest::Firmware;

use super::Answer;
use crate::reports::ReportError;

/// The device.
pub(super) const PATH: &str = "/dev/sev-guest";

/// The message version of 56860's MSG_REPORT_REQ, and the privilege level that PID 1 runs
/// at.
const MESSAGE_VERSION: u32 = 1;
const VMPL: u32 = 0;

/// The device, opened by the crate.
pub(super) fn open() -> io::Result<Mutex<Firmware>> {
    Firmware::open().map(Mutex::new)
}

/// A file descriptor of the device, to hand to another process as a sign that
/// this is its source.
pub(super) fn descriptor() -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().read(true).open(PATH)?.into())
}

/// Asks once.
pub(super) fn ask(device: &Mutex<Firmware>, data: &[u8; 64]) -> Result<Answer, ReportError> {
    let mut device = device.lock().unwrap_or_else(PoisonError::into_inner);
    match device.get_report(Some(MESSAGE_VERSION), Some(*data), Some(VMPL)) {
        Ok(report) => Ok(Answer::Report(report, None)),
        Err(UserApiError::VmmError(VmmError::RateLimitRetryRequest)) => Ok(Answer::Busy),
        Err(error) => Err(ReportError::Device(error.to_string())),
    }
}
