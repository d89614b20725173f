//! One X.509 certificate in AMD's form.

use std::time::Duration;

use attestation::product::Product;
use attestation::tcb::Tcb;
use p384::SecretKey;
use p384::pkcs8::EncodePublicKey;
use x509_cert::TbsCertificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::{
    BitString, Ia5String, ObjectIdentifier, OctetString, SetOfVec, UtcTime, Utf8StringRef,
};
use x509_cert::der::{Any, Decode, Encode, Tag};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity as X509Validity};

use super::Leaf;
use super::keys::{KeyError, RsaKey};
use crate::names;

/// Why a certificate could not be issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// It cannot be encoded.
    #[error("encoding a certificate")]
    Encode(#[from] x509_cert::der::Error),
    /// The leaf's public key cannot be.
    #[error("encoding a public key on P-384")]
    PublicKey(#[from] p384::pkcs8::spki::Error),
    /// The authority's key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// From and until when a certificate is valid: seconds since 1970, up to 2049.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: u64,
    /// The last one.
    pub not_after: u64,
}

/// RSASSA-PSS, SHA-384, MGF1 with SHA-384, salt of 48 bytes, the trailer field's
/// default written out: as AMD writes it.
const ALGORITHM: &[u8] = &[
    0x30, 0x46, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x39, 0xa0,
    0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00,
    0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30,
    0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa2, 0x03,
    0x02, 0x01, 0x30, 0xa3, 0x03, 0x02, 0x01, 0x01,
];
const AMD: &str = "1.3.6.1.4.1.3704.1";
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// What goes into a certificate.
pub(super) struct Issued<'a> {
    pub(super) serial: u32,
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) validity: Validity,
    /// SubjectPublicKeyInfo.
    pub(super) key: Vec<u8>,
    pub(super) extensions: Vec<Extension>,
}

/// Issues a certificate.
pub(super) fn issue(content: &Issued<'_>, signer: &RsaKey) -> Result<Vec<u8>, IssueError> {
    let algorithm = AlgorithmIdentifierOwned::from_der(ALGORITHM)?;
    let body = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&content.serial.to_be_bytes())?,
        signature: algorithm.clone(),
        issuer: name(content.issuer)?,
        validity: X509Validity {
            not_before: time(content.validity.not_before)?,
            not_after: time(content.validity.not_after)?,
        },
        subject: name(content.subject)?,
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(&content.key)?,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(content.extensions.clone()),
    };
    let signature = signer.sign(&body.to_der()?)?;
    let certificate = x509_cert::Certificate {
        tbs_certificate: body,
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(&signature)?,
    };
    Ok(certificate.to_der()?)
}

/// What makes an authority; AMD's have both.
pub(super) fn authority_extensions(path_length: Option<u8>) -> Result<Vec<Extension>, KeyError> {
    let encode = || -> Result<_, x509_cert::der::Error> {
        let constraints = BasicConstraints { ca: true, path_len_constraint: path_length };
        let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
        Ok(vec![
            extension(BASIC_CONSTRAINTS, true, constraints.to_der()?)?,
            extension(KEY_USAGE, true, usage.to_der()?)?,
        ])
    };
    encode().map_err(|error| KeyError::Refused(error.to_string()))
}

/// AMD's extensions of a leaf (57230 revision 1.00, chapter 3).
pub(super) fn leaf_extensions(
    product: Product,
    tcb: Tcb,
    leaf: &Leaf<'_>,
) -> Result<Vec<Extension>, IssueError> {
    let mut out = Vec::new();
    let mut add = |arc: &str, value: Vec<u8>| -> Result<(), x509_cert::der::Error> {
        let id = ObjectIdentifier::new(&format!("{AMD}.{arc}"))?;
        out.push(extension(id, false, value)?);
        Ok(())
    };
    let vcek = matches!(leaf, Leaf::Vcek { .. });
    let product_name = if vcek && product == Product::Milan { "Milan-B0" } else { product.name() };
    add("1", 1_u8.to_der()?)?;
    add("2", Ia5String::new(product_name)?.to_der()?)?;
    let levels = if product == Product::Turin {
        ["3.9", "3.1", "3.2", "3.3", "3.5", "3.6", "3.7", "3.8"]
    } else {
        ["3.1", "3.2", "3.4", "3.5", "3.6", "3.7", "3.3", "3.8"]
    };
    for (arc, level) in levels.into_iter().zip(tcb.0) {
        add(arc, level.to_der()?)?;
    }
    match leaf {
        // The bare octets, as the key service writes them.
        Leaf::Vcek { chip_id } => {
            let length = product.hardware_id_length();
            add("4", chip_id.iter().take(length).copied().collect())?;
        }
        Leaf::Vlek { csp_id } => add("5", Ia5String::new(csp_id)?.to_der()?)?,
    }
    Ok(out)
}

/// SubjectPublicKeyInfo of a key on P-384.
pub(super) fn p384_public_der(key: &SecretKey) -> Result<Vec<u8>, IssueError> {
    Ok(key.public_key().to_public_key_der()?.as_bytes().to_vec())
}

fn extension(
    id: ObjectIdentifier,
    critical: bool,
    value: Vec<u8>,
) -> Result<Extension, x509_cert::der::Error> {
    Ok(Extension { extn_id: id, critical, extn_value: OctetString::new(value)? })
}

fn name(common: &str) -> Result<Name, x509_cert::der::Error> {
    let part = |oid, text| -> Result<_, x509_cert::der::Error> {
        let value = Any::new(Tag::Utf8String, Utf8StringRef::new(text)?.as_bytes())?;
        let attributes = SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }])?;
        Ok(RelativeDistinguishedName::from(attributes))
    };
    Ok(RdnSequence(vec![part(ORGANIZATION, names::ORGANIZATION)?, part(COMMON_NAME, common)?]))
}

fn time(seconds: u64) -> Result<Time, x509_cert::der::Error> {
    Ok(Time::UtcTime(UtcTime::from_unix_duration(Duration::from_secs(seconds))?))
}
