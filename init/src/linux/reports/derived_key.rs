//! Derived keys of `/dev/sev-guest` (include/uapi/linux/sev-guest.h,
//! `SNP_GET_DERIVED_KEY`), by an ioctl of our own: the `sev` crate (8.0.0) cannot say
//! which root key, and its default is whichever the platform has.
#![expect(unsafe_code, reason = "ioctl(2) with pointers in its argument has no safe form")]

use std::fs::{File, OpenOptions};
use std::io;

use protocol::config::{RootKey, Sealing};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use zeroize::Zeroizing;

use super::sev_guest::PATH;
use crate::platform::DerivedKey;
use crate::reports::ReportError;

/// The version of MSG_KEY_REQ. Version 2 adds the launch mitigation vector, which is not
/// mixed in; the kernel may know version 1 only.
const MESSAGE_VERSION: u8 = 1;
/// The privilege level that PID 1 runs at.
const VMPL: u32 = 0;

/// KEY_SEL, bits 2:1 of the first field; ROOT_KEY_SELECT, bit 0, stays 0. KEY_SEL 0 would
/// be the VLEK where one is installed, which is the host's decision, else the VCEK.
/// Firmware without the VLEK feature refuses these bits (INVALID_PARAM).
const VCEK: u32 = 1 << 1;
const VLEK: u32 = 2 << 1;

/// GUEST_FIELD_SELECT: the bit of each field.
const POLICY: u64 = 1 << 0;
const IMAGE_ID: u64 = 1 << 1;
const FAMILY_ID: u64 = 1 << 2;
const MEASUREMENT: u64 = 1 << 3;
const GUEST_SVN: u64 = 1 << 4;
const TCB_VERSION: u64 = 1 << 5;

/// STATUS of MSG_KEY_RSP.
const INVALID_PARAM: u32 = 0x16;
const INVALID_KEY: u32 = 0x27;

/// The hypervisor's half of `exitinfo2` where it asks for patience
/// (`SNP_GUEST_VMM_ERR_BUSY`).
const VMM_BUSY: u64 = 2;

/// `snp_derived_key_req`: MSG_KEY_REQ of 56860.
#[repr(C)]
#[derive(Debug, PartialEq, Eq)]
struct Request {
    root_key_select: u32,
    reserved: u32,
    guest_field_select: u64,
    vmpl: u32,
    guest_svn: u32,
    tcb_version: u64,
}

impl Request {
    /// A key for this privilege level, and always for this launch measurement and guest
    /// policy.
    fn new(sealing: &Sealing) -> Self {
        let bit = |bit: u64, is_set: bool| if is_set { bit } else { 0 };
        Self {
            root_key_select: match sealing.root_key {
                RootKey::Vcek => VCEK,
                RootKey::Vlek => VLEK,
            },
            reserved: 0,
            guest_field_select: POLICY
                | MEASUREMENT
                | bit(FAMILY_ID, sealing.family_id)
                | bit(IMAGE_ID, sealing.image_id)
                | bit(GUEST_SVN, sealing.guest_svn.is_some())
                | bit(TCB_VERSION, sealing.tcb_version.is_some()),
            vmpl: VMPL,
            guest_svn: sealing.guest_svn.unwrap_or(0),
            tcb_version: sealing.tcb_version.unwrap_or(0),
        }
    }
}

/// `snp_derived_key_resp`, MSG_KEY_RSP: STATUS in the low half of the first word, the key
/// in the last four.
type Response = [u64; 8];

/// `snp_guest_request_ioctl`.
#[repr(C)]
struct Argument {
    msg_version: u8,
    unused: [u8; 7],
    request: *const Request,
    response: *mut Response,
    exitinfo2: u64,
}

const GET_DERIVED_KEY: Opcode = opcode::read_write::<Argument>(b'S', 1);

const _: () = assert!(size_of::<Request>() == 32 && size_of::<Argument>() == 32);

/// Opens the device.
pub(super) fn open() -> io::Result<File> {
    OpenOptions::new().read(true).open(PATH)
}

