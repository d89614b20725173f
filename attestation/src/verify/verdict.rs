//! The verdict: every check, what came of it, and what follows.

use serde::Serialize;

use super::check::{Check, Outcome, Unchecked};
use super::checks::Checks;
use super::finding::Finding;
use super::{ReportData, Request};
use crate::certificate::{ChainRejection, RootOrigin, UnixTime, VerifiedChain};
use crate::policy::Exception;
use crate::product::Product;
use crate::report::{Hex, KeyKind, Report};

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckResult {
    /// Which check.
    pub check: Check,
    /// What came of it.
    pub outcome: Outcome,
}

/// What the verdict is about. Taken from the report and the leaf; as true as
/// the verdict is authentic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Identity {
    /// The product, if the certificate or the report names one.
    pub product: Option<Product>,
    /// The kind of key in the leaf certificate.
    pub signing_key: Option<KeyKind>,
    /// The provider that a VLEK belongs to.
    pub csp_id: Option<String>,
    /// MEASUREMENT.
    pub measurement: Hex<48>,
    /// REPORT_ID: the same for all of one guest's life.
    pub report_id: Hex<32>,
    /// CHIP_ID.
    pub chip_id: Hex<64>,
}

/// What an owner must be told even of an accepted report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The root is not AMD's; it is this one.
    ForeignRoot(Hex<32>),
    /// REPORT_DATA was compared with nothing.
    UnboundReportData,
    /// The policy says nothing about what runs in the guest.
    AnyMeasurement,
    /// Something that weakens the guest was allowed by name.
    Allowed(Exception),
}

/// The outcome of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a verdict may be a refusal"]
pub struct Verdict {
    checks: Vec<CheckResult>,
    authentic: bool,
    identity: Identity,
    now: UnixTime,
    warnings: Vec<Warning>,
}

impl Verdict {
    /// Whether the report is accepted: it is authentic and no check failed.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.authentic && self.findings().next().is_none()
    }

    /// Whether chain and signature hold, so that the report's contents are the
    /// secure processor's (or whoever's the named root is).
    #[must_use]
    pub const fn authentic(&self) -> bool {
        self.authentic
    }

    /// Every check, in a fixed order.
    #[must_use]
    pub fn checks(&self) -> &[CheckResult] {
        &self.checks
    }

    /// Everything that failed and was not allowed by name.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.checks.iter().flat_map(|result| match &result.outcome {
            Outcome::Failed(findings) => findings.as_slice(),
            Outcome::Passed | Outcome::Allowed(_) | Outcome::Unchecked(_) => &[],
        })
    }

    /// What came of one check.
    #[must_use]
    pub fn outcome(&self, check: Check) -> Option<&Outcome> {
        self.checks.iter().find(|result| result.check == check).map(|result| &result.outcome)
    }

    /// What the verdict is about.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The time for which the verdict holds.
    #[must_use]
    pub const fn time(&self) -> UnixTime {
        self.now
    }

    /// What the owner must be told even of an accepted report.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The verdict of an accepted report, or an error that carries it.
    ///
    /// # Errors
    ///
    /// [`Refused`] unless [`Verdict::accepted`].
    pub fn into_result(self) -> Result<Self, Refused> {
        if self.accepted() { Ok(self) } else { Err(Refused(Box::new(self))) }
    }
}

/// A report that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the report is refused: {}", list(.0))]
pub struct Refused(pub Box<Verdict>);

/// Puts the verdict together.
pub(super) fn conclude(
    report: &Report,
    chain: Result<&VerifiedChain, &ChainRejection>,
    request: &Request,
    checks: Checks,
    authentic: bool,
    product: Option<Product>,
) -> Verdict {
    let leaf = match chain {
        Ok(chain) => Some(chain.leaf()),
        Err(rejection) => rejection.leaf(),
    };
    let identity = Identity {
        product,
        signing_key: leaf.map(crate::certificate::Leaf::kind),
        csp_id: leaf.and_then(|leaf| leaf.csp_id()).map(str::to_owned),
        measurement: report.measurement(),
        report_id: report.report_id(),
        chip_id: report.chip_id(),
    };
    let mut checks = checks.into_results();
    checks.sort_by_key(|result| result.check);
    let warnings = warnings(chain, request, &checks);
    Verdict { checks, authentic, identity, now: request.now, warnings }
}

fn warnings(
    chain: Result<&VerifiedChain, &ChainRejection>,
    request: &Request,
    checks: &[CheckResult],
) -> Vec<Warning> {
    let mut out = Vec::new();
    if let Ok(chain) = chain
        && chain.root_origin() != RootOrigin::Amd
    {
        out.push(Warning::ForeignRoot(chain.root_fingerprint()));
    }
    let unchecked = |check, why| {
        let skipped = Outcome::Unchecked(why);
        checks.iter().any(|result| result.check == check && result.outcome == skipped)
    };
    if request.report_data == ReportData::Unchecked
        && unchecked(Check::ReportData, Unchecked::NoRule)
    {
        out.push(Warning::UnboundReportData);
    }
    if unchecked(Check::Measurement, Unchecked::AnyMeasurement) {
        out.push(Warning::AnyMeasurement);
    }
    for result in checks {
        if let Outcome::Allowed(allowed) = &result.outcome {
            for (exception, _) in allowed {
                let warning = Warning::Allowed(*exception);
                if *exception != Exception::SimulatorRoot && !out.contains(&warning) {
                    out.push(warning);
                }
            }
        }
    }
    out
}

fn list(verdict: &Verdict) -> String {
    let mut text: Vec<_> = verdict.findings().map(ToString::to_string).collect();
    if text.is_empty() {
        text.push("it is not authentic".to_owned());
    }
    text.join("; ")
}
