//! The roots that chains must end in.
//!
//! AMD's three come with the `sev` crate; their keys are pinned here by digest
//! as well, so that no update of that crate can exchange one. AMD publishes
//! them at `https://kdsintf.amd.com/vcek/v1/{Milan,Genoa,Turin}/cert_chain`
//! (57230, chapter 4).
//!
//! A root that is not AMD's, a simulator's, is trusted only if its owner adds
//! it with [`Roots::with_given`]; every verdict that rests on it says so, and
//! is a refusal unless the policy allows `simulator-root` by name.

use sev::certs::snp::builtin;

use super::chain::check_authority;
use super::error::{CertificateError, ChainError, Link};
use super::pss;
use super::x509::{Certificate, Role};
use crate::product::Product;
use crate::report::Hex;

/// SHA-256 of each root's public key (SubjectPublicKeyInfo).
const AMD_KEYS: [(Product, &str); 3] = [
    (Product::Milan, "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"),
    (Product::Genoa, "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"),
    (Product::Turin, "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08"),
];

/// Who vouches for a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RootOrigin {
    /// AMD: the root is compiled in.
    Amd,
    /// The owner, who gave it.
    Given,
}

/// A trusted root certificate of one product.
#[derive(Clone, Debug)]
pub struct Root {
    certificate: Certificate,
    product: Product,
    origin: RootOrigin,
}

impl Root {
    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The product whose chains end here.
    #[must_use]
    pub const fn product(&self) -> Product {
        self.product
    }

    /// Who vouches for it.
    #[must_use]
    pub const fn origin(&self) -> RootOrigin {
        self.origin
    }
}

/// The set of trusted roots, with the intermediates that are known anyway.
#[derive(Clone, Debug)]
pub struct Roots {
    roots: Vec<Root>,
    intermediates: Vec<Certificate>,
}

impl Roots {
    /// AMD's roots, and AMD's ASKs, so that the leaf alone completes a VCEK's
    /// chain. (A VLEK's needs the ASVK from the key service.)
    ///
    /// # Errors
    ///
    /// [`RootError`] if the build is damaged.
    pub fn amd() -> Result<Self, RootError> {
        let mut roots = Vec::new();
        let pem = [builtin::milan::ARK, builtin::genoa::ARK, builtin::turin::ARK];
        for ((product, key), pem) in AMD_KEYS.into_iter().zip(pem) {
            let root = Self::check(Certificate::load(pem)?)?;
            let pinned = root.certificate.key_fingerprint().to_string() == key;
            if !pinned || root.product != product {
                return Err(RootError::NotPinned(product));
            }
            roots.push(Root { origin: RootOrigin::Amd, ..root });
        }
        let intermediates = [builtin::milan::ASK, builtin::genoa::ASK, builtin::turin::ASK]
            .into_iter()
            .map(Certificate::load)
            .collect::<Result<_, _>>()?;
        Ok(Self { roots, intermediates })
    }

    /// No root at all: nothing verifies until one is given.
    #[must_use]
    pub const fn none() -> Self {
        Self { roots: Vec::new(), intermediates: Vec::new() }
    }

    /// Adds a root that the owner names. If its key is AMD's, it is AMD's root
    /// and nothing is added.
    ///
    /// # Errors
    ///
    /// [`RootError`] if the certificate is no root of the form of AMD's.
    pub fn with_given(mut self, certificate: Certificate) -> Result<Self, RootError> {
        let root = Self::check(certificate)?;
        let key = root.certificate.key_fingerprint();
        if !self.roots.iter().any(|known| known.certificate.key_fingerprint() == key) {
            self.roots.push(root);
        }
        Ok(self)
    }

    /// The same set with one root alone: that with this fingerprint.
    #[must_use]
    pub fn only(&self, fingerprint: Hex<32>) -> Self {
        let mut one = self.clone();
        one.roots.retain(|root| root.certificate.fingerprint() == fingerprint);
        one
    }

    /// The roots.
    #[must_use]
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// The intermediates that are known anyway.
    #[must_use]
    pub fn intermediates(&self) -> &[Certificate] {
        &self.intermediates
    }

    /// A self-signed certificate named `ARK-…`, with AMD's kind of key.
    fn check(certificate: Certificate) -> Result<Root, RootError> {
        let Some(Role::Ark(product)) = certificate.role() else {
            return Err(RootError::Name(certificate.common_name().unwrap_or_default().to_owned()));
        };
        let mut errors = Vec::new();
        check_authority(&certificate, Link::Root, &mut errors);
        if let Some(error) = errors.into_iter().next() {
            return Err(RootError::Chain(error));
        }
        let signed = certificate.rsa_4096().is_some_and(|key| {
            pss::is_amd_algorithm(certificate.algorithm())
                && pss::verifies(key, certificate.body(), certificate.signature())
        });
        if !signed || !certificate.names_as_issuer(&certificate) {
            return Err(RootError::NotSelfSigned);
        }
        Ok(Root { certificate, product, origin: RootOrigin::Given })
    }
}

/// Why a certificate cannot be a root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// It is no certificate.
    #[error("the root is no certificate")]
    Certificate(#[from] CertificateError),
    /// Its common name is not a root's.
    #[error("{0:?} is no root's name; a root is named ARK-Milan, ARK-Genoa or ARK-Turin")]
    Name(String),
    /// It did not sign itself, with AMD's algorithm.
    #[error("the root is not signed by itself with RSASSA-PSS and SHA-384")]
    NotSelfSigned,
    /// It is not shaped as a root.
    #[error("the certificate cannot be a root")]
    Chain(#[source] ChainError),
    /// A compiled-in root is not the one this version was written for.
    #[error("the root compiled in for {0} is not AMD's; this build cannot be trusted")]
    NotPinned(Product),
}

impl RootError {
    /// A stable name for this error, for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "root.certificate",
            Self::Name(_) => "root.name",
            Self::NotSelfSigned => "root.not-self-signed",
            Self::Chain(_) => "root.shape",
            Self::NotPinned(_) => "root.not-pinned",
        }
    }
}
