//! One X.509 certificate, parsed and kept with its own bytes.

use std::fmt;

use ring::digest::{SHA256, digest};
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Encode, Tag, Tagged};
use x509_cert::name::Name;

use super::der::{Signed, decode, from_pem_or_der, is_pem};
use super::error::{CertificateError, ChainError, Link};
use super::leaf::Leaf;
use super::time::UnixTime;
use crate::product::Product;
use crate::report::{Hex, KeyKind};

/// AMD's certificates have at most about 1700 bytes.
const LIMIT: usize = 16 * 1024;
/// More certificates than any bundle of a fleet's products has.
const BUNDLE_LIMIT: usize = 64;
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// An X.509 version 3 certificate. Parsed, not verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    body: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
    parsed: TbsCertificate,
}

/// What a certificate is, by its common name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A product's root.
    Ark(Product),
    /// Signs a product's VCEKs.
    Ask(Product),
    /// Signs a product's VLEKs.
    Asvk(Product),
    /// A key that signs reports.
    Leaf(KeyKind),
}

impl Certificate {
    /// Reads one certificate from DER; nothing may follow it.
    ///
    /// # Errors
    ///
    /// [`CertificateError`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > LIMIT {
            return Err(CertificateError::TooLarge { found: der.len(), limit: LIMIT });
        }
        let signed = Signed::parse(der)?;
        let parsed = decode::<TbsCertificate>(signed.body)?;
        if parsed.version != Version::V3 {
            return Err(CertificateError::Version);
        }
        if parsed.signature.to_der()? != signed.algorithm {
            return Err(CertificateError::AlgorithmMismatch);
        }
        let extensions = parsed.extensions.as_deref().unwrap_or_default();
        for (index, extension) in extensions.iter().enumerate() {
            let twice = |other: &x509_cert::ext::Extension| other.extn_id == extension.extn_id;
            if extensions.iter().take(index).any(twice) {
                return Err(CertificateError::DuplicateExtension(extension.extn_id.to_string()));
            }
        }
        Ok(Self {
            body: signed.body.to_vec(),
            algorithm: signed.algorithm.to_vec(),
            signature: signed.signature.to_vec(),
            der: der.to_vec(),
            parsed,
        })
    }

    /// Reads one certificate from DER or PEM.
    ///
    /// # Errors
    ///
    /// [`CertificateError`].
    pub fn load(bytes: &[u8]) -> Result<Self, CertificateError> {
        Self::from_der(&from_pem_or_der(bytes, "CERTIFICATE", LIMIT)?)
    }

    /// Reads a file of one DER certificate or of 1 to 64 PEM certificates,
    /// such as the key service's `cert_chain`.
    ///
    /// # Errors
    ///
    /// [`CertificateError`]; of the first certificate that is bad.
    pub fn load_bundle(bytes: &[u8]) -> Result<Vec<Self>, CertificateError> {
        const END: &[u8] = b"-----END CERTIFICATE-----";
        let limit = BUNDLE_LIMIT * LIMIT;
        if bytes.len() > limit {
            return Err(CertificateError::TooLarge { found: bytes.len(), limit });
        }
        if !is_pem(bytes) {
            return Ok(vec![Self::load(bytes)?]);
        }
        let mut certificates = Vec::new();
        let mut rest = bytes.trim_ascii();
        while !rest.is_empty() {
            let end = rest.windows(END.len()).position(|window| window == END);
            let (one, after) =
                end.and_then(|at| rest.split_at_checked(at + END.len())).unwrap_or((rest, &[]));
            if certificates.len() == BUNDLE_LIMIT {
                let found = BUNDLE_LIMIT + 1;
                return Err(CertificateError::Bundle { found, limit: BUNDLE_LIMIT });
            }
            certificates.push(Self::load(one)?);
            rest = after.trim_ascii();
        }
        Ok(certificates)
    }

    /// The certificate's DER, as it was given.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the DER.
    #[must_use]
    pub fn fingerprint(&self) -> Hex<32> {
        sha256(&self.der)
    }

    /// SHA-256 of the public key (SubjectPublicKeyInfo). AMD issues
    /// certificates anew for the same key, so this names the key.
    #[must_use]
    pub fn key_fingerprint(&self) -> Hex<32> {
        sha256(&self.parsed.subject_public_key_info.to_der().unwrap_or_default())
    }

    /// What the certificate says it is, by its common name.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        let name = self.common_name()?;
        let product = Product::ALL.into_iter().find_map(|product| {
            if name == product.ark_name() {
                Some(Role::Ark(product))
            } else if name == product.ask_name() {
                Some(Role::Ask(product))
            } else if name == product.asvk_name() {
                Some(Role::Asvk(product))
            } else {
                None
            }
        });
        product.or(match name {
            "SEV-VCEK" => Some(Role::Leaf(KeyKind::Vcek)),
            "SEV-VLEK" => Some(Role::Leaf(KeyKind::Vlek)),
            _ => None,
        })
    }

    /// What a VCEK or VLEK says about itself. As untrusted as the certificate.
    ///
    /// # Errors
    ///
    /// The first [`ChainError`] about the certificate's form: it is no leaf, or
    /// not as AMD makes them.
    pub fn leaf(&self) -> Result<Leaf, ChainError> {
        let mut errors = Vec::new();
        let leaf = Leaf::read(self, &mut errors);
        match (leaf, errors.into_iter().next()) {
            (Some(leaf), None) => Ok(leaf),
            (_, Some(error)) => Err(error),
            (None, None) => Err(ChainError::Key { link: Link::Leaf, expected: "a key" }),
        }
    }

    /// The subject's common name, if it has exactly one.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        common_name(&self.parsed.subject)
    }

    /// The issuer's common name, if it has exactly one.
    #[must_use]
    pub fn issuer_name(&self) -> Option<&str> {
        common_name(&self.parsed.issuer)
    }

    /// First and last second of the certificate's validity.
    #[must_use]
    pub fn validity(&self) -> (UnixTime, UnixTime) {
        let validity = &self.parsed.validity;
        (UnixTime::from(&validity.not_before), UnixTime::from(&validity.not_after))
    }

    /// The serial number, big-endian, without leading zeros.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        trim_zeros(self.parsed.serial_number.as_bytes())
    }

    pub(super) const fn parsed(&self) -> &TbsCertificate {
        &self.parsed
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(super) fn algorithm(&self) -> &[u8] {
        &self.algorithm
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether `other` carries the name of this certificate's issuer.
    pub(super) fn names_as_issuer(&self, other: &Self) -> bool {
        self.parsed.issuer == other.parsed.subject
    }

    /// The key as PKCS #1 RSAPublicKey, if it is RSA of 4096 bits with the
    /// exponent 65537.
    pub(super) fn rsa_4096(&self) -> Option<&[u8]> {
        // SEQUENCE { INTEGER of 513 bytes: 0 and the modulus, INTEGER 65537 }
        const HEAD: &[u8] = &[0x30, 0x82, 0x02, 0x0a, 0x02, 0x82, 0x02, 0x01, 0x00];
        const TAIL: &[u8] = &[0x02, 0x03, 0x01, 0x00, 0x01];
        let info = &self.parsed.subject_public_key_info;
        let key = info.subject_public_key.as_bytes()?;
        let modulus = key.strip_prefix(HEAD)?.strip_suffix(TAIL)?;
        let long = modulus.len() == 512 && modulus.first().is_some_and(|byte| *byte >= 0x80);
        (info.algorithm.oid == RSA_ENCRYPTION && long).then_some(key)
    }

    /// The key as an uncompressed point, if it is on P-384.
    pub(super) fn p384(&self) -> Option<[u8; 97]> {
        let info = &self.parsed.subject_public_key_info;
        let curve = info.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok()?;
        let point: [u8; 97] = info.subject_public_key.as_bytes()?.try_into().ok()?;
        let [form, ..] = point;
        (info.algorithm.oid == EC_PUBLIC_KEY && curve == SECP384R1 && form == 4).then_some(point)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.common_name())
            .field("issuer", &self.issuer_name())
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

/// The common name, if `name` has exactly one and it is text.
pub(super) fn common_name(name: &Name) -> Option<&str> {
    let mut found = None;
    for attribute in name.0.iter().flat_map(|relative| relative.0.iter()) {
        if attribute.oid == COMMON_NAME {
            if found.is_some() {
                return None;
            }
            found = Some(&attribute.value);
        }
    }
    let value = found?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "a name of any other type is no name here")]
    match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok().map(|text| text.as_str()),
        Tag::PrintableString => {
            value.decode_as::<PrintableStringRef<'_>>().ok().map(|text| text.as_str())
        }
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().ok().map(|text| text.as_str()),
        _ => None,
    }
}

/// A number's bytes without leading zeros.
pub(super) fn trim_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

pub(super) fn sha256(bytes: &[u8]) -> Hex<32> {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    Hex(out)
}
