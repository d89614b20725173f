//! What became of a target that nothing is known of but how it looks when it runs.

use std::fmt;

use serde::Serialize;

use super::{Elsewhere, Target};
use crate::{Outcome, Running, Stop};

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// The real system ran, with the attack.
    Booted,
    /// It refused, in its own words, and the machine was switched off.
    RefusedPowerOff,
    /// It refused, in its own words, and the machine was reset.
    RefusedReset,
    /// The machine was switched off without a word.
    PowerOff,
    /// The kernel panicked.
    Panic,
    /// The machine was reset for another reason.
    Reset,
    /// Neither was so when the time was up.
    Hang,
    /// QEMU did not run it.
    Qemu,
}

/// What that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The attack leads nowhere.
    Held,
    /// It leads nowhere, and the machine does not end: its owner learns nothing.
    Hung,
    /// The real system ran though it must not.
    Broken,
    /// The scenario means nothing here.
    NotApplicable,
    /// It would, but could not be run.
    NotRun,
}

impl Seen {
    /// Watches a machine until its real system runs, it ends, or its time is up.
    #[must_use]
    pub fn watch(mut machine: Running, target: &Target) -> (Self, Outcome) {
        let booted = machine.look_for(&target.booted).is_some();
        let outcome = match booted {
            // There is no more to be seen.
            true => machine.finish_within(std::time::Duration::ZERO),
            false => machine.finish(),
        };
        let refused = target.refused.as_ref().is_some_and(|text| outcome.console.contains(text));
        let seen = match (booted, outcome.stop) {
            (true, _) => Seen::Booted,
            (false, Stop::PowerOff) if refused => Seen::RefusedPowerOff,
            (false, Stop::PowerOff) => Seen::PowerOff,
            (false, Stop::Reset) if refused => Seen::RefusedReset,
            (false, Stop::Reset) if outcome.console.contains("Kernel panic") => Seen::Panic,
            (false, Stop::Reset) => Seen::Reset,
            (false, Stop::Panic) => Seen::Panic,
            (false, Stop::TimeLimit) => Seen::Hang,
            (false, Stop::Qemu) => Seen::Qemu,
        };
        (seen, outcome)
    }

    /// What it means in a scenario.
    #[must_use]
    pub const fn judged(self, acceptable: Elsewhere) -> Verdict {
        match (self, acceptable) {
            (Seen::Booted, Elsewhere::MustNotBoot) => Verdict::Broken,
            (Seen::Hang, _) => Verdict::Hung,
            (Seen::Qemu, _) => Verdict::NotRun,
            (
                Seen::Booted
                | Seen::RefusedPowerOff
                | Seen::RefusedReset
                | Seen::PowerOff
                | Seen::Panic
                | Seen::Reset,
                Elsewhere::MustNotBoot | Elsewhere::MayBoot,
            ) => Verdict::Held,
        }
    }

    /// In the table.
    #[must_use]
    pub const fn shown(self, acceptable: Elsewhere) -> &'static str {
        match (self, acceptable) {
            (Seen::Booted, Elsewhere::MustNotBoot) => "BOOTED WITH THE ATTACK",
            (Seen::Booted, Elsewhere::MayBoot) => "booted",
            (Seen::RefusedPowerOff, _) => "refused, power-off",
            (Seen::RefusedReset, _) => "refused, reset",
            (Seen::PowerOff, _) => "power-off",
            (Seen::Panic, _) => "kernel panic",
            (Seen::Reset, _) => "reset",
            (Seen::Hang, _) => "hang",
            (Seen::Qemu, _) => "QEMU did not run",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Held => "held",
            Verdict::Hung => "hung",
            Verdict::Broken => "BROKEN",
            Verdict::NotApplicable => "not applicable",
            Verdict::NotRun => "NOT RUN",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_boot_that_must_not_be_is_broken() {
        use Elsewhere::{MayBoot, MustNotBoot};

        assert_eq!(Seen::Booted.judged(MustNotBoot), Verdict::Broken);
        assert_eq!(Seen::Booted.judged(MayBoot), Verdict::Held);
        assert_eq!(Seen::Panic.judged(MustNotBoot), Verdict::Held);
        assert_eq!(Seen::Hang.judged(MayBoot), Verdict::Hung);
        assert_eq!(Seen::Qemu.judged(MustNotBoot), Verdict::NotRun);
    }
}
