//! What one of the project's own targets has to do in a scenario.

use std::time::Duration;

use serde::Deserialize;

use crate::{Outcome, Running, Stop};

/// What has to be observed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// How it ends.
    pub end: End,
    /// What has to be on the console besides.
    #[serde(default)]
    pub said: Vec<String>,
    /// What must not be there.
    #[serde(default)]
    pub never: Vec<String>,
    /// Words on the command line that let the target show what became of it: no part of
    /// what the host does.
    pub words: Option<String>,
    /// Options of the kernel that this takes; without them another thing happens, which is
    /// not judged.
    #[serde(default, rename = "built-with")]
    pub built_with: Vec<String>,
}

/// How a VM of the project's ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum End {
    /// PID 1 refuses, by name, and stops the machine. Nothing else was started.
    Refused {
        /// The step of the boot.
        step: String,
        /// The code of `docs/boot-failures.md`.
        code: String,
        /// How the machine stops.
        #[serde(default)]
        stop: Stop,
    },
    /// The kernel panics with these words, and the machine resets; the real init did not
    /// come to its end.
    Panics(String),
    /// The real init runs, and all that it finds is what it should be. Whether the launch
    /// measurement is the owner's.
    Boots(Measurement),
    /// It waits for ever, and nothing of the root runs: as much as a host reaches by
    /// not running the VM.
    Waits {
        /// The last thing on the console.
        after: String,
        /// How long nothing more happens.
        seconds: u64,
    },
}

/// Whether what was launched is what the owner measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measurement {
    /// It is: the host has achieved nothing.
    Same,
    /// It is not: the guest does what it was changed to, and its report says so.
    Other,
}

impl Expectation {
    /// Lets the machine come to its end, or to where it waits.
    ///
    /// # Panics
    /// If it should wait and stops before that.
    #[must_use]
    #[track_caller]
    pub fn finish(&self, mut machine: Running) -> Outcome {
        let End::Waits { after, seconds } = &self.end else { return machine.finish() };
        machine.wait_for(after);
        machine.finish_within(Duration::from_secs(*seconds))
    }

    /// Fails the test if something else is observed.
    ///
    /// # Panics
    /// If so.
    #[track_caller]
    pub fn assert(&self, outcome: &Outcome) {
        match &self.end {
            End::Refused { step, code, stop } => {
                outcome.refused_then(step, code, *stop);
            }
            End::Panics(words) => {
                outcome.stopped(Stop::Reset).said(words);
                outcome.never_said("PROBE end=").never_said("ravelin: FAILED");
            }
            End::Boots(_) => {
                outcome.booted();
            }
            End::Waits { .. } => {
                outcome.stopped(Stop::TimeLimit).never_said("PROBE ");
            }
        }
        for said in &self.said {
            outcome.said(said);
        }
        for never in &self.never {
            outcome.never_said(never);
        }
    }
}

/// For the table of the scenarios.
impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Refused { step, code, stop } => {
                write!(f, "refused: `{step}` / `{code}`, {stop}")
            }
            End::Panics(_) => write!(f, "kernel panic, {}", Stop::Reset),
            End::Boots(Measurement::Same) => f.write_str("boots unharmed, as measured"),
            End::Boots(Measurement::Other) => f.write_str("boots under another measurement"),
            End::Waits { .. } => f.write_str("waits; nothing is started"),
        }
    }
}
