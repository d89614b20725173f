//! What other threads may do to a session: wake it, tell it something, end it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::release::Status;
use rustix::event::{EventfdFlags, eventfd};

use crate::reports::RawReport;

/// How far a session has come. What has come less far is given up first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Stage {
    /// No TLS session yet, or no evidence.
    New = 0,
    /// It got evidence, which costs a report.
    Attested = 1,
    /// A listed owner signed. Such a session is never given up for another.
    Signed = 2,
}

/// Wakes a thread that polls.
pub(super) struct Waker(OwnedFd);

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(super) fn wake(&self) {
        // Full (EAGAIN) is awake too.
        let _awake = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Takes the wake-ups so far.
    pub(super) fn clear(&self) {
        let _none = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The outside of a session.
pub(super) struct Control {
    waker: Waker,
    stage: AtomicU8,
    stopped: AtomicBool,
    ending: AtomicBool,
    post: Mutex<Post>,
}

#[derive(Default)]
struct Post {
    status: Option<Status>,
    report: Option<Result<RawReport, String>>,
}

impl Control {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            waker: Waker::new()?,
            stage: AtomicU8::new(Stage::New as u8),
            stopped: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            post: Mutex::default(),
        })
    }

    pub(super) const fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::New,
            1 => Stage::Attested,
            _ => Stage::Signed,
        }
    }

    pub(super) fn reach(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Ends the session where it is.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Ends the session after what it was told already.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        if self.stage() < Stage::Signed {
            self.stop();
        }
        self.waker.wake();
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// A status for the owner. The newest counts, but nothing follows the last one.
    pub(super) fn tell(&self, status: &Status) {
        let mut post = self.post();
        if !post.status.as_ref().is_some_and(Status::is_final) {
            post.status = Some(status.clone());
        }
        drop(post);
        self.waker.wake();
    }

    /// What it was told.
    pub(super) fn told(&self) -> Option<Status> {
        self.post().status.take()
    }

    /// The answer to its question for a report.
    pub(super) fn answer(&self, report: Result<RawReport, String>) {
        self.post().report = Some(report);
        self.waker.wake();
    }

    /// The answer, once.
    pub(super) fn answered(&self) -> Option<Result<RawReport, String>> {
        self.post().report.take()
    }

    fn post(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
