//! What the log of one boot says about its times.
//!
//! There are two clocks. The program's own starts at its first instruction and
//! shows whole milliseconds; the hand-over line sums it up. The kernel's has
//! microseconds and stamps every line, so it tells steps apart, and what comes
//! before the first and after the last line of the program.

use anyhow::{Context, Result};

use super::samples::Log;

/// The times of one boot, in milliseconds.
#[derive(Debug, PartialEq)]
pub(crate) struct Times {
    /// From the first instruction to the hand-over line.
    pub(crate) total: f64,
    /// Of that, loading modules.
    pub(crate) modules: f64,
    /// Of that, finding disks.
    pub(crate) disks: f64,
    /// The rest.
    pub(crate) own: f64,
    /// From the kernel's word that it starts `/init` to the real init's first.
    pub(crate) between_inits: f64,
    /// The steps by name, each up to its line, in their order.
    pub(crate) steps: Vec<(String, f64)>,
}

/// What the real init says first.
const REAL_INIT: &str = "real init";

impl Times {
    /// Reads a log whose program calls itself `program`.
    pub(crate) fn read(log: &Log, program: &str) -> Result<Self> {
        let (begin, end) = inits(log)?;
        let (_, hand_over) = log
            .iter()
            .filter_map(|(_, line)| line_of(program, line))
            .find(|(_, text)| text.starts_with("hand-over: "))
            .context("the log has no hand-over")?;
        let sum = |name: &str| {
            number_after(hand_over, name).with_context(|| format!("{hand_over:?} has no {name}"))
        };
        let (modules, disks, own) = (sum("modules ")?, sum("disks ")?, sum("own ")?);
        Ok(Self {
            total: modules + disks + own,
            modules,
            disks,
            own,
            between_inits: milliseconds(begin, end),
            steps: steps(log, program, begin, end),
        })
    }
}

/// Milliseconds from the kernel's word that it starts `/init` to the real init's first,
/// whatever was between the two.
pub(crate) fn between_inits(log: &Log) -> Result<f64> {
    let (begin, end) = inits(log)?;
    Ok(milliseconds(begin, end))
}

fn inits(log: &Log) -> Result<(u64, u64)> {
    let at = |start: &str| {
        let line = log.iter().find(|(_, line)| line.starts_with(start));
        line.map(|(time, _)| *time).with_context(|| format!("the log has no {start:?}"))
    };
    Ok((at("Run /init")?, at(REAL_INIT)?))
}

/// Milliseconds by the kernel's clock from the line of `program` that starts with `begin`
/// to the first after it that starts with `end`.
pub(crate) fn between(log: &Log, program: &str, begin: &str, end: &str) -> Result<f64> {
    let mut lines = log.iter().filter_map(|(time, line)| Some((*time, text_of(program, line)?)));
    let mut at = |start: &str| {
        let line = lines.find(|(_, text)| text.starts_with(start));
        line.map(|(time, _)| time).with_context(|| format!("the log has no {start:?}"))
    };
    Ok(milliseconds(at(begin)?, at(end)?))
}

/// Milliseconds from the first instruction of `program`, by its own clock, to the real
/// init's first: where another program than the kernel has started it.
pub(crate) fn from_first_instruction(log: &Log, program: &str) -> Result<f64> {
    let (time, own) = log
        .iter()
        .find_map(|(time, line)| Some((*time, clock_of(program, line)?)))
        .with_context(|| format!("the log has nothing of {program}"))?;
    let (end, _) = log.iter().find(|(_, line)| line.starts_with(REAL_INIT)).context(REAL_INIT)?;
    Ok(milliseconds(time, *end) + own)
}

/// A step logs one line when it is done, and may log others before that. The
/// console is written while a line is logged, so that this counts for the next.
fn steps(log: &Log, program: &str, begin: u64, end: u64) -> Vec<(String, f64)> {
    let mut ends: Vec<(&str, u64)> = Vec::new();
    for (time, line) in log {
        let Some((name, _)) = line_of(program, line) else { continue };
        match ends.last_mut() {
            Some((last, end)) if *last == name => *end = *time,
            _ => ends.push((name, *time)),
        }
    }
    ends.push((REAL_INIT, end));
    let mut before = begin;
    let mut steps = Vec::new();
    for (name, end) in ends {
        steps.push((name.to_owned(), milliseconds(before, end)));
        before = end;
    }
    steps
}

