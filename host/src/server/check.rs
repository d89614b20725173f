//! One line of the report, and the report.

use serde::Serialize;

/// What became of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is there.
    Ok,
    /// It is not, and no SNP guest starts without.
    Missing,
    /// It could not be seen.
    Unknown,
}

/// One thing that a server needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, which never changes.
    pub id: &'static str,
    /// What became of it.
    pub outcome: Outcome,
    /// What was found. It may quote the server's files.
    pub found: String,
    /// What to do, unless it is there.
    pub remedy: Option<String>,
}

impl Check {
    pub(super) fn ok(id: &'static str, found: impl Into<String>) -> Self {
        Self { id, outcome: Outcome::Ok, found: found.into(), remedy: None }
    }

    pub(super) fn missing(
        id: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self { id, outcome: Outcome::Missing, found: found.into(), remedy }
    }

    pub(super) fn unknown(
        id: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self { id, outcome: Outcome::Unknown, found: found.into(), remedy }
    }
}

/// All checks of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order in which to repair them.
    pub checks: Vec<Check>,
}

impl Report {
    /// The worst of all outcomes.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let has = |outcome| self.checks.iter().any(|check| check.outcome == outcome);
        if has(Outcome::Missing) {
            Outcome::Missing
        } else if has(Outcome::Unknown) {
            Outcome::Unknown
        } else {
            Outcome::Ok
        }
    }
}
