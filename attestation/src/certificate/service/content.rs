//! Answers of the key service, compared with the question and the roots.

use crate::certificate::chain::{self, validate};
use crate::certificate::leaf::Leaf;
use crate::certificate::{Certificate, CertificateError, ChainError, Crl, Role, Roots, UnixTime};
use crate::product::Product;
use crate::report::KeyKind;

use super::Resource;

/// What a resource holds. Read, not verified.
#[derive(Clone, Debug)]
pub enum Content {
    /// A VCEK or VLEK, and what it says about itself.
    Leaf(Box<Certificate>, Box<Leaf>),
    /// Certificates, at least one of them the intermediate asked for.
    Chain(Vec<Certificate>),
    /// A revocation list.
    Crl(Box<Crl>),
}

/// Why bytes are not the resource that they are given as.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// They are no certificate or list at all.
    #[error("it is no certificate or revocation list")]
    Malformed(#[from] CertificateError),
    /// The certificate is not of the form of AMD's leaves.
    #[error("it is no VCEK or VLEK")]
    Leaf(#[source] ChainError),
    /// It is a good one of something else.
    #[error("it is another one: its {field} is {found}, asked was for {expected}")]
    Other {
        /// What differs.
        field: &'static str,
        /// What it has to be.
        expected: String,
        /// What it is.
        found: String,
    },
}

impl Resource {
    /// Reads `bytes` as this resource, DER or PEM: a certificate of another
    /// chip, TCB, product or kind is refused. Signatures are not looked at.
    ///
    /// # Errors
    ///
    /// [`Unfit`].
    pub fn read(&self, bytes: &[u8]) -> Result<Content, Unfit> {
        match self {
            Self::Vcek { .. } | Self::Vlek { .. } => {
                let certificate = Certificate::load(bytes)?;
                let leaf = certificate.leaf().map_err(Unfit::Leaf)?;
                self.compare(&leaf)?;
                Ok(Content::Leaf(Box::new(certificate), Box::new(leaf)))
            }
            Self::Chain { product, kind } => {
                let all = Certificate::load_bundle(bytes)?;
                let wanted = intermediate(*product, *kind);
                if all.iter().any(|certificate| certificate.role() == Some(wanted)) {
                    return Ok(Content::Chain(all));
                }
                let names: Vec<_> = all.iter().filter_map(Certificate::common_name).collect();
                Err(Unfit::Other {
                    field: "name",
                    expected: intermediate_name(*product, *kind).to_owned(),
                    found: format!("{:?}", names.join(", ")),
                })
            }
            Self::Crl { product, .. } => {
                let crl = Crl::load(bytes)?;
                let (expected, found) = (product.ark_name(), crl.issuer_name().unwrap_or_default());
                same("issuer", expected, format!("{found:?}"), found == expected)?;
                Ok(Content::Crl(Box::new(crl)))
            }
        }
    }

    /// The resource that a leaf is.
    #[must_use]
    pub fn of_leaf(leaf: &Leaf) -> Option<Self> {
        let (product, tcb) = (leaf.product(), leaf.tcb());
        match (leaf.kind(), leaf.hardware_id(), leaf.provider()) {
            (KeyKind::Vcek, Some(hardware_id), _) => Some(Self::Vcek { product, hardware_id, tcb }),
            (KeyKind::Vlek, _, Some(provider)) => Some(Self::Vlek { product, tcb, provider }),
            (KeyKind::Vcek | KeyKind::Vlek, _, _) => None,
        }
    }

    fn compare(&self, leaf: &Leaf) -> Result<(), Unfit> {
        let Some(found) = Self::of_leaf(leaf) else { return Ok(()) };
        if *self == found {
            return Ok(());
        }
        let (expected, found_product) = (self.product(), leaf.product());
        same("product", expected, found_product, expected == found_product)?;
        if let (
            Self::Vcek { hardware_id, tcb, .. },
            Self::Vcek { hardware_id: found_id, tcb: found_tcb, .. },
        ) = (self, &found)
        {
            same("chip", hardware_id, found_id, hardware_id == found_id)?;
            same("TCB", tcb, found_tcb, tcb == found_tcb)?;
        }
        Err(Unfit::Other {
            field: "identity",
            expected: self.to_string(),
            found: found.to_string(),
        })
    }
}

impl Content {
    /// Checks the content's signatures and validity at the time `now`, up to
    /// one of `roots`. A leaf needs its intermediate: among `candidates`, or
    /// known to the roots.
    ///
    /// # Errors
    ///
    /// All that is wrong; at least one thing is.
    pub fn check(
        &self,
        candidates: &[Certificate],
        roots: &Roots,
        now: UnixTime,
    ) -> Result<(), Vec<ChainError>> {
        match self {
            Self::Leaf(certificate, _) => validate(certificate, candidates, roots, &[], now)
                .map(drop)
                .map_err(|rejection| rejection.errors().to_vec()),
            Self::Chain(all) => {
                let is_intermediate = |certificate: &&Certificate| {
                    matches!(certificate.role(), Some(Role::Ask(_) | Role::Asvk(_)))
                };
                let mut errors = Vec::new();
                for certificate in all.iter().filter(is_intermediate) {
                    chain::check_intermediate(certificate, roots, now, &mut errors);
                }
                if errors.is_empty() { Ok(()) } else { Err(errors) }
            }
            Self::Crl(crl) => check_crl(crl, roots, now),
        }
    }

    /// From when until when the content is valid: a list until its next is
    /// due, several certificates while all are.
    #[must_use]
    pub fn validity(&self) -> (UnixTime, UnixTime) {
        match self {
            Self::Leaf(certificate, _) => certificate.validity(),
            Self::Chain(all) => {
                let spans = || all.iter().map(Certificate::validity);
                let never = UnixTime::from_secs(0);
                (
                    spans().map(|(from, _)| from).max().unwrap_or(never),
                    spans().map(|(_, until)| until).min().unwrap_or(never),
                )
            }
            Self::Crl(crl) => crl.validity(),
        }
    }
}

fn check_crl(crl: &Crl, roots: &Roots, now: UnixTime) -> Result<(), Vec<ChainError>> {
    let mut refused = Vec::new();
    for root in roots.roots().iter().filter(|root| crl.names(root.certificate())) {
        let Some(key) = root.certificate().rsa_4096() else { continue };
        match crl.check(root.certificate(), key).and_then(|()| crl.check_time(now)) {
            Ok(()) => return Ok(()),
            Err(error) => refused.push(error),
        }
    }
    if refused.is_empty() {
        let issuer = crl.issuer_name().unwrap_or_default().to_owned();
        refused.push(ChainError::RootUnknown { issuer });
    }
    Err(refused)
}

/// The role of the intermediate above keys of this kind.
const fn intermediate(product: Product, kind: KeyKind) -> Role {
    match kind {
        KeyKind::Vcek => Role::Ask(product),
        KeyKind::Vlek => Role::Asvk(product),
    }
}

const fn intermediate_name(product: Product, kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Vcek => product.ask_name(),
        KeyKind::Vlek => product.asvk_name(),
    }
}

fn same(
    field: &'static str,
    expected: impl ToString,
    found: impl ToString,
    equal: bool,
) -> Result<(), Unfit> {
    if equal {
        return Ok(());
    }
    Err(Unfit::Other { field, expected: expected.to_string(), found: found.to_string() })
}
