//! An owner, as the tests of the release server have one: a TLS client that speaks the
//! protocol, and breaks it where a test wants that.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use init::release::{Ask, Limits, Server, Setup};
use init::reports::{RawReport, ReportError};
use protocol::release::{
    Evidence, FRAME_HEAD, FrameType, REPORT_EXPORTER, Release, ReleasedKey, ReleasedVolume,
    SIGNATURE_EXPORTER, SSHSIG_NAMESPACE, SignedRelease, Status, VolumeName, frame,
    read_frame_head, statement,
};
use protocol::report_data::Binding;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use ssh_encoding::Encode as _;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, PrivateKey};
use zeroize::Zeroizing;

/// Longer than anything takes; only a test that fails waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Head of the receipt.
const RECEIPT_HEAD: [u8; 32] = [0x5e; 32];

/// A running server.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) port: u16,
    log: Arc<Mutex<Vec<String>>>,
}

impl Running {
    pub(crate) fn start(owners: &[&PrivateKey], threshold: u8, limits: Limits) -> Self {
        Self::with_reports(owners, threshold, limits, Box::new(report))
    }

    pub(crate) fn with_reports(
        owners: &[&PrivateKey],
        threshold: u8,
        limits: Limits,
        reports: Ask,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let server = Server::start(Setup {
            listeners: vec![listener.into()],
            owners: owners.iter().map(|owner| owner.public_key().clone()).collect(),
            threshold,
            wanted: vec![VolumeName::root()],
            receipt_head: RECEIPT_HEAD,
            reports,
            log: Box::new(move |_level, line| lines.lock().unwrap().push(line.to_owned())),
            limits,
        });
        Self { server: server.unwrap(), port, log }
    }

