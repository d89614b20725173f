//! The memory that a build and a verification take does not grow with the image.
//! Alone in its file, because the measure is the whole process's peak.

#![expect(clippy::unwrap_used, reason = "this is a test")]

mod common;

use std::io;

use common::params;
use verity::{Algorithm, BuildOptions, Memory, ReadAt, VerifyOptions, WriteAt, build, verify};

/// Endless zeros.
struct Zeros;

impl ReadAt for Zeros {
    fn read_exact_at(&self, buf: &mut [u8], _offset: u64) -> io::Result<()> {
        buf.fill(0);
        Ok(())
    }
}

/// Keeps the upper levels of the tree only; level 0 of zeros has one full block.
struct Upper {
    memory: Memory,
    level_0: u64,
}

impl WriteAt for Upper {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        if offset <= self.level_0 { self.memory.write_all_at(buf, offset) } else { Ok(()) }
    }
}

impl ReadAt for Upper {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.memory.read_exact_at(buf, offset.min(self.level_0))
    }
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn sixteen_gibibytes_take_a_few_mebibytes() {
    let params = params(Algorithm::Sha256, 4096, 4096, b"salt");
    let data_blocks = 16 << 18;
    // The tree has levels of 1, 2 and 256 blocks, then level 0 of 32 768.
    let level_0 = (1 + 2 + 256) * 4096;
    let hash = Upper { memory: Memory::default(), level_0 };
    let root =
        build(&Zeros, data_blocks, &hash, 0, None, &params, &BuildOptions::default()).unwrap();
    verify(&Zeros, data_blocks, &hash, 0, &root, &params, &VerifyOptions::default()).unwrap();
    assert!(peak_kib() < 32 << 10, "{} KiB", peak_kib());
}
