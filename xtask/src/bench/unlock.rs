//! Opening an encrypted root, and making an encrypted disk, next to cryptsetup: all in
//! QEMU, with one kernel.

use anyhow::{Context, Result};

use super::Benchmark;
use super::boot_log;
use super::report::{Against, Goal, Quantity, Row};
use super::samples::{Cryptsetup, Unlock};
use super::statistics::median;

/// PID 1 says this when it has the last byte of the last release that it needs, and this
/// once the root is mounted.
pub(crate) const RELEASED: &str = "unlock: a release of";
const MOUNTED: &str = "root: ";

pub(crate) fn rows(unlock: &Unlock) -> Result<Vec<Row>> {
    let ours = unlock
        .ours
        .iter()
        .map(|log| boot_log::between(log, "ravelin", RELEASED, MOUNTED))
        .collect::<Result<Vec<_>>>()?;
    let of = |which: fn(&Cryptsetup) -> f64| unlock.cryptsetup.iter().map(which);
    let theirs = |name: &str, which: fn(&Cryptsetup) -> f64| -> Result<Against> {
        let quantity = Quantity::Milliseconds(median(of(which)).context("no round in a Debian")?);
        Ok(Against { what: name.to_owned(), quantity })
    };
    let row = |what: String, measured: f64, against: Against, ratio: Option<f64>| Row {
        benchmark: Benchmark::Unlock,
        what,
        measured: Quantity::Milliseconds(measured),
        against: Some(against),
        ratio,
        goal: Some(Goal::More),
    };
    let opened = median(ours.iter().copied()).context("no boot")?;
    let encrypted = median(of(|round| round.encrypt)).context("no round in a Debian")?;
    let open = theirs("`cryptsetup open` and `mount`", |round| round.open)?;
    let ratio = median(of(|round| round.open)).map(|theirs| theirs / opened);
    let format = theirs("`cryptsetup luksFormat`, open, copy", |round| round.format)?;
    let bytes = Quantity::Bytes(unlock.bytes);
    Ok(vec![
        row(
            "unlock in QEMU: last byte of the release to the mounted root".to_owned(),
            opened,
            open,
            ratio,
        ),
        row(
            format!("`ravelin image encrypt` of {bytes} in QEMU"),
            encrypted,
            format,
            median(unlock.cryptsetup.iter().map(|round| round.format / round.encrypt)),
        ),
    ])
}
