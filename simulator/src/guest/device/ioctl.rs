//! The three ioctls of `include/uapi/linux/sev-guest.h`, with the errors of
//! `drivers/virt/coco/sev-guest/sev-guest.c` (6.12).
//!
//! | structure | bytes | fields |
//! |---|---|---|
//! | snp_guest_request_ioctl | 32 | msg_version (1, 7 unused), req_data, resp_data, exitinfo2 |
//! | snp_report_req | 96 | user_data (64), vmpl (4), reserved (28) |
//! | snp_ext_report_req | 112 | snp_report_req, certs_address (8), certs_len (4, 4 unused) |
//! | snp_derived_key_req | 32 | root_key_select (4, 4 reserved), guest_field_select (8), vmpl (4), guest_svn (4), tcb_version (8) |
//!
//! exitinfo2 is the firmware's error in its low half and the hypervisor's in
//! its high half. Unlike the kernel, which asks a hypervisor that is busy again
//! for a minute, the emulation says so at once (EBUSY).

use rustix::io::Errno;
use simulator::wire::{Answer, Ask, KeyRequest, Status};

use super::message::Fields;
use crate::log;
use crate::port::Port;

const GET_REPORT: u32 = 0xc020_5300;
const GET_DERIVED_KEY: u32 = 0xc020_5301;
const GET_EXT_REPORT: u32 = 0xc020_5302;

const ARGUMENT: usize = 32;
const EXITINFO2: usize = 24;
const REPORT_REQUEST: usize = 96;
const EXTENDED_REQUEST: usize = 112;
const CERTS_LEN: usize = 104;
const KEY_REQUEST: usize = 32;
const REPORT_RESPONSE: usize = 4000;
const KEY_RESPONSE: usize = 64;
/// Bytes before the report or key in a response: status, size, reserved.
const RESPONSE_HEAD: usize = 32;

/// The largest certificate buffer (`SEV_FW_BLOB_MAX_SIZE`).
const CERTIFICATES_MAX: u32 = 0x4000;
const PAGE: usize = 4096;
/// SNP_GUEST_VMM_ERR_INVALID_LEN and _BUSY.
const VMM_INVALID_LEN: u64 = 1 << 32;
const VMM_BUSY: u64 = 2 << 32;

/// A piece of the calling process's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) address: u64,
    pub(super) length: usize,
}

/// What becomes of an ioctl.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It needs this memory.
    Retry { read: Vec<Window>, write: Vec<Window> },
    /// It is done: what it returns, and what goes into the memory, in the
    /// order in which it was asked for.
    Done { result: i32, written: Vec<u8> },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Report,
    Extended,
    Key,
}

/// The argument of all three.
struct Argument {
    raw: [u8; ARGUMENT],
    request: u64,
    response: u64,
}

/// Handles an ioctl at one of its stages, which `input`, the memory that was
/// asked for, and `room`, how much may be written, tell apart. Another thread
/// can change that memory between two of them, so each stage checks anew.
pub(super) fn handle(
    command: u32,
    address: u64,
    input: &[u8],
    room: u32,
    port: &Port,
) -> Result<Outcome, Errno> {
    let (kind, request_length) = match command {
        GET_REPORT => (Kind::Report, REPORT_REQUEST),
        GET_EXT_REPORT => (Kind::Extended, EXTENDED_REQUEST),
        GET_DERIVED_KEY => (Kind::Key, KEY_REQUEST),
        _ => return Err(Errno::NOTTY),
    };
    let own = Window { address, length: ARGUMENT };
    if input.is_empty() {
        return Ok(Outcome::Retry { read: vec![own], write: Vec::new() });
    }
    let argument = Argument::parse(input)?;
    let rest = input.get(ARGUMENT..).unwrap_or_default();
    let request = Window { address: argument.request, length: request_length };
    if rest.is_empty() {
        return Ok(Outcome::Retry { read: vec![own, request], write: Vec::new() });
    }
    let (request_bytes, rest) = rest.split_at_checked(request_length).ok_or(Errno::FAULT)?;
    if !rest.is_empty() {
        return Err(Errno::FAULT);
    }
    let length = if kind == Kind::Key { KEY_RESPONSE } else { REPORT_RESPONSE };
    let mut write = vec![own, Window { address: argument.response, length }];
    let buffer = certificate_buffer(kind, request_bytes)?;
    if let Some(buffer) = buffer {
        write.extend([request, buffer]);
    }
    if room == 0 {
        return Ok(Outcome::Retry { read: vec![own, request], write });
    }
    let asked: usize = write.iter().map(|window| window.length).sum();
    if u32::try_from(asked) != Ok(room) {
        return Err(Errno::FAULT);
    }
    let certificates = buffer.map(|buffer| buffer.length);
    perform(kind, &argument, request_bytes, certificates, port)
}

