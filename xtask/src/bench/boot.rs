//! PID 1's time in QEMU next to the reference init's.
//!
//! An emulated processor is many times slower than a real one, and not equally
//! so in all things: only the ratios mean something.

use anyhow::Result;
use serde::Serialize;

use super::Benchmark;
use super::boot_log::Times;
use super::report::{self, Against, Goal, Quantity, Row};
use super::samples::{Boot, Log};
use super::statistics::median;

/// PID 1's own share of its time.
const OWN_SHARE: Goal = Goal::AtMost(0.25);

/// Where a step's time went, median of all boots, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct StepTime {
    name: String,
    usual: f64,
    quiet: f64,
}

type Part = fn(&Times) -> f64;

const PARTS: [(&str, Part); 5] = [
    ("PID 1, first instruction to hand-over", |times| times.total),
    ("of that, loading modules", |times| times.modules),
    ("of that, waiting for disks", |times| times.disks),
    ("of that, PID 1's own", |times| times.own),
    ("kernel starts `/init` to first line of the real init", |times| times.between_inits),
];

pub(crate) fn rows(boot: &Boot) -> Result<Vec<Row>> {
    let ours = times(&boot.ours, "ravelin")?;
    let quiet = times(&boot.quiet, "ravelin")?;
    let reference = times(&boot.reference, "reference")?;
    let mut rows = Vec::new();
    for (what, part) in PARTS {
        rows.extend(against_reference(what, part, &ours, &reference));
    }
    rows.extend(share("PID 1's own share", &ours, Some(OWN_SHARE)));
    rows.extend(share("PID 1's own share, `quiet`", &quiet, None));
    Ok(rows)
}

/// The steps of PID 1, with and without lines on the console.
pub(crate) fn steps(boot: &Boot) -> Result<Vec<StepTime>> {
    let ours = times(&boot.ours, "ravelin")?;
    let quiet = times(&boot.quiet, "ravelin")?;
    let names = ours.first().map(|times| times.steps.as_slice()).unwrap_or_default();
    let step = |name: &str, boots: &[Times]| {
        let of = |times: &Times| {
            times.steps.iter().find(|(step, _)| step == name).map_or(0.0, |(_, ms)| *ms)
        };
        median(boots.iter().map(of)).unwrap_or_default()
    };
    let time = |(name, _): &(String, f64)| StepTime {
        name: name.clone(),
        usual: step(name, &ours),
        quiet: step(name, &quiet),
    };
    Ok(names.iter().map(time).collect())
}

pub(crate) fn step_table(steps: &[StepTime]) -> String {
    let sum = StepTime {
        name: "sum of the medians".to_owned(),
        usual: steps.iter().map(|step| step.usual).sum(),
        quiet: steps.iter().map(|step| step.quiet).sum(),
    };
    let row = |step: &StepTime| {
        vec![described(&step.name), format!("{:.1}", step.usual), format!("{:.1}", step.quiet)]
    };
    let rows: Vec<Vec<String>> = steps.iter().chain([&sum]).map(row).collect();
    report::markdown(&["step, up to its line in the log", "usual", "`quiet`"], &rows)
}

fn times(logs: &[Log], program: &str) -> Result<Vec<Times>> {
    logs.iter().map(|log| Times::read(log, program)).collect()
}

fn against_reference(what: &str, part: Part, ours: &[Times], reference: &[Times]) -> Option<Row> {
    let (ours, reference) = (median(ours.iter().map(part))?, median(reference.iter().map(part))?);
    Some(Row {
        benchmark: Benchmark::Boot,
        what: what.to_owned(),
        measured: Quantity::Milliseconds(ours),
        against: Some(Against {
            what: "reference init".to_owned(),
            quantity: Quantity::Milliseconds(reference),
        }),
        // Two times of less than a millisecond have none.
        ratio: (reference >= 1.0).then(|| ours / reference),
        goal: None,
    })
}

fn share(what: &str, boots: &[Times], goal: Option<Goal>) -> Option<Row> {
    Some(Row {
        benchmark: Benchmark::Boot,
        what: what.to_owned(),
        measured: Quantity::Milliseconds(median(boots.iter().map(|times| times.own))?),
        against: Some(Against {
            what: "all of its time".to_owned(),
            quantity: Quantity::Milliseconds(median(boots.iter().map(|times| times.total))?),
        }),
        ratio: median(boots.iter().map(|times| times.own / times.total)),
        goal,
    })
}

fn described(step: &str) -> String {
    match step {
        "mounts" => "mounts (and the start of PID 1 itself)".to_owned(),
        "real init" => "first line of the real init".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(program: &str, own: u64) -> Log {
        vec![
            (0, "Run /init as init process".to_owned()),
            (2000, format!("{program}: [    2 ms] mounts: all")),
            (
                100_000,
                format!(
                    "{program}: [  100 ms] hand-over: /sbin/init \
                     (modules 60 ms, disks 0 ms, own {own} ms)"
                ),
            ),
            (110_000, "real init: it runs".to_owned()),
        ]
    }

    fn boots() -> Boot {
        Boot {
            ours: vec![boot("ravelin", 20), boot("ravelin", 30), boot("ravelin", 10)],
            quiet: vec![boot("ravelin", 15)],
            reference: vec![boot("reference", 10)],
        }
    }

    #[test]
    fn the_share_is_of_the_median_boot() {
        let rows = rows(&boots()).unwrap();
        let own = rows.iter().find(|row| row.what == "PID 1's own share").unwrap();
        assert_eq!(own.ratio, Some(0.25));
        assert_eq!(own.met(), Some(true));
        let disks = rows.iter().find(|row| row.what.contains("disks")).unwrap();
        assert_eq!(disks.ratio, None, "0 / 0");
    }

    #[test]
    fn the_steps_are_in_their_order() {
        let steps = steps(&boots()).unwrap();
        let times: Vec<(&str, f64)> =
            steps.iter().map(|step| (step.name.as_str(), step.usual)).collect();
        assert_eq!(times, [("mounts", 2.0), ("hand-over", 98.0), ("real init", 10.0)]);
    }
}
