//! Private keys in the forms that people have them, and what is no such key.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use attestation::id_block::{PrivateKey, PrivateKeyError};
use p384::SecretKey;
use p384::pkcs8::{EncodePrivateKey, LineEnding};
use sec1::der::Encode;
use sec1::der::asn1::ObjectIdentifier;
use sec1::{EcParameters, EcPrivateKey};

const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const PARAMETERS: &str =
    "-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n";
const P256_PARAMETERS: &str =
    "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";

fn secret() -> SecretKey {
    SecretKey::from_slice(&[5; 48]).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    let text = Base64::encode_string(der);
    let lines: Vec<_> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A SEC1 key with or without its curve and its public key.
fn sec1_der(scalar: &[u8], curve: Option<ObjectIdentifier>, public: Option<&[u8]>) -> Vec<u8> {
    EcPrivateKey {
        private_key: scalar,
        parameters: curve.map(EcParameters::NamedCurve),
        public_key: public,
    }
    .to_der()
    .unwrap()
}

fn public(key: &SecretKey) -> Vec<u8> {
    key.public_key().to_sec1_bytes().to_vec()
}

fn read(text: &str) -> Result<PrivateKey, PrivateKeyError> {
    PrivateKey::from_pem(text.as_bytes())
}

#[track_caller]
fn assert_reads(text: &str) {
    let key = read(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let direct = PrivateKey::from_der(secret().to_pkcs8_der().unwrap().as_bytes()).unwrap();
    assert_eq!(key.public_key(), direct.public_key());
}

#[track_caller]
fn assert_refused(text: &str, expected: PrivateKeyError) {
    match read(text) {
        Err(error) => assert_eq!(error, expected, "{text}"),
        Ok(_) => panic!("accepted:\n{text}"),
    }
}

#[test]
fn keys_are_read_in_all_their_forms() {
    assert_reads(&secret().to_pkcs8_pem(LineEnding::LF).unwrap());
    assert_reads(&secret().to_pkcs8_pem(LineEnding::CRLF).unwrap());
    let (scalar, public) = ([5; 48], public(&secret()));
    let full = pem("EC PRIVATE KEY", &sec1_der(&scalar, Some(P384), Some(&public)));
    assert_reads(&full);
    // As `openssl ecparam -genkey` writes it.
    assert_reads(&format!("{PARAMETERS}{full}"));
    assert_reads(&format!("My ID key\n\n{PARAMETERS}\n{full}\nthe end"));
    // As Rust's p384 writes it: the curve follows from the public key.
    assert_reads(&pem("EC PRIVATE KEY", &sec1_der(&scalar, None, Some(&public))));
    assert_reads(&pem("EC PRIVATE KEY", &sec1_der(&scalar, Some(P384), None)));
    let bare = pem("EC PRIVATE KEY", &sec1_der(&scalar, None, None));
    assert_reads(&format!("{PARAMETERS}{bare}"));
    let der = sec1_der(&scalar, Some(P384), None);
    assert!(PrivateKey::from_der(&der).is_ok());
}

#[test]
fn what_openssl_writes_is_read() {
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new("openssl").args(arguments).output().ok()?;
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let Some(sec1) = run(&["ecparam", "-name", "secp384r1", "-genkey"]) else {
        eprintln!("SKIPPED: no openssl");
        return;
    };
    assert!(sec1.contains("EC PARAMETERS"));
    assert!(read(&sec1).is_ok());
    let options = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
    let pkcs8 = run(&[&["genpkey"], &options[..]].concat()).unwrap();
    assert!(read(&pkcs8).is_ok());
    let p256 = run(&["ecparam", "-name", "prime256v1", "-genkey"]).unwrap();
    assert_refused(&p256, PrivateKeyError::Curve);
    // The same size as P-384.
    let brainpool = run(&["ecparam", "-name", "brainpoolP384r1", "-genkey"]).unwrap();
    assert_refused(&brainpool, PrivateKeyError::Curve);
}

#[test]
fn other_curves_are_refused() {
    let (scalar, public) = ([5; 48], public(&secret()));
    let p256_key = pem("EC PRIVATE KEY", &sec1_der(&[5; 32], Some(P256), None));
    assert_refused(&p256_key, PrivateKeyError::Curve);
    assert_refused(&format!("{P256_PARAMETERS}{p256_key}"), PrivateKeyError::Curve);
    // Of the right size, and of another curve by its name.
    let named = pem("EC PRIVATE KEY", &sec1_der(&scalar, Some(P256), Some(&public)));
    assert_refused(&named, PrivateKeyError::Curve);
    let good = pem("EC PRIVATE KEY", &sec1_der(&scalar, Some(P384), Some(&public)));
    assert_refused(&format!("{P256_PARAMETERS}{good}"), PrivateKeyError::Curve);
    // A shorter number would be padded to another key.
    let short = pem("EC PRIVATE KEY", &sec1_der(&[5; 32], Some(P384), None));
    assert_refused(&short, PrivateKeyError::Curve);
    let bare = pem("EC PRIVATE KEY", &sec1_der(&scalar, None, None));
    assert_refused(&bare, PrivateKeyError::CurveNotNamed);
    // The public key of another private key.
    let other = self::public(&SecretKey::from_slice(&[6; 48]).unwrap());
    let wrong = pem("EC PRIVATE KEY", &sec1_der(&scalar, Some(P384), Some(&other)));
    assert_refused(&wrong, PrivateKeyError::Number);
    assert_refused(&pem("RSA PRIVATE KEY", b"0"), PrivateKeyError::Curve);
    // Zero, and the largest number of 48 bytes: outside the group's order.
    for scalar in [[0; 48], [0xff; 48]] {
        let outside = pem("EC PRIVATE KEY", &sec1_der(&scalar, Some(P384), None));
        assert_refused(&outside, PrivateKeyError::Number);
    }
}

#[test]
fn what_is_no_key_is_refused() {
    let good = secret().to_pkcs8_pem(LineEnding::LF).unwrap();
    assert_refused("", PrivateKeyError::NoKey);
    assert_refused("-----BEGIN PRIVATE KEY-----", PrivateKeyError::NoKey);
    assert_refused(&pem("PUBLIC KEY", b"0"), PrivateKeyError::NoKey);
    assert_refused(&pem("ENCRYPTED PRIVATE KEY", b"0"), PrivateKeyError::Encrypted);
    let old = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n\
               AAAA\n-----END EC PRIVATE KEY-----\n";
    assert_refused(old, PrivateKeyError::Encrypted);
    assert_refused(&format!("{}{}", *good, *good), PrivateKeyError::Several);
    assert_refused(&pem("OPENSSH PRIVATE KEY", b"0"), PrivateKeyError::Malformed);
    assert_refused(&pem("PRIVATE KEY", b"0"), PrivateKeyError::Malformed);
    assert_refused(&pem("EC PRIVATE KEY", b"0"), PrivateKeyError::Malformed);
    assert_refused(&good.replacen('M', "*", 1), PrivateKeyError::Malformed);
    assert!(matches!(PrivateKey::from_pem(b"\xff"), Err(PrivateKeyError::NoKey)));
    assert!(matches!(PrivateKey::from_der(b""), Err(PrivateKeyError::Malformed)));

    let der = secret().to_pkcs8_der().unwrap();
    for length in 0..der.as_bytes().len() {
        let (cut, _) = der.as_bytes().split_at(length);
        assert!(PrivateKey::from_der(cut).is_err(), "{length}");
    }
    let long = [der.as_bytes(), &[0]].concat();
    assert!(PrivateKey::from_der(&long).is_err());
}
