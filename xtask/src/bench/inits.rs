//! PID 1 next to what Debian 12's tools and a shell script boot the same Debian with.
//!
//! The others are given what makes them small and quick: `inits/prepare` says how they
//! are made, and `measure/inits` what each is told.

use anyhow::{Context, Result};

use super::Benchmark;
use super::boot;
use super::boot_log::{between, between_inits, from_first_instruction};
use super::memory::ratio;
use super::report::{Against, Goal, Quantity, Row};
use super::samples::{Archive, HandOver, Init, Inits, Log};
use super::statistics::median;
use super::unlock::RELEASED;

/// Of the initramfs without modules.
const BARE: u64 = 3 << 20;

/// Those that PID 1 is held against, and how many times as fast it should be.
const OTHERS: [(Init, f64); 3] =
    [(Init::Dracut, 5.0), (Init::InitramfsTools, 5.0), (Init::Shell, 10.0)];

/// Times as small as dracut's.
const TIMES_DRACUT: Goal = Goal::AtLeast(12.0);

/// PID 1 says this when it begins to wait for its owner.
const WAITING: &str = "unlock: waiting for";

const NO_MORE_MEMORY: Goal = Goal::AtMost(1.0);

pub(crate) fn rows(inits: &Inits) -> Result<Vec<Row>> {
    let mut rows = sizes(&inits.sizes);
    rows.extend(times("", Quantity::Milliseconds, &inits.timed)?);
    rows.extend(times(", instructions counted", Quantity::Counted, &inits.counted)?);
    rows.extend(encrypted(inits)?);
    rows.extend(OTHERS.iter().filter_map(|(other, _)| memory(*other, &inits.timed)));
    Ok(rows)
}

/// Where PID 1's time goes.
pub(crate) fn steps(inits: &Inits) -> Result<Vec<boot::StepTime>> {
    boot::steps(logs_of_ours(&inits.timed), logs_of_ours(&inits.counted))
}

fn logs_of_ours(rounds: &[Vec<HandOver>]) -> impl Iterator<Item = &Log> {
    let ours = rounds.iter().flatten().filter(|boot| boot.init == Init::Ravelin);
    ours.map(|boot| &boot.log)
}

fn name(init: Init) -> &'static str {
    match init {
        Init::Ravelin => "Ravelin",
        Init::Dracut => "dracut with systemd-veritysetup",
        Init::InitramfsTools => "initramfs-tools with cryptsetup",
        Init::Shell => "a shell with SNPGuard's steps",
    }
}

fn sizes(archives: &[Archive]) -> Vec<Row> {
    let Some(ours) = archives.iter().find(|archive| archive.init == Init::Ravelin) else {
        return Vec::new();
    };
    let row = |what: &str, bytes, (against, other): (&str, u64), ratio, goal| Row {
        benchmark: Benchmark::Inits,
        what: what.to_owned(),
        measured: Quantity::Bytes(bytes),
        against: Some(Against { what: against.to_owned(), quantity: Quantity::Bytes(other) }),
        ratio: Some(ratio),
        goal: Some(goal),
    };
    let limit = ratio(ours.bare, BARE);
    let what = "initramfs without modules, plain";
    let mut rows = vec![row(what, ours.bare, ("limit", BARE), limit, Goal::AtMost(1.0))];
    for other in archives.iter().filter(|archive| archive.init != Init::Ravelin) {
        let goal = if other.init == Init::Dracut { TIMES_DRACUT } else { Goal::More };
        for (what, of, goal) in [
            (
                "without modules",
                (|archive| archive.bare_compressed) as fn(&Archive) -> u64,
                Goal::More,
            ),
            ("with the same modules", |archive| archive.same_modules, goal),
        ] {
            let what = format!("initramfs {what}, `zstd -19`, times smaller");
            let (ours, theirs) = (of(ours), of(other));
            rows.push(row(&what, ours, (name(other.init), theirs), ratio(theirs, ours), goal));
        }
    }
    rows
}

fn times(how: &str, unit: fn(f64) -> Quantity, rounds: &[Vec<HandOver>]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (other, times) in OTHERS {
        let mut pairs = Vec::new();
        for (ours, theirs) in pairs_of(other, rounds) {
            pairs.push((between_inits(&ours.log)?, between_inits(&theirs.log)?));
        }
        let what = format!("Debian, kernel starts `/init` to real init{how}, times as fast");
        // The goal is for the time that passes.
        let goal = if how.is_empty() { Goal::AtLeast(times) } else { Goal::More };
        let speed = |(ours, theirs)| theirs / ours;
        rows.extend(compared(what, other, &pairs, unit, speed, goal));
    }
    Ok(rows)
}

