//! Reports and certificates from files, for every command that judges them.
//!
//! All of it may come from the host: files are bounded before they are read,
//! and nothing here decides what is trusted. Which certificates belong to a
//! report is found by trying: those that do not fit are ignored by
//! [`validate`], and a leaf that did not sign the report makes no verdict
//! better than a refusal.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use attestation::certificate::{
    Bundle, BundleError, Certificate, CertificateError, CertificateTable, ChainRejection, Crl,
    Role, RootError, Roots, TableError, UnixTime, VerifiedChain, validate,
};
use attestation::policy::Policy;
use attestation::report::{KeyKind, Report, ReportError, SigningKey, Unwrapped};
use attestation::verify::{Request, Verdict, verify};

/// No report, certificate, list or policy comes near this size.
const LIMIT: u64 = 1 << 20;

/// More leaves than a report can have been signed by.
const LEAVES: usize = 16;

/// Why evidence cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// A file cannot be read.
    #[error("{}: cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file is too large.
    #[error("{}: larger than {LIMIT} bytes; this is no report, certificate or policy", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not text where text is expected.
    #[error("{}: not UTF-8 at byte {offset}", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Where the first bad byte is.
        offset: usize,
    },
    /// No report.
    #[error("{}: no report", .path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ReportError,
    },
    /// No certificate.
    #[error("{}: no certificates (DER, PEM or a certificate table)", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// No certificates.
    #[error("{}: no certificates (DER, PEM or a certificate table)", .path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BundleError,
    },
    /// No revocation list.
    #[error("{}: no revocation list", .path.display())]
    Crl {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// No root.
    #[error("{}: cannot be a root of trust", .path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RootError,
    },
    /// AMD's roots are damaged.
    #[error(transparent)]
    Roots(#[from] RootError),
    /// Nothing that could have signed the report.
    #[error("there is no certificate of the key that signed this report, a {0}")]
    NoLeaf(&'static str),
}

/// Reads a file of at most 1 MiB.
///
/// # Errors
/// If it cannot be read or is larger.
pub fn bytes(path: &Path) -> Result<Vec<u8>, EvidenceError> {
    let failed = |source| EvidenceError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LIMIT) {
        return Err(EvidenceError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Reads a text of at most 1 MiB.
///
/// # Errors
/// As [`bytes`], and if it is not UTF-8.
pub fn text(path: &Path) -> Result<String, EvidenceError> {
    String::from_utf8(bytes(path)?).map_err(|error| EvidenceError::NotUtf8 {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}

/// Reads a report in any form.
///
/// # Errors
/// If there is none in the file.
pub fn report(path: &Path) -> Result<Unwrapped, EvidenceError> {
    Unwrapped::read(&bytes(path)?)
        .map_err(|source| EvidenceError::Report { path: path.to_owned(), source })
}

/// What a chain is made from. Nothing in it is trusted.
#[derive(Debug, Clone, Default)]
pub struct Material {
    /// Certificates, in any order and number.
    pub certificates: Vec<Certificate>,
    /// Revocation lists.
    pub crls: Vec<Crl>,
}

impl Material {
    /// Adds what a file has: a DER certificate, PEM certificates, or the
    /// certificate table of an extended report (configfs-tsm's `auxblob`).
    ///
    /// # Errors
    /// If it has none of them.
    pub fn add_certificates(&mut self, path: &Path) -> Result<(), EvidenceError> {
        let bundle = Bundle::read(&bytes(path)?)
            .map_err(|source| EvidenceError::Bundle { path: path.to_owned(), source })?;
        self.add(bundle);
        Ok(())
    }

    /// Adds what a certificate table has. Entries of other kinds are ignored.
    ///
    /// # Errors
    /// If an entry of a known kind does not parse.
    pub fn add_table(&mut self, table: &CertificateTable) -> Result<(), TableError> {
        let mut bundle = Bundle::default();
        bundle.add_table(table)?;
        self.add(bundle);
        Ok(())
    }

    fn add(&mut self, bundle: Bundle) {
        self.certificates.extend(bundle.certificates);
        self.crls.extend(bundle.crls);
    }

    /// Adds a revocation list, DER or PEM.
    ///
    /// # Errors
    /// If it is none.
    pub fn add_crl(&mut self, path: &Path) -> Result<(), EvidenceError> {
        let crl = Crl::load(&bytes(path)?)
            .map_err(|source| EvidenceError::Crl { path: path.to_owned(), source })?;
        self.crls.push(crl);
        Ok(())
    }

    /// The certificates of keys that sign reports, those of the kind that the
    /// report names first.
    fn leaves(&self, report: &Report) -> Vec<&Certificate> {
        let mut leaves: Vec<_> = self
            .certificates
            .iter()
            .filter_map(|certificate| {
                let Some(Role::Leaf(kind)) = certificate.role() else { return None };
                Some((kind_of(report) != Some(kind), certificate))
            })
            .take(LEAVES)
            .collect();
        leaves.sort_by_key(|(other, _)| *other);
        leaves.into_iter().map(|(_, certificate)| certificate).collect()
    }

    /// Verifies a report with each leaf that is there, and returns the best
    /// verdict: accepted, else authentic, else the first.
    ///
    /// # Errors
    /// If there is no leaf at all.
    pub fn verify(
        &self,
        report: &Report,
        roots: &Roots,
        policy: &Policy,
        request: &Request,
    ) -> Result<Judged, EvidenceError> {
        let mut best: Option<Judged> = None;
        for leaf in self.leaves(report) {
            let chain = validate(leaf, &self.certificates, roots, &self.crls, request.now);
            let verdict = verify(report, chain.as_ref(), policy, request);
            let rank = |verdict: &Verdict| (verdict.accepted(), verdict.authentic());
            let better = best.as_ref().is_none_or(|best| rank(&verdict) > rank(&best.verdict));
            if better {
                best = Some(Judged { chain, verdict, notes: Vec::new() });
            }
        }
        best.ok_or(EvidenceError::NoLeaf(match kind_of(report) {
            Some(KeyKind::Vlek) => "VLEK",
            Some(KeyKind::Vcek) | None => "VCEK",
        }))
    }
}

/// The kind of key that a report says it was signed with.
pub(crate) fn kind_of(report: &Report) -> Option<KeyKind> {
    let named = report.flags().signing_key();
    let kinds = [(SigningKey::Vcek, KeyKind::Vcek), (SigningKey::Vlek, KeyKind::Vlek)];
    kinds.into_iter().find(|(key, _)| *key == named).map(|(_, kind)| kind)
}

/// A verdict and the chain that it rests on.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The chain, good or bad.
    pub chain: Result<VerifiedChain, ChainRejection>,
    /// The verdict.
    pub verdict: Verdict,
    /// What could not be had for it, to be told as warnings.
    pub notes: Vec<String>,
}

/// AMD's roots, and those that the owner names in files.
///
/// # Errors
/// If a file is no root.
pub fn roots(given: &[PathBuf]) -> Result<Roots, EvidenceError> {
    let mut roots = Roots::amd()?;
    for path in given {
        let certificate = Certificate::load(&bytes(path)?)
            .map_err(|source| EvidenceError::Certificate { path: path.clone(), source })?;
        roots = roots
            .with_given(certificate)
            .map_err(|source| EvidenceError::Root { path: path.clone(), source })?;
    }
    Ok(roots)
}

/// This machine's time: the only place where a clock is read for a verdict.
#[must_use]
pub fn now() -> UnixTime {
    UnixTime::from(std::time::SystemTime::now())
}