    /// Stops it; its log.
    pub(crate) fn stop(self) -> Vec<String> {
        self.server.stop();
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

/// A report over this REPORT_DATA, and certificates.
pub(crate) fn report(data: &[u8; 64], _until: Instant) -> Result<RawReport, ReportError> {
    let mut report = Box::new([0; 1184]);
    report[0x50..0x90].copy_from_slice(data);
    Ok(RawReport { report, certificates: Some(vec![0xcc; 100]) })
}

/// An owner's key.
pub(crate) fn key(number: u8) -> PrivateKey {
    let pair = Ed25519Keypair::from_seed(&[number; 32]);
    PrivateKey::new(KeypairData::from(pair), "test").unwrap()
}

/// A volume with this secret.
pub(crate) fn plain(name: &str, secret: u8) -> ReleasedVolume {
    ReleasedVolume {
        name: name.parse().unwrap(),
        key: ReleasedKey::Spec { spec: [5; 96], secret: Zeroizing::new([secret; 32]) },
        min_epoch: 0,
        provision: false,
    }
}

/// A release of the root.
pub(crate) fn release(secret: u8) -> Release {
    Release::new(vec![plain("root", secret)]).unwrap()
}

/// An SSHSIG blob.
pub(crate) fn sign(key: &PrivateKey, namespace: &str, message: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    key.sign(namespace, HashAlg::Sha512, message).unwrap().encode(&mut blob).unwrap();
    blob
}

/// A TLS session with the server.
pub(crate) struct Client {
    pub(crate) tls: StreamOwned<ClientConnection, TcpStream>,
    /// What an owner signs.
    pub(crate) exporter: [u8; 32],
    pub(crate) evidence: Evidence,
}

impl Client {
    /// Does the handshake.
    pub(crate) fn try_connect(port: u16, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from("guest.invalid").unwrap();
        let mut conn = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut tcp = TcpStream::connect(("127.0.0.1", port))?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        while conn.is_handshaking() {
            conn.complete_io(&mut tcp)?;
        }
        let exporter = conn.export_keying_material([0; 32], SIGNATURE_EXPORTER, None).unwrap();
        let evidence = Evidence {
            report: Box::new([0; 1184]),
            certificates: None,
            receipt_head: None,
            threshold: 0,
            wanted: Vec::new(),
        };
        Ok(Self { tls: StreamOwned::new(conn, tcp), exporter, evidence })
    }

    pub(crate) fn connect(port: u16, config: &Arc<ClientConfig>) -> Self {
        Self::try_connect(port, config).unwrap()
    }

    /// A session with verified evidence.
    pub(crate) fn attested(port: u16) -> Self {
        let mut client = Self::connect(port, &config(&[protocol::release::ALPN]));
        client.hello(&[7; 32]);
        client
    }

    /// Asks, and checks what REPORT_DATA binds.
    pub(crate) fn hello(&mut self, nonce: &[u8; 32]) {
        self.write(&frame(FrameType::Hello, nonce));
        self.evidence = Evidence::decode(&self.read(FrameType::Evidence)).unwrap();
        let conn = &self.tls.conn;
        let tls_exporter = conn.export_keying_material([0; 32], REPORT_EXPORTER, None).unwrap();
        let binding = Binding::Release {
            nonce,
            tls_exporter: &tls_exporter,
            tls_public_key: &self.public_key(),
            receipt_head: Some(&RECEIPT_HEAD),
        };
        assert_eq!(self.evidence.report[0x50..0x90], binding.report_data());
        assert_eq!(self.evidence.certificates, Some(vec![0xcc; 100]));
        assert_eq!(self.evidence.receipt_head, Some(RECEIPT_HEAD));
    }

    /// SubjectPublicKeyInfo in the certificate: 12 bytes that say Ed25519, and the key.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        let certificate = &self.tls.conn.peer_certificates().unwrap()[0];
        let head = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
        let at = certificate.windows(head.len()).position(|bytes| bytes == head).unwrap();
        certificate[at..at + 44].to_vec()
    }

    /// Signs and sends; the first status.
    pub(crate) fn release(&mut self, key: &PrivateKey, release: &Release) -> Status {
        let encoded = release.encode();
        let signature = sign(key, SSHSIG_NAMESPACE, &statement(&self.exporter, &encoded));
        self.send(&encoded, &signature)
    }

    pub(crate) fn send(&mut self, release: &[u8], signature: &[u8]) -> Status {
        let release = Zeroizing::new(release.to_vec());
        let content = SignedRelease { release, signature: signature.to_vec() }.encode();
        self.write(&frame(FrameType::Release, &content));
        self.status()
    }

    /// Says that the epochs are recorded.
    pub(crate) fn record(&mut self) {
        self.write(&frame(FrameType::Recorded, &[]));
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.tls.write_all(bytes).unwrap();
        self.tls.flush().unwrap();
    }

    fn read(&mut self, kind: FrameType) -> Vec<u8> {
        let mut head = [0; FRAME_HEAD];
        self.tls.read_exact(&mut head).unwrap();
        let mut content = vec![0; read_frame_head(&head, kind).unwrap()];
        self.tls.read_exact(&mut content).unwrap();
        content
    }

    pub(crate) fn status(&mut self) -> Status {
        Status::decode(&self.read(FrameType::Status)).unwrap()
    }

    /// Whether the server ends the session without a further word.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.tls.read(&mut [0; 64]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// A client that believes any certificate whose key the server has.
pub(crate) fn config(protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A ClientHello of TLS 1.2 (RFC 5246, section 7.4.1.2), with what any server of it
/// would agree on.
pub(crate) fn tls12_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[0x42; 32]);
    // No session; ECDHE-ECDSA and -RSA with AES-128-GCM; no compression.
    body.extend_from_slice(&[0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    // supported_groups: secp256r1 and x25519; signature_algorithms: ECDSA, EdDSA, RSA-PSS.
    let extensions =
        [0, 10, 0, 6, 0, 4, 0, 0x17, 0, 0x1d, 0, 13, 0, 8, 0, 6, 4, 3, 8, 7, 8, 4].as_slice();
    body.extend_from_slice(&u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend_from_slice(extensions);
    let length = u16::try_from(body.len()).unwrap();
    let mut hello = vec![22, 3, 1];
    hello.extend_from_slice(&(length + 4).to_be_bytes());
    hello.extend_from_slice(&[1, 0]);
    hello.extend_from_slice(&length.to_be_bytes());
    hello.extend_from_slice(&body);
    hello
}

/// Memory of this process, in KiB.
pub(crate) fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Bytes without order, the same each time (xorshift64).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut next = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0.to_le_bytes()[3]
        };
        (0..count).map(|_| next()).collect()
    }
}
