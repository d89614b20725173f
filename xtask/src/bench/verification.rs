//! Verified reports a second on one core, with a chain that was validated
//! before, against the bare P-384 signature; and what other implementations of
//! it would give.
//!
//! The samples are taken by `attestation/benches/verification.rs`, with all
//! implementations in one run and in turns.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::Benchmark;
use super::report::{Against, Goal, Quantity, Row};
use super::samples::Rate;
use crate::command;
use crate::project::Project;

/// Of the signature's rate.
const OF_THE_SIGNATURE: Goal = Goal::AtLeast(0.85);

/// What stands first: the implementation in use.
const IN_USE: &str = "ring (in use), raw";

/// The one that has the goal.
const WHOLE: &str = "whole verification, warm chain";

pub(crate) fn measure(project: &Project) -> Result<Vec<Rate>> {
    let mut cargo = project.cargo();
    cargo.args(["bench", "--quiet", "--package", "attestation", "--bench", "verification"]);
    cargo.args(["--features", "bench-alternatives", "--", "--json"]);
    let lines = command::stdout(cargo.stdin(Stdio::null()))?;
    let rates: Vec<Rate> = lines
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).with_context(|| format!("read {line}")))
        .collect::<Result<_>>()?;
    for name in [IN_USE, WHOLE] {
        ensure!(rates.iter().any(|rate| rate.name == name), "the benchmark has no '{name}'");
    }
    Ok(rates)
}

pub(crate) fn rows(rates: &[Rate]) -> Vec<Row> {
    let raw = rates.iter().find(|rate| rate.name == IN_USE).map(|rate| rate.per_second);
    rates
        .iter()
        .map(|rate| Row {
            benchmark: Benchmark::Verification,
            what: format!("report signatures on one core: {}", rate.name),
            measured: Quantity::PerSecond(rate.per_second),
            against: raw
                .filter(|_| rate.name != IN_USE)
                .map(|raw| Against { what: IN_USE.to_owned(), quantity: Quantity::PerSecond(raw) }),
            ratio: (rate.name != IN_USE).then_some(rate.of_raw),
            goal: (rate.name == WHOLE).then_some(OF_THE_SIGNATURE),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_has_the_goal_and_the_alternatives_none() {
        let rate = |name: &str, of_raw| Rate { name: name.to_owned(), per_second: 100.0, of_raw };
        let rows = rows(&[rate(IN_USE, 1.0), rate(WHOLE, 0.84), rate("other, raw", 2.0)]);
        let met: Vec<_> = rows.iter().map(Row::met).collect();
        assert_eq!(met, [None, Some(false), None]);
    }
}
