//! SSH host keys: made anew, or kept where the root is a disk of this machine alone.
//!
//! A verity image is public, so a private key in it is everybody's: whatever host
//! keys it has are removed from view. On an encrypted root that is written to, they
//! are the machine's own and stay; those that the configuration asks for and the root
//! lacks are made on the disk.

use std::path::Path;

use protocol::config::{Config, HostKeyKind};
use ssh_key::public::KeyData;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::entropy;
use crate::boot::log;
use crate::failure::{self, Failure};
use crate::platform::{Kind, Level, Platform};

/// The longest file of a key that is read: RSA of 16384 bits has 13 KiB.
const MAX_FILE: usize = 64 << 10;

/// The public half of an SSH host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// The public-key blob (RFC 4253, section 6.6).
    pub blob: Vec<u8>,
    /// The same as a line of OpenSSH: type and base64.
    pub line: String,
}

impl HostKey {
    /// Whether it is of the type `ecdsa-sha2-nistp256`.
    #[must_use]
    pub fn is_ecdsa_p256(&self) -> bool {
        self.line.starts_with("ecdsa-sha2-nistp256 ")
    }

    /// The key without its comment, which is anybody's text.
    fn new(key: &KeyData) -> Result<Self, ssh_key::Error> {
        let key = PublicKey::from(key.clone());
        Ok(Self { blob: key.to_bytes()?, line: key.to_openssh()? })
    }
}

/// Removes what is in `directory` and makes new keys; how many files went.
pub(super) fn replace(
    platform: &impl Platform,
    config: &Config,
    directory: &Path,
) -> Result<(Vec<HostKey>, usize), Failure> {
    let old = files(platform, directory)?;
    for name in &old {
        remove(platform, &directory.join(name))?;
    }
    entropy::wait(platform, config)?;
    let mut made = Vec::new();
    let mut lines = Vec::new();
    for kind in &config.host_keys {
        let (key, line) = make(platform, directory, *kind)?;
        made.push(key);
        lines.push(line);
    }
    for line in lines {
        log(platform, Level::Info, &format!("ssh host key {line}"));
    }
    Ok((made, old.len()))
}

/// Takes the keys that are in `directory`, and makes those that are missing; how many
/// were made.
pub(super) fn keep(
    platform: &impl Platform,
    config: &Config,
    directory: &Path,
) -> Result<(Vec<HostKey>, usize), Failure> {
    let mut keys = Vec::new();
    let names = files(platform, directory)?;
    for name in names.iter().filter(|name| name.ends_with("_key")) {
        if let Some(key) = kept(platform, &directory.join(name))? {
            keys.push(key);
        }
    }
    let mut made = 0;
    for kind in &config.host_keys {
        let path = directory.join(file_name(*kind));
        if super::kind(platform, &path)?.is_some() {
            continue;
        }
        if made == 0 {
            entropy::wait(platform, config)?;
        }
        // Without its private key it is of no use.
        remove(platform, &public_file(&path))?;
        let (key, line) = make(platform, directory, *kind)?;
        log(platform, Level::Info, &format!("ssh host key {line} (made)"));
        keys.push(key);
        made += 1;
    }
    Ok((keys, made))
}

/// A key that is there: that of the private file, which is what sshd answers with. An
/// empty file, as a power cut may leave one, is removed.
fn kept(platform: &impl Platform, path: &Path) -> Result<Option<HostKey>, Failure> {
    let refused = |why| Failure::HostKeyFile { path: path.to_owned(), why };
    let private = Zeroizing::new(read(platform, path)?);
    if private.trim_ascii().is_empty() {
        remove(platform, path)?;
        return Ok(None);
    }
    let public = public_file(path);
    let public = match super::kind(platform, &public)? {
        None => None,
        Some(_) => {
            let text = read(platform, &public)?;
            let key = String::from_utf8(text).ok();
            let key = key.and_then(|text| PublicKey::from_openssh(text.trim_end()).ok());
            Some(key.ok_or_else(|| refused("has a .pub that is no public key"))?)
        }
    };
    let private = PrivateKey::from_openssh(&private).ok();
    let key = match (&private, &public) {
        (Some(private), Some(public)) if private.public_key().key_data() != public.key_data() => {
            return Err(refused("has a .pub of another key"));
        }
        (Some(private), _) => private.public_key().key_data(),
        // Older forms (PEM) are not read here.
        (None, Some(public)) => public.key_data(),
        (None, None) => {
            return Err(refused("is not in OpenSSH's form and has no .pub"));
        }
    };
    let host_key = HostKey::new(key).map_err(|_encoding| refused("cannot be encoded"))?;
    let line = format!("ssh host key {} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256));
    log(platform, Level::Info, &line);
    Ok(Some(host_key))
}

/// A file of the root that PID 1 reads for itself: not through a link, which would
/// lead into the initramfs.
fn read(platform: &impl Platform, path: &Path) -> Result<Vec<u8>, Failure> {
    match super::kind(platform, path)? {
        Some(Kind::File) => platform.read(path, MAX_FILE).map_err(failure::path("reading", path)),
        _ => Err(Failure::HostKeyFile { path: path.to_owned(), why: "is no regular file" }),
    }
}

/// Makes one key; returns it, and its type and fingerprint for the log.
fn make(
    platform: &impl Platform,
    directory: &Path,
    kind: HostKeyKind,
) -> Result<(HostKey, String), Failure> {
    let failed = |source| Failure::HostKey { kind: kind.as_str(), source };
    let algorithm = match kind {
        HostKeyKind::Ed25519 => Algorithm::Ed25519,
        HostKeyKind::EcdsaP256 => Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    };
    // The key, its encoding and the generator's buffers wipe themselves.
    let key = PrivateKey::random(&mut OsRng, algorithm.clone()).map_err(failed)?;
    let private = key.to_openssh(LineEnding::LF).map_err(failed)?;
    let host_key = HostKey::new(key.public_key().key_data()).map_err(failed)?;

    let path = directory.join(file_name(kind));
    platform
        .create_file(&path, 0o600, private.as_bytes())
        .map_err(failure::path("making", &path))?;
    let path = public_file(&path);
    platform
        .create_file(&path, 0o644, format!("{}\n", host_key.line).as_bytes())
        .map_err(failure::path("making", &path))?;
    let said = format!("{algorithm} {}", key.fingerprint(HashAlg::Sha256));
    Ok((host_key, said))
}

const fn file_name(kind: HostKeyKind) -> &'static str {
    match kind {
        HostKeyKind::Ed25519 => "ssh_host_ed25519_key",
        HostKeyKind::EcdsaP256 => "ssh_host_ecdsa_key",
    }
}

fn public_file(private: &Path) -> std::path::PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// The names of all files of host keys in `directory`.
pub(super) fn files(platform: &impl Platform, directory: &Path) -> Result<Vec<String>, Failure> {
    let names = platform.list(directory).map_err(failure::path("listing", directory))?;
    Ok(names.into_iter().filter(|name| name.starts_with("ssh_host_")).collect())
}

/// Removes what is at `path`, if there is something.
pub(super) fn remove(platform: &impl Platform, path: &Path) -> Result<(), Failure> {
    match super::kind(platform, path)? {
        None => Ok(()),
        Some(_) => platform.remove_file(path).map_err(failure::path("removing", path)),
    }
}
