//! The bill of materials: CycloneDX 1.5 as JSON, of what cargo resolved.
//!
//! It names every crate that `ravelin` and PID 1 may be linked from or built with, for
//! x86-64 Linux and with all features that any part of the workspace asks for: none is
//! missing, a few may not be in the programs. No time and no serial number: the same
//! lock file gives the same document.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::build::TARGET;
use crate::command;
use crate::project::Project;

/// What is shipped.
const ROOTS: [&str; 2] = ["host", "init"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// `None` for the workspace's own.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// `None` is a normal one.
    kind: Option<String>,
}

/// What the lock file has beside names and versions.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

pub(super) fn of(project: &Project) -> Result<String> {
    let mut cargo = project.cargo();
    cargo.args(["metadata", "--locked", "--format-version=1", "--filter-platform", TARGET]);
    let metadata = serde_json::from_str(&command::stdout(&mut cargo)?);
    let lock = fs::read_to_string(project.root.join("Cargo.lock")).context("read Cargo.lock")?;
    let lock = toml::from_str(&lock).context("read Cargo.lock")?;
    let bill = document(&metadata.context("read cargo metadata")?, &lock)?;
    Ok(format!("{}\n", serde_json::to_string_pretty(&bill)?))
}

fn document(metadata: &Metadata, lock: &Lock) -> Result<Value> {
    let packages: BTreeMap<&str, &Package> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let checksums: BTreeMap<(&str, &str), &str> = lock
        .package
        .iter()
        .filter_map(|p| Some(((p.name.as_str(), p.version.as_str()), p.checksum.as_deref()?)))
        .collect();

    let is_root = |p: &&&Package| p.source.is_none() && ROOTS.contains(&p.name.as_str());
    let roots: Vec<&str> = packages.values().filter(is_root).map(|p| p.id.as_str()).collect();
    let version = packages.values().find(is_root).context("no root in cargo metadata")?;
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut open = roots.clone();
    while let Some(id) = open.pop() {
        if reached.insert(id) {
            open.extend(needs(nodes.get(id).context("a package is not resolved")?));
        }
    }

    let mut components = Vec::new();
    let mut dependencies = vec![json!({
        "ref": "ravelin",
        "dependsOn": sorted(roots.iter().filter_map(|id| packages.get(id)).map(|p| purl(p))),
    })];
    for id in &reached {
        let package = packages.get(id).context("a package has no metadata")?;
        let mut component = json!({
            "type": "library",
            "bom-ref": purl(package),
            "name": package.name,
            "version": package.version,
            "purl": purl(package),
        });
        let key = (package.name.as_str(), package.version.as_str());
        if let Some(license) = &package.license {
            // Older manifests have a slash where SPDX has OR.
            let expression = license.replace('/', " OR ");
            insert(&mut component, "licenses", json!([{ "expression": expression }]));
        }
        if let Some(checksum) = checksums.get(&key).filter(|_| package.source.is_some()) {
            insert(&mut component, "hashes", json!([{ "alg": "SHA-256", "content": checksum }]));
        }
        components.push(component);
        let needed = nodes.get(id).into_iter().flat_map(|node| needs(node));
        dependencies.push(json!({
            "ref": purl(package),
            "dependsOn": sorted(needed.filter_map(|id| packages.get(id)).map(|p| purl(p))),
        }));
    }
    let by_name = |key: &'static str| move |value: &Value| value[key].to_string();
    components.sort_by_key(by_name("bom-ref"));
    dependencies.sort_by_key(by_name("ref"));
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "bom-ref": "ravelin",
            "name": "ravelin",
            "version": version.version,
        } },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn insert(component: &mut Value, field: &str, value: Value) {
    if let Value::Object(fields) = component {
        fields.insert(field.to_owned(), value);
    }
}

/// What a package is linked from or built with; not what only its tests use.
fn needs(node: &Node) -> impl Iterator<Item = &str> {
    let ships = |kind: &Kind| kind.kind.as_deref() != Some("dev");
    let ships = move |dependency: &&Dependency| dependency.dep_kinds.iter().any(ships);
    node.deps.iter().filter(ships).map(|dependency| dependency.pkg.as_str())
}

fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

fn sorted(texts: impl Iterator<Item = String>) -> Vec<String> {
    texts.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Value {
        let package = |name: &str, source: Option<&str>| {
            json!({ "id": name, "name": name, "version": "1.0.0", "source": source,
                    "license": "MIT/Apache-2.0" })
        };
        let registry = Some("registry");
        let needs = |name: &str, kind: Option<&str>| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [package("host", None), package("init", None), package("a", registry),
                         package("b", registry), package("tests-only", registry)],
            "resolve": { "nodes": [
                { "id": "host", "deps": [needs("a", None), needs("tests-only", Some("dev"))] },
                { "id": "init", "deps": [] },
                { "id": "a", "deps": [needs("b", Some("build"))] },
                { "id": "b", "deps": [] },
                { "id": "tests-only", "deps": [] },
            ] },
        });
        let lock = Lock {
            package: vec![Locked {
                name: "a".to_owned(),
                version: "1.0.0".to_owned(),
                checksum: Some("00ff".to_owned()),
            }],
        };
        document(&serde_json::from_value(metadata).unwrap(), &lock).unwrap()
    }

    #[test]
    fn all_that_is_shipped_is_in_it_and_no_more() {
        let bill = example();
        let of = |list: &str, key: &str| -> Vec<String> {
            let list = bill[list].as_array().unwrap();
            list.iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
        };
        let refs = ["pkg:cargo/a@1.0.0", "pkg:cargo/b@1.0.0", "pkg:cargo/host@1.0.0"];
        let refs = [&refs[..], &["pkg:cargo/init@1.0.0"]].concat();
        assert_eq!(of("components", "bom-ref"), refs);
        assert_eq!(of("dependencies", "ref"), [&refs[..], &["ravelin"]].concat());
        assert_eq!(bill["components"][0]["hashes"][0]["content"], "00ff");
        assert_eq!(bill["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["dependencies"][0]["dependsOn"], json!(["pkg:cargo/b@1.0.0"]));
    }

    /// What the schema of CycloneDX 1.5 asks for (`bom-1.5.schema.json`): these keys,
    /// these values, and references that lead somewhere.
    #[test]
    fn it_has_what_the_schema_requires() {
        let bill = example();
        assert_eq!(bill["bomFormat"], "CycloneDX");
        assert_eq!(bill["specVersion"], "1.5");
        assert!(bill["version"].as_u64().unwrap() >= 1);
        let components = bill["components"].as_array().unwrap();
        let mut refs: BTreeSet<&str> = BTreeSet::from(["ravelin"]);
        for component in components.iter().chain([&bill["metadata"]["component"]]) {
            assert!(component["type"].is_string() && component["name"].is_string());
            refs.insert(component["bom-ref"].as_str().unwrap());
        }
        assert_eq!(refs.len(), components.len() + 1, "references are unique");
        for entry in bill["dependencies"].as_array().unwrap() {
            assert!(refs.contains(entry["ref"].as_str().unwrap()));
            let on = entry["dependsOn"].as_array().unwrap();
            assert!(on.iter().all(|to| refs.contains(to.as_str().unwrap())));
        }
    }
}
