//! One question to the responder and its answer ([`protocol::responder`]).
//!
//! One deadline covers name, connection, question and answer together, however
//! slowly the bytes drip. The head of the answer says how long it is; what is
//! longer than an answer can be is refused before it is read, and bytes after
//! the answer are an error too.

use std::io::{self, Read, Write};
use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use protocol::report_data::Nonce;
use protocol::responder::{Evidence, HEAD, ResponderError, Status, question, read_head};
use socket2::{Domain, SockAddr, Socket, Type};

use super::address::Address;

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The system has no random numbers.
    #[error("no nonce: the operating system gave no random bytes")]
    Random(#[source] io::Error),
    /// The name means nothing.
    #[error("{address}: the name cannot be resolved")]
    Resolve {
        /// The address.
        address: Address,
        /// What the resolver said.
        source: io::Error,
    },
    /// No connection.
    #[error("{address}: no connection")]
    Connect {
        /// The address.
        address: Address,
        /// What the kernel said.
        source: io::Error,
    },
    /// The connection ended or broke before an answer began: a port forwarder
    /// in front of a VM that does not listen yet does this.
    #[error("{address}: the connection was closed before an answer began")]
    Closed {
        /// The address.
        address: Address,
        /// What the kernel said, if it was no orderly end.
        source: Option<io::Error>,
    },
    /// The connection broke in the middle of an answer.
    #[error("{address}: the answer is truncated: {got} of {expected} bytes came")]
    Truncated {
        /// The address.
        address: Address,
        /// How many bytes came.
        got: usize,
        /// How many there should be.
        expected: usize,
    },
    /// Bytes after the answer.
    #[error("{address}: the answer has more bytes than it says")]
    Trailing {
        /// The address.
        address: Address,
    },
    /// The time was up.
    #[error("{address}: no complete answer within {} s ({got} bytes came)", .after.as_secs_f32())]
    TimedOut {
        /// The address.
        address: Address,
        /// The deadline.
        after: Duration,
        /// How many bytes came.
        got: usize,
    },
    /// Not an answer, or one with malformed evidence.
    #[error("{address}: {source}")]
    Malformed {
        /// The address.
        address: Address,
        /// What is wrong with it.
        source: ResponderError,
    },
    /// The responder answers too many at the moment.
    #[error("{address}: the VM is busy with other questions")]
    Busy {
        /// The address.
        address: Address,
    },
    /// The guest has no report.
    #[error("{address}: the VM got no report from its secure processor; its own log says why")]
    Unavailable {
        /// The address.
        address: Address,
    },
    /// The responder does not understand the question.
    #[error("{address}: the VM's responder speaks another version of the protocol")]
    Version {
        /// The address.
        address: Address,
    },
}

impl AskError {
    /// Whether the same question may be answered a little later: nobody listens
    /// yet, or not to us at the moment.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect { source, .. } => !matches!(
                source.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::Unsupported
            ),
            Self::Closed { .. }
            | Self::TimedOut { .. }
            | Self::Busy { .. }
            | Self::Unavailable { .. }
            | Self::Resolve { .. } => true,
            Self::Random(_)
            | Self::Truncated { .. }
            | Self::Trailing { .. }
            | Self::Malformed { .. }
            | Self::Version { .. } => false,
        }
    }
}

/// Evidence and the nonce that it was asked for with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The nonce that was sent.
    pub nonce: Nonce,
    /// What the VM, or the host in its place, said.
    pub evidence: Evidence,
}

