//! Validation of a chain, once, into something that verifies many reports.

use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, oid::AssociatedOid};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};

use super::crl::Crl;
use super::der::decode;
use super::error::{ChainError, Link};
use super::leaf::Leaf;
use super::pss;
use super::roots::{Root, RootOrigin, Roots};
use super::time::UnixTime;
use super::x509::{Certificate, Role};
use crate::product::Product;
use crate::report::{Hex, KeyKind};

/// More candidates of one name than AMD ever issued; the rest is not tried, so
/// that a bundle from a stranger cannot buy unbounded RSA.
const PATH_LIMIT: usize = 8;

/// A chain that was valid at a given time, ready to verify reports.
#[derive(Clone, Debug)]
pub struct VerifiedChain {
    leaf: Leaf,
    product: Product,
    root: RootOrigin,
    root_fingerprint: Hex<32>,
    valid: [(Link, UnixTime, UnixTime); 3],
    revocation: Revocation,
}

/// What is known about revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// No list of the chain's root was given.
    NotChecked,
    /// A list was given, and names neither root nor intermediate.
    Checked {
        /// When the list was issued.
        this_update: UnixTime,
        /// Until when it may be relied on.
        next_update: UnixTime,
    },
}

/// A chain that is not to be trusted, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate chain is not trusted: {}", list(.errors))]
pub struct ChainRejection {
    errors: Vec<ChainError>,
    leaf: Option<Box<Leaf>>,
}

impl VerifiedChain {
    /// The key that signs reports.
    #[must_use]
    pub const fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The product of root, intermediate and leaf.
    #[must_use]
    pub const fn product(&self) -> Product {
        self.product
    }

    /// Who vouches for the root.
    #[must_use]
    pub const fn root_origin(&self) -> RootOrigin {
        self.root
    }

    /// SHA-256 of the root certificate.
    #[must_use]
    pub const fn root_fingerprint(&self) -> Hex<32> {
        self.root_fingerprint
    }

    /// What is known about revocation.
    #[must_use]
    pub const fn revocation(&self) -> Revocation {
        self.revocation
    }

    /// Checks the chain's validity again, for a later time than the one it was
    /// validated at. Cheap: no signature is verified.
    ///
    /// # Errors
    ///
    /// [`ChainError::NotYetValid`] or [`ChainError::Expired`] for each link,
    /// and for a revocation list that is no longer current.
    pub fn check_time(&self, now: UnixTime) -> Vec<ChainError> {
        let mut errors = Vec::new();
        for (link, not_before, not_after) in self.valid {
            check_validity(link, (not_before, not_after), now, &mut errors);
        }
        if let Revocation::Checked { this_update, next_update } = self.revocation {
            check_validity(Link::Crl, (this_update, next_update), now, &mut errors);
        }
        errors
    }
}

impl ChainRejection {
    /// Everything that is wrong with the chain; at least one thing is.
    #[must_use]
    pub fn errors(&self) -> &[ChainError] {
        &self.errors
    }

    /// The leaf's contents, if they could be read. Untrusted.
    #[must_use]
    pub fn leaf(&self) -> Option<&Leaf> {
        self.leaf.as_deref()
    }
}

/// Validates `leaf` at the time `now`: some certificate of `candidates` (or
/// of those that `roots` brings) must have issued it, and some root must have
/// issued that. The candidates' order is without meaning and those that do not
/// fit are ignored; among several of one name, one that is valid is taken.
///
/// `crls` may hold lists of other roots, which are ignored too. One of the
/// chain's root must be signed by it and, all of them together, be current.
///
/// # Errors
///
/// [`ChainRejection`] with every check that failed, of the best path.
pub fn validate(
    leaf: &Certificate,
    candidates: &[Certificate],
    roots: &Roots,
    crls: &[Crl],
    now: UnixTime,
) -> Result<VerifiedChain, ChainRejection> {
    let mut leaf_errors = Vec::new();
    let read = Leaf::read(leaf, &mut leaf_errors);
    check_leaf(leaf, now, &mut leaf_errors);

    // Those that are known anyway come first: no candidate can crowd them out.
    let issuers: Vec<_> = roots
        .intermediates()
        .iter()
        .chain(candidates)
        .filter(|candidate| leaf.names_as_issuer(candidate))
        .filter(|candidate| !matches!(candidate.role(), Some(Role::Ark(_))))
        .take(PATH_LIMIT)
        .collect();
    if issuers.is_empty() {
        let issuer = leaf.issuer_name().unwrap_or_default().to_owned();
        let by_root = Product::ALL.iter().any(|product| product.ark_name() == issuer);
        leaf_errors.push(if by_root {
            ChainError::LeafIssuedByRoot { issuer }
        } else {
            ChainError::IntermediateMissing { issuer }
        });
        return Err(ChainRejection { errors: leaf_errors, leaf: read.map(Box::new) });
    }

    let mut best: Option<Vec<ChainError>> = None;
    for intermediate in issuers {
        let mut errors = leaf_errors.clone();
        let path = check_path(leaf, read.as_ref(), intermediate, roots, crls, now, &mut errors);
        match (path, read.clone()) {
            (Some((root, revocation)), Some(read)) if errors.is_empty() => {
                return Ok(VerifiedChain {
                    leaf: read,
                    product: root.product(),
                    root: root.origin(),
                    root_fingerprint: root.certificate().fingerprint(),
                    valid: [
                        span(Link::Root, root.certificate()),
                        span(Link::Intermediate, intermediate),
                        span(Link::Leaf, leaf),
                    ],
                    revocation,
                });
            }
            _ => {
                if best.as_ref().is_none_or(|best| errors.len() < best.len()) {
                    best = Some(errors);
                }
            }
        }
    }
    Err(ChainRejection { errors: best.unwrap_or(leaf_errors), leaf: read.map(Box::new) })
}

