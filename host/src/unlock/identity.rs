//! The owner's SSH key, from a file or in an agent, and the signature that
//! releases a key (OpenSSH PROTOCOL.sshsig).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use protocol::release::SSHSIG_NAMESPACE;
use ssh_encoding::Encode;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PrivateKey, PublicKey, SshSig};
use zeroize::Zeroizing;

use super::agent::{Agent, AgentError};

/// No key file comes near this size.
const LIMIT: u64 = 64 << 10;

const HASH: HashAlg = HashAlg::Sha512;

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("{}: cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Neither a private nor a public key of OpenSSH's.
    #[error("{}: no OpenSSH key", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ssh_key::Error,
    },
    /// A wrong passphrase.
    #[error("{}: cannot be decrypted with this passphrase", .path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: ssh_key::Error,
    },
    /// A kind that cannot own a VM.
    #[error(
        "a key of the type {0} releases nothing; ssh-ed25519 and ecdsa-sha2-nistp256 do, also on security keys"
    )]
    Kind(String),
    /// A private key on a security key, or a public key, without an agent.
    #[error("{}: only an agent can sign with this key, and $SSH_AUTH_SOCK names none", .path.display())]
    NeedsAgent {
        /// The file.
        path: PathBuf,
    },
    /// The agent does not have it.
    #[error("the agent does not have the key {fingerprint} of {}", .path.display())]
    NotInAgent {
        /// The file.
        path: PathBuf,
        /// The key's.
        fingerprint: String,
    },
    /// No default.
    #[error(
        "no key to sign with: there is no ~/.ssh/id_ed25519, and the agent has {count} keys that could"
    )]
    NoDefault {
        /// How many.
        count: usize,
    },
    /// From the agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A signature that is none.
    #[error("the key {fingerprint} made no valid signature")]
    Signature {
        /// The key's.
        fingerprint: String,
        /// What is wrong.
        source: ssh_key::Error,
    },
}

/// Where keys are looked for.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The user's home.
    pub home: Option<PathBuf>,
    /// The agent's socket.
    pub agent: Option<PathBuf>,
}

impl Places {
    /// Those of this process: `$HOME` and `$SSH_AUTH_SOCK`.
    #[must_use]
    pub fn of_user() -> Self {
        let path =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self { home: path("HOME"), agent: path("SSH_AUTH_SOCK") }
    }
}

/// A key that can sign.
pub struct Identity {
    public: PublicKey,
    signer: Signer,
}

enum Signer {
    File(Box<PrivateKey>),
    Agent(Agent),
}

impl Identity {
    /// The key in `file`: a private key, or a public one whose private key an agent
    /// has. Without a file `~/.ssh/id_ed25519`, else the agent's only key.
    /// `passphrase` is asked for an encrypted key that no agent has.
    ///
    /// # Errors
    /// [`IdentityError`], or the passphrase's.
    pub fn find<E: From<IdentityError>>(
        file: Option<&Path>,
        places: &Places,
        passphrase: impl FnOnce(&Path) -> Result<Zeroizing<Vec<u8>>, E>,
    ) -> Result<Self, E> {
        let usual = places.home.as_ref().map(|home| home.join(".ssh/id_ed25519"));
        let usual = usual.filter(|path| path.exists());
        let Some(path) = file.or(usual.as_deref()) else { return Ok(Self::only(places)?) };
        let text = read(path)?;
        let bad = |source| IdentityError::Key { path: path.to_owned(), source };
        if !text.trim_ascii_start().starts_with(b"-----BEGIN") {
            let text = String::from_utf8_lossy(&text);
            let public = PublicKey::from_openssh(&text).map_err(bad)?;
            return Ok(Self::in_agent(path, public, places)?);
        }
        let private = PrivateKey::from_openssh(text.as_slice()).map_err(bad)?;
        let public = private.public_key().clone();
        check(&public)?;
        if on_security_key(&public) {
            return Ok(Self::in_agent(path, public, places)?);
        }
        if !private.is_encrypted() {
            return Ok(Self { public, signer: Signer::File(Box::new(private)) });
        }
        // As ssh does: the agent saves the question for the passphrase.
        if let Ok(found) = Self::in_agent(path, public.clone(), places) {
            return Ok(found);
        }
        let passphrase = passphrase(path)?;
        let private = private
            .decrypt(passphrase.as_slice())
            .map_err(|source| IdentityError::Passphrase { path: path.to_owned(), source })?;
        Ok(Self { public, signer: Signer::File(Box::new(private)) })
    }

