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

use protocol::config::Sealing;
use sev::error::{UserApiError, VmmError};
use sev::firmware::guest::{DerivedKey, Firmware, GuestFieldSelect};
use zeroize::Zeroizing;

use super::Answer;
use crate::reports::ReportError;

/// The device.
pub(super) const PATH: &str = "/dev/sev-guest";

/// The message version of 56860's MSG_REPORT_REQ and MSG_KEY_REQ, and the privilege level that
/// PID 1 runs at.
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

/// Asks for a key once (MSG_KEY_REQ); `None` if the device is busy.
///
/// Version 1 of the message: version 2 adds the launch mitigation vector, which is
/// not mixed in. The kernel may know version 1 only.
pub(super) fn derive(
    device: &Mutex<Firmware>,
    sealing: &Sealing,
) -> Result<Option<Zeroizing<[u8; 32]>>, ReportError> {
    let mut device = device.lock().unwrap_or_else(PoisonError::into_inner);
    match device.get_derived_key(Some(MESSAGE_VERSION), key_request(sealing)) {
        Ok(key) => Ok(Some(Zeroizing::new(key))),
        Err(UserApiError::VmmError(VmmError::RateLimitRetryRequest)) => Ok(None),
        Err(error) => Err(ReportError::Device(error.to_string())),
    }
}

/// The key is of this chip (VCEK), for this privilege level, and always of this
/// launch measurement and guest policy.
fn key_request(sealing: &Sealing) -> DerivedKey {
    let mut fields = GuestFieldSelect::default();
    fields.set_guest_policy(true);
    fields.set_measurement(true);
    fields.set_family_id(sealing.family_id);
    fields.set_image_id(sealing.image_id);
    fields.set_svn(sealing.guest_svn.is_some());
    fields.set_tcb_version(sealing.tcb_version.is_some());
    let (svn, tcb) = (sealing.guest_svn.unwrap_or(0), sealing.tcb_version.unwrap_or(0));
    DerivedKey::new(false, fields, VMPL, svn, tcb, None)
}

#[cfg(test)]
mod tests {
    use protocol::config::VolumeCipher;

    use super::*;

    /// GUEST_FIELD_SELECT of 56860, MSG_KEY_REQ.
    #[test]
    fn measurement_and_policy_are_always_mixed_in() {
        let least = Sealing {
            cipher: VolumeCipher::AesXtsHmacSha256,
            family_id: false,
            image_id: false,
            guest_svn: None,
            tcb_version: None,
        };
        let request = key_request(&least);
        assert_eq!(request.guest_field_select.0, 0b00_1001);
        assert_eq!(request.get_root_key_select(), 0);
        assert_eq!((request.vmpl, request.guest_svn, request.tcb_version), (0, 0, 0));
        let most = Sealing {
            family_id: true,
            image_id: true,
            guest_svn: Some(0),
            tcb_version: Some(7),
            ..least
        };
        let request = key_request(&most);
        assert_eq!(request.guest_field_select.0, 0b11_1111);
        assert_eq!((request.guest_svn, request.tcb_version), (0, 7));
        let image = key_request(&Sealing { image_id: true, ..least });
        assert_eq!(image.guest_field_select.0, 0b00_1011);
    }
}
