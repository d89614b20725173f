//! Peak memory of the image builder: one limit, whatever the size of the image.

use super::Benchmark;
use super::report::{Against, Goal, Quantity, Row};
use super::samples::Memory;

const LIMIT: u64 = 256 << 20;

pub(crate) fn rows(samples: &[Memory]) -> Vec<Row> {
    samples.iter().flat_map(rows_of).collect()
}

fn rows_of(sample: &Memory) -> impl Iterator<Item = Row> {
    let what = |program: &str| {
        let size = Quantity::Bytes(sample.bytes);
        format!("peak memory, image from {} of {size}: {program}", described(&sample.source))
    };
    let own = Row {
        benchmark: Benchmark::Memory,
        what: what("`ravelin`"),
        measured: Quantity::Memory(sample.own),
        against: Some(Against { what: "limit".to_owned(), quantity: Quantity::Memory(LIMIT) }),
        ratio: Some(ratio(sample.own, LIMIT)),
        goal: Some(Goal::AtMost(1.0)),
    };
    let children = (sample.children > 0).then(|| Row {
        benchmark: Benchmark::Memory,
        what: what("the `mkfs` it starts"),
        measured: Quantity::Memory(sample.children),
        against: None,
        ratio: None,
        goal: None,
    });
    [Some(own), children].into_iter().flatten()
}

fn described(source: &str) -> &str {
    match source {
        "directory" => "a directory",
        "image" => "a file system",
        "encryption" => "a file system, encrypted",
        other => other,
    }
}

/// Bytes to bytes; far below what an f64 holds exactly.
#[expect(clippy::cast_precision_loss, reason = "memory and files are below 2^53 bytes")]
pub(crate) fn ratio(bytes: u64, limit: u64) -> f64 {
    bytes as f64 / limit as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_a_row_and_no_goal() {
        let sample = |children| Memory {
            source: "directory".to_owned(),
            bytes: 2 << 30,
            own: 300 << 20,
            children,
        };
        let rows = rows(&[sample(0), sample(1 << 30)]);
        let met: Vec<_> = rows.iter().map(Row::met).collect();
        assert_eq!(met, [Some(false), Some(false), None]);
        assert!(rows[1].what.contains("a directory of 2048 MiB: `ravelin`"));
    }
}
