//! Certificates from files, for machines without a network.

use std::time::Instant;

use attestation::certificate::service::{Content, Resource};
use attestation::certificate::{
    Bundle, Certificate, ChainError, Crl, Role, Roots, UnixTime, validate,
};
use attestation::product::Product;
use attestation::report::KeyKind;

use super::Store;
use super::error::StoreError;
use super::obtain::list;

/// What became of one certificate or list of a bundle.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Imported {
    /// Kept.
    Kept {
        /// As this resource.
        resource: Resource,
        /// What it is.
        content: Content,
    },
    /// A root: trust does not come from bundles, so it is not kept.
    Root(Product),
    /// Not kept.
    Refused {
        /// What it calls itself.
        name: String,
        /// Everything that is wrong with it.
        reasons: String,
    },
}

impl Store {
    /// Keeps what verifies at the time `now` up to one of `roots`. The
    /// intermediate of a leaf may be in the bundle, in the cache or known to
    /// the roots. Nothing is fetched.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the cache cannot be written. What is not to be trusted
    /// is an [`Imported::Refused`].
    pub fn import(
        &self,
        bundle: &Bundle,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Vec<Imported>, StoreError> {
        let mut done = Vec::new();
        // Intermediates first: the leaves may need them.
        let is_leaf = |one: &&Certificate| matches!(one.role(), Some(Role::Leaf(_)));
        let (leaves, others): (Vec<_>, Vec<_>) = bundle.certificates.iter().partition(is_leaf);
        for certificate in others {
            done.push(match certificate.role() {
                Some(Role::Ark(product)) => Imported::Root(product),
                Some(Role::Ask(product)) => {
                    self.keep_intermediate(certificate, product, KeyKind::Vcek, roots, now)?
                }
                Some(Role::Asvk(product)) => {
                    self.keep_intermediate(certificate, product, KeyKind::Vlek, roots, now)?
                }
                _ => refused(certificate, "it is no certificate of AMD's SEV-SNP chains"),
            });
        }
        for leaf in leaves {
            done.push(self.keep_leaf(leaf, &bundle.certificates, roots, now)?);
        }
        for crl in &bundle.crls {
            done.extend(self.keep_crl(crl, roots, now)?);
        }
        Ok(done)
    }

    fn keep_intermediate(
        &self,
        certificate: &Certificate,
        product: Product,
        kind: KeyKind,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Imported, StoreError> {
        let content = Content::Chain(vec![certificate.clone()]);
        match content.check(&[], roots, now) {
            Ok(()) => self.keep(
                Resource::Chain { product, kind },
                content,
                certificate.as_der(),
                roots,
                now,
            ),
            Err(errors) => Ok(refused(certificate, list(&errors))),
        }
    }

    fn keep_leaf(
        &self,
        leaf: &Certificate,
        above: &[Certificate],
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Imported, StoreError> {
        let mut candidates = above.to_vec();
        let read = match leaf.leaf() {
            Ok(read) => read,
            Err(error) => return Ok(refused(leaf, error)),
        };
        let chain = Resource::Chain { product: read.product(), kind: read.kind() };
        if let Some(cached) = self.cached(&chain, roots, now)?
            && let Content::Chain(more) = cached.content
        {
            candidates.extend(more);
        }
        if let Err(rejection) = validate(leaf, &candidates, roots, &[], now) {
            return Ok(refused(leaf, list(rejection.errors())));
        }
        match Resource::of_leaf(&read) {
            Some(resource) => {
                let content = Content::Leaf(Box::new(leaf.clone()), Box::new(read));
                self.keep(resource, content, leaf.as_der(), roots, now)
            }
            None => Ok(refused(leaf, "it names neither chip nor provider")),
        }
    }

    /// A list counts for both kinds of keys: the root signs one over all of its
    /// intermediates.
    fn keep_crl(
        &self,
        crl: &Crl,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Vec<Imported>, StoreError> {
        let issuer = crl.issuer_name().unwrap_or_default().to_owned();
        let product = Product::ALL.into_iter().find(|product| product.ark_name() == issuer);
        let refused = |reasons: String| Imported::Refused {
            name: format!("revocation list of {issuer:?}"),
            reasons,
        };
        let Some(product) = product else {
            let error = ChainError::RootUnknown { issuer: issuer.clone() };
            return Ok(vec![refused(error.to_string())]);
        };
        let content = Content::Crl(Box::new(crl.clone()));
        if let Err(errors) = content.check(&[], roots, now) {
            return Ok(vec![refused(list(&errors))]);
        }
        [KeyKind::Vcek, KeyKind::Vlek]
            .into_iter()
            .map(|kind| {
                let resource = Resource::Crl { product, kind };
                self.keep(resource, content.clone(), crl.as_der(), roots, now)
            })
            .collect()
    }

    fn keep(
        &self,
        resource: Resource,
        content: Content,
        bytes: &[u8],
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Imported, StoreError> {
        let lock = self.cache.lock(&resource, Instant::now() + self.deadline)?;
        if let Some(kept) = self.newer_list(&resource, &content, roots, now)? {
            return Ok(kept);
        }
        self.cache.write(&resource, bytes, &lock)?;
        lock.forget_failure();
        Ok(Imported::Kept { resource, content })
    }

    /// Refuses a list that is older than the one that is kept: revocations are
    /// not taken back.
    fn newer_list(
        &self,
        resource: &Resource,
        content: &Content,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Option<Imported>, StoreError> {
        let Content::Crl(new) = content else { return Ok(None) };
        let kept = self.cached(resource, roots, now)?.map(|kept| kept.content);
        let Some(Content::Crl(kept)) = kept else { return Ok(None) };
        let ((new, _), (kept, _)) = (new.validity(), kept.validity());
        Ok((new < kept).then(|| Imported::Refused {
            name: resource.to_string(),
            reasons: format!("it is of {new}, older than the one that is kept, of {kept}"),
        }))
    }
}

fn refused(certificate: &Certificate, reasons: impl ToString) -> Imported {
    let name = certificate.common_name().unwrap_or("a certificate without a name").to_owned();
    Imported::Refused { name, reasons: reasons.to_string() }
}
