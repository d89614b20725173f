//! QEMU's own word for how a machine stopped, over QMP.
//!
//! QEMU connects to a socket that the harness listens on, so nothing has to be
//! polled and no event is missed. The harness sends only the greeting.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use tempfile::TempDir;

use crate::OrFail;

/// What QEMU says when a machine stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The guest reported a panic (pvpanic).
    GuestPanicked,
    /// The machine stops, for this reason.
    Shutdown(String),
    /// QEMU has ended.
    Closed,
}

/// A socket for one QEMU to connect to.
#[derive(Debug)]
pub(crate) struct Listener {
    // A path of its own: a socket's may have 107 bytes at most.
    directory: TempDir,
    listener: UnixListener,
}

impl Listener {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("ravelin-qmp-")
            .tempdir()
            .or_fail("make a directory for the QMP socket");
        let listener = UnixListener::bind(directory.path().join("socket")).or_fail("bind for QMP");
        Self { directory, listener }
    }

    /// Where QEMU should connect to.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Waits for QEMU and starts listening. `None` if it does not come.
    pub(crate) fn accept(self, limit: Duration) -> Option<Receiver<Event>> {
        let mut fds = [PollFd::new(&self.listener, PollFlags::IN)];
        let limit = Timespec::try_from(limit).or_fail("a time limit for QMP");
        if poll(&mut fds, Some(&limit)).or_fail("wait for QMP") == 0 {
            return None;
        }
        let (mut stream, _) = self.listener.accept().or_fail("accept QMP");
        stream.write_all(b"{\"execute\":\"qmp_capabilities\"}\n").ok()?;
        let (events, received) = mpsc::channel();
        thread::spawn(move || {
            read_events(stream, |event| drop(events.send(event)));
        });
        Some(received)
    }
}

fn read_events(stream: UnixStream, send: impl Fn(Event)) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Some(event) = parse(&line) {
            send(event);
        }
    }
    send(Event::Closed);
}

fn parse(line: &str) -> Option<Event> {
    let message: Value = serde_json::from_str(line).ok()?;
    match message.get("event")?.as_str()? {
        "SHUTDOWN" => Some(Event::Shutdown(message.pointer("/data/reason")?.as_str()?.to_owned())),
        "GUEST_PANICKED" => Some(Event::GuestPanicked),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_from_answers() {
        let line = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN",
            "data": {"guest": true, "reason": "guest-reset"}}"#;
        assert_eq!(parse(line), Some(Event::Shutdown("guest-reset".to_owned())));
        assert_eq!(parse(r#"{"QMP": {"version": {}}}"#), None);
        assert_eq!(parse(r#"{"return": {}}"#), None);
        assert_eq!(parse(r#"{"event": "RESET", "data": {"reason": "guest-reset"}}"#), None);
        assert_eq!(parse("nonsense"), None);
    }
}
