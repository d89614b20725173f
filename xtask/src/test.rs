//! `cargo xtask test`: what CI runs, from formatting to virtual machines.

use std::process::Command;

use anyhow::Result;

use crate::build::{self, Built};
use crate::command;
use crate::layers;
use crate::project::Project;
use crate::purity;
use crate::setup::{self, Prepared};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave out the tests that boot virtual machines
    #[arg(long, conflicts_with = "vm")]
    fast: bool,
    /// Run only the virtual machine tests whose names contain this
    #[arg(long, value_name = "NAME")]
    vm: Option<String>,
}

pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    let prepared = setup::ensure(project)?;
    let built = build::build_for_tests(project, &prepared)?;
    let cargo = || exported(project, &prepared, &built);

    if let Some(name) = &arguments.vm {
        return command::run(cargo().args(["test", "--package", "vm-tests", name]));
    }

    step("formatting");
    command::run(cargo().args(["fmt", "--all", "--check"]))?;
    step("lints");
    command::run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    step("layers");
    layers::run(project)?;
    step("no simulator in what ships");
    purity::check(&built)?;
    step("tests");
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]);
    if arguments.fast {
        tests.args(["--exclude", "vm-tests"]);
    }
    command::run(&mut tests)
}

fn exported(project: &Project, prepared: &Prepared, built: &Built) -> Command {
    let mut cargo = project.cargo();
    prepared.export(&mut cargo);
    built.export(&mut cargo);
    cargo
}

fn step(name: &str) {
    println!("test: {name}");
}
