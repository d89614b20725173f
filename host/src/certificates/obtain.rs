//! One resource, verified: from the cache, else from the key service.

use std::time::{Instant, SystemTime};

use attestation::certificate::service::{Content, Resource};
use attestation::certificate::{Certificate, ChainError, Link, Roots, UnixTime};

use super::Store;
use super::error::StoreError;

/// A resource that was had.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Obtained {
    /// What it is.
    pub content: Content,
    /// Whether the key service was asked for it.
    pub fetched: bool,
    /// Why it is not to be relied on at the time asked for, although it is
    /// genuine: it is expired, not valid yet, or revoked.
    pub errors: Vec<ChainError>,
}

impl Store {
    /// A resource that verifies up to one of `roots`, from the cache if that
    /// has a good one, else from the key service. The answer is kept.
    ///
    /// What is genuine and not valid at the time `now` is returned with
    /// [`Obtained::errors`], after the key service was asked for a newer one.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if none can be had that verifies.
    pub fn obtain(
        &self,
        resource: &Resource,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Obtained, StoreError> {
        if let Some(good) = self.cached(resource, roots, now)?.filter(is_final) {
            return Ok(good);
        }
        let what = || resource.to_string();
        let stale = |error| match self.cached(resource, roots, now) {
            Ok(Some(stale)) => Ok(stale),
            _ => Err(error),
        };
        let Some(path) = resource.path() else {
            return stale(StoreError::NotPublic { what: what() });
        };
        let url = self.client.url(&path);
        if self.offline {
            return stale(StoreError::Offline { what: what(), url });
        }
        let (begun, deadline) = (SystemTime::now(), Instant::now() + self.deadline);
        let lock = self.cache.lock(resource, deadline)?;
        // Somebody else may have fetched it while this waited for the lock.
        if let Some(good) = self.cached(resource, roots, now)?.filter(is_final) {
            return Ok(good);
        }
        // Many that wait would else ask a busy service one after the other.
        if lock.failed_elsewhere(begun) {
            return Err(StoreError::FailedElsewhere { what: what(), url });
        }
        let bytes = self.client.get(&path, resource.limit(), deadline).map_err(|source| {
            lock.note_failure();
            StoreError::Fetch { what: what(), url: url.clone(), source }
        })?;
        let content = resource.read(&bytes).map_err(|source| {
            lock.note_failure();
            StoreError::Unfit { what: what(), url: url.clone(), source }
        })?;
        let errors = self.check(resource, &content, roots, now)?;
        if !errors.iter().all(is_about_time) {
            lock.note_failure();
            return Err(StoreError::Unverified { what: what(), url, reasons: list(&errors) });
        }
        self.cache.write(resource, &bytes, &lock)?;
        lock.forget_failure();
        Ok(Obtained { content, fetched: true, errors })
    }

    /// What the cache has, if it is genuine.
    pub(super) fn cached(
        &self,
        resource: &Resource,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Option<Obtained>, StoreError> {
        let Some(bytes) = self.cache.read(resource)? else { return Ok(None) };
        let Ok(content) = resource.read(&bytes) else { return Ok(None) };
        let errors = self.check(resource, &content, roots, now)?;
        let genuine = errors.iter().all(is_about_time);
        Ok(genuine.then_some(Obtained { content, fetched: false, errors }))
    }

    /// Verifies a content; a leaf's intermediate is asked for too where the
    /// roots do not bring it.
    fn check(
        &self,
        resource: &Resource,
        content: &Content,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Vec<ChainError>, StoreError> {
        let errors = content.check(&[], roots, now).err().unwrap_or_default();
        let Content::Leaf(_, leaf) = content else { return Ok(errors) };
        if !needs_intermediate(&errors) {
            return Ok(errors);
        }
        let chain = Resource::Chain { product: resource.product(), kind: leaf.kind() };
        let candidates = self.intermediates(&chain, roots, now)?;
        Ok(content.check(&candidates, roots, now).err().unwrap_or_default())
    }

    /// The certificates of a [`Resource::Chain`].
    pub(super) fn intermediates(
        &self,
        chain: &Resource,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Vec<Certificate>, StoreError> {
        match self.obtain(chain, roots, now)?.content {
            Content::Chain(certificates) => Ok(certificates),
            Content::Leaf(..) | Content::Crl(_) => Ok(Vec::new()),
        }
    }
}

/// Whether another intermediate than those that the roots bring may help.
pub(super) fn needs_intermediate(errors: &[ChainError]) -> bool {
    errors.iter().any(|error| {
        matches!(
            error,
            ChainError::IntermediateMissing { .. }
                | ChainError::Signature { link: Link::Leaf, .. }
                | ChainError::Expired { link: Link::Intermediate, .. }
        )
    })
}

/// Whether no newer copy would be better.
fn is_final(obtained: &Obtained) -> bool {
    !obtained.errors.iter().any(|error| matches!(error, ChainError::Expired { .. }))
}

/// Errors of what is genuine all the same.
fn is_about_time(error: &ChainError) -> bool {
    matches!(error, ChainError::Expired { .. } | ChainError::NotYetValid { .. })
}

pub(super) fn list(errors: &[ChainError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
