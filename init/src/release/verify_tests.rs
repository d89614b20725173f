use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use sha2::{Digest as _, Sha256};
use ssh_encoding::Encode as _;
use ssh_key::private::{EcdsaKeypair, Ed25519Keypair, KeypairData};
use ssh_key::rand_core::OsRng;
use ssh_key::{EcdsaCurve, PrivateKey};

use super::*;

const STATEMENT: &[u8] = b"what was said";

fn encoded(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn ed25519(number: u8) -> PrivateKey {
    PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&[number; 32])), "").unwrap()
}

fn blob(key: &PrivateKey, namespace: &str, hash: HashAlg) -> Vec<u8> {
    let mut blob = Vec::new();
    key.sign(namespace, hash, STATEMENT).unwrap().encode(&mut blob).unwrap();
    blob
}

/// An owner's security key of one kind, and what signs as it does (OpenSSH
/// PROTOCOL.u2f): over the hashes of application and message, flags and counter.
fn security_key(kind: &str, sign: impl Fn(&[u8]) -> Vec<u8>, key: Vec<u8>) -> [Vec<u8>; 4] {
    let key = [encoded(kind.as_bytes()), key, encoded(b"ssh:")].concat();
    let signed = SshSig::signed_data(SSHSIG_NAMESPACE, HashAlg::Sha512, STATEMENT).unwrap();
    let blob = |flags: u8| {
        let trailer = [flags, 0, 0, 0, 9];
        let (application, message) = (Sha256::digest(b"ssh:"), Sha256::digest(&signed));
        let signature = sign(&[&application[..], &trailer, &message].concat());
        let signature = [encoded(kind.as_bytes()), encoded(&signature), trailer.to_vec()].concat();
        let fields = [&key[..], SSHSIG_NAMESPACE.as_bytes(), b"", b"sha512", &signature];
        let fields: Vec<u8> = fields.iter().flat_map(|field| encoded(field)).collect();
        [b"SSHSIG\0\0\0\x01", &fields[..]].concat()
    };
    let (touched, verified, untouched) = (blob(1), blob(5), blob(4));
    [key, touched, verified, untouched]
}

fn owner_of(blob: &[u8]) -> Owner {
    use ssh_encoding::Decode as _;
    Owner::new(PublicKey::from(KeyData::decode(&mut &blob[..]).unwrap())).unwrap()
}

#[test]
fn a_listed_key_is_found_by_its_signature() {
    let keys = [ed25519(1), ed25519(2)];
    let pair = EcdsaKeypair::random(&mut OsRng, EcdsaCurve::NistP256).unwrap();
    let ecdsa = PrivateKey::new(KeypairData::from(pair), "").unwrap();
    let all = [&keys[0], &keys[1], &ecdsa];
    let owners = all.map(|key| Owner::new(key.public_key().clone()).unwrap());
    for (index, key) in all.into_iter().enumerate() {
        for hash in [HashAlg::Sha256, HashAlg::Sha512] {
            let signature = blob(key, SSHSIG_NAMESPACE, hash);
            assert_eq!(signer(&owners, &signature, STATEMENT), Ok(index));
            let (why, _) = signer(&owners, &signature, b"another").unwrap_err();
            assert_eq!(why, Refusal::Signature);
            let (why, _) = signer(&owners[..index], &signature, STATEMENT).unwrap_err();
            assert_eq!(why, Refusal::UnknownOwner);
        }
        for namespace in ["file", "ravelin-release-v2", "ravelin-release-v1 "] {
            let signature = blob(key, namespace, HashAlg::Sha512);
            assert_eq!(signer(&owners, &signature, STATEMENT).unwrap_err().0, Refusal::Signature);
        }
    }
}

#[test]
fn a_security_key_has_to_be_touched() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let sign = |message: &[u8]| pair.sign(message).as_ref().to_vec();
    let ed25519 =
        security_key("sk-ssh-ed25519@openssh.com", sign, encoded(pair.public_key().as_ref()));

    let random = ring::rand::SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let integer = |bytes: &[u8]| {
        let from = bytes.iter().position(|byte| *byte != 0).unwrap();
        let sign = if bytes[from] < 0x80 { &[][..] } else { &[0] };
        encoded(&[sign, &bytes[from..]].concat())
    };
    let sign = |message: &[u8]| {
        let signature = pair.sign(&random, message).unwrap();
        let (r, s) = signature.as_ref().split_at(32);
        [integer(r), integer(s)].concat()
    };
    let point = [encoded(b"nistp256"), encoded(pair.public_key().as_ref())].concat();
    let ecdsa = security_key("sk-ecdsa-sha2-nistp256@openssh.com", sign, point);

    for [key, touched, verified, untouched] in [ed25519, ecdsa] {
        let owners = [owner_of(&key)];
        assert_eq!(signer(&owners, &touched, STATEMENT), Ok(0));
        assert_eq!(signer(&owners, &verified, STATEMENT), Ok(0));
        let (why, text) = signer(&owners, &untouched, STATEMENT).unwrap_err();
        assert_eq!((why, text), (Refusal::Signature, "the security key was not touched"));
        // The flag is signed.
        let mut forged = untouched;
        let flags = forged.len() - TRAILER;
        forged[flags] = 5;
        assert_eq!(signer(&owners, &forged, STATEMENT).unwrap_err().0, Refusal::Signature);
    }
}

/// No changed, cut or longer signature is one; and none ends in a panic.
#[test]
fn every_other_blob_is_refused() {
    let keys = [ed25519(1), ed25519(2)];
    let owners = keys.each_ref().map(|key| Owner::new(key.public_key().clone()).unwrap());
    let good = blob(&keys[0], SSHSIG_NAMESPACE, HashAlg::Sha512);
    for length in 0..good.len() {
        assert_eq!(signer(&owners, &good[..length], STATEMENT).unwrap_err().0, Refusal::Malformed);
    }
    for extra in [vec![0], good.clone()] {
        let longer = [good.clone(), extra].concat();
        assert_eq!(signer(&owners, &longer, STATEMENT).unwrap_err().0, Refusal::Malformed);
    }
    for index in 0..good.len() {
        for change in [1, 0x80, 0xff] {
            let mut other = good.clone();
            other[index] ^= change;
            assert!(signer(&owners, &other, STATEMENT).is_err(), "{index} {change:#x}");
        }
    }
}
