//! `cargo xtask fuzz`: the targets of `fuzz/` with libFuzzer, on the stable toolchain.
//!
//! The compiler's coverage pass and libFuzzer's own C++ (built by `libfuzzer-sys`) are
//! all that this needs; what `cargo fuzz` would add, sanitizers, needs nightly. What is
//! found along the way is kept below cargo's target directory; inputs that led to a
//! finding belong into `fuzz/corpus/TARGET`, so that the tests run them ever after.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::command;
use crate::project::Project;
use crate::setup;

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// With a triple, cargo leaves build scripts and procedural macros as they are.
const COVERAGE: &str = "-Cpasses=sancov-module \
                        -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares \
                        --cfg fuzzing";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The targets, as they are called in fuzz/corpus [default: all]
    targets: Vec<String>,
    /// How long each of them runs, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    let corpora = project.root.join("fuzz/corpus");
    let mut known = Vec::new();
    for entry in fs::read_dir(&corpora).with_context(|| format!("read {}", corpora.display()))? {
        known.push(entry?.file_name().to_string_lossy().into_owned());
    }
    known.sort();
    for name in &arguments.targets {
        ensure!(known.contains(name), "{name} is no target; {} are", known.join(", "));
    }
    // Some targets are parts of PID 1, which needs what set-up installs.
    let prepared = setup::ensure(project)?;
    let mut build = project.cargo();
    prepared.export_tools(&mut build);
    build.args(["build", "--package", "fuzz", "--features", "libfuzzer"]);
    build.args(["--profile", "fuzz", "--target", TRIPLE]);
    command::run(build.env("RUSTFLAGS", COVERAGE))?;

    let program = project.target.join(TRIPLE).join("fuzz/fuzz");
    let chosen = if arguments.targets.is_empty() { &known } else { &arguments.targets };
    for name in chosen {
        println!("fuzz: {name}, {} seconds", arguments.seconds);
        let found = project.target.join("fuzz-corpus").join(name);
        fs::create_dir_all(&found).with_context(|| format!("create {}", found.display()))?;
        let mut fuzzer = std::process::Command::new(&program);
        // The first directory takes what is new.
        fuzzer.env("RAVELIN_FUZZ_TARGET", name).arg(&found).arg(corpora.join(name));
        fuzzer.arg(format!("-max_total_time={}", arguments.seconds));
        fuzzer.args(["-timeout=10", "-rss_limit_mb=512", "-max_len=16384"]);
        fuzzer.args(["-print_final_stats=1", "-verbosity=0"]);
        fuzzer.arg(format!("-artifact_prefix={}-", found.display()));
        command::run(&mut fuzzer).with_context(|| format!("{name} has a finding"))?;
    }
    Ok(())
}
