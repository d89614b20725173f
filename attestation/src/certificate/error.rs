//! Everything that can be wrong with a certificate or a chain of them.

use std::fmt;

use super::time::UnixTime;
use crate::product::Product;

/// A link of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Link {
    /// The root, ARK.
    Root,
    /// ASK or ASVK.
    Intermediate,
    /// VCEK or VLEK.
    Leaf,
    /// A revocation list of the root.
    Crl,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root certificate (ARK)",
            Self::Intermediate => "intermediate certificate (ASK or ASVK)",
            Self::Leaf => "leaf certificate (VCEK or VLEK)",
            Self::Crl => "revocation list",
        })
    }
}

/// Why bytes are no certificate or revocation list.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// More bytes than any certificate or list of AMD's has.
    #[error("{found} bytes are too many; at most {limit} are read")]
    TooLarge {
        /// Bytes given.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The DER does not parse, or does not end where it should.
    #[error("the DER is malformed")]
    Der(#[from] x509_cert::der::Error),
    /// The PEM does not parse.
    #[error("the PEM is malformed: {0}")]
    Pem(x509_cert::der::pem::Error),
    /// PEM of something else.
    #[error("the PEM holds a {0:?}, not what was expected here")]
    PemLabel(String),
    /// A bundle without or with too many certificates.
    #[error("the file holds {found} certificates; 1 to {limit} are read")]
    Bundle {
        /// Certificates found.
        found: usize,
        /// Certificates allowed.
        limit: usize,
    },
    /// Not version 3 of X.509.
    #[error("it is not an X.509 version 3 certificate")]
    Version,
    /// The algorithm inside the signed part differs from the one outside.
    #[error("the signature algorithm inside the signed part differs from the one outside")]
    AlgorithmMismatch,
    /// The signature is not a whole number of bytes.
    #[error("the signature is not a whole number of bytes")]
    SignatureBits,
    /// A revocation list that never expires.
    #[error("the revocation list has no nextUpdate")]
    NextUpdateMissing,
    /// An extension that occurs twice.
    #[error("extension {0} occurs twice")]
    DuplicateExtension(String),
}

/// What is wrong with AMD's extensions in a leaf (57230, chapter 3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionError {
    /// An extension that every leaf of this kind has.
    #[error("it has no {0} extension")]
    Missing(&'static str),
    /// An extension that no leaf of this kind and product has.
    #[error("it has a {0} extension, which its kind and product do not have")]
    Unexpected(&'static str),
    /// A value that is not of the form that AMD writes.
    #[error("its {0} extension is malformed")]
    Malformed(&'static str),
    /// A structure version that this crate does not know.
    #[error("its structure version is {0}; 0 and 1 are known")]
    StructVersion(u8),
    /// A product that has no SEV-SNP, or an unknown one.
    #[error("it names the product {0:?}; Milan, Genoa and Turin are known")]
    Product(String),
    /// A hardware id of another length than its product's.
    #[error("its hwID has {found} bytes; {product}'s has {expected}")]
    HardwareIdLength {
        /// The product.
        product: Product,
        /// Bytes wanted.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
}

impl ExtensionError {
    /// A stable name for this error, for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "chain.leaf-extension-missing",
            Self::Unexpected(_) => "chain.leaf-extension-unexpected",
            Self::Malformed(_) => "chain.leaf-extension-malformed",
            Self::StructVersion(_) => "chain.leaf-struct-version",
            Self::Product(_) => "chain.leaf-product",
            Self::HardwareIdLength { .. } => "chain.leaf-hardware-id",
        }
    }
}

/// Why a chain is not trusted. Each failing step is reported, not the first
/// alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No certificate was given that could have issued the leaf.
    #[error(
        "no certificate named {issuer:?} was given, which issued the leaf (AMD's key service has \
         it as cert_chain)"
    )]
    IntermediateMissing {
        /// The leaf's issuer.
        issuer: String,
    },
    /// A root issued the leaf, with no ASK or ASVK between.
    #[error("the leaf was issued by {issuer:?} itself; an ASK or ASVK must stand between")]
    LeafIssuedByRoot {
        /// The leaf's issuer.
        issuer: String,
    },
    /// No trusted root has the name of the intermediate's issuer.
    #[error(
        "no trusted root is named {issuer:?} as the intermediate's issuer is (a root that is not \
         AMD's must be named by its owner)"
    )]
    RootUnknown {
        /// The intermediate's issuer.
        issuer: String,
    },
    /// Another signature algorithm than AMD's.
    #[error(
        "the {link} is not signed with RSASSA-PSS, SHA-384, MGF1 SHA-384 and a salt of 48 bytes"
    )]
    Algorithm {
        /// Which.
        link: Link,
    },
    /// A signature that does not verify.
    #[error("the signature of the {link} does not verify under {issuer:?}")]
    Signature {
        /// Which.
        link: Link,
        /// The name of the key that should have signed.
        issuer: String,
    },
    /// Used before it is valid.
    #[error("the {link} is valid from {not_before} on, and the time given is {now}")]
    NotYetValid {
        /// Which.
        link: Link,
        /// Start of its validity.
        not_before: UnixTime,
        /// The time given.
        now: UnixTime,
    },
    /// Used after it was valid.
    #[error("the {link} was valid until {not_after}, and the time given is {now}{}", late(*.link))]
    Expired {
        /// Which.
        link: Link,
        /// End of its validity.
        not_after: UnixTime,
        /// The time given.
        now: UnixTime,
    },
    /// A common name that this link never has.
    #[error("the {link} is named {found:?}; expected {expected}")]
    Name {
        /// Which.
        link: Link,
        /// Names that it may have.
        expected: String,
        /// Its common name.
        found: String,
    },
    /// A key of another kind or length.
    #[error("the key of the {link} is not {expected}")]
    Key {
        /// Which.
        link: Link,
        /// What it must be.
        expected: &'static str,
    },
    /// A link that may not sign certificates, but must.
    #[error("the {link} is no certificate authority")]
    NotAuthority {
        /// Which.
        link: Link,
    },
    /// A leaf that may sign certificates.
    #[error("the leaf claims to be a certificate authority")]
    LeafIsAuthority,
    /// A key usage that excludes what the key is used for.
    #[error("the key usage of the {link} does not allow it to sign certificates")]
    KeyUsage {
        /// Which.
        link: Link,
    },
    /// A critical extension that this crate does not know.
    #[error("the {link} has the critical extension {oid}, which is not known")]
    CriticalExtension {
        /// Which.
        link: Link,
        /// The extension.
        oid: String,
    },
    /// A standard extension that does not parse.
    #[error("the {link} has a malformed {extension} extension")]
    MalformedExtension {
        /// Which.
        link: Link,
        /// The extension.
        extension: &'static str,
    },
    /// AMD's extensions in the leaf.
    #[error("the leaf certificate is unusable: {0}")]
    Leaf(ExtensionError),
    /// Root, intermediate and leaf do not belong to one product.
    #[error("the leaf is a {leaf} key, but its chain is {chain}'s")]
    Product {
        /// The leaf's productName.
        leaf: Product,
        /// The product that root and intermediate are named for.
        chain: Product,
    },
    /// A certificate that its issuer revoked.
    #[error("the {link} (serial {serial}) was revoked on {date}")]
    Revoked {
        /// Which.
        link: Link,
        /// Its serial number, hexadecimal.
        serial: String,
        /// The date of revocation.
        date: UnixTime,
    },
}