    fn in_agent(path: &Path, public: PublicKey, places: &Places) -> Result<Self, IdentityError> {
        check(&public)?;
        let needs = || IdentityError::NeedsAgent { path: path.to_owned() };
        let mut agent = Agent::connect(places.agent.as_deref().ok_or_else(needs)?)?;
        if agent.keys()?.iter().any(|key| key.key_data() == public.key_data()) {
            return Ok(Self { public, signer: Signer::Agent(agent) });
        }
        let fingerprint = public.fingerprint(HashAlg::Sha256).to_string();
        Err(IdentityError::NotInAgent { path: path.to_owned(), fingerprint })
    }

    fn only(places: &Places) -> Result<Self, IdentityError> {
        let Some(path) = &places.agent else { return Err(IdentityError::NoDefault { count: 0 }) };
        let mut agent = Agent::connect(path)?;
        let keys: Vec<PublicKey> =
            agent.keys()?.into_iter().filter(|key| check(key).is_ok()).collect();
        match <[PublicKey; 1]>::try_from(keys) {
            Ok([public]) => Ok(Self { public, signer: Signer::Agent(agent) }),
            Err(keys) => Err(IdentityError::NoDefault { count: keys.len() }),
        }
    }

    /// The fingerprint as ssh-keygen shows it, SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.public.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Whether an agent signs.
    #[must_use]
    pub fn is_in_agent(&self) -> bool {
        matches!(self.signer, Signer::Agent(_))
    }

    /// The SSHSIG blob over a statement ([`protocol::release::statement`]), which is
    /// verified before it is given out.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn sign(&mut self, statement: &[u8]) -> Result<Vec<u8>, IdentityError> {
        let fingerprint = self.fingerprint();
        let bad = |source| IdentityError::Signature { fingerprint: fingerprint.clone(), source };
        let signature = match &mut self.signer {
            Signer::File(private) => {
                private.sign(SSHSIG_NAMESPACE, HASH, statement).map_err(bad)?
            }
            Signer::Agent(agent) => {
                let data = SshSig::signed_data(SSHSIG_NAMESPACE, HASH, statement).map_err(bad)?;
                let signature = agent.sign(&self.public, &data)?;
                let key = self.public.key_data().clone();
                SshSig::new(key, SSHSIG_NAMESPACE, HASH, signature).map_err(bad)?
            }
        };
        self.public.verify(SSHSIG_NAMESPACE, statement, &signature).map_err(bad)?;
        let mut blob = Vec::new();
        signature.encode(&mut blob).map_err(|error| bad(error.into()))?;
        Ok(blob)
    }
}

/// Whether the key can be one of `unlock.owners`.
fn check(public: &PublicKey) -> Result<(), IdentityError> {
    let algorithm = public.algorithm();
    let plain = [Algorithm::Ed25519, Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }];
    if plain.contains(&algorithm) || on_security_key(public) {
        return Ok(());
    }
    Err(IdentityError::Kind(algorithm.to_string()))
}

fn on_security_key(public: &PublicKey) -> bool {
    matches!(public.algorithm(), Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let failed = |source| IdentityError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    // Room for all of it at once: a growing vector leaves copies behind.
    let room = usize::try_from(length.min(LIMIT)).unwrap_or_default();
    let mut text = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(LIMIT).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}
