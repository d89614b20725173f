//! The collector that every check reports to.

use super::check::{Check, Outcome, Unchecked};
use super::finding::{Finding, Mismatch};
use super::verdict::CheckResult;
use crate::policy::{Exception, Exceptions};

/// Gathers the outcome of each check. Findings of one check are gathered
/// together; a finding that an exception covers is kept as allowed.
pub(super) struct Checks {
    allow: Exceptions,
    results: Vec<CheckResult>,
}

impl Checks {
    pub(super) fn new(allow: Exceptions) -> Self {
        Self { allow, results: Vec::with_capacity(Check::ALL.len()) }
    }

    /// Makes one check: what `run` reports decides its outcome. Returns
    /// whether it passed without any finding.
    pub(super) fn make(&mut self, check: Check, run: impl FnOnce(&mut Findings)) -> bool {
        let mut findings = Findings { allow: self.allow, failed: Vec::new(), allowed: Vec::new() };
        run(&mut findings);
        let clean = findings.failed.is_empty() && findings.allowed.is_empty();
        let outcome = if clean {
            Outcome::Passed
        } else if findings.failed.is_empty() {
            Outcome::Allowed(findings.allowed)
        } else {
            let allowed = findings.allowed.into_iter().map(|(_, finding)| finding);
            findings.failed.extend(allowed);
            Outcome::Failed(findings.failed)
        };
        self.results.push(CheckResult { check, outcome });
        clean
    }

    /// Records that a check was not made.
    pub(super) fn skip(&mut self, check: Check, why: Unchecked) {
        self.results.push(CheckResult { check, outcome: Outcome::Unchecked(why) });
    }

    pub(super) fn into_results(self) -> Vec<CheckResult> {
        self.results
    }
}

/// What one check finds.
pub(super) struct Findings {
    allow: Exceptions,
    failed: Vec<Finding>,
    allowed: Vec<(Exception, Finding)>,
}

impl Findings {
    /// Something is wrong.
    pub(super) fn fail(&mut self, finding: impl Into<Finding>) {
        self.failed.push(finding.into());
    }

    /// Something is wrong, unless the policy allows it by this name.
    pub(super) fn fail_unless(&mut self, exception: Exception, finding: Mismatch) {
        if self.allow.contains(exception) {
            self.allowed.push((exception, finding.into()));
        } else {
            self.failed.push(finding.into());
        }
    }
}
