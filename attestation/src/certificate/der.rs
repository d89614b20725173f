//! The outermost layer of certificates and revocation lists: what was signed,
//! with which algorithm, and the signature. The signed bytes are kept as they
//! were given; nothing is encoded again to be verified.

use x509_cert::der::asn1::BitStringRef;
use x509_cert::der::{Decode, Reader, SliceReader, pem};

use super::error::CertificateError;

/// `SIGNED` of X.509: three parts of a byte string.
pub(super) struct Signed<'a> {
    /// The signed part, with its tag and length.
    pub(super) body: &'a [u8],
    /// The AlgorithmIdentifier, with its tag and length.
    pub(super) algorithm: &'a [u8],
    /// The signature.
    pub(super) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Splits `bytes`; nothing may follow.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, CertificateError> {
        let mut reader = SliceReader::new(bytes)?;
        let (body, algorithm, signature) = reader.sequence(|inner| {
            Ok((inner.tlv_bytes()?, inner.tlv_bytes()?, BitStringRef::decode(inner)?))
        })?;
        reader.finish(())?;
        let signature = signature.as_bytes().ok_or(CertificateError::SignatureBits)?;
        Ok(Self { body, algorithm, signature })
    }
}

/// The DER in `bytes`, which are PEM labelled `label` or the DER itself.
pub(super) fn from_pem_or_der(
    bytes: &[u8],
    label: &str,
    limit: usize,
) -> Result<Vec<u8>, CertificateError> {
    if bytes.len() > limit.saturating_mul(2) {
        return Err(CertificateError::TooLarge { found: bytes.len(), limit });
    }
    let der = if is_pem(bytes) {
        let (found, der) = pem::decode_vec(bytes.trim_ascii()).map_err(CertificateError::Pem)?;
        if found != label {
            return Err(CertificateError::PemLabel(found.to_owned()));
        }
        der
    } else {
        bytes.to_vec()
    };
    if der.len() > limit {
        return Err(CertificateError::TooLarge { found: der.len(), limit });
    }
    Ok(der)
}

/// Whether the bytes are PEM rather than DER, which begins with a tag.
pub(super) fn is_pem(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN ")
}
