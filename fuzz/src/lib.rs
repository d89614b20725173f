//! Fuzz targets: everything that parses bytes which a host, or somebody on the way,
//! controls. One file a target in `targets`, one line each in [`TARGETS`].
//!
//! A target takes any bytes and must end: without a panic, without an overflow, and
//! without breaking what it asserts (what is read can be written again, nothing that is
//! not authentic comes out), within the memory that is stated for it. `cargo xtask fuzz`
//! runs them with libFuzzer; the tests run their corpus and mutations of it on every
//! machine.
//!
//! The corpus of a target is in `corpus/NAME`: its seeds, made by the project's own
//! writers (`RAVELIN_BLESS=1 cargo test -p fuzz` makes them again), and what once led to
//! a finding.

pub mod cost;
mod mutate;
mod targets;

use std::time::Duration;

pub use cost::Cost;
pub use mutate::{Numbers, mutate};
pub use targets::TARGETS;

/// The most processor time that an input may take, in the fuzzer's build. Tests do not ask
/// for it: there the build is another.
pub const TIME: Duration = Duration::from_millis(100);

/// A parser under test.
pub struct Target {
    /// Its name: of the corpus, and on the command line.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
    /// The most bytes that it may hold at a time for the longest input that
    /// `cargo xtask fuzz` makes (16 KiB), what the target itself builds around it included.
    pub memory: usize,
    /// Inputs that it accepts, by name; the same ones every time.
    pub seeds: fn() -> Vec<Vec<u8>>,
}
