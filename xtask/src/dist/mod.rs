//! `cargo xtask dist`: what a release consists of, the same bytes from any directory.
//!
//! Compiled apart from everything else, because the flags that keep the names of this
//! machine's directories out of programs would have cargo build all of it again.

mod sbom;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::build::{TARGET, check_static};
use crate::command;
use crate::project::Project;
use crate::setup::{self, Prepared};

pub(crate) fn run(project: &Project) -> Result<()> {
    let prepared = setup::ensure(project)?;
    let builder = Builder::new(project, &prepared)?;
    let init =
        builder.program("init", "init", "init", &["-C", "target-feature=+crt-static"], None)?;
    check_static(&init)?;
    let ravelin = builder.program("host", "ravelin", "release", &[], Some(&init))?;

    let output = project.target.join("dist");
    let _none_yet = fs::remove_dir_all(&output);
    fs::create_dir_all(&output).with_context(|| format!("make {}", output.display()))?;
    fs::copy(&ravelin, output.join("ravelin")).context("copy ravelin")?;
    let mut base = Command::new(&ravelin);
    base.args(["--quiet", "image", "initramfs", "--part", "base", "--output"]);
    command::run(base.arg(output.join("ravelin-base.cpio")))?;
    let bill = sbom::of(project)?;
    fs::write(output.join("ravelin.cdx.json"), bill).context("write the bill of materials")?;
    let mut sums = Command::new("sha256sum");
    sums.args(["ravelin", "ravelin-base.cpio", "ravelin.cdx.json"]).current_dir(&output);
    let sums = command::stdout(&mut sums)?;
    fs::write(output.join("SHA256SUMS"), &sums).context("write SHA256SUMS")?;
    print!("{sums}");
    println!("dist: {}", output.display());
    Ok(())
}

struct Builder<'a> {
    project: &'a Project,
    prepared: &'a Prepared,
    target: PathBuf,
    /// Directories of this machine, and what stands for them in the programs.
    names: Vec<(PathBuf, &'static str)>,
}

impl<'a> Builder<'a> {
    fn new(project: &'a Project, prepared: &'a Prepared) -> Result<Self> {
        let target = project.target.join("dist-build");
        let sysroot = command::stdout(Command::new("rustc").args(["--print", "sysroot"]))?;
        // Where several match, the last one counts.
        let names = vec![
            (cargo_home()?, "/cargo"),
            (PathBuf::from(sysroot.trim()), "/rust"),
            (project.root.clone(), "/ravelin"),
            (target.clone(), "/target"),
        ];
        Ok(Self { project, prepared, target, names })
    }

    fn program(
        &self,
        package: &str,
        binary: &str,
        profile: &str,
        flags: &[&str],
        init: Option<&Path>,
    ) -> Result<PathBuf> {
        let mut cargo = self.project.cargo();
        cargo
            .args(["rustc", "--locked", "--profile", profile, "--target", TARGET])
            .args(["--package", package, "--bin", binary])
            .env("CARGO_TARGET_DIR", &self.target)
            .env_remove("RUSTFLAGS")
            // Its parts are separated by this byte, so paths may have spaces.
            .env("CARGO_ENCODED_RUSTFLAGS", self.rust_flags(flags))
            .env("CFLAGS", self.c_flags()?)
            .env("SOURCE_DATE_EPOCH", "0");
        if let Some(init) = init {
            cargo.env("RAVELIN_INIT", init);
        }
        self.prepared.export_tools(&mut cargo);
        // Names that thin LTO makes up have hashes of paths; so has the build id, which is of
        // what is left.
        cargo.args(["--", "-C", "strip=symbols"]);
        command::run(&mut cargo)?;
        Ok(self.target.join(TARGET).join(profile).join(binary))
    }

    fn rust_flags(&self, more: &[&str]) -> OsString {
        let remapped = self.names.iter().map(|(directory, name)| {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(directory);
            flag.push("=");
            flag.push(name);
            flag
        });
        let flags: Vec<OsString> = remapped.chain(more.iter().map(OsString::from)).collect();
        flags.join(OsStr::new("\x1f"))
    }

    /// For the C parts of zstd, xz and ring.
    fn c_flags(&self) -> Result<String> {
        let mut flags = Vec::new();
        for (directory, name) in &self.names {
            let directory = directory.to_str().context("a directory's name is not UTF-8")?;
            ensure!(!directory.contains(' '), "{directory}: the C compiler's flags have no spaces");
            flags.push(format!("-ffile-prefix-map={directory}={name}"));
        }
        Ok(flags.join(" "))
    }
}

fn cargo_home() -> Result<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")
}
