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
use crate::port::Signer;

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
    signer: &impl Signer,
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
    perform(kind, &argument, request_bytes, certificates, signer)
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
    signer: &impl Signer,
) -> Result<Outcome, Errno> {
    let (vmpl, ask) = question(kind, request).ok_or(Errno::FAULT)?;
    let answer = signer.ask(vmpl, ask).map_err(|error| {
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Certificates of two pages, and a report that repeats what it was asked.
    struct Fake(Status);

    impl Signer for Fake {
        fn ask(&self, vmpl: u32, ask: Ask) -> io::Result<Answer> {
            let (main, certificates) = match ask {
                Ask::Report(data) => ([&data[..], &vmpl.to_le_bytes()].concat(), vec![7; 2 * PAGE]),
                Ask::Key(request) => (vec![request.tcb[0]; 32], Vec::new()),
            };
            Ok(Answer { main, certificates, ..Answer::empty(0, self.0, 0) })
        }
    }

    const AT: u64 = 0x1000;

    fn argument(version: u8, request: u64, response: u64) -> Vec<u8> {
        let mut bytes = vec![version, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(request.to_le_bytes());
        bytes.extend(response.to_le_bytes());
        bytes.extend([0; 8]);
        bytes
    }

    fn extended(address: u64, length: u32) -> Vec<u8> {
        let mut bytes = vec![0xee; 64];
        bytes.resize(REPORT_REQUEST, 0);
        bytes.extend(address.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.resize(EXTENDED_REQUEST, 0);
        bytes
    }

    fn run(command: u32, input: &[u8], room: usize) -> Result<Outcome, Errno> {
        handle(command, AT, input, room.try_into().unwrap(), &Fake(Status::Done))
    }

    /// Goes through the stages as the kernel does, up to the last.
    fn all(command: u32, request: &[u8], status: Status) -> Result<(i32, Vec<u8>), Errno> {
        let input = argument(1, 0x2000, 0x3000);
        let Outcome::Retry { read, .. } = run(command, &[], 0)? else { panic!("too early") };
        assert_eq!(read, [Window { address: AT, length: ARGUMENT }]);
        let Outcome::Retry { read, .. } = run(command, &input, 0)? else { panic!("too early") };
        assert_eq!(read[1], Window { address: 0x2000, length: request.len() });
        let input = [input, request.to_vec()].concat();
        let Outcome::Retry { write, .. } = run(command, &input, 0)? else { panic!("too early") };
        let room: usize = write.iter().map(|window| window.length).sum();
        let signer = Fake(status);
        match handle(command, AT, &input, room.try_into().unwrap(), &signer)? {
            Outcome::Done { result, written } => {
                assert!(written.len() <= room, "{} of {room}", written.len());
                Ok((result, written))
            }
            Outcome::Retry { .. } => panic!("for ever"),
        }
    }

    #[test]
    fn a_report_comes_after_three_stages() {
        let mut request = vec![0xaa; 64];
        request.extend(2_u32.to_le_bytes());
        request.resize(REPORT_REQUEST, 0);
        let (result, written) = all(GET_REPORT, &request, Status::Done).unwrap();
        assert_eq!((result, written.len()), (0, ARGUMENT + REPORT_RESPONSE));
        let response = &written[ARGUMENT..];
        assert_eq!(response[..8], [0, 0, 0, 0, 68, 0, 0, 0]);
        assert_eq!(response[RESPONSE_HEAD..RESPONSE_HEAD + 65], [&[0xaa; 64][..], &[2]].concat());
        let (result, written) = all(GET_REPORT, &request, Status::Busy).unwrap();
        assert_eq!(result, -Errno::BUSY.raw_os_error());
        assert_eq!(written[EXITINFO2..ARGUMENT], VMM_BUSY.to_le_bytes());
        assert_eq!(all(GET_REPORT, &request, Status::Failed), Err(Errno::IO));
    }

    #[test]
    fn too_small_a_certificate_buffer_is_told_how_much_it_needs() {
        for (address, length) in [(0, 0), (0x4000, 0), (0x4000, 4096)] {
            let request = extended(address, length);
            let (result, written) = all(GET_EXT_REPORT, &request, Status::Done).unwrap();
            assert_eq!(result, -Errno::IO.raw_os_error());
            assert_eq!(written[EXITINFO2..ARGUMENT], VMM_INVALID_LEN.to_le_bytes());
            let needed = &written[ARGUMENT + REPORT_RESPONSE + CERTS_LEN..][..4];
            assert_eq!(needed, 8192_u32.to_le_bytes());
        }
        let request = extended(0x4000, 0x4000);
        let (result, written) = all(GET_EXT_REPORT, &request, Status::Done).unwrap();
        assert_eq!((result, &written[written.len() - 0x4000..][..8192]), (0, &[7; 8192][..]));
        for length in [1, 4095, 0x5000, u32::MAX] {
            let refused = all(GET_EXT_REPORT, &extended(0x4000, length), Status::Done);
            assert_eq!(refused, Err(Errno::INVAL), "{length}");
        }
    }

    #[test]
    fn a_key_has_its_own_layout() {
        let mut request = vec![0; KEY_REQUEST];
        request[24] = 0x5c;
        let (result, written) = all(GET_DERIVED_KEY, &request, Status::Done).unwrap();
        assert_eq!((result, written.len()), (0, ARGUMENT + KEY_RESPONSE));
        assert_eq!(written[ARGUMENT + RESPONSE_HEAD..], [0x5c; 32]);
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        assert_eq!(run(0x1234, &[], 0), Err(Errno::NOTTY));
        for bad in [argument(0, 1, 1), argument(1, 0, 1), argument(1, 1, 0)] {
            assert_eq!(run(GET_REPORT, &bad, 0), Err(Errno::INVAL));
        }
    }

    /// Memory that another thread changes between two stages, or a kernel that
    /// gives something else than was asked for.
    #[test]
    fn input_of_any_length_is_an_answer() {
        for command in [GET_REPORT, GET_EXT_REPORT, GET_DERIVED_KEY] {
            for length in 1..300 {
                let bytes = vec![1; length];
                for room in [0, 1, 4096] {
                    let outcome = run(command, &bytes, room);
                    assert!(!matches!(outcome, Ok(Outcome::Done { .. })), "{length} {room}");
                }
            }
        }
    }
}
