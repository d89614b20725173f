//! A release with its signature.

use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{DIGEST, MAX_SIGNATURE, ReleaseError, STATEMENT_DOMAIN};
use crate::tlv::{self, Fields};

/// SHA-512 of an encoded release: what owners sign, and what tells releases apart.
#[must_use]
pub fn digest(release: &[u8]) -> [u8; DIGEST] {
    Sha512::digest(release).into()
}

/// Whether two encoded releases, or their digests, are equal, in a time that tells
/// nothing of them but their lengths.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// What the owner signs: [`STATEMENT_DOMAIN`], the exporter of
/// [`SIGNATURE_EXPORTER`](super::SIGNATURE_EXPORTER), [`digest`] of the encoded release.
#[must_use]
pub fn statement(exporter: &[u8; 32], release: &[u8]) -> Vec<u8> {
    [STATEMENT_DOMAIN.as_slice(), exporter, &digest(release)].concat()
}

/// The content of a release frame.
pub struct SignedRelease {
    /// The encoded [`Release`](super::Release).
    pub release: Zeroizing<Vec<u8>>,
    /// The SSHSIG blob (OpenSSH PROTOCOL.sshsig, without armour).
    pub signature: Vec<u8>,
}

const SIGNED_RELEASE: u8 = 1;
const SIGNATURE: u8 = 2;

impl SignedRelease {
    /// The content.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let room = self.release.len() + self.signature.len() + 10;
        let mut out = Zeroizing::new(Vec::with_capacity(room));
        tlv::write(&mut out, SIGNED_RELEASE, &self.release);
        tlv::write(&mut out, SIGNATURE, &self.signature);
        out
    }

    /// Reads a content. The release in it is not read yet: first its signature is
    /// checked.
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub fn decode(content: &[u8]) -> Result<Self, ReleaseError> {
        let (mut release, mut signature) = (None, None);
        let mut fields = Fields::new(content);
        while let Some((tag, value)) = fields.next()? {
            match tag {
                SIGNED_RELEASE => release = Some(Zeroizing::new(value.to_vec())),
                SIGNATURE if value.len() <= MAX_SIGNATURE => signature = Some(value.to_vec()),
                SIGNATURE => return Err(ReleaseError::Length { tag, length: value.len() }),
                _ => return Err(ReleaseError::UnknownField { tag }),
            }
        }
        Ok(Self {
            release: release.ok_or(ReleaseError::Missing { what: "release" })?,
            signature: signature.ok_or(ReleaseError::Missing { what: "signature" })?,
        })
    }
}
