//! The project's own chores: `cargo xtask <chore>`.
//!
//! One file a chore. Nothing here is part of what ships; the chores call the
//! same `cargo` and the same `ravelin` that a user would.

mod bench;
mod build;
mod command;
mod demo;
mod dependencies;
mod dist;
mod evil_host;
mod fuzz;
mod kernel;
mod layers;
mod metadata;
mod project;
mod purity;
mod setup;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::project::Project;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Ravelin's own chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Install what building and testing need, once; the others call it themselves
    Setup(setup::Arguments),
    /// Build the static PID 1 and the `ravelin` command that carries it
    Build,
    /// Make a small Debian, boot it on a verified disk, log in and look around
    Demo(demo::Arguments),
    /// Format, lints, layers, then every test, virtual machines included
    Test(test::Arguments),
    /// Hold any init against the scenarios of an evil host
    EvilHost(evil_host::Arguments),
    /// Build the kernel of kernel-config/ravelin.config, once, into the cache
    Kernel(kernel::Arguments),
    /// Build what a release consists of, reproducibly, into target/dist
    Dist,
    /// Run the fuzz targets with libFuzzer
    Fuzz(fuzz::Arguments),
    /// Measure Ravelin against its goals and other tools, in one table of ratios
    Bench(bench::Arguments),
    /// Check that the crates depend on each other as docs/architecture.md says
    Layers,
    /// Check that nothing is depended on in vain, or twice in PID 1
    Dependencies(dependencies::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        // The chain of causes; where in xtask it happened helps nobody.
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> anyhow::Result<()> {
    let project = Project::find()?;
    match chore {
        Chore::Setup(arguments) => setup::run(&project, &arguments),
        Chore::Build => build::run(&project),
        Chore::Demo(arguments) => demo::run(&project, &arguments),
        Chore::Test(arguments) => test::run(&project, &arguments),
        Chore::EvilHost(arguments) => evil_host::run(&project, &arguments),
        Chore::Kernel(arguments) => kernel::run(&project, &arguments),
        Chore::Dist => dist::run(&project),
        Chore::Fuzz(arguments) => fuzz::run(&project, &arguments),
        Chore::Bench(arguments) => bench::run(&project, &arguments),
        Chore::Layers => layers::run(&project),
        Chore::Dependencies(arguments) => dependencies::run(&project, &arguments),
    }
}
