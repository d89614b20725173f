//! Who signed a release: an SSHSIG signature (OpenSSH PROTOCOL.sshsig) against the keys
//! of the measured configuration.
//!
//! **Threat.** The signature is of anyone who reaches the port. Its key counts only if
//! it is listed, its namespace and hash only as written here; what a listed key signed
//! for another purpose, or in another session, is no release.

use protocol::release::{Refusal, SSHSIG_NAMESPACE};
use ssh_encoding::Decode as _;
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey, Signature, SshSig};

/// An owner of the measured configuration.
pub(super) struct Owner {
    key: PublicKey,
    /// As it is encoded in a signature.
    blob: Vec<u8>,
    fingerprint: String,
}

impl Owner {
    /// # Errors
    /// A key that cannot be encoded.
    pub(super) fn new(key: PublicKey) -> ssh_key::Result<Self> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        Ok(Self { blob: key.to_bytes()?, fingerprint, key })
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
    let fields = Fields::read(signature).ok_or(malformed)?;
    let known = owners.iter().enumerate().find(|(_, owner)| owner.blob == fields.key);
    let unknown = (Refusal::UnknownOwner, "the key of the signature is not in unlock.owners");
    let (index, Owner { key, .. }) = known.ok_or(unknown)?;
    if fields.namespace != SSHSIG_NAMESPACE {
        return Err((Refusal::Signature, "the signature is of another namespace"));
    }
    let signature = SshSig::new(
        key.key_data().clone(),
        SSHSIG_NAMESPACE,
        fields.hash.parse().map_err(|_error| malformed)?,
        fields.signature,
    )
    .map_err(|_error| malformed)?;
    if is_security_key(key.key_data()) && !somebody_was_present(&signature) {
        return Err((Refusal::Signature, "the security key was not touched"));
    }
    match key.verify(SSHSIG_NAMESPACE, statement, &signature) {
        Ok(()) => Ok(index),
        Err(_) => Err((Refusal::Signature, "the signature is not over this release here")),
    }
}

/// Whether `signature` is an SSHSIG blob by which one of `owners` releases `statement`:
/// all that the release server asks of a signature, for whoever wants to try it alone.
#[must_use]
pub fn is_signed(owners: &[PublicKey], signature: &[u8], statement: &[u8]) -> bool {
    let owners: ssh_key::Result<Vec<Owner>> = owners.iter().cloned().map(Owner::new).collect();
    owners.is_ok_and(|owners| signer(&owners, signature, statement).is_ok())
}

/// What a blob says. It is read here, because `ssh-key` takes some lengths that are not
/// true; the key is compared as it is encoded.
struct Fields<'a> {
    key: &'a [u8],
    namespace: &'a str,
    hash: &'a str,
    signature: Signature,
}

impl<'a> Fields<'a> {
    fn read(blob: &'a [u8]) -> Option<Self> {
        let mut left = blob.strip_prefix(b"SSHSIG\0\0\0\x01")?;
        let key = string(&mut left)?;
        let namespace = std::str::from_utf8(string(&mut left)?).ok()?;
        // Nobody writes anything there yet.
        let reserved = string(&mut left)?;
        let hash = std::str::from_utf8(string(&mut left)?).ok()?;
        let mut inner = string(&mut left)?;
        let signature = Signature::decode(&mut inner).ok()?;
        let is_whole = left.is_empty() && reserved.is_empty() && inner.is_empty();
        is_whole.then_some(Self { key, namespace, hash, signature })
    }
}

/// A string of the SSH encoding (RFC 4251, section 5).
fn string<'a>(left: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = left.split_first_chunk()?;
    let (value, rest) =
        rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *left = rest;
    Some(value)
}

fn is_security_key(key: &KeyData) -> bool {
    key.is_sk_ed25519() || key.is_sk_ecdsa_p256()
}

fn somebody_was_present(signature: &SshSig) -> bool {
    let flags = signature.signature_bytes().iter().nth_back(TRAILER - 1);
    flags.is_some_and(|flags| flags & USER_PRESENT != 0)
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