/// Asks once, with a fresh nonce of the operating system.
///
/// # Errors
/// [`AskError`], if there is no well-formed evidence within `limit`.
pub fn ask(address: &Address, limit: Duration) -> Result<Answer, AskError> {
    let nonce = nonce().map_err(AskError::Random)?;
    let mut talk = Talk::new(address, limit);
    let mut socket = talk.connect()?;
    talk.arm(&socket)?;
    // A peer that closed early may have answered first: the answer is what
    // counts, and a failure to send shows itself as its absence.
    let sent = socket.write_all(&question(&nonce));
    let mut head = [0; HEAD];
    match talk.read(&mut socket, &mut head)? {
        HEAD => {}
        0 => {
            return Err(AskError::Closed { address: address.clone(), source: sent.err() });
        }
        got => {
            return Err(AskError::Truncated { address: address.clone(), got, expected: HEAD });
        }
    }
    let malformed = |source| AskError::Malformed { address: address.clone(), source };
    let (status, length) = read_head(&head).map_err(malformed)?;
    match status {
        Status::Evidence => {}
        Status::Busy => return Err(AskError::Busy { address: address.clone() }),
        Status::Unavailable => return Err(AskError::Unavailable { address: address.clone() }),
        Status::Malformed => return Err(AskError::Version { address: address.clone() }),
    }
    // At most MAX_BODY: `read_head` refuses more.
    let mut body = vec![0; length];
    let got = talk.read(&mut socket, &mut body)?;
    if got < length {
        let (got, expected) = (HEAD + got, HEAD + length);
        return Err(AskError::Truncated { address: address.clone(), got, expected });
    }
    if talk.read(&mut socket, &mut [0])? > 0 {
        return Err(AskError::Trailing { address: address.clone() });
    }
    let evidence = Evidence::decode(&body).map_err(malformed)?;
    Ok(Answer { nonce, evidence })
}

/// A nonce of the operating system.
pub(crate) fn nonce() -> io::Result<Nonce> {
    let mut nonce = Nonce::default();
    let got = rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty())?;
    if got == nonce.len() { Ok(nonce) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// One conversation and its deadline.
pub(crate) struct Talk<'a> {
    pub(crate) address: &'a Address,
    start: Instant,
    limit: Duration,
    pub(crate) got: usize,
}

impl<'a> Talk<'a> {
    /// One whose deadline begins now.
    pub(crate) fn new(address: &'a Address, limit: Duration) -> Self {
        Self { address, start: Instant::now(), limit, got: 0 }
    }

    pub(crate) fn timed_out(&self) -> AskError {
        AskError::TimedOut { address: self.address.clone(), after: self.limit, got: self.got }
    }

    /// What is left of the time; never zero, which would mean no limit.
    fn left(&self) -> Result<Duration, AskError> {
        match self.limit.checked_sub(self.start.elapsed()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(self.timed_out()),
        }
    }

    fn failed(&self, source: io::Error) -> AskError {
        if is_timeout(&source) {
            self.timed_out()
        } else {
            AskError::Connect { address: self.address.clone(), source }
        }
    }

    pub(crate) fn connect(&self) -> Result<Socket, AskError> {
        let candidates: Vec<SockAddr> = match self.address {
            Address::Vsock { cid, port } => vec![SockAddr::vsock(*cid, *port)],
            Address::Tcp { host, port } => (host.as_str(), *port)
                .to_socket_addrs()
                .map_err(|source| AskError::Resolve { address: self.address.clone(), source })?
                .map(SockAddr::from)
                .collect(),
        };
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for candidate in candidates {
            let domain = Domain::from(i32::from(candidate.family()));
            let connected = Socket::new(domain, Type::STREAM, None).and_then(|socket| {
                let left = self.left().map_err(|_error| io::ErrorKind::TimedOut)?;
                socket.connect_timeout(&candidate, left)?;
                Ok(socket)
            });
            match connected {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(self.failed(last))
    }

    /// Lets the next call on the socket last no longer than what is left.
    pub(crate) fn arm(&self, socket: &Socket) -> Result<(), AskError> {
        let left = Some(self.left()?);
        socket
            .set_read_timeout(left)
            .and_then(|()| socket.set_write_timeout(left))
            .map_err(|source| self.failed(source))
    }

    /// Fills the buffer as far as bytes come. An orderly end or a reset ends
    /// it early.
    fn read(&mut self, socket: &mut Socket, buffer: &mut [u8]) -> Result<usize, AskError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            self.arm(socket)?;
            match socket.read(rest) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    self.got += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(self.timed_out()),
                Err(_reset) => break,
            }
        }
        Ok(filled)
    }
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}
