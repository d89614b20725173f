//! Revocation lists, which a root signs over its ASK and ASVK.
//!
//! RFC 5280, section 5. A list is used only if the root signed it. Serial
//! numbers in any such list are revoked for good, even if the list is old; but
//! an old list does not show that nothing was revoked since, so at least one
//! must be current.

use std::fmt;

use x509_cert::crl::TbsCertList;
use x509_cert::der::Encode;

use super::der::{Signed, decode, from_pem_or_der};
use super::error::{CertificateError, ChainError, Link};
use super::pss;
use super::time::UnixTime;
use super::x509::{Certificate, common_name, trim_zeros};

/// A list of a few thousand certificates; AMD's have none or one.
const LIMIT: usize = 256 * 1024;

/// A revocation list. Parsed, not verified.
#[derive(Clone)]
pub struct Crl {
    der: Vec<u8>,
    body: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
    parsed: TbsCertList,
    next_update: UnixTime,
}

impl Crl {
    /// Reads a list from DER or PEM.
    ///
    /// # Errors
    ///
    /// [`CertificateError`].
    pub fn load(bytes: &[u8]) -> Result<Self, CertificateError> {
        let der = from_pem_or_der(bytes, "X509 CRL", LIMIT)?;
        let signed = Signed::parse(&der)?;
        let parsed = decode::<TbsCertList>(signed.body)?;
        if parsed.signature.to_der()? != signed.algorithm {
            return Err(CertificateError::AlgorithmMismatch);
        }
        let next_update = parsed.next_update.as_ref().ok_or(CertificateError::NextUpdateMissing)?;
        Ok(Self {
            body: signed.body.to_vec(),
            algorithm: signed.algorithm.to_vec(),
            signature: signed.signature.to_vec(),
            next_update: UnixTime::from(next_update),
            parsed,
            der,
        })
    }

    /// The list's DER, as it was given.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The issuer's common name, if it has exactly one.
    #[must_use]
    pub fn issuer_name(&self) -> Option<&str> {
        common_name(&self.parsed.issuer)
    }

    /// When the list was issued, and when the next is due.
    #[must_use]
    pub fn validity(&self) -> (UnixTime, UnixTime) {
        (UnixTime::from(&self.parsed.this_update), self.next_update)
    }

    /// Whether the list carries the name of `root`.
    pub(super) fn names(&self, root: &Certificate) -> bool {
        self.parsed.issuer == root.parsed().subject
    }

    /// Checks that `root`'s key signed the list and that nothing in it is
    /// beyond this crate.
    pub(super) fn check(&self, root: &Certificate, key: &[u8]) -> Result<(), ChainError> {
        if !pss::is_amd_algorithm(&self.algorithm) {
            return Err(ChainError::Algorithm { link: Link::Crl });
        }
        if !pss::verifies(key, &self.body, &self.signature) {
            let issuer = root.common_name().unwrap_or_default().to_owned();
            return Err(ChainError::Signature { link: Link::Crl, issuer });
        }
        let entries = self.parsed.revoked_certificates.iter().flatten();
        let extensions = entries
            .filter_map(|entry| entry.crl_entry_extensions.as_ref())
            .chain(&self.parsed.crl_extensions)
            .flatten();
        for extension in extensions {
            if extension.critical {
                let oid = extension.extn_id.to_string();
                return Err(ChainError::CriticalExtension { link: Link::Crl, oid });
            }
        }
        Ok(())
    }

    /// Checks that the list is neither from the future nor out of date.
    pub(super) fn check_time(&self, now: UnixTime) -> Result<(), ChainError> {
        let (not_before, not_after) = self.validity();
        if now < not_before {
            return Err(ChainError::NotYetValid { link: Link::Crl, not_before, now });
        }
        if now > not_after {
            return Err(ChainError::Expired { link: Link::Crl, not_after, now });
        }
        Ok(())
    }

    /// When the certificate with this serial number was revoked, if it was.
    pub(super) fn revocation(&self, serial: &[u8]) -> Option<UnixTime> {
        let mut entries = self.parsed.revoked_certificates.iter().flatten();
        let entry = entries.find(|entry| trim_zeros(entry.serial_number.as_bytes()) == serial)?;
        Some(UnixTime::from(&entry.revocation_date))
    }
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crl")
            .field("issuer", &self.issuer_name())
            .field("validity", &self.validity())
            .finish_non_exhaustive()
    }
}