/// `PROGRAM: [  12 ms] step: text` to the step and `step: text`. Lines that are
/// no step's, such as a host key's fingerprint, have no colon after one word.
fn line_of<'a>(program: &str, line: &'a str) -> Option<(&'a str, &'a str)> {
    let text = text_of(program, line)?;
    let (name, _) = text.split_once(": ")?;
    (!name.contains(' ')).then_some((name, text))
}

/// The program's own clock in the line, in milliseconds.
fn clock_of(program: &str, line: &str) -> Option<f64> {
    let (clock, _) = line.strip_prefix(program)?.strip_prefix(": [")?.split_once(" ms] ")?;
    clock.trim().parse().ok()
}

/// The line without the program's name and clock.
fn text_of<'a>(program: &str, line: &'a str) -> Option<&'a str> {
    Some(line.strip_prefix(program)?.strip_prefix(": [")?.split_once(" ms] ")?.1)
}

fn number_after(text: &str, name: &str) -> Option<f64> {
    text.split_once(name)?.1.split(' ').next()?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "a boot takes less than 2^53 microseconds")]
fn milliseconds(begin: u64, end: u64) -> f64 {
    end.saturating_sub(begin) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[(u64, &str)]) -> Log {
        lines.iter().map(|(time, line)| (*time, (*line).to_owned())).collect()
    }

    #[test]
    fn a_boot_is_taken_apart() {
        let log = log(&[
            (1_000_000, "Run /init as init process"),
            (1_002_500, "ravelin: [    1 ms] mounts: proc sys dev run"),
            (1_050_000, "ravelin: [   48 ms] modules: a.ko (optional): no such device"),
            (1_052_500, "ravelin: [   51 ms] modules: 10 in 3 waves"),
            (1_060_000, "ravelin: [   58 ms] ssh host key ssh-ed25519 SHA256:abc"),
            (1_061_500, "ravelin: [   59 ms] identity: machine id empty"),
            (
                1_070_000,
                "ravelin: [   68 ms] hand-over: /sbin/init (modules 40 ms, disks 8 ms, own 20 ms)",
            ),
            (1_080_000, "real init: it runs"),
        ]);
        let times = Times::read(&log, "ravelin").unwrap();
        let steps = [
            ("mounts", 2.5),
            ("modules", 50.0),
            ("identity", 9.0),
            ("hand-over", 8.5),
            ("real init", 10.0),
        ];
        assert_eq!(
            times,
            Times {
                total: 68.0,
                modules: 40.0,
                disks: 8.0,
                own: 20.0,
                between_inits: 80.0,
                steps: steps.map(|(name, ms)| (name.to_owned(), ms)).to_vec(),
            }
        );
    }

    #[test]
    fn the_time_between_two_lines() {
        let log = log(&[
            (1_000, "ravelin: [    1 ms] root: of an earlier log"),
            (2_000, "ravelin: [    2 ms] unlock: waiting"),
            (3_500, "ravelin: [    4 ms] unlock: a release of owner"),
            (9_000, "ravelin: [    9 ms] root: mounted"),
        ]);
        let time = between(&log, "ravelin", "unlock: a release", "root: ").unwrap();
        assert!((time - 5.5).abs() < 1e-9, "{time}");
        assert!(between(&log, "ravelin", "root: mounted", "root: ").is_err());
        assert!(from_first_instruction(&log, "ravelin").is_err(), "no real init");
        let ended = [log, vec![(12_000, "real init: it runs".to_owned())]].concat();
        let time = from_first_instruction(&ended, "ravelin").unwrap();
        assert!((time - 12.0).abs() < 1e-9, "{time}");
        assert!(from_first_instruction(&ended, "another").is_err());
    }

    #[test]
    fn a_boot_without_an_end_is_an_error() {
        let log = log(&[(1, "Run /init as init process")]);
        assert!(Times::read(&log, "ravelin").unwrap_err().to_string().contains("real init"));
    }
}
