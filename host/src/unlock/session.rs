//! One session with a guest: connection, handshake, nonce, evidence; later the
//! release and what became of it.
//!
//! Each part has one deadline, however slowly the bytes drip. A frame's head says
//! how long it is; what is longer than its type can be is refused before it is read.

use std::io::{self, Read, Write};
use std::time::Duration;

use protocol::release::{
    ALPN, Evidence, FRAME_HEAD, FrameType, REPORT_EXPORTER, Refusal, ReleaseError,
    SIGNATURE_EXPORTER, SignedRelease, Status, frame, read_frame_head, statement,
};
use protocol::report_data::{Binding, LENGTH, Nonce};
use rustls::{ClientConnection, StreamOwned};
use socket2::Socket;

use super::tls;
use crate::attest::address::Address;
use crate::attest::exchange::{AskError, Talk, is_timeout, nonce};
use crate::attest::patience::Passing;

/// Why a session gave no evidence, or no status.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// No connection, no time, no random numbers.
    #[error(transparent)]
    Connection(#[from] AskError),
    /// No TLS 1.3 session.
    #[error("{address}: no TLS 1.3 session for the release of keys")]
    Tls {
        /// The address.
        address: Address,
        /// What went wrong.
        source: rustls::Error,
    },
    /// A TLS session for something else.
    #[error("{address}: the server does not speak {}", String::from_utf8_lossy(ALPN))]
    Alpn {
        /// The address.
        address: Address,
    },
    /// The session ended or broke.
    #[error("{address}: the session ended {when}")]
    Closed {
        /// The address.
        address: Address,
        /// When.
        when: &'static str,
        /// What the kernel said, if it was no orderly end.
        source: Option<io::Error>,
    },
    /// Other bytes than the protocol's.
    #[error("{address}: {source}")]
    Malformed {
        /// The address.
        address: Address,
        /// What is wrong.
        source: ReleaseError,
    },
    /// The guest gave a refusal in place of evidence.
    #[error("{address}: whoever answers there, not verified, gives no evidence now ({why:?})")]
    Refused {
        /// The address.
        address: Address,
        /// [`Refusal::Busy`] or [`Refusal::NoReport`].
        why: Refusal,
    },
}

impl Passing for SessionError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Connection(error) => error.may_pass(),
            Self::Closed { .. } => true,
            Self::Refused { .. } => true,
            Self::Tls { .. } | Self::Alpn { .. } | Self::Malformed { .. } => false,
        }
    }

    fn is_busy(&self) -> bool {
        matches!(self, Self::Refused { why: Refusal::Busy, .. })
    }
}

/// A session in which the guest has answered the nonce. Nothing that it said is
/// verified.
pub struct Session<'a> {
    stream: StreamOwned<ClientConnection, Line<'a>>,
    nonce: Nonce,
    report_exporter: [u8; 32],
    public_key: Vec<u8>,
}

