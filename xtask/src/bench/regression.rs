//! What has become worse since the last results that were written down.
//!
//! Only ratios are compared: both sides of one ran in the same run, so another machine
//! changes them little. How much worse is too much depends on what was measured.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Benchmark;
use super::report::{Goal, Quantity, Row};
use crate::project::Project;

const FILE: &str = "docs/performance.json";

/// The ratios of the last run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Last {
    ratios: Vec<Ratio>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Ratio {
    benchmark: Benchmark,
    /// [`Row::name`].
    name: String,
    ratio: f64,
}

/// Reads what [`write()`] has written.
pub(crate) fn read(project: &Project) -> Result<Last> {
    let text = fs::read_to_string(project.root.join(FILE))
        .with_context(|| format!("read {FILE}: `--write-docs` makes it"))?;
    serde_json::from_str(&text).with_context(|| format!("read {FILE}"))
}

/// Keeps the ratios of this run for the next ones.
pub(crate) fn write(project: &Project, rows: &[Row]) -> Result<()> {
    let mut text = serde_json::to_string_pretty(&Last::of(rows)).context("write JSON")?;
    text.push('\n');
    fs::write(project.root.join(FILE), text).with_context(|| format!("write {FILE}"))
}

impl Last {
    fn of(rows: &[Row]) -> Self {
        let ratio = |row: &Row| {
            let ratio = row.ratio.filter(|_| row.goal.is_some())?;
            Some(Ratio {
                benchmark: row.benchmark,
                name: row.name(),
                ratio: (ratio * 1e4).round() / 1e4,
            })
        };
        Self { ratios: rows.iter().filter_map(ratio).collect() }
    }

    /// A line for each row of the benchmarks that were asked for that is worse than it was
    /// by more than its margin, or is not there any more.
    pub(crate) fn compare(&self, rows: &[Row], asked: impl Fn(Benchmark) -> bool) -> Vec<String> {
        let complaint = |last: &Ratio| {
            let Some(row) = rows.iter().find(|row| row.name() == last.name) else {
                return Some(format!("gone: {}", last.name));
            };
            let margin = margin(row.measured);
            (loss(row, last.ratio)? > margin).then(|| {
                let now = row.ratio.unwrap_or_default();
                format!(
                    "worse by more than {:.0} %: {}: {now:.3}, was {:.3}",
                    margin * 100.0,
                    last.name,
                    last.ratio
                )
            })
        };
        self.ratios.iter().filter(|last| asked(last.benchmark)).filter_map(complaint).collect()
    }
}

/// Times depend on what else the machine does, sizes on nothing but the toolchain.
fn margin(measured: Quantity) -> f64 {
    match measured {
        Quantity::Seconds(_) | Quantity::Milliseconds(_) | Quantity::PerSecond(_) => 0.15,
        Quantity::Memory(_) => 0.10,
        Quantity::Counted(_) | Quantity::Bytes(_) => 0.05,
    }
}

/// How much worse the ratio is than `last`, as a share of it; below zero if it is better.
/// A ratio that is not there any more has lost all.
fn loss(row: &Row, last: f64) -> Option<f64> {
    let Some(ratio) = row.ratio else { return Some(1.0) };
    match row.goal? {
        Goal::AtLeast(_) | Goal::More => Some(1.0 - ratio / last),
        Goal::AtMost(_) | Goal::Less => Some(ratio / last - 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Against;

    const MORE: Option<Goal> = Some(Goal::AtLeast(0.5));
    const LESS: Option<Goal> = Some(Goal::Less);

    fn row(what: &str, measured: Quantity, ratio: f64, goal: Option<Goal>) -> Row {
        let against = Some(Against { what: "another".to_owned(), quantity: measured });
        let (benchmark, what) = (Benchmark::Sizes, what.to_owned());
        Row { benchmark, what, measured, against, ratio: Some(ratio), goal }
    }

    fn compared(measured: Quantity, ratio: f64, goal: Option<Goal>) -> Vec<String> {
        let last = Last::of(&[row("it", measured, 2.0, goal)]);
        last.compare(&[row("it", measured, ratio, goal)], |_| true)
    }

    #[test]
    fn a_fifth_worse_is_told_and_noise_is_not() {
        let time = Quantity::Seconds(1.0);
        let told = compared(time, 1.6, MORE);
        assert_eq!(told, ["worse by more than 15 %: it, against another: 1.600, was 2.000"]);
        assert_eq!(compared(time, 2.4, LESS).len(), 1);
        for noise in [1.75, 1.99, 2.0, 2.25] {
            assert_eq!(compared(time, noise, MORE), [""; 0], "{noise}");
            assert_eq!(compared(time, noise, LESS), [""; 0], "{noise}");
        }
        assert_eq!(compared(time, 9.0, MORE), [""; 0], "better");
        assert_eq!(compared(time, 0.1, LESS), [""; 0], "better");
    }

    #[test]
    fn the_margin_is_that_of_what_was_measured() {
        let bounds = [
            (Quantity::Milliseconds(1.0), 0.15),
            (Quantity::PerSecond(1.0), 0.15),
            (Quantity::Memory(1), 0.10),
            (Quantity::Counted(1.0), 0.05),
            (Quantity::Bytes(1), 0.05),
        ];
        for (measured, margin) in bounds {
            let at = |change: f64| 2.0 * (1.0 + margin + change);
            assert_eq!(compared(measured, at(-0.001), LESS), [""; 0], "{measured:?}");
            assert_eq!(compared(measured, at(0.001), LESS).len(), 1, "{measured:?}");
        }
    }

    #[test]
    fn a_row_that_has_vanished_is_named_if_it_was_asked_for() {
        let last = Last::of(&[row("it", Quantity::Bytes(1), 2.0, LESS)]);
        let other = [row("other", Quantity::Bytes(1), 9.0, LESS)];
        assert_eq!(last.compare(&other, |_| true), ["gone: it, against another"]);
        assert_eq!(last.compare(&[], |benchmark| benchmark != Benchmark::Sizes), [""; 0]);
        let without = Row { ratio: None, ..row("it", Quantity::Bytes(1), 2.0, LESS) };
        assert_eq!(last.compare(&[without], |_| true).len(), 1, "its ratio has vanished");
    }

    #[test]
    fn only_rows_with_a_wish_are_kept() {
        let all =
            [row("it", Quantity::Bytes(1), 2.0, None), row("it", Quantity::Bytes(1), 2.0, LESS)];
        let last = Last::of(&all);
        assert_eq!(last.ratios.len(), 1);
        let text = serde_json::to_string(&last).unwrap();
        assert_eq!(serde_json::from_str::<Last>(&text).unwrap(), last);
    }
}
