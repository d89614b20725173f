//! PID 1's time in QEMU next to the reference init's.
//!
//! An emulated processor is many times slower than a real one, and not equally
//! so in all things: only the ratios mean something. The boots that count
//! instructions show the work itself, without the emulator's own (it translates
//! code the first time, which is nearly always here) and without other programs'.

use anyhow::Result;
use serde::Serialize;

use super::Benchmark;
use super::boot_log::Times;
use super::report::{self, Against, Goal, Quantity, Row};
use super::samples::{Boot, Boots, Log};
use super::statistics::median;

/// PID 1's own share of its time.
const OWN_SHARE: Goal = Goal::AtMost(0.25);

/// Where a step's time went, median of all boots, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct StepTime {
    name: String,
    timed: f64,
    counted: f64,
}

type Part = fn(&Times) -> f64;
type Unit = fn(f64) -> Quantity;

/// The programs' clocks show whole milliseconds: what is shorter than this says too little
/// for a comparison with an earlier run.
const COMPARABLE: f64 = 20.0;

const PARTS: [(&str, Part); 5] = [
    ("first instruction to hand-over", |times| times.total),
    ("of that, loading modules", |times| times.modules),
    ("of that, waiting for disks", |times| times.disks),
    ("of that, own", |times| times.own),
    ("kernel starts `/init` to real init's first line", |times| times.between_inits),
];

pub(crate) fn rows(boot: &Boot) -> Result<Vec<Row>> {
    let mut rows = rows_of("PID 1", Quantity::Milliseconds, &boot.timed, OWN_SHARE)?;
    let counted = "PID 1, instructions counted";
    rows.extend(rows_of(counted, Quantity::Counted, &boot.counted, Goal::Less)?);
    Ok(rows)
}

fn rows_of(what: &str, unit: Unit, boots: &Boots, goal: Goal) -> Result<Vec<Row>> {
    let ours = times(&boots.ours, "ravelin")?;
    let reference = times(&boots.reference, "reference")?;
    let rows = PARTS.iter().map(|(name, part)| {
        against_reference(format!("{what}: {name}"), unit, *part, &ours, &reference)
    });
    Ok(rows.chain([share(format!("{what}: own share"), unit, &ours, goal)]).flatten().collect())
}

/// The steps of PID 1 in boots of the two kinds.
pub(crate) fn steps<'a>(
    timed: impl IntoIterator<Item = &'a Log>,
    counted: impl IntoIterator<Item = &'a Log>,
) -> Result<Vec<StepTime>> {
    let timed = times(timed, "ravelin")?;
    let counted = times(counted, "ravelin")?;
    let names = timed.first().map(|times| times.steps.as_slice()).unwrap_or_default();
    let step = |name: &str, boots: &[Times]| {
        let of = |times: &Times| {
            times.steps.iter().find(|(step, _)| step == name).map_or(0.0, |(_, ms)| *ms)
        };
        median(boots.iter().map(of)).unwrap_or_default()
    };
    let time = |(name, _): &(String, f64)| StepTime {
        name: name.clone(),
        timed: step(name, &timed),
        counted: step(name, &counted),
    };
    Ok(names.iter().map(time).collect())
}

pub(crate) fn step_table(steps: &[StepTime]) -> String {
    let sum = StepTime {
        name: "sum of the medians".to_owned(),
        timed: steps.iter().map(|step| step.timed).sum(),
        counted: steps.iter().map(|step| step.counted).sum(),
    };
    let row = |step: &StepTime| {
        vec![described(&step.name), format!("{:.1}", step.timed), format!("{:.1}", step.counted)]
    };
    let rows: Vec<Vec<String>> = steps.iter().chain([&sum]).map(row).collect();
    report::markdown(&["step, up to its line in the log", "timed", "counted"], &rows)
}

fn times<'a>(logs: impl IntoIterator<Item = &'a Log>, program: &str) -> Result<Vec<Times>> {
    logs.into_iter().map(|log| Times::read(log, program)).collect()
}

fn against_reference(
    what: String,
    unit: Unit,
    part: Part,
    ours: &[Times],
    reference: &[Times],
) -> Option<Row> {
    let (ours, reference) = (median(ours.iter().map(part))?, median(reference.iter().map(part))?);
    Some(Row {
        benchmark: Benchmark::Boot,
        what,
        measured: unit(ours),
        against: Some(Against { what: "reference init".to_owned(), quantity: unit(reference) }),
        // Two times of less than a millisecond have none.
        ratio: (reference >= 1.0).then(|| ours / reference),
        goal: (reference >= COMPARABLE).then_some(Goal::Less),
    })
}

fn share(what: String, unit: Unit, boots: &[Times], goal: Goal) -> Option<Row> {
    Some(Row {
        benchmark: Benchmark::Boot,
        what,
        measured: unit(median(boots.iter().map(|times| times.own))?),
        against: Some(Against {
            what: "all of its time".to_owned(),
            quantity: unit(median(boots.iter().map(|times| times.total))?),
        }),
        ratio: median(boots.iter().map(|times| times.own / times.total)),
        goal: Some(goal),
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
            timed: Boots {
                ours: vec![boot("ravelin", 20), boot("ravelin", 30), boot("ravelin", 10)],
                reference: vec![boot("reference", 10)],
            },
            counted: Boots {
                ours: vec![boot("ravelin", 5)],
                reference: vec![boot("reference", 10)],
            },
        }
    }

    #[test]
    fn the_share_is_of_the_median_boot() {
        let rows = rows(&boots()).unwrap();
        let own = rows.iter().find(|row| row.what == "PID 1: own share").unwrap();
        assert_eq!(own.ratio, Some(0.25));
        assert_eq!(own.met(), Some(true));
        let disks = rows.iter().find(|row| row.what.contains("disks")).unwrap();
        assert_eq!(disks.ratio, None, "0 / 0");
    }

    #[test]
    fn the_steps_are_in_their_order() {
        let boots = boots();
        let steps = steps(&boots.timed.ours, &boots.counted.ours).unwrap();
        let times: Vec<(&str, f64)> =
            steps.iter().map(|step| (step.name.as_str(), step.timed)).collect();
        assert_eq!(times, [("mounts", 2.0), ("hand-over", 98.0), ("real init", 10.0)]);
    }
}
