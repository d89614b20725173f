//! TLS 1.3 alone, with one key that is made here and lives in memory as long as owners
//! are served.
//!
//! The provider is written out instead of taken whole, so that only what is used is
//! linked: X25519, Ed25519, AES-256-GCM and ChaCha20-Poly1305, all by `ring`. Nothing is
//! kept from one session to the next: no tickets, no session storage, no early data.

use std::io;
use std::sync::Arc;

use protocol::release::ALPN;
use ring::rand::SecureRandom as _;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::ring::{cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme};
use zeroize::Zeroizing;

use super::certificate;

/// The guest's end of every session.
pub(super) struct Identity {
    /// For each session's connection.
    pub(super) config: Arc<ServerConfig>,
    /// What the report binds: SubjectPublicKeyInfo, DER.
    pub(super) public_key_info: Vec<u8>,
}

impl Identity {
    /// Makes the key.
    ///
    /// # Errors
    /// No randomness; also if `rustls` or `ring` refuse what is written here.
    pub(super) fn new() -> io::Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        fill(seed.as_mut_slice()).map_err(|_none| io::Error::other("no random bytes"))?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice())
            .map_err(|rejected| io::Error::other(rejected.to_string()))?;
        let public_key_info = certificate::public_key_info(pair.public_key().as_ref());
        let sign = |message: &[u8]| pair.sign(message).as_ref().to_vec();
        let certificate = CertificateDer::from(certificate::self_signed(&public_key_info, sign));
        let key = CertifiedKey::new(vec![certificate], Arc::new(Key(Arc::new(pair))));
        Ok(Self { config: Arc::new(config(key).map_err(io::Error::other)?), public_key_info })
    }
}

fn config(key: CertifiedKey) -> Result<ServerConfig, rustls::Error> {
    let provider = CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519],
        // Certificates of clients are not asked for.
        signature_verification_algorithms: WebPkiSupportedAlgorithms { all: &[], mapping: &[] },
        secure_random: &System,
        key_provider: &System,
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(provider));
    let mut config = builder
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// The kernel's randomness; and no keys from anywhere.
#[derive(Debug)]
struct System;

impl SecureRandom for System {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        fill(buffer)
    }
}

fn fill(buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
    ring::rand::SystemRandom::new().fill(buffer).map_err(|_unspecified| GetRandomFailed)
}

impl KeyProvider for System {
    fn load_private_key(
        &self,
        _key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("keys are not loaded here".to_owned()))
    }
}

/// The key, as `rustls` signs with it.
struct Key(Arc<Ed25519KeyPair>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = || Box::new(Self(Arc::clone(&self.0))) as Box<dyn Signer>;
        offered.contains(&SignatureScheme::ED25519).then(signer)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}
