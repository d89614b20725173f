//! Hash tree of 2 GiB: how near to the least that two cores can do, and how it
//! compares with `veritysetup format`.
//!
//! Each ratio is taken within a round, where all three had the same machine.

use super::Benchmark;
use super::report::{Against, Goal, Quantity, Row};
use super::samples::{Round, Spent, Verity};
use super::statistics::median;

/// Of the speed of SHA-256 alone.
const OF_THE_BOUND: Goal = Goal::AtLeast(0.75);

/// Times the speed of `veritysetup format`, which has one thread: what two
/// quiet cores were expected to give.
const TIMES_VERITYSETUP: Goal = Goal::AtLeast(2.3);

type Other = fn(&Round) -> Spent;
type Clock = fn(Spent) -> f64;

pub(crate) fn rows(verity: &Verity) -> Vec<Row> {
    let bound: (&str, Other) = ("SHA-256 alone, two threads", |round| round.bound);
    let veritysetup: (&str, Other) = ("`veritysetup format`", |round| round.veritysetup);
    let wall: (&str, Clock) = ("wall time", |spent| spent.wall);
    let cpu: (&str, Clock) = ("CPU time", |spent| spent.cpu);
    [
        row(verity, wall, bound, OF_THE_BOUND),
        row(verity, cpu, bound, OF_THE_BOUND),
        row(verity, wall, veritysetup, TIMES_VERITYSETUP),
        row(verity, cpu, veritysetup, Goal::More),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The ratio is of speeds: the other's time divided by ours.
fn row(
    verity: &Verity,
    (clock_name, clock): (&str, Clock),
    (other_name, other): (&str, Other),
    goal: Goal,
) -> Option<Row> {
    let rounds = || verity.rounds.iter();
    Some(Row {
        benchmark: Benchmark::Verity,
        what: format!("hash tree of {}, {clock_name}", Quantity::Bytes(verity.bytes)),
        measured: Quantity::Seconds(median(rounds().map(|round| clock(round.ours)))?),
        against: Some(Against {
            what: other_name.to_owned(),
            quantity: Quantity::Seconds(median(rounds().map(|round| clock(other(round))))?),
        }),
        ratio: median(rounds().map(|round| clock(other(round)) / clock(round.ours))),
        goal: Some(goal),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round on a machine that is `slow` times as slow.
    fn round(slow: f64) -> Round {
        let spent = |wall: f64, cpu: f64| Spent { wall: wall * slow, cpu };
        Round { ours: spent(1.0, 2.0), bound: spent(0.8, 1.6), veritysetup: spent(2.5, 2.5) }
    }

    #[test]
    fn rounds_on_a_busy_machine_change_no_ratio() {
        let verity = Verity { bytes: 2 << 30, rounds: vec![round(1.0), round(7.0), round(3.0)] };
        let rows = rows(&verity);
        let ratios: Vec<f64> = rows.iter().filter_map(|row| row.ratio).collect();
        let expected = [0.8, 0.8, 2.5, 1.25];
        assert!(ratios.iter().zip(expected).all(|(is, should)| (is - should).abs() < 1e-9));
        assert_eq!(rows[0].measured, Quantity::Seconds(3.0));
        assert!(rows.iter().all(|row| row.met() != Some(false)));
    }
}
