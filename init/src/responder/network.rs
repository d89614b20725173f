//! The network side: one thread, one `poll`, a table of connections of fixed
//! size, a buffer of fixed size for each.
//!
//! **Threat.** Anyone can connect, as often and as slowly as they like. A
//! connection that has not asked its whole question yet can be dropped for a
//! new one, oldest first, so that a thousand idle ones do not keep the owner
//! out. Those that have asked are few: reports are rationed ([`Bucket`]), and
//! everyone else is told [`Status::Busy`] at once.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use protocol::responder::{HEAD, MAGIC, MAX_BODY, QUESTION, Status, refusal};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};

use super::connection::{Connection, Phase};
use crate::bucket::{Bucket, REPORT_EVERY, REPORTS};

/// Connections at a time.
pub(super) const TABLE: usize = 64;

/// Connections that are taken in one turn, so that a flood of them does not
/// keep those in the table waiting.
const ACCEPTED_A_TURN: usize = 16;

/// How long to leave the listeners alone when the kernel gives no connection
/// for want of memory.
const NO_MEMORY: Duration = Duration::from_millis(100);

/// How long a whole question waits for the reporter, which has a deadline of
/// its own; then the answer is [`Status::Unavailable`].
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The network side, at work.
pub(super) struct Network<'a> {
    reporter: BorrowedFd<'a>,
    listeners: Vec<BorrowedFd<'a>>,
    table: Vec<Connection>,
    bucket: Bucket,
    /// Which connection the reporter is working for.
    asked: Option<u64>,
    next_id: u64,
    listen_again: Instant,
    message: Vec<u8>,
}

impl<'a> Network<'a> {
    /// Allocates all memory that it will use.
    pub(super) fn new(reporter: BorrowedFd<'a>, listeners: Vec<BorrowedFd<'a>>) -> Self {
        let now = Instant::now();
        Self {
            reporter,
            listeners,
            table: (0..TABLE).map(|_| Connection::free()).collect(),
            bucket: Bucket::full(REPORTS, REPORT_EVERY, now),
            asked: None,
            next_id: 0,
            listen_again: now,
            message: vec![0; 1 + MAX_BODY],
        }
    }

    /// Serves until the reporter is gone.
    ///
    /// # Errors
    /// From the system, of calls that no stranger can make fail.
    pub(super) fn serve(&mut self) -> io::Result<()> {
        let mut ready = Vec::with_capacity(TABLE);
        loop {
            let (reporter, listeners) = self.wait(&mut ready)?;
            let now = Instant::now();
            if reporter && !self.hear_reporter(now)? {
                return Ok(());
            }
            for index in ready.drain(..) {
                if let Some(connection) = self.table.get_mut(index) {
                    connection.turn(now);
                }
            }
            for connection in &mut self.table {
                connection.expire(now);
            }
            self.queue(now);
            if listeners {
                self.accept(now);
                self.queue(now);
            }
            if !self.ask()? {
                return Ok(());
            }
        }
    }

