//! `cargo xtask bench`: Ravelin against its goals and against other tools.
//!
//! This builds what is measured, starts the measuring program (`measure/`, a
//! program of its own), and makes one table of what it found. A file for each
//! benchmark says what its numbers are held against; `measure/` has the other
//! half of it, the taking of the samples.

mod boot;
mod boot_log;
mod docs;
mod encryption;
mod initramfs;
mod inits;
mod known_hosts;
mod machine;
mod measurement;
mod memory;
mod regression;
mod report;
mod samples;
mod sizes;
mod statistics;
mod unlock;
mod verification;
mod verity;

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use self::machine::Machine;
use self::report::Row;
use self::samples::Samples;
use crate::build::{self, Built};
use crate::command;
use crate::project::Project;
use crate::setup::{self, Prepared};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only these [default: all]
    #[arg(value_enum)]
    names: Vec<Benchmark>,
    /// Print JSON, with every sample
    #[arg(long)]
    json: bool,
    /// Write the tables into docs/performance.md, the ratios into docs/performance.json
    #[arg(long, conflicts_with = "names")]
    write_docs: bool,
    /// Fail if a goal is missed, or a ratio is worse than in docs/performance.json by more
    /// than its margin; for people on a quiet machine, not for CI
    #[arg(long)]
    check: bool,
    /// Rounds of the hash tree and the encryption
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Boots of each kind; of others' init at most three
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    boots: u16,
}

impl Arguments {
    fn asked(&self, benchmark: Benchmark) -> bool {
        self.names.is_empty() || self.names.contains(&benchmark)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Benchmark {
    /// Hash tree of 2 GiB, against SHA-256 alone and `veritysetup format`
    Verity,
    /// Encrypted volume of 2 GiB, against AES-256-XTS and HMAC-SHA256 alone
    Encryption,
    /// Launch measurement, against `sev-snp-measure` and SHA-256 alone
    Measurement,
    /// Verification of reports, against the P-384 signature alone
    Verification,
    /// Peak memory of `ravelin image verity`
    Memory,
    /// PID 1 and the initramfs
    Sizes,
    /// The building of an initramfs, against GNU cpio
    Initramfs,
    /// PID 1 in QEMU, against a minimal reference init
    Boot,
    /// A Debian in QEMU, against dracut, initramfs-tools and a shell
    Inits,
    /// Encrypted disks in QEMU, against cryptsetup
    Unlock,
}

/// All that one run has found out.
#[derive(Serialize)]
struct Outcome {
    machine: Machine,
    rows: Vec<Row>,
    /// PID 1's with a small root, and with a Debian.
    steps: Vec<boot::StepTime>,
    debian_steps: Vec<boot::StepTime>,
    samples: Samples,
}

pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    let samples = command::keeping_stdout_clean(|| {
        let prepared = setup::ensure(project)?;
        let built = build::build_for_bench(project, &prepared)?;
        measure(project, &prepared, &built, arguments)
    })?;
    let outcome = evaluate(samples)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&outcome).context("write JSON")?);
    } else {
        println!("{}", outcome.tables());
    }
    let complaints = if arguments.check { outcome.complaints(project, arguments)? } else { vec![] };
    if arguments.write_docs {
        docs::write(project, &outcome)?;
        regression::write(project, &outcome.rows)?;
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(())
}

fn measure(
    project: &Project,
    prepared: &Prepared,
    built: &Built,
    arguments: &Arguments,
) -> Result<Samples> {
    let asked = |benchmark| arguments.asked(benchmark);
    let verification =
        asked(Benchmark::Verification).then(|| verification::measure(project)).transpose()?;
    let mut cargo = project.cargo();
    prepared.export(&mut cargo);
    built.export(&mut cargo);
    cargo.env("RAVELIN_BENCH_DIRECTORY", project.target.join("bench"));
    if asked(Benchmark::Inits) {
        cargo.env("RAVELIN_OTHER_INITS", setup::other_inits(project, prepared)?);
    }
    cargo.args(["bench", "--quiet", "--package", "xtask", "--bench", "measure", "--"]);
    for benchmark in Benchmark::value_variants() {
        if asked(*benchmark) && *benchmark != Benchmark::Verification {
            cargo.args(benchmark.to_possible_value().map(|value| value.get_name().to_owned()));
        }
    }
    cargo.arg(format!("--rounds={}", arguments.rounds));
    cargo.arg(format!("--boots={}", arguments.boots));
    let json = command::stdout(cargo.stdin(Stdio::null()))?;
    let samples: Samples = serde_json::from_str(&json).context("read the samples")?;
    Ok(Samples { verification, ..samples })
}

fn evaluate(samples: Samples) -> Result<Outcome> {
    let mut rows = Vec::new();
    let (mut steps, mut debian_steps) = (Vec::new(), Vec::new());
    if let Some(verity) = &samples.verity {
        rows.extend(verity::rows(verity));
    }
    if let Some(encryption) = &samples.encryption {
        rows.extend(encryption::rows(encryption));
    }
    if let Some(guests) = &samples.measurement {
        rows.extend(measurement::rows(guests));
    }
    if let Some(rates) = &samples.verification {
        rows.extend(verification::rows(rates));
    }
    if let Some(memory) = &samples.memory {
        rows.extend(memory::rows(memory));
    }
    if let Some(sizes) = &samples.sizes {
        rows.extend(sizes::rows(sizes));
    }
    if let Some(built) = &samples.initramfs {
        rows.extend(initramfs::rows(built));
    }
    if let Some(boot) = &samples.boot {
        rows.extend(boot::rows(boot)?);
        steps = boot::steps(&boot.timed.ours, &boot.counted.ours)?;
    }
    if let Some(inits) = &samples.inits {
        rows.extend(inits::rows(inits)?);
        debian_steps = inits::steps(inits)?;
    }
    if let Some(unlock) = &samples.unlock {
        rows.extend(unlock::rows(unlock)?);
        rows.extend(known_hosts::rows(&unlock.known_hosts));
    }
    Ok(Outcome { machine: Machine::look(), rows, steps, debian_steps, samples })
}

impl Outcome {
    /// The goals that are missed, and what is worse than in the last run.
    fn complaints(&self, project: &Project, arguments: &Arguments) -> Result<Vec<String>> {
        let missed = self.rows.iter().filter(|row| row.met() == Some(false));
        let mut complaints: Vec<String> =
            missed.map(|row| format!("missed: {}", row.name())).collect();
        let last = regression::read(project)?;
        complaints.extend(last.compare(&self.rows, |benchmark| arguments.asked(benchmark)));
        Ok(complaints)
    }

    /// For people: the machine, the table of ratios, and where PID 1's time goes.
    fn tables(&self) -> String {
        let mut text = format!("{}\n{}\n", self.machine, report::table(&self.rows));
        for (root, steps) in [("a small root", &self.steps), ("a Debian", &self.debian_steps)] {
            if !steps.is_empty() {
                text.push_str(&format!(
                    "\nWhere PID 1's time goes with {root}, in milliseconds:\n\n"
                ));
                text.push_str(&boot::step_table(steps));
            }
        }
        for (benchmark, cores) in &self.samples.others {
            text.push_str(&format!(
                "\nDuring `{benchmark}`, other work kept {cores:.1} cores busy on average."
            ));
        }
        text
    }
}