impl<'a> Session<'a> {
    /// Connects, sends a fresh nonce of the operating system, and reads the
    /// evidence, all within `limit`.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn open(address: &'a Address, limit: Duration) -> Result<(Self, Evidence), SessionError> {
        let nonce = nonce().map_err(AskError::Random)?;
        let talk = Talk::new(address, limit);
        let socket = talk.connect()?;
        let mut line = Line { talk, socket };
        let broken = |source| SessionError::Tls { address: address.clone(), source };
        let mut connection = tls::connection().map_err(broken)?;
        while connection.is_handshaking() {
            connection
                .complete_io(&mut line)
                .map_err(|error| line.failed(error, "before it began"))?;
        }
        if connection.alpn_protocol() != Some(ALPN) {
            return Err(SessionError::Alpn { address: address.clone() });
        }
        let certificate =
            connection.peer_certificates().and_then(|certificates| certificates.first());
        let certificate =
            certificate.ok_or_else(|| broken(rustls::Error::NoCertificatesPresented))?;
        let public_key = tls::public_key(certificate).map_err(broken)?;
        let report_exporter =
            connection.export_keying_material([0; 32], REPORT_EXPORTER, None).map_err(broken)?;
        let stream = StreamOwned::new(connection, line);
        let mut session = Self { stream, nonce, report_exporter, public_key };
        session.send(FrameType::Hello, &nonce, "before the question was sent")?;
        let evidence = session.evidence()?;
        Ok((session, evidence))
    }

    /// The nonce that was sent.
    #[must_use]
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// The REPORT_DATA that the report of this session's other end has.
    #[must_use]
    pub fn report_data(&self, receipt_head: Option<&[u8; 32]>) -> [u8; LENGTH] {
        Binding::Release {
            nonce: &self.nonce,
            tls_exporter: &self.report_exporter,
            tls_public_key: &self.public_key,
            receipt_head,
        }
        .report_data()
    }

    /// What the owner signs to release this in this session.
    ///
    /// # Errors
    /// None that is known: the handshake is complete.
    pub fn statement(&self, release: &[u8]) -> Result<Vec<u8>, SessionError> {
        let exporter = self.stream.conn.export_keying_material([0; 32], SIGNATURE_EXPORTER, None);
        let exporter = exporter
            .map_err(|source| SessionError::Tls { address: self.address().clone(), source })?;
        Ok(statement(&exporter, release))
    }

    /// Sends the release within `limit`.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn release(
        &mut self,
        release: &SignedRelease,
        limit: Duration,
    ) -> Result<(), SessionError> {
        self.renew(limit);
        self.send(FrameType::Release, &release.encode(), "while the release was sent")
    }

    /// Says that the epochs of the status *opened* are recorded, within `limit`.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn recorded(&mut self, limit: Duration) -> Result<(), SessionError> {
        self.renew(limit);
        self.send(FrameType::Recorded, &[], "before the VM heard that the epochs are recorded")
    }

    /// The next status, which takes at most `limit`.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn status(&mut self, limit: Duration) -> Result<Status, SessionError> {
        self.renew(limit);
        let head = self.head("before the VM said what became of the release")?;
        let content = self.content(&head, FrameType::Status)?;
        Status::decode(&content).map_err(|source| self.malformed(source))
    }

    /// Says goodbye, if somebody still listens.
    pub fn close(mut self) {
        self.renew(Duration::from_secs(1));
        self.stream.conn.send_close_notify();
        let _ = self.stream.flush();
    }

    fn evidence(&mut self) -> Result<Evidence, SessionError> {
        let head = self.head("before the evidence came")?;
        if head.first() == Some(&(FrameType::Status as u8)) {
            let content = self.content(&head, FrameType::Status)?;
            let status = Status::decode(&content).map_err(|source| self.malformed(source))?;
            // Nothing is verified yet: whoever it is, his words are not repeated.
            let Status::Refused { why: why @ (Refusal::Busy | Refusal::NoReport), .. } = status
            else {
                let (kind, expected) = (FrameType::Status as u8, FrameType::Evidence);
                return Err(self.malformed(ReleaseError::Frame { kind, expected }));
            };
            return Err(SessionError::Refused { address: self.address().clone(), why });
        }
        let content = self.content(&head, FrameType::Evidence)?;
        Evidence::decode(&content).map_err(|source| self.malformed(source))
    }

    fn address(&self) -> &'a Address {
        self.stream.sock.talk.address
    }

    fn malformed(&self, source: ReleaseError) -> SessionError {
        SessionError::Malformed { address: self.address().clone(), source }
    }

    /// A new deadline.
    fn renew(&mut self, limit: Duration) {
        self.stream.sock.talk = Talk::new(self.address(), limit);
    }

    fn send(
        &mut self,
        kind: FrameType,
        content: &[u8],
        when: &'static str,
    ) -> Result<(), SessionError> {
        let bytes = frame(kind, content);
        let sent = self.stream.write_all(&bytes).and_then(|()| self.stream.flush());
        sent.map_err(|error| self.stream.sock.failed(error, when))
    }

    fn head(&mut self, when: &'static str) -> Result<[u8; FRAME_HEAD], SessionError> {
        let mut head = [0; FRAME_HEAD];
        self.fill(&mut head, when)?;
        Ok(head)
    }

    fn content(
        &mut self,
        head: &[u8; FRAME_HEAD],
        expected: FrameType,
    ) -> Result<Vec<u8>, SessionError> {
        let length = read_frame_head(head, expected).map_err(|source| self.malformed(source))?;
        // At most 64 KiB: more is refused above.
        let mut content = vec![0; length];
        self.fill(&mut content, "in the middle of a message")?;
        Ok(content)
    }

    fn fill(&mut self, buffer: &mut [u8], when: &'static str) -> Result<(), SessionError> {
        self.stream.read_exact(buffer).map_err(|error| self.stream.sock.failed(error, when))
    }
}

/// A socket on which no call outlasts the deadline.
struct Line<'a> {
    talk: Talk<'a>,
    socket: Socket,
}

impl Line<'_> {
    fn arm(&self) -> io::Result<()> {
        self.talk.arm(&self.socket).map_err(|_late| io::ErrorKind::TimedOut.into())
    }

    /// What an error of the stream means.
    fn failed(&self, error: io::Error, when: &'static str) -> SessionError {
        let address = self.talk.address.clone();
        if is_timeout(&error) {
            return self.talk.timed_out().into();
        }
        let orderly = error.kind() == io::ErrorKind::UnexpectedEof;
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(source) => SessionError::Tls { address, source: source.clone() },
            None => SessionError::Closed { address, when, source: (!orderly).then_some(error) },
        }
    }
}

impl Read for Line<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.arm()?;
        let count = self.socket.read(buffer)?;
        self.talk.got += count;
        Ok(count)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.arm()?;
        self.socket.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}
