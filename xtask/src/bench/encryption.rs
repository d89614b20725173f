//! Encrypting 2 GiB: how near to the least that two cores can do.
//!
//! Each ratio is taken within a round, where both had the same machine.

use super::Benchmark;
use super::report::{Against, Goal, Quantity, Row};
use super::samples::{Encryption, EncryptionRound, Spent};
use super::statistics::median;

/// Of the speed of AES-256-XTS and HMAC-SHA256 alone.
const OF_THE_BOUND: Goal = Goal::AtLeast(0.7);

type Clock = fn(Spent) -> f64;

pub(crate) fn rows(encryption: &Encryption) -> Vec<Row> {
    let clocks: [(&str, Clock); 2] =
        [("wall time", |spent| spent.wall), ("CPU time", |spent| spent.cpu)];
    clocks.into_iter().filter_map(|(name, clock)| row(encryption, name, clock)).collect()
}

/// The ratio is of speeds: the bound's time divided by ours.
fn row(encryption: &Encryption, clock_name: &str, clock: Clock) -> Option<Row> {
    let of = |which: fn(&EncryptionRound) -> Spent| {
        encryption.rounds.iter().map(move |round| clock(which(round)))
    };
    let ratios =
        of(|round| round.bound).zip(of(|round| round.ours)).map(|(bound, ours)| bound / ours);
    Some(Row {
        benchmark: Benchmark::Encryption,
        what: format!("encrypted volume of {}, {clock_name}", Quantity::Bytes(encryption.bytes)),
        measured: Quantity::Seconds(median(of(|round| round.ours))?),
        against: Some(Against {
            what: "AES-256-XTS and HMAC-SHA256 alone, two threads".to_owned(),
            quantity: Quantity::Seconds(median(of(|round| round.bound))?),
        }),
        ratio: median(ratios),
        goal: Some(OF_THE_BOUND),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_taken_within_a_round() {
        let round = |slow: f64| EncryptionRound {
            ours: Spent { wall: 2.0 * slow, cpu: 4.0 },
            bound: Spent { wall: 1.6 * slow, cpu: 2.4 },
        };
        let rows = rows(&Encryption { bytes: 2 << 30, rounds: vec![round(1.0), round(9.0)] });
        let ratios: Vec<f64> = rows.iter().filter_map(|row| row.ratio).collect();
        assert!(ratios.iter().zip([0.8, 0.6]).all(|(is, should)| (is - should).abs() < 1e-9));
        assert_eq!(rows.iter().map(Row::met).collect::<Vec<_>>(), [Some(true), Some(false)]);
    }
}
