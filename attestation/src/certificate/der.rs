//! The outermost layer of certificates and revocation lists: what was signed,
//! with which algorithm, and the signature. The signed bytes are kept as they
//! were given; nothing is encoded again to be verified.

use x509_cert::der::asn1::BitStringRef;
use x509_cert::der::{Decode, ErrorKind, Reader, SliceReader, pem};

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

/// How deep values may be inside of each other. (AMD's certificates have 8 levels.)
const DEPTH: u8 = 32;

/// Decodes one value; nothing may follow. The decoder itself makes room for an INTEGER before
/// it looks whether there are so many bytes.
pub(super) fn decode<'a, T: Decode<'a>>(bytes: &'a [u8]) -> x509_cert::der::Result<T> {
    if lengths_fit(bytes) { T::from_der(bytes) } else { Err(ErrorKind::Overlength.into()) }
}

/// Whether each value, and each one inside of it, ends within what it is in.
fn lengths_fit(bytes: &[u8]) -> bool {
    fit(bytes, DEPTH)
}

fn fit(mut bytes: &[u8], depth: u8) -> bool {
    const CONSTRUCTED: u8 = 0x20;
    while !bytes.is_empty() {
        let Some((tag, value, rest)) = value(bytes) else { return false };
        if tag & CONSTRUCTED != 0 && !depth.checked_sub(1).is_some_and(|depth| fit(value, depth)) {
            return false;
        }
        bytes = rest;
    }
    true
}

/// Tag, value and what follows (X.690, section 8.1).
fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk::<2>()?;
    // A tag of several bytes is in no certificate.
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0, |number, digit| number << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_within_what_it_is_in() {
        for fits in [&b"\x30\x03\x02\x01\x05"[..], b"\x02\x81\x01\x05", b"\x04\x02\x30\x7f", b""] {
            assert!(lengths_fit(fits), "{fits:x?}");
        }
        for wrong in [
            &b"\x30\x05\x02\x83\xe6\x81\x85"[..],
            b"\x30\x03\x02\x02\x05",
            b"\x02\x85\x00\x00\x00\x00\x01\x05",
            b"\x30\x80\x00\x00",
            b"\x1f\x81\x01\x00",
            b"\x30",
        ] {
            assert!(!lengths_fit(wrong), "{wrong:x?}");
        }
        let deep = (0..200).fold(Vec::new(), |inner: Vec<u8>, _| {
            [&[0x30, 0x82][..], &u16::try_from(inner.len()).unwrap().to_be_bytes(), &inner].concat()
        });
        assert!(!lengths_fit(&deep));
    }
}
