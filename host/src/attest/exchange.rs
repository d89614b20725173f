//! One question to the responder and its answer ([`protocol::responder`]).
//!
//! One deadline covers name, connection, question and answer together, however
//! slowly the bytes drip. The head of the answer says how long it is; what is
//! longer than an answer can be is refused before it is read, and bytes after
//! the answer are an error too.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
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
            Address::Tcp { host, port } => {
                self.resolve(host, *port)?.into_iter().map(SockAddr::from).collect()
            }
        };
        self.connect_to(&candidates)
    }

    /// The addresses of a name.
    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, AskError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let host = host.to_owned();
        self.in_time(move || Ok((host.as_str(), port).to_socket_addrs()?.collect()))
    }

    /// What a look-up gives, if it ends in time. The system's resolver cannot be given a
    /// deadline: it has a thread of its own, which is left behind if it takes longer.
    fn in_time<T: Send + 'static>(
        &self,
        look_up: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, AskError> {
        let failed = |source| AskError::Resolve { address: self.address.clone(), source };
        let (sender, receiver) = mpsc::sync_channel(1);
        let work = move || {
            // Nobody listens any more if it is too late.
            let _ = sender.send(look_up());
        };
        thread::Builder::new().name("resolver".to_owned()).spawn(work).map_err(failed)?;
        match receiver.recv_timeout(self.left()?) {
            Ok(found) => found.map_err(failed),
            Err(RecvTimeoutError::Timeout) => Err(self.timed_out()),
            Err(RecvTimeoutError::Disconnected) => {
                Err(failed(io::Error::other("the resolver ended without an answer")))
            }
        }
    }

    /// Connects to the first candidate that answers. Each has an equal share of the time that
    /// is left, so that a dead one leaves some for the others.
    fn connect_to(&self, candidates: &[SockAddr]) -> Result<Socket, AskError> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let remaining = (1..=u32::try_from(candidates.len()).unwrap_or(u32::MAX)).rev();
        for (candidate, remaining) in candidates.iter().zip(remaining) {
            let domain = Domain::from(i32::from(candidate.family()));
            let connected = Socket::new(domain, Type::STREAM, None).and_then(|socket| {
                let left = self.left().map_err(|_error| io::ErrorKind::TimedOut)?;
                // Never zero, which would mean no limit.
                let share = (left / remaining).max(Duration::from_millis(1));
                socket.connect_timeout(candidate, share)?;
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn nowhere() -> Address {
        Address::Tcp { host: "name.invalid".to_owned(), port: 1 }
    }

    /// Linux drops the SYN of a connection for which the queue of a listener has no room:
    /// its address is as dead as that of a machine that is off.
    #[test]
    fn a_dead_address_leaves_time_for_the_next() {
        let dead = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        dead.bind(&any).unwrap();
        dead.listen(0).unwrap();
        let at = dead.local_addr().unwrap();
        let mut queued = Vec::new();
        let is_dead = (0..8).any(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let failed = socket.connect_timeout(&at, Duration::from_millis(200)).is_err();
            queued.push(socket);
            failed
        });
        assert!(is_dead, "the queue has no end");
        let alive = TcpListener::bind("127.0.0.1:0").unwrap();
        let alive = SockAddr::from(alive.local_addr().unwrap());
        let address = nowhere();
        let talk = Talk::new(&address, Duration::from_secs(4));
        let socket = talk.connect_to(&[at.clone(), alive.clone()]).unwrap();
        assert_eq!(socket.peer_addr().unwrap().as_socket(), alive.as_socket());
        let talk = Talk::new(&address, Duration::from_millis(200));
        assert!(matches!(talk.connect_to(&[at]), Err(AskError::TimedOut { .. })));
    }

    #[test]
    fn the_deadline_covers_the_name_too() {
        let address = nowhere();
        let talk = Talk::new(&address, Duration::from_millis(50));
        let (held, waits) = mpsc::channel::<()>();
        let slow = talk.in_time(move || {
            let _ = waits.recv_timeout(Duration::from_secs(60));
            Ok(())
        });
        assert!(matches!(slow, Err(AskError::TimedOut { .. })), "{slow:?}");
        drop(held);
        let talk = Talk::new(&address, Duration::from_secs(60));
        assert_eq!(talk.in_time(|| Ok(7)).unwrap(), 7);
        let failed = talk.in_time::<()>(|| Err(io::ErrorKind::NotFound.into()));
        assert!(matches!(failed, Err(AskError::Resolve { .. })), "{failed:?}");
        assert_eq!(talk.resolve("::1", 9).unwrap(), ["[::1]:9".parse().unwrap()]);
    }
}