/// What a certificate authority must look like.
pub(super) fn check_authority(certificate: &Certificate, link: Link, errors: &mut Vec<ChainError>) {
    if certificate.rsa_4096().is_none() {
        let expected = "an RSA key of 4096 bits with the exponent 65537";
        errors.push(ChainError::Key { link, expected });
    }
    match extension::<BasicConstraints>(certificate) {
        Some(Ok(constraints)) if constraints.ca => {}
        Some(Ok(_)) | None => errors.push(ChainError::NotAuthority { link }),
        Some(Err(())) => {
            errors.push(ChainError::MalformedExtension { link, extension: "basicConstraints" });
        }
    }
    match extension::<KeyUsage>(certificate) {
        None => {}
        Some(Ok(usage)) if usage.0.contains(KeyUsages::KeyCertSign) => {}
        Some(Ok(_)) => errors.push(ChainError::KeyUsage { link }),
        Some(Err(())) => {
            errors.push(ChainError::MalformedExtension { link, extension: "keyUsage" });
        }
    }
    check_critical(certificate, link, errors);
}

/// Everything about an ASK or ASVK alone, and that one of `roots` issued it.
pub(super) fn check_intermediate(
    intermediate: &Certificate,
    roots: &Roots,
    now: UnixTime,
    errors: &mut Vec<ChainError>,
) {
    let link = Link::Intermediate;
    check_authority(intermediate, link, errors);
    check_validity(link, intermediate.validity(), now, errors);
    if !pss::is_amd_algorithm(intermediate.algorithm()) {
        errors.push(ChainError::Algorithm { link });
    }
    let issuers =
        || roots.roots().iter().filter(|root| intermediate.names_as_issuer(root.certificate()));
    let Some(first) = issuers().next() else {
        let issuer = intermediate.issuer_name().unwrap_or_default().to_owned();
        errors.push(ChainError::RootUnknown { issuer });
        return;
    };
    if !issuers().any(|root| signed_by(intermediate, root.certificate())) {
        check_signature(intermediate, link, first.certificate(), errors);
    }
}

/// Everything about the leaf that needs no other certificate, beyond what
/// [`Leaf::read`] checks.
fn check_leaf(leaf: &Certificate, now: UnixTime, errors: &mut Vec<ChainError>) {
    if !pss::is_amd_algorithm(leaf.algorithm()) {
        errors.push(ChainError::Algorithm { link: Link::Leaf });
    }
    match extension::<BasicConstraints>(leaf) {
        None => {}
        Some(Ok(constraints)) if !constraints.ca => {}
        Some(Ok(_)) => errors.push(ChainError::LeafIsAuthority),
        Some(Err(())) => errors.push(ChainError::MalformedExtension {
            link: Link::Leaf,
            extension: "basicConstraints",
        }),
    }
    check_critical(leaf, Link::Leaf, errors);
    check_validity(Link::Leaf, leaf.validity(), now, errors);
}

