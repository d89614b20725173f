//! Initramfs built: `ravelin image initramfs`, which finds, unpacks and checks the modules,
//! against GNU cpio, which is given the files.

use super::Benchmark;
use super::report::{Against, Goal, Quantity, Row};
use super::samples::{Initramfs, InitramfsRound};
use super::statistics::median;

pub(crate) fn rows(built: &[Initramfs]) -> Vec<Row> {
    built.iter().filter_map(row).collect()
}

fn row(built: &Initramfs) -> Option<Row> {
    let typical = |of: fn(&InitramfsRound) -> f64| median(built.rounds.iter().map(of));
    let with = if built.compression == "none" { "" } else { " and `zstd`" };
    let milliseconds = |seconds: f64| Quantity::Milliseconds(seconds * 1e3);
    Some(Row {
        benchmark: Benchmark::Initramfs,
        what: format!(
            "initramfs of {} built, `{}`, wall time",
            Quantity::Bytes(built.bytes),
            built.compression
        ),
        measured: milliseconds(typical(|round| round.ours.wall)?),
        against: Some(Against {
            what: format!("GNU cpio{with} of the same files, times its speed"),
            quantity: milliseconds(typical(|round| round.cpio.wall)?),
        }),
        ratio: typical(|round| round.cpio.wall / round.ours.wall),
        goal: Some(Goal::More),
    })
}
