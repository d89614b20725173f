//! Private keys.

use p384::ecdsa::signature::Signer;
use p384::elliptic_curve::pkcs8::AssociatedOid;
use p384::pkcs8::PrivateKeyInfo;
use p384::{NistP384, SecretKey, ecdsa};
use sec1::EcPrivateKey;

use super::pem;
use super::public_key::PublicKey;
use super::signature::Signature;

/// id-ecPublicKey (RFC 5480).
const EC_PUBLIC_KEY: sec1::der::asn1::ObjectIdentifier =
    sec1::der::asn1::ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// An EC PARAMETERS block that names P-384: DER of its object identifier.
const P384_PARAMETERS: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// Something that is no usable private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateKeyError {
    /// No private key in the file.
    #[error(
        "there is no private key here; `openssl genpkey -algorithm EC -pkeyopt \
         ec_paramgen_curve:P-384` makes one"
    )]
    NoKey,
    /// Several of them.
    #[error("there is more than one private key here; keep one to a file")]
    Several,
    /// Encrypted.
    #[error("the private key is encrypted; decrypt it first: `openssl pkey -in KEY.pem`")]
    Encrypted,
    /// Broken.
    #[error("the private key is neither PKCS#8 nor SEC1 (RFC 5915), or it is damaged")]
    Malformed,
    /// On another curve, or of another algorithm.
    #[error(
        "the private key is not on P-384 (secp384r1), the only curve for ID and author keys; \
         `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384` makes one"
    )]
    Curve,
    /// A number outside the order of P-384, or not that of the public key that
    /// comes with it.
    #[error("the private key's number is out of range, or its public key is another key's")]
    Number,
    /// Neither the curve nor the public key is there, so it may be for another
    /// curve of the same size.
    #[error(
        "the private key does not say its curve; `openssl ec -in KEY.pem` writes one that does"
    )]
    CurveNotNamed,
}

/// An ID or author key. It is wiped from memory when dropped, and is never
/// printed, copied or written.
pub struct PrivateKey(ecdsa::SigningKey);

impl PrivateKey {
    /// Reads a PEM file: PKCS#8 ("BEGIN PRIVATE KEY") or SEC1 ("BEGIN EC PRIVATE
    /// KEY", an EC PARAMETERS block before it or not). Wiping `pem` is left to
    /// the caller.
    ///
    /// # Errors
    /// If there is not exactly one key, or it is encrypted, damaged or not on
    /// P-384.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PrivateKeyError> {
        let text = std::str::from_utf8(pem).ok().ok_or(PrivateKeyError::NoKey)?;
        let blocks = pem::blocks(text);
        let mut keys = blocks.iter().filter(|block| block.label.ends_with("PRIVATE KEY"));
        let key = keys.next().ok_or(PrivateKeyError::NoKey)?;
        if keys.next().is_some() {
            return Err(PrivateKeyError::Several);
        }
        if key.is_encrypted() {
            return Err(PrivateKeyError::Encrypted);
        }
        let mut named = false;
        for parameters in blocks.iter().filter(|block| block.label == "EC PARAMETERS") {
            let curve = parameters.decode().ok_or(PrivateKeyError::Malformed)?;
            if curve[..] != P384_PARAMETERS {
                return Err(PrivateKeyError::Curve);
            }
            named = true;
        }
        let der = key.decode().ok_or(PrivateKeyError::Malformed);
        match key.label {
            "PRIVATE KEY" => pkcs8(&der?),
            "EC PRIVATE KEY" => sec1(&der?, named),
            "RSA PRIVATE KEY" | "DSA PRIVATE KEY" => Err(PrivateKeyError::Curve),
            _ => Err(PrivateKeyError::Malformed),
        }
    }

    /// Reads DER, PKCS#8 or SEC1. Wiping `der` is left to the caller.
    ///
    /// # Errors
    /// As [`PrivateKey::from_pem`].
    pub fn from_der(der: &[u8]) -> Result<Self, PrivateKeyError> {
        match pkcs8(der) {
            Err(PrivateKeyError::Malformed) => sec1(der, false),
            result => result,
        }
    }

    /// Its public part.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from(*self.0.verifying_key())
    }

    /// Its signature on `message`, which is hashed with SHA-384; the same every
    /// time (RFC 6979).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature::from(Signer::<ecdsa::Signature>::sign(&self.0, message))
    }
}

fn pkcs8(der: &[u8]) -> Result<PrivateKey, PrivateKeyError> {
    let info = PrivateKeyInfo::try_from(der).ok().ok_or(PrivateKeyError::Malformed)?;
    if info.algorithm.assert_oids(EC_PUBLIC_KEY, NistP384::OID).is_err() {
        return Err(PrivateKeyError::Curve);
    }
    sec1(info.private_key, true)
}

/// `named`: something outside has said that the curve is P-384.
fn sec1(der: &[u8], named: bool) -> Result<PrivateKey, PrivateKeyError> {
    let key = EcPrivateKey::try_from(der).ok().ok_or(PrivateKeyError::Malformed)?;
    match key.parameters.map(sec1::EcParameters::named_curve) {
        Some(curve) if curve != Some(NistP384::OID) => return Err(PrivateKeyError::Curve),
        None if !named && key.public_key.is_none() => return Err(PrivateKeyError::CurveNotNamed),
        Some(_) | None => {}
    }
    // A shorter number would be padded: a key for a smaller curve.
    if key.private_key.len() != 48 {
        return Err(PrivateKeyError::Curve);
    }
    // This compares the public key, if there is one.
    let key = SecretKey::try_from(key).ok().ok_or(PrivateKeyError::Number)?;
    Ok(PrivateKey(ecdsa::SigningKey::from(key)))
}
