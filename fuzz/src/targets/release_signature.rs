//! The signature of a release: an SSHSIG blob from anybody who reaches the port. What is
//! accepted has to be one of the seeds, byte for byte: nobody else can sign.

use std::sync::OnceLock;

use init::release::is_signed;
use protocol::release::SSHSIG_NAMESPACE;
use ssh_encoding::Encode as _;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, PrivateKey, PublicKey};

const STATEMENT: &[u8] = b"what an owner says";

/// The owner's keys: in this file, so of no use to anybody.
fn keys() -> Vec<PrivateKey> {
    let pairs = [1, 2].map(|number| Ed25519Keypair::from_seed(&[number; 32]));
    pairs.into_iter().filter_map(|pair| PrivateKey::new(KeypairData::from(pair), "").ok()).collect()
}

/// Made once: the owners, and what they signed.
fn known() -> &'static (Vec<PublicKey>, Vec<Vec<u8>>) {
    static KNOWN: OnceLock<(Vec<PublicKey>, Vec<Vec<u8>>)> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let owners = keys().iter().map(|key| key.public_key().clone()).collect();
        (owners, signed(SSHSIG_NAMESPACE))
    })
}

pub(super) fn run(data: &[u8]) {
    let (owners, signed) = known();
    let accepted = is_signed(owners, data, STATEMENT);
    assert_eq!(accepted, signed.iter().any(|blob| blob == data));
}

/// Of each key with each hash.
fn signed(namespace: &str) -> Vec<Vec<u8>> {
    let blob = |key: &PrivateKey, hash: HashAlg| {
        let mut blob = Vec::new();
        key.sign(namespace, hash, STATEMENT).ok()?.encode(&mut blob).ok()?;
        Some(blob)
    };
    let all = keys();
    let blobs =
        all.iter().flat_map(|key| [HashAlg::Sha256, HashAlg::Sha512].map(|hash| blob(key, hash)));
    blobs.flatten().collect()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    [signed(SSHSIG_NAMESPACE), signed("file")].concat()
}
