//! The chain for one report.

use attestation::certificate::service::{AMD_URL, Content, Resource};
use attestation::certificate::{
    Certificate, ChainError, ChainRejection, Crl, Leaf, Link, Revocation, Role, RootOrigin, Roots,
    UnixTime, VerifiedChain, validate,
};
use attestation::policy::Policy;
use attestation::product::Product;
use attestation::report::{KeyKind, Report};
use attestation::verify::{ReportData, Request, verify};

use super::Store;
use super::error::StoreError;
use super::obtain::needs_intermediate;
use crate::evidence::kind_of;

/// More leaves than a report can have been signed by.
const LEAVES: usize = 16;

/// A report and what its chain may be made from.
#[derive(Debug, Clone, Copy)]
pub struct ChainRequest<'a> {
    /// The report.
    pub report: &'a Report,
    /// Certificates at hand, in any order: from the report's table, from files.
    pub certificates: &'a [Certificate],
    /// Revocation lists at hand.
    pub crls: &'a [Crl],
    /// What the chain must end in.
    pub roots: &'a Roots,
    /// The product, for a report of version 2, which does not name it.
    pub product: Option<Product>,
    /// The time at which the chain must be valid.
    pub now: UnixTime,
}

/// The chain of a report, good or bad.
#[derive(Debug)]
#[non_exhaustive]
pub struct Found {
    /// The chain, or why it is not trusted.
    pub chain: Result<VerifiedChain, ChainRejection>,
    /// Where the leaf is from.
    pub source: Source,
    /// Why there is no current revocation list.
    pub no_crl: Option<StoreError>,
    /// Why the store had nothing better than a bad chain that was given.
    pub not_replaced: Option<StoreError>,
}

/// Where a leaf is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It was among the certificates given.
    Given,
    /// The cache.
    Cache,
    /// The key service.
    Service,
}

/// A leaf with the certificates above it.
struct Path {
    leaf: Certificate,
    above: Vec<Certificate>,
    source: Source,
    chain: Result<VerifiedChain, ChainRejection>,
}

impl Store {
    /// The chain above the key that signed a report. Certificates given are
    /// tried first; if none of them verifies and signed the report, the chip's
    /// VCEK is had from the cache or the key service. A current revocation list
    /// is had in the same way; if none can be had, the chain is as good as one
    /// can say without ([`Found::no_crl`]; the policy may require one).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if no leaf at all can be had. A chain that is not
    /// trusted is in [`Found::chain`].
    pub fn chain_for(&self, request: &ChainRequest<'_>) -> Result<Found, StoreError> {
        let given = self.given(request);
        let signed = |path: &Path| path.chain.as_ref().is_ok_and(|chain| signs(chain, request));
        let (path, not_replaced) = match given {
            Some(path) if signed(&path) => (path, None),
            given => match (self.own(request), given) {
                (Ok(path), _) => (path, None),
                (Err(error), Some(given)) => (given, Some(error)),
                (Err(error), None) => return Err(error),
            },
        };
        let Path { leaf, above, source, chain } = path;
        let chain = match chain {
            Ok(chain) => chain,
            Err(rejection) => {
                return Ok(Found { chain: Err(rejection), source, no_crl: None, not_replaced });
            }
        };
        let (chain, no_crl) = self.with_revocation(&leaf, &above, chain, request);
        Ok(Found { chain, source, no_crl, not_replaced })
    }

    /// The given leaf that signed the report, else the first that is given.
    fn given(&self, request: &ChainRequest<'_>) -> Option<Path> {
        let wanted = kind_of(request.report);
        let mut leaves: Vec<_> = request
            .certificates
            .iter()
            .filter_map(|certificate| match certificate.role() {
                Some(Role::Leaf(kind)) => Some((Some(kind) != wanted, certificate)),
                _ => None,
            })
            .take(LEAVES)
            .collect();
        leaves.sort_by_key(|(other, _)| *other);
        let mut first = None;
        for (_, leaf) in leaves {
            let path = self.path(leaf, request.certificates.to_vec(), Source::Given, request);
            if path.chain.as_ref().is_ok_and(|chain| signs(chain, request)) {
                return Some(path);
            }
            first.get_or_insert(path);
        }
        first
    }

    /// The leaf that the report says it is signed by, from the cache or the key
    /// service.
    fn own(&self, request: &ChainRequest<'_>) -> Result<Path, StoreError> {
        let product = product_of(request.report, request.product)?;
        if kind_of(request.report) == Some(KeyKind::Vlek) {
            return self.imported_vlek(product, request);
        }
        let resource = Resource::vcek_of(request.report, product)?;
        let obtained = self.obtain(&resource, request.roots, request.now)?;
        let source = if obtained.fetched { Source::Service } else { Source::Cache };
        match obtained.content {
            Content::Leaf(leaf, _) => {
                Ok(self.path(&leaf, request.certificates.to_vec(), source, request))
            }
            Content::Chain(_) | Content::Crl(_) => {
                Err(StoreError::NotPublic { what: resource.to_string() })
            }
        }
    }

