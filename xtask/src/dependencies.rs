//! `cargo xtask dependencies`: nothing is depended on in vain, PID 1 has no crate twice
//! without a reason, and (`--deny`) cargo-deny agrees with deny.toml.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::metadata::{self, Dependency, Package};
use crate::project::Project;

/// Crates of which PID 1 has two versions. Neither is cryptography; all end in the same
/// instruction or system call (docs/dependencies.md).
const TWICE: [&str; 4] = ["cpufeatures", "getrandom", "rand_core", "syn"];

/// The reason of everything that is in PID 1.
const PAGE: &str = "docs/dependencies.md";

#[derive(Default, clap::Args)]
pub(crate) struct Arguments {
    /// Let cargo-deny check licences, advisories, sources and bans too; it is installed
    /// into the cache, which takes some minutes, unless there is one
    #[arg(long)]
    deny: bool,
}

pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    let mut faults = Vec::new();
    let packages = metadata::packages(project)?;
    for package in &packages {
        faults.extend(unused(package)?);
    }
    let page = project.root.join(PAGE);
    let page = fs::read_to_string(&page).with_context(|| format!("read {PAGE}"))?;
    faults.extend(unexplained(&page, &packages));
    faults.extend(twice(&duplicates_in_init(project)?));
    for fault in &faults {
        println!("dependencies: {fault}");
    }
    if !faults.is_empty() {
        bail!("{} faults in what the crates depend on", faults.len());
    }
    println!("dependencies: all are used, and PID 1 has none twice without a reason");
    if arguments.deny { deny(project) } else { Ok(()) }
}

/// Dependencies that no source file of the package names.
fn unused(package: &Package) -> Result<Vec<String>> {
    let root = package.manifest_path.parent().context("a manifest without a directory")?;
    let mut shipped = String::new();
    for path in [root.join("src"), root.join("build.rs")] {
        read(&path, &mut shipped)?;
    }
    let mut all = shipped.clone();
    for path in ["tests", "benches", "examples"] {
        read(&root.join(path), &mut all)?;
    }
    let unused = package.dependencies.iter().filter(|dependency| {
        // An optional one may be there for a benchmark: a dev-dependency cannot be optional.
        let anywhere = dependency.optional || dependency.kind.as_deref() == Some("dev");
        !names(if anywhere { &all } else { &shipped }, &identifier(dependency))
    });
    Ok(unused.map(|found| format!("{} does not use {}", package.name, found.name)).collect())
}

/// The crate's name in a source file.
fn identifier(dependency: &Dependency) -> String {
    dependency.rename.as_ref().unwrap_or(&dependency.name).replace('-', "_")
}

/// Adds every Rust file at or below `path`, if there is one.
fn read(path: &Path, text: &mut String) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("read {}", path.display()))? {
            read(&entry?.path(), text)?;
        }
    } else if path.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
        let more = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        // A module of another package's.
        for elsewhere in more.lines().filter_map(|line| line.strip_prefix("#[path = \"../")) {
            let elsewhere = elsewhere.trim_end_matches("\"]").trim_end_matches("mod.rs");
            let beside = path.parent().unwrap_or(path).join("..");
            read(&beside.join(elsewhere), text)?;
        }
        text.push_str(&more);
    }
    Ok(())
}

/// Whether the crate is used, outside of comments: as the start of a path or alone in a
/// `use`.
fn names(source: &str, identifier: &str) -> bool {
    source.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(identifier).any(|(at, _)| {
            let before = line.get(..at).unwrap_or_default();
            let after = line.get(at + identifier.len()..).unwrap_or_default();
            let starts = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let path = after.starts_with("::");
            let alone = before.trim_end().ends_with("use") && after.starts_with([';', ' ']);
            starts && (path || alone)
        })
    })
}

