//! What ssh waits for when it asks `ravelin` for the keys of an attested VM, next to
//! asking the VM itself and believing it.

use super::Benchmark;
use super::report::{Against, Goal, Quantity, Row};
use super::samples::KnownHosts;
use super::statistics::median;

pub(crate) fn rows(rounds: &[KnownHosts]) -> Vec<Row> {
    let row = |what: &str, time: fn(&KnownHosts) -> f64| {
        let milliseconds = |of: fn(&KnownHosts) -> f64| {
            median(rounds.iter().map(|round| of(round) * 1e3)).map(Quantity::Milliseconds)
        };
        Some(Row {
            benchmark: Benchmark::Unlock,
            what: format!("`ravelin ssh-known-hosts` of a VM in QEMU, {what}"),
            measured: milliseconds(time)?,
            against: Some(Against {
                what: "`ssh-keyscan`, times its time".to_owned(),
                quantity: milliseconds(|round| round.keyscan)?,
            }),
            ratio: median(rounds.iter().map(|round| time(round) / round.keyscan)),
            goal: Some(Goal::Less),
        })
    };
    [
        row("nothing remembered", |round| round.cold),
        row("verdict remembered", |round| round.remembered),
    ]
    .into_iter()
    .flatten()
    .collect()
}
