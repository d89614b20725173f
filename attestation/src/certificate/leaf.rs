//! The key that signs reports, with what its certificate says about it.

use super::error::{ChainError, Link};
use super::extensions::{Extensions, HardwareId};
use super::x509::{Certificate, Role, sha256};
use crate::product::Product;
use crate::report::{Hex, KeyKind};
use crate::tcb::Tcb;

/// A VCEK or VLEK. Only as trustworthy as the chain it was taken from: a
/// [`super::VerifiedChain`]'s is, a [`super::ChainRejection`]'s is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub(super) kind: KeyKind,
    pub(super) product: Product,
    pub(super) tcb: Tcb,
    pub(super) hardware_id: Option<HardwareId>,
    pub(super) csp_id: Option<String>,
    pub(super) key: [u8; 97],
    pub(super) fingerprint: Hex<32>,
}

impl Leaf {
    /// Reads the leaf's name, key and extensions; every failure is added to
    /// `errors`.
    pub(super) fn read(certificate: &Certificate, errors: &mut Vec<ChainError>) -> Option<Self> {
        let kind = match certificate.role() {
            Some(Role::Leaf(kind)) => Some(kind),
            Some(Role::Ark(_) | Role::Ask(_) | Role::Asvk(_)) | None => {
                errors.push(ChainError::Name {
                    link: Link::Leaf,
                    expected: "SEV-VCEK or SEV-VLEK".to_owned(),
                    found: certificate.common_name().unwrap_or_default().to_owned(),
                });
                None
            }
        };
        let key = certificate.p384();
        if key.is_none() {
            errors.push(ChainError::Key { link: Link::Leaf, expected: "an ECDSA key on P-384" });
        }
        let all = certificate.parsed().extensions.as_deref().unwrap_or_default();
        let extensions = kind.map(|kind| Extensions::parse(all, kind));
        let extensions = match extensions.transpose() {
            Ok(extensions) => extensions,
            Err(error) => {
                errors.push(ChainError::Leaf(error));
                None
            }
        };
        let Extensions { product, tcb, hardware_id, csp_id } = extensions?;
        let fingerprint = certificate.fingerprint();
        Some(Self { kind: kind?, product, tcb, hardware_id, csp_id, key: key?, fingerprint })
    }

    /// VCEK or VLEK.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The product that the certificate names.
    #[must_use]
    pub const fn product(&self) -> Product {
        self.product
    }

    /// The TCB version that the key was derived for.
    #[must_use]
    pub const fn tcb(&self) -> Tcb {
        self.tcb
    }

    /// The chip that a VCEK belongs to; a VLEK has none.
    #[must_use]
    pub const fn hardware_id(&self) -> Option<HardwareId> {
        self.hardware_id
    }

    /// The cloud provider that a VLEK belongs to; a VCEK has none.
    #[must_use]
    pub fn csp_id(&self) -> Option<&str> {
        self.csp_id.as_deref()
    }

    /// SHA-256 of [`Leaf::csp_id`], which may have any characters and length.
    #[must_use]
    pub fn provider(&self) -> Option<Hex<32>> {
        self.csp_id.as_ref().map(|id| sha256(id.as_bytes()))
    }

    /// The public key, an uncompressed point on P-384: 4, X, Y, big-endian.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; 97] {
        &self.key
    }

    /// SHA-256 of the certificate.
    #[must_use]
    pub const fn fingerprint(&self) -> Hex<32> {
        self.fingerprint
    }
}