    /// Of the VLEKs in the cache the one that signed the report.
    fn imported_vlek(
        &self,
        product: Product,
        request: &ChainRequest<'_>,
    ) -> Result<Path, StoreError> {
        let wanted = request.report.reported_tcb();
        let mut what = format!("the VLEK of {product} at TCB {wanted}");
        for resource in self.cache.resources()? {
            let Resource::Vlek { product: of, tcb, .. } = resource else { continue };
            if of != product || tcb != wanted {
                continue;
            }
            what = resource.to_string();
            let Ok(Some(cached)) = self.cached(&resource, request.roots, request.now) else {
                continue;
            };
            let Content::Leaf(leaf, _) = cached.content else { continue };
            let path = self.path(&leaf, request.certificates.to_vec(), Source::Cache, request);
            if path.chain.as_ref().is_ok_and(|chain| signs(chain, request)) {
                return Ok(path);
            }
        }
        Err(StoreError::NotPublic { what })
    }

    /// Validates the chain of a leaf, with the store's intermediate if those at
    /// hand are not enough.
    fn path(
        &self,
        leaf: &Certificate,
        mut above: Vec<Certificate>,
        source: Source,
        request: &ChainRequest<'_>,
    ) -> Path {
        let ChainRequest { roots, crls, now, .. } = *request;
        let mut chain = validate(leaf, &above, roots, crls, now);
        let missing = chain.as_ref().err().filter(|bad| needs_intermediate(bad.errors()));
        // Only for a leaf that can be the report's: a table from the host must
        // not send us to the key service for anything else.
        let report = request.report;
        let fits = |leaf: &&Leaf| {
            leaf.tcb() == report.reported_tcb()
                && report.product().is_none_or(|product| product == leaf.product())
        };
        if let Some((product, kind)) = missing
            .and_then(ChainRejection::leaf)
            .filter(fits)
            .map(|leaf| (leaf.product(), leaf.kind()))
        {
            // If there is none, the rejection says what is missing.
            let resource = Resource::Chain { product, kind };
            if let Ok(more) = self.intermediates(&resource, roots, now) {
                above.splice(0..0, more);
                chain = validate(leaf, &above, roots, crls, now);
            }
        }
        Path { leaf: leaf.clone(), above, source, chain }
    }

    /// Validates a good chain again with a current revocation list.
    fn with_revocation(
        &self,
        leaf: &Certificate,
        above: &[Certificate],
        chain: VerifiedChain,
        request: &ChainRequest<'_>,
    ) -> (Result<VerifiedChain, ChainRejection>, Option<StoreError>) {
        if matches!(chain.revocation(), Revocation::Checked { .. }) {
            return (Ok(chain), None);
        }
        // AMD has no list of a root that is not AMD's.
        if chain.root_origin() == RootOrigin::Given && self.client.url("") == AMD_URL {
            return (Ok(chain), None);
        }
        let resource = Resource::Crl { product: chain.product(), kind: chain.leaf().kind() };
        // A list by another root of this name would condemn the chain.
        let roots = request.roots.only(chain.root_fingerprint());
        let (list, no_crl) = match self.obtain_now_and_then(&resource, &roots, request.now) {
            Ok(list) => (Some(list), None),
            Err(error) => {
                let old = self.cached(&resource, &roots, request.now);
                (old.ok().flatten().map(|old| old.content), Some(error))
            }
        };
        let Some(Content::Crl(list)) = list else { return (Ok(chain), no_crl) };
        let mut crls = request.crls.to_vec();
        crls.push(*list);
        match validate(leaf, above, request.roots, &crls, request.now) {
            // An old list does not speak against a chain unless it revokes it.
            Err(rejection) if rejection.errors().iter().all(is_outdated) => (Ok(chain), no_crl),
            validated => (validated, no_crl),
        }
    }

    /// A revocation list; if it could not be had a moment ago, it is not tried
    /// again yet.
    fn obtain_now_and_then(
        &self,
        resource: &Resource,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Content, StoreError> {
        let good = self.cached(resource, roots, now)?.filter(|list| list.errors.is_empty());
        if let Some(good) = good {
            return Ok(good.content);
        }
        if !self.offline && self.cache.failed_lately(resource) {
            return Err(StoreError::FailedLately { what: resource.to_string() });
        }
        Ok(self.obtain(resource, roots, now)?.content)
    }
}

/// Whether the chain's key signed the report.
fn signs(chain: &VerifiedChain, request: &ChainRequest<'_>) -> bool {
    let policy = Policy::default();
    let question = Request::new(request.now, ReportData::Unchecked);
    verify(request.report, Ok(chain), &policy, &question).authentic()
}

/// The report's product: its own word, else the caller's.
///
/// # Errors
///
/// [`StoreError`] if neither says it.
pub(crate) fn product_of(report: &Report, given: Option<Product>) -> Result<Product, StoreError> {
    if let Some(product) = report.product().or(given) {
        return Ok(product);
    }
    match report.cpuid() {
        Some([family, model, _]) => Err(StoreError::ProcessorUnknown { family, model }),
        None => Err(StoreError::ProductUnknown),
    }
}

fn is_outdated(error: &ChainError) -> bool {
    matches!(
        error,
        ChainError::Expired { link: Link::Crl, .. }
            | ChainError::NotYetValid { link: Link::Crl, .. }
    )
}
