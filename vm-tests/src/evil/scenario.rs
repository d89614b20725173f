//! Scenarios: one file each, its name without `.toml` is the scenario's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Action, EvilError, Expectation, io};

/// What a host does, and what must come of it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What the host does, in words.
    pub attack: String,
    /// Why that leads nowhere.
    pub closed: String,
    /// What the host does.
    pub host: Vec<Action>,
    /// What has to be observed, by target.
    pub expect: BTreeMap<String, Expectation>,
    /// What is acceptable of any other target; `None` if the scenario means nothing there.
    pub elsewhere: Option<Elsewhere>,
}

/// What is acceptable whatever the target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Elsewhere {
    /// The real system must not run.
    MustNotBoot,
    /// It may run or not: the harm is none, or comes later, or is measured.
    MayBoot,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    attack: String,
    closed: String,
    host: Vec<Action>,
    #[serde(default)]
    expect: BTreeMap<String, Expectation>,
    elsewhere: Option<Elsewhere>,
}

impl Scenario {
    /// The project's own.
    #[must_use]
    pub fn directory() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
    }

    /// Reads all of a directory, in the order of their names.
    ///
    /// # Errors
    /// If one of them cannot be read, or there is something else.
    pub fn read_all(directory: &Path) -> Result<Vec<Self>, EvilError> {
        let listing = || format!("list {}", directory.display());
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory).map_err(io(listing()))? {
            paths.push(entry.map_err(io(listing()))?.path());
        }
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// Reads one.
    ///
    /// # Errors
    /// If it cannot be read, or means nothing.
    pub fn read(path: &Path) -> Result<Self, EvilError> {
        let refused =
            |reason: &str| EvilError::Format { path: path.to_owned(), reason: reason.to_owned() };
        if path.extension().is_none_or(|extension| extension != "toml") {
            return Err(refused("a scenario is NAME.toml"));
        }
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let text = fs::read_to_string(path).map_err(io(format!("read {}", path.display())))?;
        let raw: Raw = toml::from_str(&text).map_err(|error| refused(&error.to_string()))?;
        if raw.host.is_empty() {
            return Err(refused("the host does nothing"));
        }
        if raw.attack.is_empty() || raw.closed.is_empty() {
            return Err(refused("`attack` and `closed` have to say something"));
        }
        if raw.expect.is_empty() && raw.elsewhere.is_none() {
            return Err(refused("nothing is expected of anybody"));
        }
        Ok(Self {
            name: name.to_owned(),
            attack: raw.attack,
            closed: raw.closed,
            host: raw.host,
            expect: raw.expect,
            elsewhere: raw.elsewhere,
        })
    }
}