/// What to do about a link that is out of date.
const fn late(link: Link) -> &'static str {
    match link {
        Link::Crl => " (fetch a new one; AMD's key service has it as crl)",
        Link::Leaf => " (fetch it anew; AMD's key service issues leaves again)",
        Link::Root | Link::Intermediate => "",
    }
}

impl ChainError {
    /// A stable name for this error, for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::IntermediateMissing { .. } => "chain.intermediate-missing",
            Self::LeafIssuedByRoot { .. } => "chain.leaf-issued-by-root",
            Self::RootUnknown { .. } => "chain.root-unknown",
            Self::Algorithm { .. } => "chain.algorithm",
            Self::Signature { link: Link::Crl, .. } => "chain.crl-signature",
            Self::Signature { .. } => "chain.signature",
            Self::NotYetValid { link: Link::Crl, .. } => "chain.crl-not-yet-valid",
            Self::NotYetValid { .. } => "chain.not-yet-valid",
            Self::Expired { link: Link::Crl, .. } => "chain.crl-expired",
            Self::Expired { .. } => "chain.expired",
            Self::Name { .. } => "chain.name",
            Self::Key { .. } => "chain.key",
            Self::NotAuthority { .. } => "chain.not-authority",
            Self::LeafIsAuthority => "chain.leaf-is-authority",
            Self::KeyUsage { .. } => "chain.key-usage",
            Self::CriticalExtension { .. } => "chain.critical-extension",
            Self::MalformedExtension { .. } => "chain.malformed-extension",
            Self::Leaf(error) => error.code(),
            Self::Product { .. } => "chain.product",
            Self::Revoked { .. } => "chain.revoked",
        }
    }
}
