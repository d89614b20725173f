//! TLS over one connection, with a deadline for each whole step and a budget of bytes
//! for the whole session, so that neither a slow nor a chatty peer holds it.
//!
//! What the owner sends is decrypted by `rustls` in buffers of its own, which cannot be
//! wiped from here: a release may stay in freed memory of PID 1 until that is used
//! again, at the latest until the kernel takes it back at the hand-over (where
//! `init_on_free` or `init_on_alloc` wipe it). From there on, it is in buffers that wipe
//! themselves and never grow.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::release::{FRAME_HEAD, FrameType, ReleaseError, frame, read_frame_head};
use rustix::event::PollFlags;
use rustls::{ServerConfig, ServerConnection};
use zeroize::Zeroizing;

use super::control::Control;
use super::socket::Socket;

/// Why a session is over before its last status.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// The owner, or who it was, went away.
    #[error("the peer closed the connection")]
    Closed,
    /// A step took too long.
    #[error("the peer took too long")]
    Late,
    /// Given up for another session, or serving is over.
    #[error("the session was given up")]
    Stopped,
    /// More bytes than any owner sends.
    #[error("the peer sent more than any owner does")]
    TooMuch,
    /// No TLS 1.3 of this protocol.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The other protocol, or none, was agreed on.
    #[error("the peer does not speak this protocol (ALPN)")]
    Alpn,
    /// Not the frame that comes next.
    #[error(transparent)]
    Frame(#[from] ReleaseError),
    /// From the system.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// One session.
pub(super) struct Channel {
    socket: Socket,
    tls: ServerConnection,
    control: Arc<Control>,
    budget: usize,
}

impl Channel {
    /// `budget`: how many bytes the peer may send, TLS and all.
    pub(super) fn new(
        socket: Socket,
        config: Arc<ServerConfig>,
        control: Arc<Control>,
        budget: usize,
    ) -> Result<Self, End> {
        Ok(Self { socket, tls: ServerConnection::new(config)?, control, budget })
    }

    pub(super) fn handshake(&mut self, until: Instant) -> Result<(), End> {
        while self.tls.is_handshaking() {
            self.step(Some(until))?;
        }
        self.flush()?;
        // A client without ALPN gets so far; another protocol does not.
        let agreed = self.tls.alpn_protocol() == Some(protocol::release::ALPN);
        if agreed { Ok(()) } else { Err(End::Alpn) }
    }

    /// Keying material of this session (RFC 8446, section 7.5).
    pub(super) fn exporter(&self, label: &[u8]) -> Result<[u8; 32], End> {
        Ok(self.tls.export_keying_material([0; 32], label, None)?)
    }

    /// The content of the frame that has to come now.
    pub(super) fn receive(
        &mut self,
        kind: FrameType,
        until: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, End> {
        let mut head = [0; FRAME_HEAD];
        self.read_exact(&mut head, until)?;
        let mut content = Zeroizing::new(vec![0; read_frame_head(&head, kind)?]);
        self.read_exact(&mut content, until)?;
        Ok(content)
    }

    /// Sends a frame, whole.
    pub(super) fn send(
        &mut self,
        kind: FrameType,
        content: &[u8],
        until: Instant,
    ) -> Result<(), End> {
        let frame = frame(kind, content);
        let mut left = frame.as_slice();
        while !left.is_empty() {
            let taken = self.tls.writer().write(left)?;
            left = left.get(taken..).unwrap_or_default();
            self.flush()?;
            if taken == 0 {
                self.step(Some(until))?;
            }
        }
        while self.tls.wants_write() {
            self.step(Some(until))?;
        }
        Ok(())
    }

    /// Waits until there is something to do: the control was woken, or something was
    /// read or written.
    ///
    /// # Errors
    /// The session is over.
    pub(super) fn step(&mut self, until: Option<Instant>) -> Result<(), End> {
        self.flush()?;
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::IN, self.tls.wants_read());
        interest.set(PollFlags::OUT, self.tls.wants_write());
        if until.is_some_and(|until| until <= Instant::now()) {
            return Err(End::Late);
        }
        let ready = self.socket.wait(self.control.waker(), interest, until)?;
        if self.control.is_stopped() {
            return Err(End::Stopped);
        }
        if ready.readable {
            self.fill()?;
        } else if ready.broken {
            return Err(End::Closed);
        }
        if ready.writable { self.flush() } else { Ok(()) }
    }

    /// Whether the owner sent something where nothing has to come.
    pub(super) fn is_unread(&mut self) -> bool {
        self.tls.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
    }

    /// Says good-bye, and waits a little until the peer has closed: closing over what
    /// is unread would reset the connection, and the last status might be lost.
    pub(super) fn finish(mut self, within: Duration) {
        self.tls.send_close_notify();
        let until = Instant::now() + within;
        while self.tls.wants_write() && self.step(Some(until)).is_ok() {}
        self.socket.finish();
        let mut ignored = [0; 1024];
        loop {
            match self.socket.read(&mut ignored) {
                Ok(1..) => match self.budget.checked_sub(ignored.len()) {
                    Some(left) => self.budget = left,
                    None => return,
                },
                Err(error) if is_for_later(&error) => {}
                Ok(_) | Err(_) => return,
            }
            let ready = self.socket.wait(self.control.waker(), PollFlags::IN, Some(until));
            if Instant::now() >= until || ready.is_err() || self.control.is_stopped() {
                return;
            }
        }
    }

    fn read_exact(&mut self, buffer: &mut [u8], until: Instant) -> Result<(), End> {
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.tls.reader().read(rest) {
                Ok(0) => return Err(End::Closed),
                Ok(length) => read += length,
                Err(error) if is_for_later(&error) => self.step(Some(until))?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(End::Closed),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads once.
    fn fill(&mut self) -> Result<(), End> {
        let mut limited = (&mut self.socket).take(u64::try_from(self.budget).unwrap_or(u64::MAX));
        if self.budget == 0 {
            return Err(End::TooMuch);
        }
        match self.tls.read_tls(&mut limited) {
            Ok(0) => return Err(End::Closed),
            Ok(length) => self.budget = self.budget.saturating_sub(length),
            Err(error) if is_for_later(&error) => return Ok(()),
            Err(error) if is_gone(&error) => return Err(End::Closed),
            Err(error) => return Err(error.into()),
        }
        if let Err(error) = self.tls.process_new_packets() {
            // The alert that says why, if it can be sent at once.
            let _lost = self.flush();
            return Err(error.into());
        }
        Ok(())
    }

    /// Writes what goes without waiting.
    fn flush(&mut self) -> Result<(), End> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_for_later(&error) => return Ok(()),
                Err(error) if is_gone(&error) => return Err(End::Closed),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn is_gone(error: &io::Error) -> bool {
    let gone = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::ConnectionAborted];
    gone.contains(&error.kind())
}
