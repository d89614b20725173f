//! `cargo xtask layers`: the crates build on each other as the design says.
//!
//! The table is that of docs/architecture.md. It is checked on what ships (normal and build
//! dependencies); tests may compare with anything.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::command;
use crate::metadata::{self, Package};
use crate::project::Project;

/// A crate and what of ours it may build on; `None` is anything.
const TABLE: &[(&str, Option<&[&str]>)] = &[
    ("protocol", Some(&[])),
    ("disk-io", Some(&[])),
    ("verity", Some(&["disk-io"])),
    ("luks", Some(&["disk-io"])),
    ("kernel-config", Some(&[])),
    ("attestation", Some(&["protocol"])),
    ("simulator", Some(&["protocol", "attestation", "image-builder"])),
    ("init", Some(&["protocol", "verity", "luks"])),
    ("image-builder", Some(&["protocol", "verity", "luks", "kernel-config"])),
    (
        "host",
        Some(&["protocol", "verity", "luks", "kernel-config", "attestation", "image-builder"]),
    ),
    ("vm-tests", None),
    ("xtask", None),
    ("fuzz", None),
    ("oracle", None),
];

/// What may be nowhere below a crate, however far down.
const NEVER_BELOW: &[(&str, &[&str])] = &[
    (
        "init",
        &[
            "host",
            "image-builder",
            "attestation",
            "simulator",
            "clap",
            "tokio",
            "openssl-sys",
            "libcryptsetup-rs-sys",
        ],
    ),
    ("host", &["init", "simulator", "libcryptsetup-rs-sys"]),
];

pub(crate) fn run(project: &Project) -> Result<()> {
    let packages = metadata::packages(project)?;
    let mut faults = forbidden_edges(&packages);
    for (package, never) in NEVER_BELOW {
        if packages.iter().any(|known| known.name == *package) {
            let below = everything_below(project, package)?;
            faults.extend(found_below(package, never, &below));
        }
    }
    if faults.is_empty() {
        println!("layers: {} crates build on each other as designed", packages.len());
        return Ok(());
    }
    for fault in &faults {
        println!("layers: {fault}");
    }
    bail!("{} dependencies that the design forbids", faults.len())
}

fn forbidden_edges(packages: &[Package]) -> Vec<String> {
    let table: BTreeMap<_, _> = TABLE.iter().copied().collect();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut faults = Vec::new();
    for package in packages {
        let Some(allowed) = table.get(package.name.as_str()) else {
            faults.push(format!("{} is not in the table of xtask/src/layers.rs", package.name));
            continue;
        };
        let Some(allowed) = allowed else { continue };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let ships = dependency.kind.as_deref() != Some("dev");
            if ships && ours.contains(name) && !allowed.contains(&name) {
                faults.push(format!("{} must not build on {name}", package.name));
            }
        }
    }
    faults
}

fn found_below(package: &str, never: &[&str], below: &BTreeSet<String>) -> Vec<String> {
    never
        .iter()
        .filter(|name| below.contains(**name))
        .map(|name| format!("{package} must not bring in {name}, not even through another crate"))
        .collect()
}

/// The names of all crates that are compiled into `package` alone, with the
/// features that this package asks for.
fn everything_below(project: &Project, package: &str) -> Result<BTreeSet<String>> {
    let tree = command::stdout(project.cargo().args([
        "tree",
        "--edges=normal",
        "--prefix=none",
        "--format={p}",
        "--package",
        package,
    ]))?;
    Ok(tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != package)
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|(name, kind)| Dependency {
                name: (*name).to_owned(),
                rename: None,
                optional: false,
                kind: kind.map(str::to_owned),
            })
            .collect();
        Package { name: name.to_owned(), manifest_path: "Cargo.toml".into(), dependencies }
    }

    #[test]
    fn an_edge_that_the_table_lacks_is_a_fault() {
        let packages = [
            package("protocol", &[]),
            package("verity", &[("protocol", None)]),
            package("init", &[("protocol", None), ("host", Some("build"))]),
            package("host", &[("protocol", None), ("serde", None)]),
        ];
        assert_eq!(
            forbidden_edges(&packages),
            ["verity must not build on protocol", "init must not build on host"]
        );
    }

    #[test]
    fn tests_may_use_what_the_crate_may_not() {
        let packages = [package("verity", &[("protocol", Some("dev"))]), package("protocol", &[])];
        assert!(forbidden_edges(&packages).is_empty());
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_a_fault() {
        let faults = forbidden_edges(&[package("surprise", &[])]);
        assert_eq!(faults, ["surprise is not in the table of xtask/src/layers.rs"]);
    }

    #[test]
    fn what_is_brought_in_indirectly_is_a_fault() {
        let below = ["rustix", "tokio"].map(str::to_owned).into();
        assert_eq!(
            found_below("init", &["tokio", "clap"], &below),
            ["init must not bring in tokio, not even through another crate"]
        );
    }
}
