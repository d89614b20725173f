//! What the on-disk formats (`verity`, `luks`) work on: reads and writes at an offset,
//! and one loop that gives pieces of a disk to all cores.
//!
//! The crate depends on nothing and opens no path or device.

#![forbid(unsafe_code)]

mod io;
mod options;
mod parallel;

pub use io::{Memory, ReadAt, Region, WriteAt};
pub use options::Options;
pub use parallel::for_each;