/// Checks one way from the leaf to a root. `Some` if there was a root to
/// check against; the chain is good if `errors` stayed empty.
fn check_path<'r>(
    leaf: &Certificate,
    read: Option<&Leaf>,
    intermediate: &Certificate,
    roots: &'r Roots,
    crls: &[Crl],
    now: UnixTime,
    errors: &mut Vec<ChainError>,
) -> Option<(&'r Root, Revocation)> {
    let link = Link::Intermediate;
    let vlek = matches!(leaf.role(), Some(Role::Leaf(KeyKind::Vlek)));
    let wanted = if vlek { Product::asvk_name } else { Product::ask_name };
    let named = match intermediate.role() {
        Some(Role::Ask(product) | Role::Asvk(product)) => Some(product),
        Some(Role::Ark(_) | Role::Leaf(_)) | None => None,
    };
    let fits = named.is_some_and(|product| intermediate.common_name() == Some(wanted(product)));
    if !fits {
        errors.push(ChainError::Name {
            link,
            expected: named.map_or_else(|| "SEV-…".to_owned(), |product| wanted(product).into()),
            found: intermediate.common_name().unwrap_or_default().to_owned(),
        });
    }
    check_authority(intermediate, link, errors);
    check_validity(link, intermediate.validity(), now, errors);
    if !pss::is_amd_algorithm(intermediate.algorithm()) {
        errors.push(ChainError::Algorithm { link });
    }
    check_signature(leaf, Link::Leaf, intermediate, errors);

    let mut matching =
        roots.roots().iter().filter(|root| intermediate.names_as_issuer(root.certificate()));
    let first = matching.clone().next();
    let signer = matching.find(|root| signed_by(intermediate, root.certificate()));
    let Some(root) = signer.or(first) else {
        let issuer = intermediate.issuer_name().unwrap_or_default().to_owned();
        errors.push(ChainError::RootUnknown { issuer });
        return None;
    };
    check_signature(intermediate, link, root.certificate(), errors);
    check_validity(Link::Root, root.certificate().validity(), now, errors);
    let chain = root.product();
    if named.is_some_and(|product| product != chain) {
        errors.push(ChainError::Name {
            link,
            expected: wanted(chain).to_owned(),
            found: intermediate.common_name().unwrap_or_default().to_owned(),
        });
    }
    if let Some(leaf) = read.map(Leaf::product).filter(|product| *product != chain) {
        errors.push(ChainError::Product { leaf, chain });
    }
    Some((root, check_revocation(intermediate, root.certificate(), crls, now, errors)))
}

/// Applies the lists that carry the root's name.
fn check_revocation(
    intermediate: &Certificate,
    root: &Certificate,
    crls: &[Crl],
    now: UnixTime,
    errors: &mut Vec<ChainError>,
) -> Revocation {
    let Some(key) = root.rsa_4096() else { return Revocation::NotChecked };
    let mut current: Option<&Crl> = None;
    let mut outdated = None;
    // All of them: were their number limited, old lists could crowd out the one
    // that revokes.
    for crl in crls.iter().filter(|crl| crl.names(root)) {
        if let Err(error) = crl.check(root, key) {
            errors.push(error);
            continue;
        }
        for (link, certificate) in [(Link::Intermediate, intermediate), (Link::Root, root)] {
            if let Some(date) = crl.revocation(certificate.serial()) {
                let serial = hex::encode(certificate.serial());
                let error = ChainError::Revoked { link, serial, date };
                if !errors.contains(&error) {
                    errors.push(error);
                }
            }
        }
        match crl.check_time(now) {
            Ok(()) => {
                if current.is_none_or(|current| crl.validity() > current.validity()) {
                    current = Some(crl);
                }
            }
            Err(error) => outdated = Some(error),
        }
    }
    match (current, outdated) {
        (Some(crl), _) => {
            let (this_update, next_update) = crl.validity();
            Revocation::Checked { this_update, next_update }
        }
        (None, outdated) => {
            errors.extend(outdated);
            Revocation::NotChecked
        }
    }
}

fn check_signature(
    certificate: &Certificate,
    link: Link,
    issuer: &Certificate,
    errors: &mut Vec<ChainError>,
) {
    if !signed_by(certificate, issuer) {
        let issuer = issuer.common_name().unwrap_or_default().to_owned();
        errors.push(ChainError::Signature { link, issuer });
    }
}

/// Whether `issuer`'s key made the signature of `certificate`, with AMD's
/// algorithm.
fn signed_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    pss::is_amd_algorithm(certificate.algorithm())
        && issuer
            .rsa_4096()
            .is_some_and(|key| pss::verifies(key, certificate.body(), certificate.signature()))
}

fn check_validity(
    link: Link,
    (not_before, not_after): (UnixTime, UnixTime),
    now: UnixTime,
    errors: &mut Vec<ChainError>,
) {
    if now < not_before {
        errors.push(ChainError::NotYetValid { link, not_before, now });
    }
    if now > not_after {
        errors.push(ChainError::Expired { link, not_after, now });
    }
}

/// Refuses critical extensions that are not looked at.
fn check_critical(certificate: &Certificate, link: Link, errors: &mut Vec<ChainError>) {
    let known: [ObjectIdentifier; 2] = [BasicConstraints::OID, KeyUsage::OID];
    for extension in certificate.parsed().extensions.iter().flatten() {
        if extension.critical && !known.contains(&extension.extn_id) {
            errors.push(ChainError::CriticalExtension { link, oid: extension.extn_id.to_string() });
        }
    }
}

/// The extension of type `T`, if there is one.
fn extension<'a, T: AssociatedOid + Decode<'a>>(
    certificate: &'a Certificate,
) -> Option<Result<T, ()>> {
    let mut all = certificate.parsed().extensions.iter().flatten();
    let found = all.find(|extension| extension.extn_id == T::OID)?;
    Some(decode(found.extn_value.as_bytes()).map_err(|_err| ()))
}

fn span(link: Link, certificate: &Certificate) -> (Link, UnixTime, UnixTime) {
    let (not_before, not_after) = certificate.validity();
    (link, not_before, not_after)
}

fn list(errors: &[ChainError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
