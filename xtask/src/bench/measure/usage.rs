//! Time on the wall, time of processors, and how much of both others had.

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use wait4::Wait4 as _;

use crate::samples::Spent;

/// Runs `action` in this process.
pub(crate) fn here<T>(action: impl FnOnce() -> T) -> (T, Spent) {
    let (cpu, wall) = (own_cpu(), Instant::now());
    let result = action();
    let wall = wall.elapsed();
    (result, spent(wall, own_cpu().saturating_sub(cpu)))
}

/// Runs a program; what it printed, which has to be little.
pub(crate) fn program(command: &mut Command) -> Result<(String, Spent)> {
    let wall = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {command:?}"))?;
    let text = read_all(&mut child).with_context(|| format!("read {command:?}"))?;
    let end = child.wait4().with_context(|| format!("wait for {command:?}"))?;
    let wall = wall.elapsed();
    ensure!(end.status.success(), "{command:?}: {}", end.status);
    Ok((text, spent(wall, end.rusage.utime + end.rusage.stime)))
}

/// Both once, and the other one first in every round.
pub(crate) fn in_turns<A, B>(
    round: usize,
    ours: impl FnOnce() -> Result<A>,
    theirs: impl FnOnce() -> Result<B>,
) -> Result<(A, B)> {
    if round.is_multiple_of(2) {
        let ours = ours()?;
        Ok((ours, theirs()?))
    } else {
        let theirs = theirs()?;
        Ok((ours()?, theirs))
    }
}

/// The rest of the machine's work.
pub(crate) struct Others {
    started: Instant,
    seconds: f64,
}

impl Others {
    /// Starts to watch.
    pub(crate) fn watch() -> Result<Self> {
        Ok(Self { started: Instant::now(), seconds: others_seconds()? })
    }

    /// How many cores were busy with something else since then, on average.
    pub(crate) fn cores(&self) -> Result<f64> {
        let busy = (others_seconds()? - self.seconds).max(0.0);
        Ok(busy / self.started.elapsed().as_secs_f64())
    }
}

fn spent(wall: Duration, cpu: Duration) -> Spent {
    Spent { wall: wall.as_secs_f64(), cpu: cpu.as_secs_f64() }
}

/// Of all threads, user and system.
fn own_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

fn read_all(child: &mut Child) -> io::Result<String> {
    child.stdout.take().map(io::read_to_string).unwrap_or_else(|| Ok(String::new()))
}

/// All that the processors did since they started, without idling, and without
/// this process and the children that have ended (proc(5): `/proc/stat`,
/// `/proc/PID/stat`).
fn others_seconds() -> Result<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let all = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let all = all.lines().next().unwrap_or_default();
    let all: Vec<f64> = all.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is in user.
    let busy: f64 = all.iter().take(8).sum::<f64>() - all.iter().skip(3).take(2).sum::<f64>();

    let own = fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    let own = own.rsplit_once(')').map_or("", |(_, rest)| rest);
    // Fields 14 to 17: utime stime cutime cstime.
    let own = own.split_whitespace().skip(11).take(4).filter_map(|n| n.parse::<f64>().ok());
    Ok((busy - own.sum::<f64>()) / TICKS_PER_SECOND)
}
