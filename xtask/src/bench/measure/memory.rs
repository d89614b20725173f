//! The most memory that `ravelin image verity` and `encrypt` have, from end to end.
//!
//! The kernel's `ru_maxrss` of a process is the largest of it and the children
//! that it has waited for, so it says nothing of `ravelin` where `mkfs` ran. The
//! high-water mark of the process itself is in `/proc/PID/status`; it never
//! falls, so what is read last is the peak but for the last milliseconds. Where
//! there was no child, `ru_maxrss` is exact.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wait4::Wait4 as _;

use crate::samples::Memory;
use crate::tools::{Noise, ravelin};

const MIB: u64 = 1 << 20;
const SOURCES: [u64; 2] = [256 * MIB, 2048 * MIB];
const FILE: u64 = 64 * MIB;
const INTERVAL: Duration = Duration::from_millis(2);

pub(crate) fn measure(scratch: &Path) -> Result<Vec<Memory>> {
    let mut all = Vec::new();
    for bytes in SOURCES {
        let tree = scratch.join("tree");
        fs::create_dir_all(tree.join("sbin")).context("make the tree")?;
        let mut noise = Noise::new();
        for number in 0..bytes / FILE {
            noise.write(&tree.join(number.to_string()), FILE)?;
        }
        let (image, disk) = (scratch.join("root.erofs"), scratch.join("root.img"));

        let mut from_tree = ravelin()?;
        from_tree.args(["--quiet", "image", "verity", "--layout", "bare"]);
        from_tree.arg("--from").arg(&tree).arg("--output").arg(&image);
        all.push(sample("directory", bytes, &mut from_tree)?);
        fs::remove_dir_all(&tree).context("remove the tree")?;

        let mut from_image = ravelin()?;
        from_image.args(["--quiet", "image", "verity"]);
        from_image.arg("--from").arg(&image).arg("--output").arg(&disk);
        all.push(sample("image", bytes, &mut from_image)?);

        let encrypted = scratch.join("encrypted.img");
        let mut encrypt = ravelin()?;
        encrypt.args(["--quiet", "image", "encrypt"]);
        encrypt.arg("--from").arg(&image).arg("--output").arg(&encrypted);
        all.push(sample("encryption", bytes, &mut encrypt)?);
        let [key, sidecar] =
            [".key", ".toml"].map(|end| scratch.join(format!("encrypted.img{end}")));
        for file in [&image, &disk, &encrypted, &key, &sidecar] {
            fs::remove_file(file).context("remove an image")?;
        }
    }
    Ok(all)
}

fn sample(source: &str, bytes: u64, command: &mut Command) -> Result<Memory> {
    eprintln!("bench: an image from a {source} of {} MiB", bytes / MIB);
    let mut child =
        command.stdout(Stdio::null()).spawn().with_context(|| format!("start {command:?}"))?;
    let (mut own, mut children) = (0, 0);
    let end = loop {
        if let Some(end) = child.try_wait4().context("wait for ravelin")? {
            break end;
        }
        own = own.max(high_water_mark(child.id()));
        for child in children_of(child.id()) {
            children = children.max(high_water_mark(child));
        }
        thread::sleep(INTERVAL);
    };
    ensure!(end.status.success(), "{command:?}: {}", end.status);
    if children == 0 {
        own = own.max(end.rusage.maxrss);
    }
    Ok(Memory { source: source.to_owned(), bytes, own, children })
}

/// In bytes; 0 if the process is gone.
fn high_water_mark(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .and_then(|number| number.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Children of any of its threads.
fn children_of(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|pid| pid.parse().ok())
        .collect()
}
