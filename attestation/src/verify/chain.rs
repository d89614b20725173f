//! The chain's part of a verdict.

use super::check::{Check, Unchecked};
use super::checks::Checks;
use super::finding::{FindingCode, Mismatch};
use crate::certificate::{
    ChainError, ChainRejection, Link, Revocation, RootOrigin, UnixTime, VerifiedChain,
};
use crate::policy::{Exception, Policy};

/// Records the chain's checks; whether the chain holds at the time `now`.
/// A root that is not AMD's does not unmake a chain: whether it is accepted is
/// the policy's to say.
pub(super) fn check(
    checks: &mut Checks,
    chain: Result<&VerifiedChain, &ChainRejection>,
    policy: &Policy,
    now: UnixTime,
) -> bool {
    let late;
    let errors = match chain {
        Ok(chain) => {
            late = chain.check_time(now);
            late.as_slice()
        }
        Err(rejection) => rejection.errors(),
    };
    let mut valid = checks.make(Check::Chain, |findings| {
        for error in errors.iter().filter(|error| !is_revocation(error)) {
            findings.fail(error.clone());
        }
    });
    valid &= chain.is_ok();

    match chain {
        Ok(chain) => {
            checks.make(Check::Root, |findings| {
                if chain.root_origin() != RootOrigin::Amd {
                    let found = format_args!("the root {}", chain.root_fingerprint());
                    let finding = Mismatch::new(FindingCode::ForeignRoot, "a root of AMD's", found);
                    findings.fail_unless(Exception::SimulatorRoot, finding);
                }
            });
        }
        Err(_) => checks.skip(Check::Root, Unchecked::NoLeaf),
    }

    let consulted =
        chain.is_ok_and(|chain| matches!(chain.revocation(), Revocation::Checked { .. }));
    let revoked: Vec<_> = errors.iter().filter(|error| is_revocation(error)).collect();
    if revoked.is_empty() && !consulted && !policy.require_crl {
        checks.skip(Check::Revocation, Unchecked::NoCrl);
        return valid;
    }
    let current = checks.make(Check::Revocation, |findings| {
        for error in &revoked {
            findings.fail((*error).clone());
        }
        if revoked.is_empty() && !consulted {
            let code = FindingCode::CrlMissing;
            findings.fail(Mismatch::new(code, "a current list", "none"));
        }
    });
    valid && (current || revoked.is_empty())
}

/// Whether an error belongs to the revocation check rather than to the chain's
/// own.
const fn is_revocation(error: &ChainError) -> bool {
    matches!(
        error,
        ChainError::Revoked { .. }
            | ChainError::Algorithm { link: Link::Crl }
            | ChainError::Signature { link: Link::Crl, .. }
            | ChainError::CriticalExtension { link: Link::Crl, .. }
            | ChainError::NotYetValid { link: Link::Crl, .. }
            | ChainError::Expired { link: Link::Crl, .. }
    )
}
