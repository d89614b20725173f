//! The reporter: a nonce in, evidence out, one at a time.
//!
//! **Threat.** Its peer is the network side, which may have been taken over. It
//! is heard only 32 bytes at a time, and what a report says beyond the nonce
//! was fixed by PID 1 before.

use std::fmt::Display;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use protocol::host_keys::HostKeys;
use protocol::receipt::Receipt;
use protocol::report_data::{Binding, LENGTH, Nonce};
use protocol::responder::{Evidence, MAX_BODY};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::reports::{RawReport, ReportError};

/// First byte of an answer to the network side: evidence follows.
const EVIDENCE: u8 = 0;

/// Or there is none.
const NONE: u8 = 1;

/// What PID 1 fixes before anyone can ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// The VM's SSH host keys.
    pub(super) host_keys: HostKeys,
    /// The boot receipt.
    pub(super) receipt: Receipt,
    /// How long one report may take.
    pub(super) deadline: Duration,
    /// REPORT_ID of this guest.
    pub(super) report_id: [u8; 32],
}

/// The longest encoding of [`Facts`], in bytes, rounded up.
pub(super) const MAX_FACTS: usize = 128 << 10;

impl Facts {
    /// Deadline in milliseconds (4 bytes, big-endian), REPORT_ID, receipt with its
    /// length (4 bytes, big-endian) before it, host keys.
    pub(super) fn encode(&self) -> Vec<u8> {
        let deadline = u32::try_from(self.deadline.as_millis()).unwrap_or(u32::MAX);
        let mut out = deadline.to_be_bytes().to_vec();
        out.extend_from_slice(&self.report_id);
        let receipt = self.receipt.as_str().as_bytes();
        let length = u32::try_from(receipt.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(receipt);
        out.extend_from_slice(&self.host_keys.encode());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (deadline, rest) = bytes.split_first_chunk::<4>()?;
        let (report_id, rest) = rest.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (receipt, keys) = rest.split_at_checked(length)?;
        Some(Self {
            host_keys: HostKeys::decode(keys).ok()?,
            receipt: Receipt::decode(receipt).ok()?,
            deadline: Duration::from_millis(u32::from_be_bytes(*deadline).into()),
            report_id: *report_id,
        })
    }
}

/// Serves until the network side is gone. `ask` gets a report over REPORT_DATA
/// until an instant; `log` takes what went wrong.
///
/// # Errors
/// From the system.
pub(super) fn serve<E: Display>(
    network: BorrowedFd<'_>,
    facts: &Facts,
    mut ask: impl FnMut(&[u8; LENGTH], Instant) -> Result<RawReport, E>,
    mut log: impl FnMut(&str),
) -> io::Result<()> {
    // One byte more than a nonce, to see what is longer.
    let mut message = [0; size_of::<Nonce>() + 1];
    loop {
        let received = match rustix::net::recv(network, &mut message, RecvFlags::empty()) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(()),
            Ok((_, length)) => message.get(..length),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let nonce = received.and_then(|bytes| Nonce::try_from(bytes).ok());
        let evidence = match nonce {
            Some(nonce) => evidence(facts, &nonce, &mut ask),
            None => Err("the network side sent something else than a nonce".to_owned()),
        };
        let answer = evidence.unwrap_or_else(|error| {
            log(&error);
            vec![NONE]
        });
        match rustix::net::send(network, &answer, SendFlags::NOSIGNAL) {
            Ok(_) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A whole answer to the network side.
fn evidence<E: Display>(
    facts: &Facts,
    nonce: &Nonce,
    ask: &mut impl FnMut(&[u8; LENGTH], Instant) -> Result<RawReport, E>,
) -> Result<Vec<u8>, String> {
    let Facts { host_keys, receipt, deadline, report_id } = facts;
    let receipt_head = Some(receipt.head());
    let data = Binding::Responder { nonce, host_keys, receipt_head }.report_data();
    let raw = ask(&data, Instant::now() + *deadline).map_err(|error| error.to_string())?;
    if raw.report_id() != *report_id {
        return Err(ReportError::OtherGuest.to_string());
    }
    let evidence = Evidence {
        report: raw.report,
        certificates: raw.certificates,
        host_keys: host_keys.clone(),
        receipt_head: receipt_head.copied(),
        receipt: Some(receipt.clone()),
    };
    let body = evidence.encode();
    if body.len() > MAX_BODY {
        return Err(format!("evidence of {} bytes; {MAX_BODY} can be sent", body.len()));
    }
    Ok([&[EVIDENCE], body.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd as _, OwnedFd};

    use protocol::responder::REPORT;
    use rustix::net::{AddressFamily, SocketFlags, SocketType};

    use super::*;

    fn facts() -> Facts {
        let blob = [b"\0\0\0\x0bssh-ed25519".as_slice(), &[0xaa; 36]].concat();
        Facts {
            host_keys: HostKeys::new([blob]).unwrap(),
            receipt: Receipt::decode(b"root\terofs\t/init\n").unwrap(),
            deadline: Duration::from_millis(1500),
            report_id: [0; 32],
        }
    }

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC;
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    #[test]
    fn facts_come_back() {
        let facts = facts();
        assert_eq!(Facts::decode(&facts.encode()), Some(facts.clone()));
        let receipt = Receipt::default();
        let none = Facts { receipt, host_keys: HostKeys::default(), ..facts.clone() };
        assert_eq!(Facts::decode(&none.encode()), Some(none));
        assert_eq!(Facts::decode(&facts.encode()[..68]), None);
        assert_eq!(Facts::decode(b""), None);
    }

    /// Sends `messages`, and returns what the reporter answers and logs.
    fn serve_all(messages: &[&[u8]], fails: bool) -> (Vec<Vec<u8>>, Vec<String>) {
        let (near, far) = pair();
        let mut log = Vec::new();
        let answers = std::thread::scope(|scope| {
            let asking = scope.spawn(move || {
                let mut answers = Vec::new();
                for message in messages {
                    rustix::net::send(&near, message, SendFlags::NOSIGNAL).unwrap();
                    let mut answer = vec![0; 1 + MAX_BODY];
                    let flags = RecvFlags::empty();
                    let (_, length) = rustix::net::recv(&near, &mut *answer, flags).unwrap();
                    answer.truncate(length);
                    answers.push(answer);
                }
                answers
            });
            let ask = |data: &[u8; 64], _until| {
                let mut report = Box::new([0; REPORT]);
                report[0x50..0x90].copy_from_slice(data);
                if fails { Err("on fire") } else { Ok(RawReport { report, certificates: None }) }
            };
            serve(far.as_fd(), &facts(), ask, |line| log.push(line.to_owned())).unwrap();
            asking.join().unwrap()
        });
        (answers, log)
    }

    #[test]
    fn a_nonce_is_answered_with_what_binds_it() {
        let (nonces, facts) = ([[1; 32], [2; 32]], facts());
        let (answers, log) = serve_all(&[&nonces[0], &nonces[1]], false);
        for (nonce, answer) in nonces.iter().zip(answers) {
            let (status, body) = answer.split_first().unwrap();
            let evidence = Evidence::decode(body).unwrap();
            let (host_keys, receipt_head) = (&facts.host_keys, Some(facts.receipt.head()));
            let binding = Binding::Responder { nonce, host_keys, receipt_head };
            assert_eq!(*status, EVIDENCE);
            assert_eq!(evidence.report[0x50..0x90], binding.report_data());
            assert_eq!(
                (&evidence.host_keys, evidence.receipt_head.as_ref()),
                (host_keys, receipt_head)
            );
            assert_eq!(evidence.receipt.as_ref(), Some(&facts.receipt));
        }
        assert!(log.is_empty(), "{log:?}");
    }

    #[test]
    fn nothing_but_a_nonce_gets_a_report() {
        let (answers, log) = serve_all(&[&[0; 31], &[0; 33], &[0; 64], &[0; 4000]], false);
        assert_eq!(answers, vec![vec![NONE]; 4]);
        assert_eq!(log.len(), 4);
    }

    #[test]
    fn a_source_that_fails_is_no_end() {
        let (answers, log) = serve_all(&[&[0; 32], &[0; 32]], true);
        assert_eq!(answers, vec![vec![NONE]; 2]);
        assert_eq!(log, ["on fire", "on fire"]);
    }
}
