//! Fingerprints of files, to see whether a guest has written to a disk.

use std::fs::File;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::OrFail;

/// The SHA-256 of a file, in hexadecimal.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn sha256_of_file(path: &Path) -> String {
    let mut file = File::open(path).or_fail(format!("open {}", path.display()));
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash).or_fail(format!("read {}", path.display()));
    hex::encode(hash.finalize())
}

/// The SHA-256 of some bytes, in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