/// Asks for a key once; `None` if the device is busy.
pub(super) fn ask(device: &File, sealing: &Sealing) -> Result<Option<DerivedKey>, ReportError> {
    let request = Request::new(sealing);
    let mut response: Zeroizing<Response> = Zeroizing::default();
    let mut argument = Argument {
        msg_version: MESSAGE_VERSION,
        unused: [0; 7],
        request: &raw const request,
        response: &raw mut *response,
        exitinfo2: 0,
    };
    // SAFETY: the opcode is that of SNP_GET_DERIVED_KEY, and `Argument` its argument.
    let call = unsafe { Updater::<GET_DERIVED_KEY, _>::new(&mut argument) };
    // SAFETY: the kernel reads `size_of::<Request>()` bytes of the request and writes at most
    // `size_of::<Response>()` of the response, which both outlive the call; it keeps none of
    // the pointers.
    let done = unsafe { ioctl(device, call) };
    match done {
        Ok(()) => key(&response, sealing.root_key).map(Some),
        Err(_) if argument.exitinfo2 >> 32 == VMM_BUSY => Ok(None),
        Err(Errno::AGAIN | Errno::BUSY | Errno::INTR) => Ok(None),
        Err(error) => Err(ReportError::DerivedKey(format!(
            "{} (firmware and hypervisor said {:#x})",
            io::Error::from(error),
            argument.exitinfo2
        ))),
    }
}

/// The key of a response.
fn key(response: &Response, root: RootKey) -> Result<DerivedKey, ReportError> {
    let [status, _, _, _, words @ ..] = response;
    let [a, b, c, d, ..] = status.to_le_bytes();
    match u32::from_le_bytes([a, b, c, d]) {
        0 => {}
        INVALID_PARAM => {
            return Err(ReportError::DerivedKey(format!(
                "status INVALID_PARAM: sealed.guest_svn or sealed.tcb_version is above this \
                 guest's or processor's, or the firmware is too old to tell {root} apart"
            )));
        }
        INVALID_KEY => {
            let text = format!("status INVALID_KEY: this processor has no {root}");
            return Err(ReportError::DerivedKey(text));
        }
        other => return Err(ReportError::DerivedKey(format!("status {other:#x}"))),
    }
    let mut key = DerivedKey::default();
    for (bytes, word) in key.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_ne_bytes();
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use protocol::config::VolumeCipher;

    use super::*;

    const LEAST: Sealing = Sealing {
        cipher: VolumeCipher::AesXtsHmacSha256,
        root_key: RootKey::Vcek,
        family_id: false,
        image_id: false,
        guest_svn: None,
        tcb_version: None,
    };

    /// GUEST_FIELD_SELECT of 56860, MSG_KEY_REQ.
    #[test]
    fn measurement_and_policy_are_always_mixed_in() {
        let request = Request::new(&LEAST);
        assert_eq!(request.guest_field_select, 0b00_1001);
        assert_eq!((request.vmpl, request.guest_svn, request.tcb_version), (0, 0, 0));
        let most = Sealing {
            family_id: true,
            image_id: true,
            guest_svn: Some(0),
            tcb_version: Some(7),
            ..LEAST
        };
        let request = Request::new(&most);
        assert_eq!(request.guest_field_select, 0b11_1111);
        assert_eq!((request.guest_svn, request.tcb_version), (0, 7));
        let image = Request::new(&Sealing { image_id: true, ..LEAST });
        assert_eq!(image.guest_field_select, 0b00_1011);
    }

    /// The root key is named, never left to what the platform has.
    #[test]
    fn the_root_key_is_the_configured_one() {
        let of = |root_key| Request::new(&Sealing { root_key, ..LEAST }).root_key_select;
        assert_eq!((of(RootKey::Vcek), of(RootKey::Vlek)), (0b010, 0b100));
    }

    /// `_IOWR('S', 1, struct snp_guest_request_ioctl)`.
    #[test]
    fn the_opcode_is_the_kernels() {
        assert_eq!(GET_DERIVED_KEY, 0xc020_5301);
    }

    #[test]
    fn a_status_is_no_key() {
        let mut response: Response = [0, 0, 0, 0, 1, 2, 3, 4];
        let bytes = *key(&response, RootKey::Vcek).unwrap();
        assert_eq!((bytes[0], bytes[8], bytes[24]), (1, 2, 4));
        for (status, said) in [(0x16, "INVALID_PARAM"), (0x27, "no vlek"), (9, "status 0x9")] {
            response[0] = status;
            let error = key(&response, RootKey::Vlek).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
