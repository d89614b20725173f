//! `cargo xtask build`: the static PID 1, `ravelin` with PID 1 inside, and the
//! simulator with its static guest program inside.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command;
use crate::project::Project;
use crate::setup::{self, Prepared};

/// Named even where it is the host's own: cargo then keeps `+crt-static` away
/// from build scripts and procedural macros, which cannot be static.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What was built.
pub(crate) struct Built {
    /// PID 1.
    pub(crate) init: PathBuf,
    /// The `ravelin` command.
    pub(crate) ravelin: PathBuf,
    /// The simulated secure processor.
    pub(crate) simulator: PathBuf,
    /// What of it runs in the guest.
    pub(crate) simulator_guest: PathBuf,
    /// The init of the tests' small roots.
    pub(crate) guest_probe: Option<PathBuf>,
    /// The yardstick of the boot benchmark, and another init for the evil host.
    pub(crate) reference_init: Option<PathBuf>,
}

impl Built {
    /// Tells a program where the built things are. The same for every cargo
    /// call: the `ravelin` crate is compiled again when PID 1's path changes.
    pub(crate) fn export(&self, command: &mut Command) {
        command.env("RAVELIN_INIT", &self.init).env("RAVELIN_CLI", &self.ravelin);
        command.env("RAVELIN_SIM_GUEST", &self.simulator_guest);
        command.env("RAVELIN_SIMULATOR", &self.simulator);
        if let Some(guest_probe) = &self.guest_probe {
            command.env("RAVELIN_GUEST_PROBE", guest_probe);
        }
        if let Some(reference_init) = &self.reference_init {
            command.env("RAVELIN_REFERENCE_INIT", reference_init);
        }
    }
}

pub(crate) fn run(project: &Project) -> Result<()> {
    let prepared = setup::ensure(project)?;
    let built = build(project, &prepared)?;
    println!("build: {}", built.init.display());
    println!("build: {}", built.ravelin.display());
    println!("build: {} (for `ravelin launch --simulate`)", built.simulator.display());
    Ok(())
}

/// Builds PID 1, the command and the simulator.
pub(crate) fn build(project: &Project, prepared: &Prepared) -> Result<Built> {
    let init = static_binary(project, prepared, "init", "init", &[])?;
    let mut cargo = project.cargo();
    cargo.args(["build", "--release", "--package", "host", "--bin", "ravelin"]);
    cargo.env("RAVELIN_INIT", &init);
    prepared.export_tools(&mut cargo);
    command::run(&mut cargo)?;
    let ravelin = project.target.join("release/ravelin");
    let features = ["--no-default-features", "--features", "guest"];
    let simulator_guest = static_binary(project, prepared, "simulator", "ravelin-sim", &features)?;
    // Alone: together with the command, cargo would unite their features.
    let mut cargo = project.cargo();
    cargo.args(["build", "--release", "--package", "simulator", "--bin", "ravelin-simulator"]);
    cargo.env("RAVELIN_SIM_GUEST", &simulator_guest);
    prepared.export_tools(&mut cargo);
    command::run(&mut cargo)?;
    let simulator = project.target.join("release/ravelin-simulator");
    Ok(Built { init, ravelin, simulator, simulator_guest, guest_probe: None, reference_init: None })
}

/// Builds what the virtual machine tests need besides.
pub(crate) fn build_for_tests(project: &Project, prepared: &Prepared) -> Result<Built> {
    let built = build(project, prepared)?;
    let guest_probe = static_binary(project, prepared, "vm-tests", "guest-probe", &[])?;
    let reference_init = static_binary(project, prepared, "vm-tests", "reference-init", &[])?;
    let reference_init = Some(reference_init);
    Ok(Built { guest_probe: Some(guest_probe), reference_init, ..built })
}

/// Builds what the benchmarks need besides.
pub(crate) fn build_for_bench(project: &Project, prepared: &Prepared) -> Result<Built> {
    let built = build(project, prepared)?;
    let reference_init = static_binary(project, prepared, "vm-tests", "reference-init", &[])?;
    Ok(Built { reference_init: Some(reference_init), ..built })
}

fn static_binary(
    project: &Project,
    prepared: &Prepared,
    package: &str,
    binary: &str,
    features: &[&str],
) -> Result<PathBuf> {
    let mut cargo = project.cargo();
    cargo
        .args(["build", "--profile", "init", "--target", TARGET])
        .args(["--package", package, "--bin", binary])
        .args(features)
        // These would replace the next one.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-C target-feature=+crt-static");
    prepared.export_tools(&mut cargo);
    command::run(&mut cargo)?;
    let path = project.target.join(TARGET).join("init").join(binary);
    check_static(&path)?;
    let size = fs::metadata(&path).with_context(|| format!("read {}", path.display()))?.len();
    println!("build: {binary} is static, {size} bytes");
    Ok(path)
}

/// A program that names an interpreter would not start in an initramfs
/// without a C library.
pub(crate) fn check_static(path: &Path) -> Result<()> {
    let arguments = [OsStr::new("--program-headers"), OsStr::new("--wide"), path.as_os_str()];
    let headers = command::stdout(Command::new("readelf").args(arguments))?;
    ensure!(headers.contains("LOAD"), "{} has no program headers", path.display());
    ensure!(!headers.contains("INTERP"), "{} is not static: it has PT_INTERP", path.display());
    Ok(())
}
