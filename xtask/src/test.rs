//! `cargo xtask test`: what CI runs, from formatting to virtual machines.

use std::process::Command;

use anyhow::{Context, Result};

use crate::build::{self, Built};
use crate::command;
use crate::dependencies;
use crate::kernel;
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
    /// The kernel that these boot
    #[arg(long, value_enum, default_value_t = Kernel::Stock, requires = "vm")]
    kernel: Kernel,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Kernel {
    /// Debian's
    Stock,
    /// The one that `cargo xtask kernel` has built
    Fragment,
}

pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    let prepared = setup::ensure(project)?;
    let built = build::build_for_tests(project, &prepared)?;
    let fragment_kernel = kernel::current(project)?;
    let cargo = || {
        let mut cargo = exported(project, &prepared, &built);
        if let Some(kernel) = &fragment_kernel {
            cargo.env("RAVELIN_TEST_FRAGMENT_KERNEL", kernel);
        }
        cargo
    };

    if let Some(name) = &arguments.vm {
        let mut tests = cargo();
        if arguments.kernel == Kernel::Fragment {
            let kernel = fragment_kernel
                .as_ref()
                .context("the fragment's kernel is not there: run `cargo xtask kernel` first")?;
            tests.env("RAVELIN_TEST_KERNEL", kernel);
        }
        return command::run(tests.args(["test", "--package", "vm-tests", name]));
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
    step("documentation");
    command::run(cargo().args([
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
        "--quiet",
    ]))?;
    step("layers");
    layers::run(project)?;
    step("dependencies");
    dependencies::run(project, &dependencies::Arguments::default())?;
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
