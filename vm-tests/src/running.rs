//! A virtual machine that runs: watched over QMP and its console, and ended by
//! its process id, whatever happens.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::qmp::{Event, Listener};
use crate::slot::Slot;
use crate::{Console, OrFail, Outcome, Stop, WorkDir};

/// QEMU opens QMP before it starts the machine; the simulator may make its RSA keys
/// before, which takes long on a busy machine.
const CONNECTION_LIMIT: Duration = Duration::from_secs(180);

/// `ravelin launch` gives QEMU 5 seconds between SIGTERM and SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How often the console is looked at while a line is waited for.
const CONSOLE_INTERVAL: Duration = Duration::from_millis(50);

/// A virtual machine that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    console: PathBuf,
    events: Receiver<Event>,
    started: Instant,
    deadline: Instant,
    stop: Option<Stop>,
    work: Arc<WorkDir>,
    // Last, so that the slot is given back after the machine has ended.
    _slot: Slot,
}

impl Running {
    pub(crate) fn start(
        mut command: Command,
        console: PathBuf,
        listener: Listener,
        time_limit: Duration,
        work: WorkDir,
        slot: Slot,
    ) -> Self {
        let errors = File::create(work.join("qemu.log")).or_fail("create qemu.log");
        let output = errors.try_clone().or_fail("share qemu.log");
        let started = Instant::now();
        let mut child = command
            .stdout(output)
            .stderr(errors)
            .stdin(Stdio::null())
            .spawn()
            .or_fail("start QEMU: is qemu-system-x86 installed?");
        let Some(events) = listener.accept(CONNECTION_LIMIT) else {
            let _gone = child.kill();
            let _gone = child.wait();
            panic!("QEMU did not start:\n{}", read(&work.join("qemu.log")));
        };
        Self {
            child,
            console,
            events,
            started,
            deadline: Instant::now() + time_limit,
            stop: None,
            work: Arc::new(work),
            _slot: slot,
        }
    }

    /// Fails the test if the machine has stopped or its time is up.
    ///
    /// # Panics
    /// If one of the two is so.
    #[track_caller]
    pub fn check(&mut self, waiting_for: &str) {
        let (ended, late) = (self.has_ended(), Instant::now() >= self.deadline);
        let what = if ended { "ended" } else { "ran out of time" };
        assert!(
            !ended && !late,
            "the machine {what} after {:?}; waiting for {waiting_for}\nconsole:\n{}",
            self.started.elapsed(),
            self.console()
        );
    }

    /// What the machine has said so far.
    #[must_use]
    pub fn console(&self) -> Console {
        Console::read(&self.console)
    }

    /// Waits until a console line has `part` in it, and returns that line.
    ///
    /// # Panics
    /// If the machine stops, or its time is up, before that.
    #[track_caller]
    pub fn wait_for(&mut self, part: &str) -> String {
        loop {
            if let Some(line) = self.look_for(part) {
                return line;
            }
            self.check(part);
        }
    }

    /// The same; `None` if the machine stops, or its time is up, before that.
    pub fn look_for(&mut self, part: &str) -> Option<String> {
        loop {
            // Looked at before the console: what is said last is not missed.
            let ended = self.has_ended();
            if let Some(line) = self.console().lines().find(|line| line.contains(part)) {
                return Some(line.to_owned());
            }
            if ended || Instant::now() >= self.deadline {
                return None;
            }
            thread::sleep(CONSOLE_INTERVAL);
        }
    }

    /// Waits for the machine's end, or ends it when its time is up.
    ///
    /// # Panics
    /// If QEMU cannot be waited for.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        while self.stop.is_none() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => self.note(&event),
                Err(RecvTimeoutError::Timeout) => self.stop = Some(Stop::TimeLimit),
                Err(RecvTimeoutError::Disconnected) => self.stop = Some(Stop::Qemu),
            }
        }
        let elapsed = self.started.elapsed();
        // After a SHUTDOWN event QEMU ends by itself, and flushes the console.
        if self.stop != Some(Stop::TimeLimit) {
            self.wait_for_exit();
        }
        self.kill();
        Outcome {
            stop: self.stop.unwrap_or(Stop::Qemu),
            console: self.console(),
            elapsed,
            qemu: read(&self.work.join("qemu.log")),
            _work: Arc::clone(&self.work),
        }
    }

    /// The same, with a new limit from now on.
    ///
    /// # Panics
    /// If QEMU cannot be waited for.
    #[must_use]
    pub fn finish_within(mut self, limit: Duration) -> Outcome {
        self.deadline = Instant::now() + limit;
        self.finish()
    }

    /// The directory of this machine, removed with it.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        self.work.path()
    }

    fn has_ended(&mut self) -> bool {
        while let Ok(event) = self.events.try_recv() {
            self.note(&event);
        }
        self.stop.is_some()
    }

    fn note(&mut self, event: &Event) {
        let stop = match event {
            Event::GuestPanicked => Stop::Panic,
            Event::Shutdown(reason) => match reason.as_str() {
                "guest-shutdown" => Stop::PowerOff,
                "guest-reset" => Stop::Reset,
                "guest-panic" => Stop::Panic,
                _ => Stop::Qemu,
            },
            Event::Closed => Stop::Qemu,
        };
        // The first one is the cause, later ones follow from it.
        self.stop.get_or_insert(stop);
    }

    fn wait_for_exit(&mut self) {
        let limit = Instant::now() + Duration::from_secs(10);
        while Instant::now() < limit {
            match self.events.recv_timeout(limit.saturating_duration_since(Instant::now())) {
                Ok(Event::Closed) | Err(_) => break,
                Ok(Event::GuestPanicked | Event::Shutdown(_)) => {}
            }
        }
        // Its sockets are closed: the end is near.
        while Instant::now() < limit && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the process: politely, because `ravelin launch` has a QEMU to end.
    fn kill(&mut self) {
        let limit = Instant::now() + KILL_LIMIT;
        if !matches!(self.child.try_wait(), Ok(None)) {
            // Waited for: its id may be another process's by now.
            return;
        }
        let _has_ended = kill_process(Pid::from_child(&self.child), Signal::TERM);
        while Instant::now() < limit && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        let _has_ended = self.child.kill();
        let _has_ended = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("console:\n{}", self.console());
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
