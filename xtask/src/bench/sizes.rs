//! Sizes of PID 1 and of the initramfs.

use super::Benchmark;
use super::memory::ratio;
use super::report::{Against, Goal, Quantity, Row};
use super::samples::Sizes;

const INIT: u64 = 3 << 20;
const COMPRESSED: u64 = 1_500_000;

pub(crate) fn rows(sizes: &Sizes) -> Vec<Row> {
    let row = |what: &str, bytes: u64, limit: Option<u64>| Row {
        benchmark: Benchmark::Sizes,
        what: what.to_owned(),
        measured: Quantity::Bytes(bytes),
        against: limit
            .map(|limit| Against { what: "limit".to_owned(), quantity: Quantity::Bytes(limit) }),
        ratio: limit.map(|limit| ratio(bytes, limit)),
        goal: limit.map(|_| Goal::AtMost(1.0)),
    };
    vec![
        row("PID 1, static and stripped", sizes.init, Some(INIT)),
        row("initramfs with modules, verity on erofs, plain", sizes.initramfs, None),
        row("the same, zstd -19", sizes.compressed, Some(COMPRESSED)),
    ]
}
