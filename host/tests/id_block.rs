//! `ravelin id-block`: signed here or elsewhere, written into the description,
//! passed on by `launch`; and no key is ever printed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "../../attestation/tests/measurement_common/mod.rs"]
mod measurement_common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use attestation::id_block::{IdAuth, IdBlock};
use common::{Ran, run};
use measurement_common::ovmf::Ovmf;
use measurement_common::{Random, vectors};
use p384::ecdsa::SigningKey;
use p384::ecdsa::signature::Signer;
use p384::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use serde_json::{Value, json};

fn secret(seed: u8) -> p384::SecretKey {
    p384::SecretKey::from_slice(&[seed; 48]).unwrap()
}

/// A VM, and two keys in both forms.
fn files(directory: &Path) {
    fs::write(directory.join("ovmf.fd"), Ovmf::default().image()).unwrap();
    fs::write(directory.join("vmlinuz"), Random(2).bytes(5000)).unwrap();
    fs::write(directory.join("initrd"), Random(3).bytes(5000)).unwrap();
    let text = "# my VM\nformat = 1\nfirmware = \"ovmf.fd\"\nkernel = \"vmlinuz\"\n\
                initrd = \"initrd\"\ncmdline = \"console=ttyS0\"\n\n[sev]\npolicy = 0x30000 # mine\n";
    fs::write(directory.join("vm.toml"), text).unwrap();
    for (name, seed) in [("id", 7), ("author", 8)] {
        let key = secret(seed);
        let write = |file: String, text: &str| {
            let path = directory.join(file);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        };
        write(format!("{name}.pem"), &key.to_pkcs8_pem(LineEnding::LF).unwrap());
        write(format!("{name}.sec1"), &key.to_sec1_pem(LineEnding::LF).unwrap());
        write(format!("{name}.pub"), &key.public_key().to_public_key_pem(LineEnding::LF).unwrap());
    }
}

fn id_block(directory: &Path, arguments: &[&str]) -> Ran {
    let ran = run(directory, &[&["id-block", "--json"], arguments].concat());
    // Whatever happens, no line of a private key comes out.
    for name in ["id.pem", "id.sec1", "author.pem", "author.sec1"] {
        let pem = fs::read_to_string(directory.join(name)).unwrap();
        for line in pem.lines().filter(|line| !line.starts_with("-----")) {
            assert!(!ran.stdout.contains(line) && !ran.stderr.contains(line), "{name}");
        }
    }
    ran
}

fn parsed(json: &Value) -> (IdBlock, IdAuth) {
    let text = |key: &str| json[key].as_str().unwrap();
    let block = IdBlock::from_base64(text("id_block")).unwrap();
    let auth = IdAuth::from_base64(text("id_auth")).unwrap();
    auth.verify(&block).unwrap();
    (block, auth)
}

#[test]
fn a_block_is_signed_written_and_launched() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    let measured = run(directory, &["measure", "--json"]).ok().json()["measurement"].clone();
    let ids = ["--family-id", &"0a".repeat(16), "--image-id", &"0b".repeat(16), "--guest-svn", "3"];
    let ran = id_block(directory, &[&["--id-key", "id.pem"], &ids[..]].concat()).ok();
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    let json = ran.json();
    assert_eq!((&json["kind"], &json["launch_digest"]), (&json!("id-block"), &measured));
    assert_eq!((&json["author_key"], &json["author_key_digest"]), (&json!(false), &Value::Null));
    let (block, auth) = parsed(&json);
    assert_eq!((block.family_id, block.image_id, block.guest_svn), ([10; 16], [11; 16], 3));
    assert_eq!(block.policy, 0x3_0000);
    assert_eq!(json["id_key_digest"], auth.id_key_digest().to_string());
    // SEC1 and PKCS#8 are one key.
    let sec1 = id_block(directory, &["--id-key", "id.sec1"]).ok().json();
    assert_eq!(sec1["id_key_digest"], json["id_key_digest"]);

    let keys = ["--id-key", "id.pem", "--author-key", "author.sec1", "--write"];
    let json = id_block(directory, &keys).ok().json();
    assert_eq!((&json["file"], &json["author_key"]), (&json!("vm.toml"), &json!(true)));
    let text = fs::read_to_string(directory.join("vm.toml")).unwrap();
    assert!(text.starts_with("# my VM\n") && text.contains("policy = 0x30000 # mine\n"), "{text}");
    let launch = run(directory, &["launch", "--print", "--json"]).ok().json();
    let arguments = launch["arguments"].to_string();
    for (option, key) in [("id-block", "id_block"), ("id-auth", "id_auth")] {
        assert!(arguments.contains(&format!("{option}={}", json[key].as_str().unwrap())));
    }
    assert!(arguments.contains("author-key-enabled=on"), "{arguments}");
    let inspected = run(directory, &["inspect", "vm.toml", "--json"]).ok().json();
    for key in ["id_key_digest", "author_key_digest"] {
        assert_eq!(inspected[key], json[key]);
    }
    // The policy made of it names both keys.
    let policy = run(directory, &["policy", "init", "--vm", "vm.toml"]).ok().stdout;
    for key in ["id_key_digest", "author_key_digest"] {
        assert!(policy.contains(json[key].as_str().unwrap()), "{policy}");
    }

    // Another policy: the description is refused, until the block is made anew.
    fs::write(directory.join("vm.toml"), text.replace("0x30000", "0x20000")).unwrap();
    let ran = run(directory, &["launch", "--print"]).code(3);
    assert!(ran.stderr.contains("the ID block is for policy 0x30000"), "{}", ran.stderr);
    id_block(directory, &["--id-key", "id.pem", "--write"]).ok();
    let launch = run(directory, &["launch", "--print"]).ok().stdout;
    assert!(!launch.contains("author-key-enabled") && launch.contains("policy=0x20000"));
}

