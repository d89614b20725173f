//! Verification: is this report genuine, and does the owner accept it?
//!
//! The order of things, and why:
//!
//! 1. The chain was validated beforehand ([`crate::certificate::validate`]),
//!    once; here only its validity in time is looked at again.
//! 2. The signature over the report. What signs is the leaf's key; the
//!    report's own words about its signer are compared, never obeyed.
//! 3. The leaf's extensions against the report: product, TCB version, chip.
//!    How TCB versions read is decided by the certificate's product, which is
//!    signed in every version of the report.
//! 4. The policy.
//!
//! A failure stops nothing: [`Verdict`] lists every check with its outcome, so
//! that an owner sees all that is wrong at once. If the signature or the chain
//! fails, what follows was read from bytes that anyone may have written; the
//! verdict then says that it is not authentic, and whatever the policy says it
//! is a refusal.
//!
//! # The P-384 implementation
//!
//! Signatures are verified with `ring`, which the TLS of this project uses
//! anyway, and which does RSASSA-PSS for the certificates too: one
//! implementation of cryptography in the owner's binary. See
//! [`signature`] for the numbers, and for what the others would cost.

mod binding;
mod chain;
mod check;
mod checks;
mod finding;
mod policy;
mod print;
pub mod signature;
mod verdict;

pub use check::{Check, Outcome, Unchecked};
pub use finding::{Finding, FindingCode, Mismatch};
pub use verdict::{CheckResult, Identity, Refused, Verdict, Warning};

use crate::certificate::{ChainRejection, UnixTime, VerifiedChain};
use crate::policy::Policy;
use crate::report::Report;

use self::checks::Checks;

/// What the caller knows about this one verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The time at which the chain must be valid.
    pub now: UnixTime,
    /// What REPORT_DATA must be.
    pub report_data: ReportData,
}

impl Request {
    /// A verification at the time `now`.
    #[must_use]
    pub const fn new(now: UnixTime, report_data: ReportData) -> Self {
        Self { now, report_data }
    }
}

/// What REPORT_DATA must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportData {
    /// Exactly these bytes: what binds the report to a nonce, a connection, a
    /// key.
    Expected([u8; 64]),
    /// Not compared. The report may be old, and anyone's who ran such a
    /// guest; verdicts warn of it unless the policy itself names a value.
    Unchecked,
}

/// Verifies a report. `chain` is the outcome of
/// [`validate`](crate::certificate::validate), good or bad.
pub fn verify(
    report: &Report,
    chain: Result<&VerifiedChain, &ChainRejection>,
    policy: &Policy,
    request: &Request,
) -> Verdict {
    let mut checks = Checks::new(policy.allow);
    let chain_valid = chain::check(&mut checks, chain, policy, request.now);
    let leaf = match chain {
        Ok(chain) => Some(chain.leaf()),
        Err(rejection) => rejection.leaf(),
    };
    let signature_valid = signature::check(&mut checks, report, leaf);
    let product = binding::check(&mut checks, report, leaf);
    policy::check(&mut checks, report, leaf, product, policy, request);
    verdict::conclude(report, chain, request, checks, chain_valid && signature_valid, product)
}
