//! Takes the samples of `cargo xtask bench`, which builds and starts it, and
//! writes them to standard output as JSON.
//!
//! It is a program of its own, in the release profile and with dependencies
//! that `xtask` must not have (they need packages that set-up installs). What
//! has to be compared is run in turns, in one run, so that a machine with other
//! work to do slows all of it alike.

mod boot;
mod encryption;
mod initramfs;
mod inits;
mod known_hosts;
mod measurement;
mod memory;
mod owned;
#[path = "../samples.rs"]
mod samples;
mod sizes;
mod tools;
mod unlock;
mod usage;
mod verity;

use std::env;
use std::fs;

use anyhow::{Context, Result};
use clap::Parser;

use crate::samples::Samples;
use crate::usage::Others;

#[derive(Parser)]
struct Arguments {
    /// The benchmarks
    names: Vec<String>,
    #[arg(long)]
    rounds: usize,
    #[arg(long)]
    boots: usize,
    /// What cargo tells a benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // On a real disk, below cargo's target directory: 2 GiB in a tmpfs are memory.
    let base = env::var_os("RAVELIN_BENCH_DIRECTORY").context("start `cargo xtask bench`")?;
    fs::create_dir_all(&base).context("make the directory for images")?;
    let scratch = tempfile::tempdir_in(base).context("make a directory for images")?;

    let mut samples = Samples::default();
    let asked = |name: &str| arguments.names.iter().any(|asked| asked == name);
    // Those with much memory of their own are the last: a child's peak counts
    // from its parent's.
    if asked("sizes") {
        samples.sizes = Some(sizes::measure(scratch.path())?);
    }
    if asked("initramfs") {
        let others = Others::watch()?;
        samples.initramfs = Some(initramfs::measure(scratch.path(), arguments.rounds)?);
        samples.others.push(("initramfs".to_owned(), others.cores()?));
    }
    if asked("measurement") {
        let others = Others::watch()?;
        samples.measurement = Some(measurement::measure(scratch.path(), arguments.rounds)?);
        samples.others.push(("measurement".to_owned(), others.cores()?));
    }
    if asked("memory") {
        let others = Others::watch()?;
        samples.memory = Some(memory::measure(scratch.path())?);
        samples.others.push(("memory".to_owned(), others.cores()?));
    }
    if asked("boot") {
        let others = Others::watch()?;
        samples.boot = Some(boot::measure(scratch.path(), arguments.boots)?);
        samples.others.push(("boot".to_owned(), others.cores()?));
    }
    if asked("inits") {
        let others = Others::watch()?;
        samples.inits = Some(inits::measure(scratch.path(), arguments.boots)?);
        samples.others.push(("inits".to_owned(), others.cores()?));
    }
    if asked("unlock") {
        let others = Others::watch()?;
        samples.unlock = Some(unlock::measure(scratch.path(), arguments.boots)?);
        samples.others.push(("unlock".to_owned(), others.cores()?));
    }
    if asked("encryption") {
        let others = Others::watch()?;
        samples.encryption = Some(encryption::measure(scratch.path(), arguments.rounds)?);
        samples.others.push(("encryption".to_owned(), others.cores()?));
    }
    if asked("verity") {
        let others = Others::watch()?;
        samples.verity = Some(verity::measure(scratch.path(), arguments.rounds)?);
        samples.others.push(("verity".to_owned(), others.cores()?));
    }
    println!("{}", serde_json::to_string(&samples).context("write JSON")?);
    Ok(())
}
