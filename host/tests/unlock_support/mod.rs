//! A guest on loopback that waits for keys: TLS and protocol as PID 1 speaks them,
//! reports that the tests' own authority signs; and which misbehaves on request.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use protocol::release::{
    ALPN, Evidence, FRAME_HEAD, FrameType, REPORT_EXPORTER, Refusal, Release, ReleasedKey,
    SIGNATURE_EXPORTER, SSHSIG_NAMESPACE, SignedRelease, Status, VolumeName, frame,
    read_frame_head, statement,
};
use protocol::report_data::{Binding, Nonce};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned, SupportedProtocolVersion, version,
};
use ssh_key::private::Ed25519Keypair;
use ssh_key::{LineEnding, PrivateKey, SshSig};

use crate::common::{Ran, squashfs};
use crate::responder_support::{about, accepting, at_home, host_keys, write_root};
use crate::verify_support::Draft;
use crate::verify_support::der::{bit_string, integer, name, oid, sequence, time, tlv};

/// A self-signed certificate: its key, its SubjectPublicKeyInfo, itself.
pub(crate) struct Certified {
    key: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    certificate: Vec<u8>,
}

impl Certified {
    pub(crate) fn new() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap();
        let algorithm = sequence(&[&oid("1.3.101.112")]);
        let public_key = sequence(&[&algorithm, &bit_string(pair.public_key().as_ref())]);
        let validity = sequence(&[&time("20240101000000Z"), &time("20490101000000Z")]);
        let version = tlv(0xa0, &[&integer(&[2])]);
        let (serial, name) = (integer(&[1]), name("guest"));
        let body = sequence(&[&version, &serial, &algorithm, &name, &validity, &name, &public_key]);
        let signature = bit_string(pair.sign(&body).as_ref());
        let certificate = sequence(&[&body, &algorithm, &signature]);
        Self { key: key.as_ref().to_vec(), public_key, certificate }
    }

    pub(crate) fn server(
        &self,
        alpn: &[u8],
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(self.certificate.clone())],
                PrivatePkcs8KeyDer::from(self.key.clone()).into(),
            )
            .unwrap();
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    }
}

/// The guest's end of a session.
pub(crate) struct End {
    pub(crate) stream: StreamOwned<ServerConnection, TcpStream>,
    pub(crate) nonce: Nonce,
    pub(crate) exporter: [u8; 32],
    pub(crate) public_key: Vec<u8>,
    /// Releases whose signature was good.
    taken: Arc<Mutex<Vec<Release>>>,
    owner: ssh_key::PublicKey,
}

impl End {
    /// Evidence of this VM about this session.
    pub(crate) fn evidence(&self, draft: &Draft) -> Evidence {
        let data = Binding::Release {
            nonce: &self.nonce,
            tls_exporter: &self.exporter,
            tls_public_key: &self.public_key,
            receipt_head: None,
        };
        with_data(draft, data.report_data())
    }

    pub(crate) fn send(&mut self, kind: FrameType, content: &[u8]) {
        // The peer may have seen enough and gone.
        let _ = self.stream.write_all(&frame(kind, content)).and_then(|()| self.stream.flush());
    }

    pub(crate) fn say(&mut self, status: &Status) {
        self.send(FrameType::Status, &status.encode());
    }

    /// A frame of this kind, or `None` if the owner went away.
    pub(crate) fn receive(&mut self, kind: FrameType) -> Option<Vec<u8>> {
        let mut head = [0; FRAME_HEAD];
        self.stream.read_exact(&mut head).ok()?;
        let mut content = vec![0; read_frame_head(&head, kind).unwrap()];
        self.stream.read_exact(&mut content).ok()?;
        Some(content)
    }

    /// The release, if one comes and the owner signed it for this session.
    pub(crate) fn release(&mut self) -> Option<Result<Release, Refusal>> {
        let signed = SignedRelease::decode(&self.receive(FrameType::Release)?).unwrap();
        let exporter =
            self.stream.conn.export_keying_material([0; 32], SIGNATURE_EXPORTER, None).unwrap();
        let statement = statement(&exporter, &signed.release);
        let mut blob = signed.signature.as_slice();
        let signature = <SshSig as ssh_encoding::Decode>::decode(&mut blob).unwrap();
        if !blob.is_empty() || self.owner.verify(SSHSIG_NAMESPACE, &statement, &signature).is_err()
        {
            return Some(Err(Refusal::Signature));
        }
        let release = Release::decode(&signed.release).unwrap();
        self.taken.lock().unwrap().push(Release::decode(&signed.release).unwrap());
        Some(Ok(release))
    }

    /// Goes on when the owner has recorded the epochs. Whether he has.
    pub(crate) fn boot(&mut self) -> bool {
        let recorded = self.receive(FrameType::Recorded).is_some();
        if recorded {
            self.say(&Status::Booting);
        }
        recorded
    }

    /// Does all that a good guest does, with volumes that were opened `found` times.
    pub(crate) fn serve(&mut self, draft: &Draft, found: u64) {
        let evidence = self.evidence(draft).encode();
        self.send(FrameType::Evidence, &evidence);
        match self.release() {
            None => {}
            Some(Err(why)) => self.say(&Status::refused(why, "not signed by an owner")),
            Some(Ok(release)) => {
                self.say(&Status::Accepted { have: 1, need: 1, others: 0 });
                let epoch = |volume: &protocol::release::ReleasedVolume| match volume.key {
                    ReleasedKey::Spec { .. } => found + 1,
                    ReleasedKey::Luks { .. } => 0,
                };
                let epochs = release.volumes().iter();
                let epochs = epochs.map(|one| (one.name.clone(), epoch(one))).collect();
                self.say(&Status::Opened { epochs });
                self.boot();
            }
        }
    }
}