impl Argument {
    fn parse(input: &[u8]) -> Result<Self, Errno> {
        let mut fields = Fields(input);
        let raw = fields.bytes().ok_or(Errno::FAULT)?;
        let mut fields = Fields(&raw);
        let [version, ..] = fields.bytes::<8>().ok_or(Errno::FAULT)?;
        let request = fields.u64().ok_or(Errno::FAULT)?;
        let response = fields.u64().ok_or(Errno::FAULT)?;
        if version == 0 || request == 0 || response == 0 {
            return Err(Errno::INVAL);
        }
        Ok(Self { raw, request, response })
    }

    /// The argument with exitinfo2 set; the kernel leaves it alone if that is 0.
    fn with(&self, exitinfo2: u64) -> [u8; ARGUMENT] {
        let mut raw = self.raw;
        if exitinfo2 != 0 {
            for (to, from) in raw.iter_mut().skip(EXITINFO2).zip(exitinfo2.to_le_bytes()) {
                *to = from;
            }
        }
        raw
    }
}

/// Where the certificates go: `None` for an ioctl without, a buffer of no
/// bytes for an extended report that has no room for them.
fn certificate_buffer(kind: Kind, request: &[u8]) -> Result<Option<Window>, Errno> {
    if kind != Kind::Extended {
        return Ok(None);
    }
    let mut fields = Fields(request.get(REPORT_REQUEST..).unwrap_or_default());
    let address = fields.u64().ok_or(Errno::FAULT)?;
    let length = fields.u32().ok_or(Errno::FAULT)?;
    if length == 0 || address == 0 {
        return Ok(Some(Window { address, length: 0 }));
    }
    let bytes = usize::try_from(length).map_err(|_large| Errno::INVAL)?;
    if length > CERTIFICATES_MAX || bytes % PAGE != 0 {
        return Err(Errno::INVAL);
    }
    Ok(Some(Window { address, length: bytes }))
}

fn perform(
    kind: Kind,
    argument: &Argument,
    request: &[u8],
    certificates: Option<usize>,
    port: &Port,
) -> Result<Outcome, Errno> {
    let (vmpl, ask) = question(kind, request).ok_or(Errno::FAULT)?;
    let answer = port.ask(vmpl, ask).map_err(|error| {
        log::error(&format!("no answer from the signing side: {error}"));
        Errno::IO
    })?;
    match answer.status {
        Status::Done | Status::Refused => {}
        Status::Busy => return Ok(failed(argument, VMM_BUSY, Errno::BUSY)),
        Status::Failed => return Err(Errno::IO),
    }
    let room = answer.certificates.len() <= certificates.unwrap_or(usize::MAX);
    if !room {
        let needed = answer.certificates.len().next_multiple_of(PAGE);
        let mut outcome = failed(argument, VMM_INVALID_LEN, Errno::IO);
        if let Outcome::Done { written, .. } = &mut outcome {
            // The response stays as it was made; what matters is the length.
            written.extend([0; REPORT_RESPONSE]);
            written.extend(with_length(request, needed));
        }
        return Ok(outcome);
    }
    let mut written = argument.with(0).to_vec();
    written.extend(response(kind, &answer));
    if let Some(length) = certificates {
        written.extend(request);
        let mut table = answer.certificates;
        table.resize(length, 0);
        written.extend(table);
    }
    Ok(Outcome::Done { result: 0, written })
}

fn question(kind: Kind, request: &[u8]) -> Option<(u32, Ask)> {
    let mut fields = Fields(request);
    if kind != Kind::Key {
        let data = fields.bytes()?;
        return Some((fields.u32()?, Ask::Report(data)));
    }
    let root_key_select = fields.u32()?;
    let _reserved = fields.u32()?;
    let guest_field_select = fields.u64()?;
    let vmpl = fields.u32()?;
    let guest_svn = fields.u32()?;
    let tcb = fields.bytes()?;
    Some((vmpl, Ask::Key(KeyRequest { root_key_select, guest_field_select, guest_svn, tcb })))
}

/// MSG_REPORT_RSP or MSG_KEY_RSP (56860, chapter 7) in the buffer of the uapi.
fn response(kind: Kind, answer: &Answer) -> Vec<u8> {
    let mut out = answer.firmware.to_le_bytes().to_vec();
    if kind != Kind::Key {
        out.extend(u32::try_from(answer.main.len()).unwrap_or(0).to_le_bytes());
    }
    out.resize(RESPONSE_HEAD, 0);
    out.extend(&answer.main);
    out.resize(if kind == Kind::Key { KEY_RESPONSE } else { REPORT_RESPONSE }, 0);
    out
}

fn failed(argument: &Argument, exitinfo2: u64, error: Errno) -> Outcome {
    Outcome::Done { result: -error.raw_os_error(), written: argument.with(exitinfo2).to_vec() }
}

/// The extended request with certs_len set.
fn with_length(request: &[u8], length: usize) -> Vec<u8> {
    let mut request = request.to_vec();
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    for (to, from) in request.iter_mut().skip(CERTS_LEN).zip(length.to_le_bytes()) {
        *to = from;
    }
    request
}
