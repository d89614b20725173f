//! RSA keys of 4096 bits: made with `rsa`, used with `ring`.

use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PSS_SHA384};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use zeroize::Zeroizing;

/// Bits of AMD's keys.
const BITS: usize = 4096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Making one failed.
    #[error("making an RSA key of {BITS} bits")]
    Make(#[from] rsa::Error),
    /// Writing it as PKCS #8.
    #[error("encoding an RSA key")]
    Encode(#[from] rsa::pkcs8::Error),
    /// The bytes are no usable key.
    #[error("the RSA key is refused: {0}")]
    Refused(String),
    /// Its public half cannot be encoded.
    #[error("encoding a public RSA key")]
    Public(#[from] rsa::pkcs8::spki::Error),
    /// Signing failed.
    #[error("signing with RSA failed")]
    Sign,
}

/// A private key that signs certificates.
pub struct RsaKey(ring::rsa::KeyPair);

impl RsaKey {
    /// Makes a key; returns its PKCS #8 DER. Takes seconds.
    ///
    /// # Errors
    /// If the random source fails.
    pub fn make() -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, BITS)?;
        Ok(Zeroizing::new(key.to_pkcs8_der()?.as_bytes().to_vec()))
    }

    /// Takes a key's PKCS #8 DER.
    ///
    /// # Errors
    /// If it is no RSA key, or a weak one.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        ring::rsa::KeyPair::from_pkcs8(der)
            .map(Self)
            .map_err(|rejected| KeyError::Refused(rejected.to_string()))
    }

    /// SubjectPublicKeyInfo.
    pub(super) fn public_der(&self) -> Result<Vec<u8>, KeyError> {
        use rsa::pkcs1::DecodeRsaPublicKey;
        let key = rsa::RsaPublicKey::from_pkcs1_der(self.0.public_key().as_ref())
            .map_err(|error| KeyError::Refused(error.to_string()))?;
        let der = key.to_public_key_der()?;
        debug_assert!(rsa::RsaPublicKey::from_public_key_der(der.as_bytes()).is_ok());
        Ok(der.as_bytes().to_vec())
    }

    /// RSASSA-PSS with SHA-384 and a salt of 48 bytes.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PSS_SHA384, &SystemRandom::new(), message, &mut signature)
            .map_err(|_unspecified| KeyError::Sign)?;
        Ok(signature)
    }
}