/// What PID 1 depends on, of others', and the page has no row for.
fn unexplained(page: &str, packages: &[Package]) -> Vec<String> {
    let explained: BTreeSet<&str> = page
        .lines()
        .filter_map(|row| row.strip_prefix("| `"))
        .flat_map(|row| row.split('|').take(1))
        .flat_map(|cell| cell.split(['`', ',', ' ']))
        .collect();
    let ours = |name: &str| packages.iter().any(|package| package.name == name);
    let init = packages.iter().filter(|package| package.name == "init");
    init.flat_map(|init| &init.dependencies)
        .filter(|dependency| dependency.kind.is_none() && !ours(&dependency.name))
        .filter(|dependency| !explained.contains(dependency.name.as_str()))
        .map(|dependency| format!("{PAGE} has no reason for {}", dependency.name))
        .collect()
}

fn duplicates_in_init(project: &Project) -> Result<String> {
    command::stdout(project.cargo().args([
        "tree",
        "--package=init",
        "--edges=normal",
        "--target=x86_64-unknown-linux-gnu",
        "--duplicates",
        "--depth=0",
        "--prefix=none",
        "--format={p}",
    ]))
}

fn twice(tree: &str) -> Vec<String> {
    let found: BTreeSet<&str> =
        tree.lines().filter_map(|line| line.split(' ').next()).filter(|n| !n.is_empty()).collect();
    let known: BTreeSet<&str> = TWICE.into();
    let more = found.difference(&known).map(|name| format!("PID 1 has {name} twice"));
    let fewer = known.difference(&found);
    more.chain(fewer.map(|name| format!("PID 1 has {name} once: it needs no reason any more")))
        .collect()
}

/// Runs cargo-deny.
fn deny(project: &Project) -> Result<()> {
    let mut program = project.cache.join("cargo-deny/bin/cargo-deny");
    if command::stdout(std::process::Command::new("cargo-deny").arg("--version")).is_ok() {
        program = "cargo-deny".into();
    } else if !program.is_file() {
        println!("dependencies: installing cargo-deny");
        let mut install = project.cargo();
        install.args(["install", "--locked", "cargo-deny", "--root"]);
        command::run(install.arg(project.cache.join("cargo-deny")))?;
    }
    let deny = |arguments: &[&str]| {
        let mut deny = std::process::Command::new(&program);
        command::run(deny.current_dir(&project.root).args(arguments))
    };
    deny(&["--offline", "check", "licenses", "bans", "sources"])?;
    if let Err(error) = deny(&["check", "advisories"]) {
        // The network may be what failed, and a copy from earlier be there.
        println!("dependencies: {error:#}; once more with the advisories that are here");
        deny(&["--offline", "check", "advisories"])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_used_by_a_path_or_a_use() {
        for line in ["use sha2::Digest;", "    let x = sha2::Sha256::new();", "use sha2;"] {
            assert!(names(line, "sha2"), "{line}");
        }
        for line in ["// sha2::Sha256", "let sha2 = 1;", "use mysha2::A;", "use sha2x::B;"] {
            assert!(!names(line, "sha2"), "{line}");
        }
    }

    #[test]
    fn every_crate_in_pid_1_needs_a_reason() {
        let dependency = |name: &str, kind: Option<&str>| Dependency {
            name: name.to_owned(),
            rename: None,
            optional: false,
            kind: kind.map(str::to_owned),
        };
        let package = |name: &str, dependencies| Package {
            name: name.to_owned(),
            manifest_path: "Cargo.toml".into(),
            dependencies,
        };
        let page = "| `sha2` | digests |\n| `uuid`, `hex` | names |\n| – `libc` | its own |\n";
        let mut all = vec![dependency("sha2", None), dependency("hex", None)];
        all.extend([dependency("verity", None), dependency("tempfile", Some("dev"))]);
        let verity = || package("verity", vec![]);
        assert!(unexplained(page, &[package("init", all), verity()]).is_empty());
        let more = ["libc", "names", "verity"].map(|name| dependency(name, None)).into();
        let found = unexplained(page, &[package("init", more), verity()]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn a_second_version_needs_a_reason_and_a_reason_a_second_version() {
        let known: String =
            TWICE.iter().map(|name| format!("{name} v1\n\n{name} v2\n\n")).collect();
        assert!(twice(&known).is_empty());
        assert_eq!(twice(&format!("{known}sha2 v0.10\n")), ["PID 1 has sha2 twice"]);
        assert_eq!(twice(&known.replace("syn", "getrandom")).len(), 1);
    }
}