/// Evidence whose report has this REPORT_DATA; it waits for the root.
pub(crate) fn with_data(draft: &Draft, data: [u8; 64]) -> Evidence {
    let about = about(draft, data, &host_keys(1));
    Evidence {
        report: about.report,
        certificates: about.certificates,
        receipt_head: None,
        threshold: 1,
        wanted: vec![VolumeName::root()],
    }
}

/// A guest; its threads end with the test.
pub(crate) struct Guest {
    pub(crate) address: String,
    asked: Arc<AtomicUsize>,
    taken: Arc<Mutex<Vec<Release>>>,
}

impl Guest {
    /// Serves each session by `serve`, which gets its number from 0.
    pub(crate) fn new(serve: impl Fn(usize, &mut End) + Send + Sync + 'static) -> Self {
        let certified = Certified::new();
        let config = Arc::new(certified.server(ALPN, &[&version::TLS13]));
        let (asked, taken) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let (count, all, serve) = (Arc::clone(&asked), Arc::clone(&taken), Arc::new(serve));
        let public_key = certified.public_key;
        let address = listen(move |stream| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            while stream.conn.is_handshaking() {
                if stream.conn.complete_io(&mut stream.sock).is_err() {
                    return;
                }
            }
            let exporter =
                stream.conn.export_keying_material([0; 32], REPORT_EXPORTER, None).unwrap();
            let mut end = End {
                stream,
                nonce: [0; 32],
                exporter,
                public_key: public_key.clone(),
                taken: Arc::clone(&all),
                owner: owner().public_key().clone(),
            };
            let Some(nonce) = end.receive(FrameType::Hello) else { return };
            end.nonce = nonce.try_into().unwrap();
            serve(number, &mut end);
            end.stream.conn.send_close_notify();
            let _ = end.stream.flush();
            // Until the owner has read it all.
            let _ = end.stream.read(&mut [0]);
        });
        Self { address, asked, taken }
    }

    /// A good one.
    pub(crate) fn good(draft: Draft) -> Self {
        Self::new(move |_number, end| end.serve(&draft, 1))
    }

    /// One that answers every release in this way.
    pub(crate) fn answering(draft: Draft, status: Status) -> Self {
        Self::new(move |_number, end| {
            let evidence = end.evidence(&draft).encode();
            end.send(FrameType::Evidence, &evidence);
            if end.release().is_some() {
                end.say(&status);
            }
        })
    }

    /// How many sessions there were.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The releases that were signed by the owner.
    pub(crate) fn taken(&self) -> Vec<Release> {
        std::mem::take(&mut *self.taken.lock().unwrap())
    }
}

/// Serves each connection on a port of loopback, in a thread of its own.
pub(crate) fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), Arc::clone(&serve));
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Believes everything.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
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
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// A session of the man in the middle with the real guest: the owner's nonce, the
/// guest's evidence.
pub(crate) fn evidence_from(guest: &str, nonce: &Nonce) -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let name = ServerName::try_from("guest.invalid").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(guest).unwrap());
    stream.write_all(&frame(FrameType::Hello, nonce)).unwrap();
    let mut head = [0; FRAME_HEAD];
    stream.read_exact(&mut head).unwrap();
    let mut content = vec![0; read_frame_head(&head, FrameType::Evidence).unwrap()];
    stream.read_exact(&mut content).unwrap();
    content
}

/// The owner's key.
pub(crate) fn owner() -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]))
}

/// A home with the tests' root, an encrypted disk and the owner's key.
pub(crate) fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    write_root(path);
    fs::write(path.join("source"), squashfs(50_000)).unwrap();
    let mut encrypt = at_home(path);
    encrypt.args(["image", "encrypt", "--from", "source", "-o", "root.img", "--layout", "bare"]);
    Ran::from(encrypt.output().unwrap()).ok();
    write_key(&path.join(".ssh"), "id_ed25519", &owner());
    home
}

pub(crate) fn write_key(directory: &Path, name: &str, key: &PrivateKey) {
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join(name), key.to_openssh(LineEnding::LF).unwrap()).unwrap();
    let public = key.public_key().to_openssh().unwrap();
    fs::write(directory.join(format!("{name}.pub")), public).unwrap();
}

/// Runs `ravelin unlock --json` of the disk against a guest, without an agent.
pub(crate) fn unlock(home: &Path, guest: &Guest, arguments: &[&str]) -> Ran {
    at(home, &guest.address, &[&["--json", "--sidecar", "root.img.toml"], arguments].concat())
}

/// Runs `ravelin unlock` against an address.
pub(crate) fn at(home: &Path, address: &str, arguments: &[&str]) -> Ran {
    let mut command = at_home(home);
    command.env_remove("SSH_AUTH_SOCK").arg("unlock").args(accepting());
    let ran = Ran::from(command.args(["--address", address]).args(arguments).output().unwrap());
    if let Ok(key) = fs::read(home.join("root.img.key")) {
        let all = format!("{}{}", ran.stdout, ran.stderr).to_lowercase();
        assert!(!all.contains(&hex::encode(key)), "the key is printed: {all}");
    }
    ran
}

/// The epoch in the sidecar.
pub(crate) fn epoch(home: &Path) -> u64 {
    let text = fs::read_to_string(home.join("root.img.toml")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("epoch = ")).unwrap();
    line.parse().unwrap()
}
