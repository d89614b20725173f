//! Nothing of the simulator is in what ships: neither its names nor its roots.
//!
//! The crates' graph is `cargo xtask layers`'s business; this looks into the
//! programs themselves, so that no copied line gets past it either.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use simulator::names;

use crate::build::Built;

/// What only the simulator's own programs may contain. A test root has the
/// organization in its name, so this finds those, too. Private keys are in no
/// program at all.
const MARKS: [&str; 4] = [
    names::PORT,
    names::ORGANIZATION,
    // And so the command line's suffix and the archive's directory.
    names::GUEST_PROGRAM,
    "PRIVATE KEY-----\nMII",
];

pub(crate) fn check(built: &Built) -> Result<()> {
    for program in [&built.init, &built.ravelin] {
        let found = marks(&read(program)?);
        ensure!(found.is_empty(), "{} has {found:?} in it", program.display());
    }
    // That the search finds what is there.
    let found = marks(&read(&built.simulator)?);
    for expected in [names::PORT, names::ORGANIZATION, names::GUEST_PROGRAM] {
        ensure!(found.contains(&expected), "the simulator itself has no {expected:?}: {found:?}");
    }
    println!("purity: PID 1 and ravelin have nothing of the simulator in them");
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn marks(program: &[u8]) -> Vec<&'static str> {
    let has = |mark: &str| program.windows(mark.len()).any(|window| window == mark.as_bytes());
    MARKS.into_iter().filter(|mark| has(mark)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_anywhere_is_found() {
        let program = format!("\x7fELF…{}…", names::PORT);
        assert_eq!(marks(program.as_bytes()), [names::PORT]);
        assert!(marks(b"\x7fELF ravelin-simulator --simulate").is_empty());
    }
}