#[test]
fn signatures_are_made_elsewhere_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    let to_sign = |arguments: &[&str]| {
        let ran = id_block(directory, arguments).ok();
        assert_eq!(ran.json()["kind"], "id-block-to-sign");
        hex::decode(ran.json()["bytes"].as_str().unwrap()).unwrap()
    };
    let sign = |seed, message: &[u8], file: &str| {
        let signature: p384::ecdsa::Signature = SigningKey::from(secret(seed)).sign(message);
        fs::write(directory.join(file), signature.to_der()).unwrap();
    };
    let block = to_sign(&["--print-to-sign", "id-block"]);
    assert_eq!(block.len(), 96);
    let key = to_sign(&["--print-to-sign", "id-key", "--id-public-key", "id.pub"]);
    assert_eq!(key.len(), 1028);
    // Without --json the bytes come as they are.
    let raw = common::ravelin()
        .current_dir(directory)
        .args(["id-block", "--print-to-sign", "id-block"])
        .output()
        .unwrap();
    assert_eq!(raw.stdout, block);
    sign(7, &block, "block.sig");
    sign(8, &key, "key.sig");
    sign(8, &block, "wrong.sig");
    let id = ["--id-public-key", "id.pub", "--signature", "block.sig"];
    let (_, auth) = parsed(&id_block(directory, &id).ok().json());
    assert!(auth.author().is_none());
    let author = ["--author-public-key", "author.pub", "--author-signature", "key.sig"];
    let (_, auth) = parsed(&id_block(directory, &[&id[..], &author].concat()).ok().json());
    assert!(auth.author().is_some());
    // One here, one there.
    let mixed = [&["--id-key", "id.pem"], &author[..]].concat();
    parsed(&id_block(directory, &mixed).ok().json());

    let wrong = ["--id-public-key", "id.pub", "--signature", "wrong.sig"];
    let ran = id_block(directory, &wrong).code(3);
    assert!(ran.stderr.contains("the signature is not that of the given key"), "{}", ran.stderr);
    let other_ids = [&id[..], &["--guest-svn", "1"]].concat();
    id_block(directory, &other_ids).code(3);
    let garbage = ["--id-public-key", "id.pub", "--signature", "vm.toml"];
    assert!(id_block(directory, &garbage).code(3).stderr.contains("vm.toml: "));
}

#[test]
fn wrong_keys_and_arguments() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    id_block(directory, &[]).code(2);
    id_block(directory, &["--id-public-key", "id.pub"]).code(2);
    id_block(directory, &["--signature", "x"]).code(2);
    id_block(directory, &["--id-key", "id.pem", "--author-public-key", "author.pub"]).code(2);
    id_block(directory, &["--id-key", "id.pem", "--digest", "00"]).code(2);
    id_block(directory, &["--print-to-sign", "id-key"]).code(2);
    let digest = "0".repeat(96);
    id_block(directory, &["--id-key", "id.pem", "--digest", &digest, "--write"]).code(2);
    let policy = ["--id-key", "id.pem", "--digest", &digest, "--guest-policy", "0x10000"];
    assert!(id_block(directory, &policy).code(2).stderr.contains("bit 17"));
    for (file, expected) in [
        ("vm.toml", "there is no private key here"),
        ("id.pub", "there is no private key here"),
        ("none", "No such file"),
    ] {
        let ran = id_block(directory, &["--id-key", file]).code(3);
        assert!(ran.stderr.contains(&format!("{file}: ")), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
    // A key on another curve, as openssl makes it.
    if let Some(openssl) = common::tool("openssl") {
        let made = std::process::Command::new(openssl)
            .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"])
            .arg(directory.join("p256.pem"))
            .output()
            .unwrap();
        assert!(made.status.success());
        let ran = id_block(directory, &["--id-key", "p256.pem"]).code(3);
        assert!(
            ran.stderr.contains("p256.pem: ") && ran.stderr.contains("P-384"),
            "{}",
            ran.stderr
        );
    }
    fs::set_permissions(directory.join("id.pem"), Permissions::from_mode(0o644)).unwrap();
    let ran = id_block(directory, &["--id-key", "id.pem"]).ok();
    assert!(ran.stderr.contains("id.pem: everyone on this machine"), "{}", ran.stderr);
    // A digest of one's own needs no files.
    fs::remove_file(directory.join("vm.toml")).unwrap();
    let json = id_block(directory, &["--id-key", "id.pem", "--digest", &digest]).ok().json();
    assert_eq!(
        (&json["launch_digest"], &json["guest_policy"]),
        (&json!(digest), &json!("0x30000"))
    );
}

#[test]
fn known_keys_have_known_digests() {
    let Some(vectors) = vectors() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| vectors.join("idblock").join(name).to_str().unwrap().to_owned();
    let digest = "a14d638341e5674628fe1e02fbedebe5e5ab4faf1dd72d8966068e615bb99efd13d214b35c231715\
                  b38e263dc6059745";
    let (id, author) = (path("test_id_key.pem"), path("test_auth_key.pem"));
    let arguments =
        ["id-block", "--json", "--digest", digest, "--id-key", &id, "--author-key", &author];
    let json = run(directory.path(), &arguments).ok().json();
    let known = fs::read_to_string(path("key_digests.txt")).unwrap();
    for key in ["id_key_digest", "author_key_digest"] {
        assert!(known.contains(json[key].as_str().unwrap()), "{key}: {known}");
    }
    let block = fs::read_to_string(path("idb1.b64")).unwrap();
    assert_eq!(json["id_block"], block.trim());
    parsed(&json);
}
