//! How a virtual machine ended, and what a test may expect of that.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::{Console, WorkDir};

/// How a virtual machine stopped; QEMU's own word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// The guest switched the machine off.
    #[default]
    PowerOff,
    /// The guest reset the machine: a reboot, or a panic with `panic=-1`.
    Reset,
    /// The guest's panic, said by a pvpanic device.
    Panic,
    /// It still ran when the time was up.
    TimeLimit,
    /// QEMU ended for a reason of its own.
    Qemu,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stop::PowerOff => "power-off",
            Stop::Reset => "reset",
            Stop::Panic => "panic",
            Stop::TimeLimit => "time limit",
            Stop::Qemu => "end of QEMU",
        })
    }
}

/// A virtual machine that has ended.
#[derive(Debug)]
pub struct Outcome {
    /// How it stopped.
    pub stop: Stop,
    /// What it said.
    pub console: Console,
    /// From its start to its end.
    pub elapsed: Duration,
    /// What QEMU itself said.
    pub qemu: String,
    /// Holds the console log, for as long as a test may still fail.
    pub(crate) _work: Arc<WorkDir>,
}

impl Outcome {
    /// Asserts how it stopped.
    ///
    /// # Panics
    /// If it stopped in another way.
    #[track_caller]
    pub fn stopped(&self, stop: Stop) -> &Self {
        assert!(
            self.stop == stop,
            "expected {stop:?}, but the machine stopped by {:?} after {:?}\n{}\nconsole:\n{}",
            self.stop,
            self.elapsed,
            self.qemu,
            self.console
        );
        self
    }

    /// Asserts that a console line has `part` in it.
    ///
    /// # Panics
    /// If none has.
    #[track_caller]
    pub fn said(&self, part: &str) -> &Self {
        assert!(self.console.contains(part), "nobody said {part:?}\nconsole:\n{}", self.console);
        self
    }

    /// Asserts that no console line has `part` in it.
    ///
    /// # Panics
    /// If one has.
    #[track_caller]
    pub fn never_said(&self, part: &str) -> &Self {
        assert!(!self.console.contains(part), "somebody said {part:?}\nconsole:\n{}", self.console);
        self
    }

    /// Asserts that PID 1 refused at `step` with exactly `code`, said nothing
    /// else of the kind, started nothing and switched the machine off.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn refused(&self, step: &str, code: &str) -> &Self {
        self.refused_then(step, code, Stop::PowerOff)
    }

    /// The same, with another end than power-off.
    ///
    /// # Panics
    /// If PID 1 did not refuse, or the machine stopped in another way.
    #[track_caller]
    pub fn refused_then(&self, step: &str, code: &str, stop: Stop) -> &Self {
        self.stopped(stop);
        let expected = format!("step={step} code={code}");
        let refusals = self.console.refusals();
        assert!(
            refusals == [expected.as_str()],
            "expected a refusal with {expected}, found {refusals:?}\nconsole:\n{}",
            self.console
        );
        self.never_said("PROBE ")
    }

    /// Asserts that the machine booted, and was switched off by what it booted.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn booted(&self) -> &Self {
        self.stopped(Stop::PowerOff).said("PROBE end=").never_said("ravelin: FAILED")
    }
}
