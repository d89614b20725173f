//! Launch measurement: `ravelin measure` against `sev-snp-measure`, and against
//! SHA-256 alone over the same files.

use super::Benchmark;
use super::report::{Against, Goal, Quantity, Row};
use super::samples::{Guest, GuestRound, Spent};
use super::statistics::median;

/// Times the speed of `sev-snp-measure`, where the files cost nothing.
const TIMES_THE_TOOL: Goal = Goal::AtLeast(20.0);

/// Times the time of SHA-256 alone, where the files are what costs.
const TIMES_SHA256: Goal = Goal::AtMost(1.1);

/// An initramfs from here on is large.
const LARGE: u64 = 64 << 20;

type Other = fn(&GuestRound) -> Spent;
type Clock = fn(Spent) -> f64;

pub(crate) fn rows(guests: &[Guest]) -> Vec<Row> {
    let rows = guests.iter().flat_map(|guest| {
        let large = guest.initrd >= LARGE;
        let speed: fn(f64, f64) -> f64 = |ours, theirs| theirs / ours;
        let time: fn(f64, f64) -> f64 = |ours, theirs| ours / theirs;
        let tool: (&str, Other) = ("`sev-snp-measure`, times its speed", |round| round.tool);
        let sha256: (&str, Other) =
            ("SHA-256 alone, one thread, times its time", |round| round.sha256);
        let wall: (&str, Clock) = ("wall time", |spent| spent.wall);
        let cpu: (&str, Clock) = ("CPU time", |spent| spent.cpu);
        [
            Some(row(guest, wall, tool, speed, if large { Goal::More } else { TIMES_THE_TOOL })),
            Some(row(guest, cpu, tool, speed, Goal::More)),
            large.then(|| row(guest, wall, sha256, time, TIMES_SHA256)),
            large.then(|| row(guest, cpu, sha256, time, Goal::Less)),
        ]
    });
    rows.flatten().flatten().collect()
}

fn row(
    guest: &Guest,
    (clock_name, clock): (&str, Clock),
    (name, other): (&str, Other),
    ratio: fn(f64, f64) -> f64,
    goal: Goal,
) -> Option<Row> {
    let rounds = || guest.rounds.iter();
    let milliseconds = |seconds: f64| Quantity::Milliseconds(seconds * 1e3);
    Some(Row {
        benchmark: Benchmark::Measurement,
        what: format!(
            "launch digest, {} vCPUs, initramfs of {}, {clock_name}",
            guest.vcpus,
            Quantity::Bytes(guest.initrd)
        ),
        measured: milliseconds(median(rounds().map(|round| clock(round.ours)))?),
        against: Some(Against {
            what: name.to_owned(),
            quantity: milliseconds(median(rounds().map(|round| clock(other(round))))?),
        }),
        ratio: median(rounds().map(|round| ratio(clock(round.ours), clock(other(round))))),
        goal: Some(goal),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_has_its_goal() {
        let spent = |wall: f64| Spent { wall, cpu: wall };
        let guest = |initrd, ours: f64, sha256: f64| Guest {
            name: String::new(),
            initrd,
            vcpus: 4,
            rounds: vec![GuestRound { ours: spent(ours), tool: spent(0.3), sha256: spent(sha256) }],
        };
        let rows = rows(&[guest(1 << 17, 0.01, 0.005), guest(100 << 20, 0.1, 0.08)]);
        let found: Vec<_> = rows.iter().map(|row| (row.ratio.unwrap(), row.met())).collect();
        let (small, large) = ([(30.0, Some(true)), (30.0, None)], [(3.0, None); 2]);
        let sha256 = [(1.25, Some(false)), (1.25, None)];
        let expected = [small, large, sha256].concat();
        assert_eq!(found.len(), expected.len());
        for ((ratio, met), (should, met_should)) in found.into_iter().zip(expected) {
            assert!((ratio - should).abs() < 1e-9 && met == met_should, "{ratio} {met:?}");
        }
    }
}
