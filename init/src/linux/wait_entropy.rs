//! Waiting for the kernel's random generator.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use rustix::rand::{GetRandomFlags, getrandom};

/// Waits until getrandom(2) answers; false if `until` came first.
///
/// The wait is a blocking call in a thread, because only that makes the kernel
/// gather jitter by itself; polling `/dev/random` does not. A thread that is
/// left behind at the deadline ends with the machine.
pub(super) fn wait(until: Instant) -> io::Result<bool> {
    let mut byte = [0; 1];
    if getrandom(&mut byte[..], GetRandomFlags::NONBLOCK).is_ok() {
        return Ok(true);
    }
    let (ready, wait) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let mut byte = [0; 1];
        let result =
            rustix::io::retry_on_intr(|| getrandom(&mut byte[..], GetRandomFlags::empty()));
        let _nobody_waits = ready.send(result);
    })?;
    match wait.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error)) => Err(error.into()),
        Err(RecvTimeoutError::Timeout) => Ok(false),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the waiting thread ended")),
    }
}
