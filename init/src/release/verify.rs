//! Who signed a release: an SSHSIG signature (OpenSSH PROTOCOL.sshsig) against the keys
//! of the measured configuration.
//!
//! **Threat.** The signature is of anyone who reaches the port. Its key counts only if
//! it is listed, its namespace and hash only as written here; what a listed key signed
//! for another purpose, or in another session, is no release.

use protocol::release::{Refusal, SSHSIG_NAMESPACE};
use ssh_encoding::Decode as _;
use ssh_key::public::KeyData;
use ssh_key::{Fingerprint, HashAlg, PublicKey, SshSig};

/// An owner of the measured configuration.
pub(super) struct Owner {
    key: PublicKey,
    fingerprint: String,
}

impl Owner {
    pub(super) fn new(key: PublicKey) -> Self {
        let fingerprint: Fingerprint = key.fingerprint(HashAlg::Sha256);
        Self { fingerprint: fingerprint.to_string(), key }
    }

    /// The key's fingerprint, as ssh-keygen shows it.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// Bytes after a security key's signature: flags and a counter (OpenSSH
/// PROTOCOL.u2f).
const TRAILER: usize = 5;
/// The flag that says that somebody touched the security key.
const USER_PRESENT: u8 = 1;

/// The index of the owner who signed `statement`.
///
/// # Errors
/// Why nobody did.
pub(super) fn signer(
    owners: &[Owner],
    signature: &[u8],
    statement: &[u8],
) -> Result<usize, (Refusal, &'static str)> {
    let malformed = (Refusal::Malformed, "the signature is no SSHSIG blob of version 1");
    let mut left = signature;
    let signature = SshSig::decode(&mut left).map_err(|_error| malformed)?;
    if !left.is_empty() || signature.version() != SshSig::VERSION {
        return Err(malformed);
    }
    let known = owners.iter().position(|owner| owner.key.key_data() == signature.public_key());
    let unknown = (Refusal::UnknownOwner, "the key of the signature is not in unlock.owners");
    let index = known.ok_or(unknown)?;
    let owner = owners.get(index).ok_or(unknown)?;
    if signature.namespace() != SSHSIG_NAMESPACE {
        return Err((Refusal::Signature, "the signature is of another namespace"));
    }
    if is_security_key(owner.key.key_data()) && !somebody_was_present(&signature) {
        return Err((Refusal::Signature, "the security key was not touched"));
    }
    match owner.key.verify(SSHSIG_NAMESPACE, statement, &signature) {
        Ok(()) => Ok(index),
        Err(_) => Err((Refusal::Signature, "the signature is not over this release here")),
    }
}

fn is_security_key(key: &KeyData) -> bool {
    key.is_sk_ed25519() || key.is_sk_ecdsa_p256()
}

fn somebody_was_present(signature: &SshSig) -> bool {
    let flags = signature.signature_bytes().iter().nth_back(TRAILER - 1);
    flags.is_some_and(|flags| flags & USER_PRESENT != 0)
}
