//! Files that bring certificates from elsewhere: offline bundles, the key
//! service's answers, the certificate table of an extended report.

use x509_cert::der::Tag;

use super::crl::Crl;
use super::der::is_pem;
use super::error::CertificateError;
use super::table::{CertificateTable, Entry, EntryKind, TableError};
use super::x509::Certificate;

/// More than a fleet's certificates; what one file may have.
const LIMIT: usize = 1024 * 1024;
/// More than a fleet has chips for in one file of that size.
const COUNT: usize = 512;
const END: &[u8] = b"-----END ";

/// Certificates and revocation lists in no particular order. Nothing in it is
/// verified.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    /// The certificates.
    pub certificates: Vec<Certificate>,
    /// The revocation lists.
    pub crls: Vec<Crl>,
}

impl Bundle {
    /// Reads a file of one of these forms: a certificate or revocation list in
    /// DER; any number of both in PEM, with or without text around them; the
    /// certificate table of an extended report (configfs-tsm's `auxblob`),
    /// whose entries of unknown kinds are left out.
    ///
    /// # Errors
    ///
    /// [`BundleError`]; an empty file too.
    pub fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > LIMIT {
            return Err(BundleError::TooLarge { found: bytes.len(), limit: LIMIT });
        }
        let mut bundle = Self::default();
        if find(bytes, b"-----BEGIN ").is_some() {
            bundle.add_pem(bytes)?;
        } else if bytes.first().is_some_and(|tag| *tag == u8::from(Tag::Sequence)) {
            bundle.add_der(bytes)?;
        } else {
            bundle.add_table(&CertificateTable::parse(bytes)?)?;
        }
        if bundle.certificates.is_empty() && bundle.crls.is_empty() {
            return Err(BundleError::Empty);
        }
        Ok(bundle)
    }

    /// Adds the certificates of a table. Entries of unknown kinds are left out,
    /// and so are revocation lists: the table is the host's, and a genuine list
    /// from before a revocation would stand for the one that has it.
    ///
    /// # Errors
    ///
    /// [`TableError::Certificate`] if an entry of a known kind does not parse.
    pub fn add_table(&mut self, table: &CertificateTable) -> Result<(), TableError> {
        for Entry { kind, .. } in table.entries() {
            if !matches!(kind, EntryKind::Crl | EntryKind::Other(_)) {
                self.certificates.extend(table.certificate(*kind)?);
            }
        }
        Ok(())
    }

    fn add_der(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        let bad = |source| BundleError::Item { offset: 0, source };
        match Certificate::load(bytes) {
            Ok(certificate) => self.certificates.push(certificate),
            // The certificate's error unless it is a list.
            Err(error) => self.crls.push(Crl::load(bytes).map_err(|_err| bad(error))?),
        }
        Ok(())
    }

    fn add_pem(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(start) = find(rest, b"-----BEGIN ") else { return Ok(()) };
            let offset = at + start;
            let block = bytes.get(offset..).unwrap_or_default();
            let length = find(block, END).and_then(|end| {
                let tail = block.get(end + END.len()..)?;
                Some(end + END.len() + find(tail, b"-----")? + 5)
            });
            let block = length.and_then(|length| block.get(..length)).unwrap_or(block);
            if self.certificates.len() + self.crls.len() == COUNT {
                return Err(BundleError::TooMany { limit: COUNT });
            }
            self.add_block(block).map_err(|source| BundleError::Item { offset, source })?;
            at = offset + block.len();
        }
    }

    fn add_block(&mut self, block: &[u8]) -> Result<(), CertificateError> {
        debug_assert!(is_pem(block), "the caller looked for it");
        if block.starts_with(b"-----BEGIN X509 CRL-----") {
            self.crls.push(Crl::load(block)?);
        } else {
            self.certificates.push(Certificate::load(block)?);
        }
        Ok(())
    }
}

/// Where `word` first occurs.
fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|window| window == word)
}

/// Why a file brings no certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Too many bytes.
    #[error("{found} bytes are too many; at most {limit} are read")]
    TooLarge {
        /// Bytes given.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Too many certificates.
    #[error("there are more than {limit} certificates and lists in it; split it")]
    TooMany {
        /// How many are read.
        limit: usize,
    },
    /// Something in it is no certificate or list.
    #[error("what begins at byte {offset} is no certificate or revocation list")]
    Item {
        /// Where it begins.
        offset: usize,
        /// Why.
        source: CertificateError,
    },
    /// Neither DER nor PEM, and no certificate table.
    #[error("it is not DER, PEM or a certificate table")]
    Table(#[from] TableError),
    /// There is nothing in it.
    #[error("there is no certificate or revocation list in it")]
    Empty,
}