    /// Waits for something to do: whether the reporter has answered, whether
    /// somebody may be accepted, and which connections (into `ready`) can go on.
    fn wait(&self, ready: &mut Vec<usize>) -> io::Result<(bool, bool)> {
        let now = Instant::now();
        let listening = now >= self.listen_again;
        let mut until = (!listening).then_some(self.listen_again);
        let mut indices = Vec::with_capacity(TABLE);
        let mut fds = Vec::with_capacity(TABLE + 3);
        fds.push(PollFd::from_borrowed_fd(self.reporter, PollFlags::IN));
        for (index, connection) in self.table.iter().enumerate() {
            let Some((socket, flags, deadline)) = connection.interest() else { continue };
            indices.push(index);
            fds.push(PollFd::from_borrowed_fd(socket, flags));
            until = Some(until.map_or(deadline, |until| until.min(deadline)));
        }
        if listening {
            let flags = PollFlags::IN;
            fds.extend(self.listeners.iter().map(|fd| PollFd::from_borrowed_fd(*fd, flags)));
        }
        let timeout = until.map(|until| timespec(until.saturating_duration_since(now)));
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok((false, false)),
            Err(error) => return Err(error.into()),
        }
        let mut happened = fds.iter().map(|fd| !fd.revents().is_empty());
        let reporter = happened.next().unwrap_or(false);
        ready.extend(indices.iter().zip(happened.by_ref()).filter_map(|(i, is)| is.then_some(*i)));
        // `zip` takes from its first side first, so that it stops without
        // taking a listener's.
        let listeners = happened.any(|is| is);
        Ok((reporter, listeners))
    }

    /// Takes the reporter's answer to the connection that asked, if it is still
    /// there. False if the reporter is gone.
    fn hear_reporter(&mut self, now: Instant) -> io::Result<bool> {
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let length = match rustix::net::recv(self.reporter, &mut *self.message, flags) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(false),
            Ok((_, length)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let body = match self.message.get(..length).and_then(|message| message.split_first()) {
            Some((0, body)) if !body.is_empty() => Some(body),
            _ => None,
        };
        let asked = self.asked.take();
        let asker = |connection: &&mut Connection| asked.is_some_and(|id| connection.is(id));
        if let Some(connection) = self.table.iter_mut().find(asker) {
            match body {
                Some(body) => connection.answer(Status::Evidence, body, now),
                None => connection.answer(Status::Unavailable, &[], now),
            }
        }
        Ok(true)
    }

    /// Whole questions are rationed, in the order of the table.
    fn queue(&mut self, now: Instant) {
        for connection in &mut self.table {
            if !matches!(connection.phase, Phase::Question) {
                continue;
            }
            if self.bucket.take(now) {
                connection.wait(now + PATIENCE);
            } else {
                connection.answer(Status::Busy, &[], now);
            }
        }
    }

    /// Gives the reporter the oldest question, if it has none. False if the
    /// reporter is gone.
    fn ask(&mut self) -> io::Result<bool> {
        if self.asked.is_some() {
            return Ok(true);
        }
        let waiting = self.table.iter().filter_map(|c| Some((c.id, c.waiting()?)));
        let Some((id, nonce)) = waiting.min_by_key(|(id, _)| *id) else { return Ok(true) };
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match rustix::net::send(self.reporter, &nonce, flags) {
            Ok(_) => self.asked = Some(id),
            Err(Errno::PIPE | Errno::CONNRESET) => return Ok(false),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTED_A_TURN {
            let mut any = false;
            for index in 0..self.listeners.len() {
                let Some(listener) = self.listeners.get(index) else { continue };
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                match rustix::net::accept_with(listener, flags) {
                    Ok(socket) => {
                        any = true;
                        let Some(place) = self.place() else {
                            // All have asked: this one hears that at once.
                            let busy = refusal(Status::Busy);
                            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                            let _lost = rustix::net::send(&socket, &busy, flags);
                            // Closing over an unread question would take the
                            // answer back.
                            let mut question = [0; QUESTION];
                            let flags = RecvFlags::DONTWAIT;
                            let _lost = rustix::net::recv(&socket, &mut question, flags);
                            continue;
                        };
                        self.next_id += 1;
                        let id = self.next_id;
                        if let Some(connection) = self.table.get_mut(place) {
                            connection.begin(socket, id, now);
                            // Often the question is there already.
                            connection.turn(now);
                        }
                    }
                    // The error of a connection that has ended already.
                    Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => any = true,
                    Err(Errno::AGAIN) => {}
                    Err(_) => self.listen_again = now + NO_MEMORY,
                }
            }
            if !any {
                return;
            }
        }
    }

    /// A place for a new connection: a free one, or that of the oldest
    /// connection that has its answer or has not asked yet.
    fn place(&self) -> Option<usize> {
        let places = self.table.iter().enumerate();
        let rank = |connection: &Connection| match connection.phase {
            Phase::Free => Some(0),
            Phase::Answered => Some(1),
            Phase::Asking => Some(2),
            Phase::Question | Phase::Waiting | Phase::Answering => None,
        };
        let ranked = places.filter_map(|(index, c)| Some((rank(c)?, c.id, index)));
        ranked.min().map(|(_, _, index)| index)
    }
}

/// Rounded up, so that a deadline is over when the wait is.
fn timespec(duration: Duration) -> Timespec {
    let duration = duration + Duration::from_millis(1);
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: i64::from(duration.subsec_nanos()) }
}

/// The bytes of a whole answer at most.
pub(super) const ANSWER: usize = HEAD + MAX_BODY;

/// Whether `bytes` can still become a question.
pub(super) fn may_be_question(bytes: &[u8]) -> bool {
    bytes.iter().zip(MAGIC).all(|(is, wanted)| is == wanted)
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
