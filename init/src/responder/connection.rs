//! One connection of the network side: 40 bytes in, an answer out, closed.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use protocol::report_data::Nonce;
use protocol::responder::{QUESTION, Status, read_question, refusal};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use super::network::{ANSWER, may_be_question};

/// For the whole question, from the first byte of the connection.
const TO_ASK: Duration = Duration::from_secs(5);

/// For taking the whole answer.
const TO_TAKE: Duration = Duration::from_secs(10);

/// For closing after the answer. What the peer still sends is thrown away until
/// then: closing over unread bytes would reset the connection, and the answer
/// might be lost on its way.
const TO_CLOSE: Duration = Duration::from_secs(1);

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No connection.
    Free,
    /// The question is not whole yet.
    Asking,
    /// It is; nobody has decided about it.
    Question,
    /// For the reporter.
    Waiting,
    /// The answer is on its way.
    Answering,
    /// The answer is given to the kernel.
    Answered,
}

/// A place in the table.
pub(super) struct Connection {
    socket: Option<OwnedFd>,
    /// Ascending in the order in which connections came.
    pub(super) id: u64,
    pub(super) phase: Phase,
    until: Instant,
    question: [u8; QUESTION],
    read: usize,
    answer: Vec<u8>,
    sent: usize,
}

impl Connection {
    pub(super) fn free() -> Self {
        Self {
            socket: None,
            id: 0,
            phase: Phase::Free,
            until: Instant::now(),
            question: [0; QUESTION],
            read: 0,
            answer: Vec::with_capacity(ANSWER),
            sent: 0,
        }
    }

    pub(super) fn begin(&mut self, socket: OwnedFd, id: u64, now: Instant) {
        self.close();
        self.socket = Some(socket);
        self.id = id;
        self.phase = Phase::Asking;
        self.until = now + TO_ASK;
    }

    fn close(&mut self) {
        self.socket = None;
        self.phase = Phase::Free;
        self.read = 0;
        self.sent = 0;
        self.answer.clear();
    }

    /// Whether it is connection number `id`, waiting for the reporter.
    pub(super) fn is(&self, id: u64) -> bool {
        self.id == id && self.phase == Phase::Waiting
    }

    /// What to wait for, and until when.
    pub(super) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags, Instant)> {
        let flags = match self.phase {
            Phase::Free => return None,
            Phase::Asking | Phase::Answered => PollFlags::IN,
            // Whether the peer is gone is always told.
            Phase::Question | Phase::Waiting => PollFlags::empty(),
            Phase::Answering => PollFlags::OUT,
        };
        Some((self.socket.as_ref()?.as_fd(), flags, self.until))
    }

    /// Goes on as far as it can without waiting.
    pub(super) fn turn(&mut self, now: Instant) {
        match self.phase {
            Phase::Asking => self.read(now),
            Phase::Answering => self.write(now),
            Phase::Answered => self.discard(),
            // Nothing is expected: the peer is gone.
            Phase::Free | Phase::Question | Phase::Waiting => self.close(),
        }
    }

    /// What happens when its time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.phase == Phase::Free || now < self.until {
            return;
        }
        if self.phase == Phase::Waiting {
            self.answer(Status::Unavailable, &[], now);
        } else {
            self.close();
        }
    }

    /// The question may wait for the reporter until then.
    pub(super) fn wait(&mut self, until: Instant) {
        self.phase = Phase::Waiting;
        self.until = until;
    }

    /// Its nonce, if it waits for the reporter.
    pub(super) fn waiting(&self) -> Option<Nonce> {
        let nonce = read_question(&self.question).ok()?;
        (self.phase == Phase::Waiting).then_some(nonce)
    }

    /// Begins to send an answer; `body` goes with [`Status::Evidence`].
    pub(super) fn answer(&mut self, status: Status, body: &[u8], now: Instant) {
        self.answer.clear();
        self.answer.extend_from_slice(&refusal(status));
        if let (Some(length), Ok(of)) = (self.answer.get_mut(12..16), u32::try_from(body.len())) {
            length.copy_from_slice(&of.to_be_bytes());
        }
        self.answer.extend_from_slice(body);
        self.sent = 0;
        self.phase = Phase::Answering;
        self.until = now + TO_TAKE;
        self.write(now);
    }

    fn read(&mut self, now: Instant) {
        let (Some(socket), Some(rest)) = (&self.socket, self.question.get_mut(self.read..)) else {
            return self.close();
        };
        match rustix::net::recv(socket, rest, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return self.close(),
            Ok((_, length)) => self.read += length,
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => return self.close(),
        }
        if !self.question.get(..self.read).is_some_and(may_be_question) {
            self.answer(Status::Malformed, &[], now);
        } else if self.read == QUESTION {
            self.phase = Phase::Question;
        }
    }

    fn write(&mut self, now: Instant) {
        let (Some(socket), Some(rest)) = (&self.socket, self.answer.get(self.sent..)) else {
            return self.close();
        };
        match rustix::net::send(socket, rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(length) => self.sent += length,
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => return self.close(),
        }
        if self.sent < self.answer.len() {
            return;
        }
        if rustix::net::shutdown(socket, Shutdown::Write).is_err() {
            return self.close();
        }
        self.phase = Phase::Answered;
        self.until = now + TO_CLOSE;
    }

    /// Throws away a buffer of what the peer sends after its answer.
    fn discard(&mut self) {
        let Some(socket) = &self.socket else { return self.close() };
        let mut ignored = [0; 4096];
        match rustix::net::recv(socket, &mut ignored, RecvFlags::DONTWAIT) {
            Ok((_, 1..)) | Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(_) | Err(_) => self.close(),
        }
    }
}
