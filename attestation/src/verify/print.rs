//! A verdict for people, check by check, and for scripts, as JSON.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::check::Outcome;
use super::finding::Finding;
use super::verdict::{CheckResult, Verdict, Warning};

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in self.warnings() {
            writeln!(f, "WARNING: {warning}")?;
        }
        for CheckResult { check, outcome } in self.checks() {
            let title = check.title();
            match outcome {
                Outcome::Passed => writeln!(f, "pass     {title}")?,
                Outcome::Failed(findings) => {
                    for finding in findings {
                        writeln!(f, "FAIL     {title}: {finding} [{}]", finding.code())?;
                    }
                }
                Outcome::Allowed(findings) => {
                    for (exception, finding) in findings {
                        writeln!(f, "allowed  {title}: {finding} (allowed as {exception})")?;
                    }
                }
                Outcome::Unchecked(why) => writeln!(f, "-        {title}: not checked, {why}")?,
            }
        }
        if !self.authentic() {
            let text = "chain or signature do not hold; anyone may have written this report";
            writeln!(f, "NOT AUTHENTIC: {text}")?;
        }
        writeln!(f, "report id {}", self.identity().report_id)?;
        f.write_str(if self.accepted() { "ACCEPTED" } else { "REFUSED" })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignRoot(fingerprint) => write!(
                f,
                "the root of trust is NOT AMD's but {fingerprint}; whoever holds its key can make \
                 any report"
            ),
            Self::UnboundReportData => f.write_str(
                "the report data was compared with nothing; the report may be old or another's",
            ),
            Self::AnyMeasurement => f.write_str(
                "the policy says nothing about what runs in the guest; it may be anything",
            ),
            Self::Allowed(exception) => {
                write!(f, "accepted only because the policy allows {exception}")
            }
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Verdict", 6)?;
        out.serialize_field("accepted", &self.accepted())?;
        out.serialize_field("authentic", &self.authentic())?;
        out.serialize_field("time", &self.time())?;
        out.serialize_field("identity", self.identity())?;
        let warnings: Vec<_> = self.warnings().iter().map(ToString::to_string).collect();
        out.serialize_field("warnings", &warnings)?;
        out.serialize_field("checks", self.checks())?;
        out.end()
    }
}

impl Serialize for CheckResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let word = match &self.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed(_) => "failed",
            Outcome::Allowed(_) => "allowed",
            Outcome::Unchecked(_) => "unchecked",
        };
        let findings: Vec<_> = match &self.outcome {
            Outcome::Passed | Outcome::Unchecked(_) => Vec::new(),
            Outcome::Failed(findings) => findings.iter().map(FindingView::from).collect(),
            Outcome::Allowed(findings) => findings
                .iter()
                .map(|(exception, finding)| FindingView {
                    allowed_as: Some(exception.name()),
                    ..FindingView::from(finding)
                })
                .collect(),
        };
        let reason = match &self.outcome {
            Outcome::Unchecked(why) => Some(why.to_string()),
            Outcome::Passed | Outcome::Failed(_) | Outcome::Allowed(_) => None,
        };
        let mut out = serializer.serialize_struct("CheckResult", 5)?;
        out.serialize_field("check", &self.check)?;
        out.serialize_field("title", self.check.title())?;
        out.serialize_field("outcome", word)?;
        out.serialize_field("reason", &reason)?;
        out.serialize_field("findings", &findings)?;
        out.end()
    }
}

#[derive(Serialize)]
struct FindingView<'a> {
    code: &'a str,
    message: String,
    expected: Option<&'a str>,
    found: Option<&'a str>,
    allowed_as: Option<&'a str>,
}

impl<'a> From<&'a Finding> for FindingView<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            code: finding.code(),
            message: finding.to_string(),
            expected: finding.expected(),
            found: finding.found(),
            allowed_as: None,
        }
    }
}
