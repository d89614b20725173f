//! The test authority: a root, intermediates and leaves in AMD's form (57230
//! revision 1.00, chapters 2 and 3), made on this machine.
//!
//! The common names are AMD's, because verifiers look for them; the
//! organization says whose they are ([`crate::names::ORGANIZATION`]).

mod certificate;
mod keys;
mod table;

use attestation::product::Product;
use attestation::report::KeyKind;
use attestation::tcb::Tcb;
use p384::SecretKey;

pub use certificate::{IssueError, Validity};
pub use keys::{KeyError, RsaKey};
pub use table::certificate_table;

use self::certificate::{Issued, authority_extensions, issue, leaf_extensions};

/// Root and intermediates of one product, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// The root, which signs itself.
    pub ark: Vec<u8>,
    /// Signs VCEKs.
    pub ask: Vec<u8>,
    /// Signs VLEKs.
    pub asvk: Vec<u8>,
}

/// The keys of one product.
pub struct Authority {
    product: Product,
    ark: RsaKey,
    ask: RsaKey,
    asvk: RsaKey,
}

/// What a leaf is for.
pub enum Leaf<'a> {
    /// This chip.
    Vcek {
        /// CHIP_ID.
        chip_id: &'a [u8; 64],
    },
    /// This provider.
    Vlek {
        /// CSP_ID.
        csp_id: &'a str,
    },
}

impl Leaf<'_> {
    const fn kind(&self) -> KeyKind {
        match self {
            Self::Vcek { .. } => KeyKind::Vcek,
            Self::Vlek { .. } => KeyKind::Vlek,
        }
    }
}

impl Authority {
    /// An authority with these keys.
    #[must_use]
    pub const fn new(product: Product, ark: RsaKey, ask: RsaKey, asvk: RsaKey) -> Self {
        Self { product, ark, ask, asvk }
    }

    /// Issues root and intermediates.
    ///
    /// # Errors
    /// If a certificate cannot be encoded or signed.
    pub fn certificates(&self, validity: Validity) -> Result<Certificates, IssueError> {
        let root = self.product.ark_name();
        let make = |serial: u32, subject, key: &RsaKey, path_length| {
            issue(
                &Issued {
                    serial,
                    issuer: root,
                    subject,
                    validity,
                    key: key.public_der()?,
                    extensions: authority_extensions(path_length)?,
                },
                &self.ark,
            )
        };
        Ok(Certificates {
            ark: make(0x1_0000, root, &self.ark, None)?,
            ask: make(0x1_0001, self.product.ask_name(), &self.ask, Some(0))?,
            asvk: make(0x1_0002, self.product.asvk_name(), &self.asvk, Some(0))?,
        })
    }

    /// Issues the certificate of a key that signs reports of this TCB version.
    ///
    /// # Errors
    /// If it cannot be encoded or signed.
    pub fn leaf(
        &self,
        leaf: &Leaf<'_>,
        tcb: Tcb,
        key: &SecretKey,
        validity: Validity,
    ) -> Result<Vec<u8>, IssueError> {
        let (issuer, subject, signer) = match leaf.kind() {
            KeyKind::Vcek => (self.product.ask_name(), "SEV-VCEK", &self.ask),
            KeyKind::Vlek => (self.product.asvk_name(), "SEV-VLEK", &self.asvk),
        };
        let key = certificate::p384_public_der(key)?;
        let extensions = leaf_extensions(self.product, tcb, leaf)?;
        // AMD's leaves have serial number 0.
        issue(&Issued { serial: 0, issuer, subject, validity, key, extensions }, signer)
    }
}
