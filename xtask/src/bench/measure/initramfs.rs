//! Initramfs built by `ravelin image initramfs`, and the same files packed by GNU cpio.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::samples::{Initramfs, InitramfsRound};
use crate::sizes;
use crate::tools::run;
use crate::usage;

/// What `ravelin` calls it, and the filter that does it.
const COMPRESSIONS: [(&str, &str); 2] = [("none", "cat"), ("zstd:19", "zstd -q -19")];

pub(crate) fn measure(scratch: &Path, rounds: usize) -> Result<Vec<Initramfs>> {
    let tree = scratch.join("initramfs");
    fs::create_dir(&tree).context("make a directory for an initramfs")?;
    let archive = scratch.join("initramfs.cpio");
    // Each part is an archive of its own, and cpio reads no further than the first's end.
    let mut modules = sizes::part("modules", &archive)?;
    modules.args(["--filesystem", "erofs", "--kernel-modules"]).arg(sizes::modules()?);
    for mut part in [sizes::part("base", &archive)?, modules] {
        run(&mut part)?;
        let file = File::open(&archive).context("open an initramfs")?;
        let mut unpack = Command::new("cpio");
        unpack.args(["-id", "--quiet"]).current_dir(&tree).stdin(file);
        ensure!(unpack.status().context("start cpio")?.success(), "cpio failed");
    }
    run(&mut sizes::initramfs("none", &archive)?)?;
    let bytes = sizes::size(&archive)?;

    COMPRESSIONS
        .into_iter()
        .map(|(compression, filter)| {
            let mut samples = Vec::new();
            for number in 0..rounds {
                eprintln!("bench: initramfs, {compression}, round {}", number + 1);
                samples.push(round(&tree, &archive, compression, filter, number)?);
            }
            Ok(Initramfs { compression: compression.to_owned(), bytes, rounds: samples })
        })
        .collect()
}

fn round(
    tree: &Path,
    archive: &Path,
    compression: &str,
    filter: &str,
    number: usize,
) -> Result<InitramfsRound> {
    let spent = |mut command: Command| Ok(usage::program(&mut command)?.1);
    let ours = || spent(sizes::initramfs(compression, archive)?);
    let cpio = || {
        let script =
            format!("find . | LC_ALL=C sort | cpio -o -H newc --quiet | {filter} > \"$0\"");
        let mut command = Command::new("sh");
        command.args(["-e", "-c", &script]).arg(archive).current_dir(tree);
        spent(command)
    };
    let (ours, cpio) = usage::in_turns(number, ours, cpio)?;
    Ok(InitramfsRound { ours, cpio })
}
