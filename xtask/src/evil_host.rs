//! `cargo xtask evil-host`: how another init does in the scenarios of `vm-tests/scenarios`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::command;
use crate::project::Project;
use crate::setup;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is launched: docs/testing.md says what this file has
    #[arg(long, value_name = "FILE")]
    target: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Only the scenarios whose names contain this
    name: Option<String>,
}

/// Fails if the target's real system ran where it must not.
pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    let prepared = command::keeping_stdout_clean(|| setup::ensure(project))?;
    // The program runs in the checkout.
    let target = std::path::absolute(&arguments.target).context("find the target's file")?;
    let mut cargo = project.cargo();
    prepared.export_tools(&mut cargo);
    cargo.args(["run", "--quiet", "--package", "vm-tests", "--bin", "evil-host", "--"]);
    cargo.arg(target).args(arguments.json.then_some("--json")).args(&arguments.name);
    command::run(&mut cargo)
}
