//! TLS as the release of keys uses it: version 1.3 alone, one ALPN protocol, no
//! resumption, no early data, any certificate.
//!
//! The guest's certificate is made at its boot and nobody vouches for it. What
//! counts is that the other end has the certificate's key, which
//! CertificateVerify (RFC 8446, section 4.4.3) proves and which is checked here,
//! and that the report binds that key, which the caller checks.

use std::sync::Arc;

use protocol::release::ALPN;
use protocol::report_data::MAX_PUBLIC_KEY;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error,
    PeerIncompatible, SignatureScheme, version,
};

/// Accepts any certificate, and no handshake that its key did not sign.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // A guest sends one certificate.
        if !intermediates.is_empty() {
            return Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ));
        }
        public_key(end_entity).map(|_key| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection that has said nothing yet.
///
/// # Errors
/// None that is known.
pub(super) fn connection() -> Result<ClientConnection, Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    // The name means nothing here, so it is not sent either.
    config.enable_sni = false;
    let name = ServerName::try_from("ravelin.invalid")
        .map_err(|_name| Error::General("no server name".to_owned()))?;
    ClientConnection::new(Arc::new(config), name)
}

/// SubjectPublicKeyInfo of a certificate, DER.
///
/// # Errors
/// If it is no certificate, or its key is longer than any that is bound.
pub(super) fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, Error> {
    let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    if key.len() > MAX_PUBLIC_KEY {
        return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
    }
    Ok(key.to_vec())
}