/// The encrypted root next to initramfs-tools', which has its key at hand: so what is
/// taken off is the time until PID 1 has its own.
fn encrypted(inits: &Inits) -> Result<Option<Row>> {
    let mut times = Vec::new();
    for log in &inits.encrypted {
        let waited = between(log, "ravelin", WAITING, RELEASED)?;
        times.push(from_first_instruction(log, "ravelin")? - waited);
    }
    let mut pairs = Vec::new();
    for (ours, round) in times.into_iter().zip(&inits.timed) {
        let theirs = round.iter().find(|boot| boot.init == Init::InitramfsTools);
        pairs.push((ours, between_inits(&theirs.context("a round without it")?.log)?));
    }
    Ok(compared(
        "Debian, encrypted, start of PID 1 to real init without waiting for its key, times as fast"
            .to_owned(),
        Init::InitramfsTools,
        &pairs,
        Quantity::Milliseconds,
        |(ours, theirs)| theirs / ours,
        Goal::More,
    ))
}

fn memory(other: Init, rounds: &[Vec<HandOver>]) -> Option<Row> {
    let pairs: Vec<(f64, f64)> = pairs_of(other, rounds)
        .map(|(ours, theirs)| (ratio(ours.memory, 1), ratio(theirs.memory, 1)))
        .collect();
    let what = "Debian, memory in use when the real init starts".to_owned();
    let share = |(ours, theirs)| ours / theirs;
    compared(what, other, &pairs, whole_bytes, share, NO_MORE_MEMORY)
}

/// Ours and the other's of each round.
fn pairs_of(other: Init, rounds: &[Vec<HandOver>]) -> impl Iterator<Item = (&HandOver, &HandOver)> {
    let of = |round: &'_ [HandOver], init| round.iter().position(|boot| boot.init == init);
    rounds.iter().filter_map(move |round| {
        Some((round.get(of(round, Init::Ravelin)?)?, round.get(of(round, other)?)?))
    })
}

fn compared(
    what: String,
    other: Init,
    pairs: &[(f64, f64)],
    unit: fn(f64) -> Quantity,
    ratio: fn((f64, f64)) -> f64,
    goal: Goal,
) -> Option<Row> {
    Some(Row {
        benchmark: Benchmark::Inits,
        what,
        measured: unit(median(pairs.iter().map(|(ours, _)| *ours))?),
        against: Some(Against {
            what: name(other).to_owned(),
            quantity: unit(median(pairs.iter().map(|(_, theirs)| *theirs))?),
        }),
        ratio: median(pairs.iter().map(|pair| ratio(*pair))),
        goal: Some(goal),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the median of numbers of bytes"
)]
fn whole_bytes(bytes: f64) -> Quantity {
    Quantity::Memory(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(init: Init, milliseconds: u64, memory: u64) -> HandOver {
        let log = vec![
            (1_000, "Run /init as init process".to_owned()),
            (1_000 + milliseconds * 1_000, "real init: it runs".to_owned()),
        ];
        HandOver { init, log, memory, shared: 0 }
    }

    fn samples() -> Inits {
        let archive = |init, bytes: u64| Archive {
            init,
            bare: bytes,
            bare_compressed: bytes / 2,
            same_modules: bytes,
        };
        let round = |slow: u64| {
            vec![
                boot(Init::Shell, 12_000 * slow, 900),
                boot(Init::Ravelin, 1_000 * slow, 100),
                boot(Init::Dracut, 4_000 * slow, 50),
                boot(Init::InitramfsTools, 5_000 * slow, 100),
            ]
        };
        Inits {
            sizes: vec![archive(Init::Ravelin, 2 << 20), archive(Init::Dracut, 20 << 20)],
            timed: vec![round(1), round(7), round(2)],
            counted: vec![round(3)],
            encrypted: vec![vec![
                (7_000, "ravelin: [    2 ms] mounts: all".to_owned()),
                (100_000, "ravelin: [   95 ms] unlock: waiting for an owner".to_owned()),
                (700_000, "ravelin: [  695 ms] unlock: a release of owner".to_owned()),
                (2_605_000, "real init: it runs".to_owned()),
            ]],
        }
    }

    #[test]
    fn each_goal_is_held_against_its_own() {
        let rows = rows(&samples()).unwrap();
        let found: Vec<_> = rows.iter().map(|row| (row.ratio.unwrap(), row.met())).collect();
        let sizes = [(2.0 / 3.0, Some(true)), (10.0, None), (10.0, Some(false))];
        let timed = [(4.0, Some(false)), (5.0, Some(true)), (12.0, Some(true))];
        let counted = [(4.0, None), (5.0, None), (12.0, None)];
        let memory = [(2.0, Some(false)), (1.0, Some(true)), (100.0 / 900.0, Some(true))];
        let expected = [&sizes[..], &timed, &counted, &[(2.5, None)], &memory].concat();
        assert_eq!(found.len(), expected.len());
        for ((is, met), (should, met_should)) in found.into_iter().zip(expected) {
            assert!((is - should).abs() < 1e-9 && met == met_should, "{is} {met:?} {should}");
        }
    }

    #[test]
    fn no_two_rows_have_one_name() {
        let mut names: Vec<_> = rows(&samples()).unwrap().iter().map(Row::name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 13);
    }
}
