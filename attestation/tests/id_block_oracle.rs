//! ID blocks against those of PyPI's `sev-snp-measure`: under the tool's own
//! signatures ours are the same bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod measurement_common;

use attestation::id_block::{IdAuth, IdBlock, PrivateKey, SigningRequest};
use attestation::measurement::LaunchDigest;
use measurement_common::{Random, python};
use p384::SecretKey;
use p384::pkcs8::{EncodePrivateKey, LineEnding};
use serde_json::{Value, json};

/// The tool's function prints what QEMU takes and the two digests, base64 all.
const PROGRAM: &str = r"
from sevsnpmeasure.id_block import snp_calc_id_block
results = []
for job in jobs:
    text = snp_calc_id_block(bytes.fromhex(job['digest']), job['id'], job['author'])
    block, auth = text.splitlines()[0].split(',')
    results.append({
        'block': block.split('=', 1)[1],
        'auth': auth.split('=', 1)[1],
        'id_digest': text.splitlines()[1].split(' ')[1],
        'author_digest': text.splitlines()[2].split(' ')[1],
    })
";

#[test]
fn blocks_are_those_of_sev_snp_measure() {
    use base64ct::{Base64, Encoding};

    let mut random = Random(0x5e5_0004);
    let folder = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    let mut jobs = Vec::new();
    for round in 0..40 {
        let mut key = |name: &str| {
            let mut scalar = random.bytes(48);
            scalar[0] = 0; // Short numbers too, and always below the order.
            let pem = SecretKey::from_slice(&scalar).unwrap().to_pkcs8_pem(LineEnding::LF).unwrap();
            let path = folder.path().join(format!("{round}-{name}.pem"));
            std::fs::write(&path, pem.as_bytes()).unwrap();
            (PrivateKey::from_pem(pem.as_bytes()).unwrap(), path)
        };
        let (id, id_path) = key("id");
        let (author, author_path) = key("author");
        let digest = LaunchDigest::new(random.bytes(48).try_into().unwrap());
        jobs.push(json!({
            "digest": digest.to_string(), "id": id_path, "author": author_path
        }));
        keys.push((id, author, digest));
    }
    let Some(results) = python::run(PROGRAM, &Value::from(jobs)) else { return };
    let results = results.as_array().unwrap();
    assert_eq!(results.len(), keys.len());
    for ((id, author, launch_digest), theirs) in keys.iter().zip(results) {
        let get = |name: &str| theirs[name].as_str().unwrap();
        let block = IdBlock {
            launch_digest: *launch_digest,
            family_id: [0; 16],
            image_id: [0; 16],
            guest_svn: 0,
            policy: 0x3_0000,
        };
        assert_eq!(block.to_base64(), get("block"));
        let signed = IdAuth::from_base64(get("auth")).unwrap();
        signed.verify(&block).unwrap();
        let request = SigningRequest::new(block, id.public_key(), Some(author.public_key()));
        let ours = request
            .assemble(*signed.signature(), signed.author().map(|author| *author.signature()))
            .unwrap();
        assert_eq!(ours.to_base64(), get("auth"));
        let digest = |name: &str| Base64::decode_vec(get(name)).unwrap();
        assert_eq!(ours.id_key_digest().as_bytes()[..], digest("id_digest"));
        assert_eq!(ours.author_key_digest().unwrap().as_bytes()[..], digest("author_digest"));
    }
}
