//! Headers that a host writes: none needs a key of the owner's, all have right checksums.

use luks::{
    Argon2Cost, Cipher, HeaderKey, LUKS2_DATA_OFFSET, Layout, LayoutParams, NewHeader, Secret,
    SectorSize, VolumeKey, VolumeSpec,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use ssh_key::rand_core::OsRng;
use uuid::Uuid;

use super::formatted::DISK;

/// Bytes of one copy of the header, and of its binary part, which the JSON is behind
/// (LUKS2 on-disk format 1.1.3, section 2.1).
pub(super) const COPY: usize = 16_384;
const BINARY: usize = 4096;
/// The checksum's field in the binary part, and its bytes of SHA-256.
const CHECKSUM: std::ops::Range<usize> = 448..512;

/// Name, header and the parser's own reason to refuse it; the first encrypts nothing.
pub(super) fn hostile(good: &[u8]) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let own = hosts_own();
    let set = |of: &[u8], pointer: &str, value: Value| {
        with(of, |json| *json.pointer_mut(pointer).unwrap() = value.clone())
    };
    let null = || json!("cipher_null-ecb");
    let (segment, area) = ("/segments/0/encryption", "/keyslots/0/area/encryption");
    let mut null_segment = set(good, segment, null());
    null_segment = without_integrity(&null_segment);
    let mut disagreeing = good.to_vec();
    let other = set(good, "/segments/0/sector_size", json!(512));
    disagreeing[COPY..2 * COPY].copy_from_slice(&other[COPY..2 * COPY]);
    let salt = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let argon2id = |time: u64, memory: u64| json!({ "type": "argon2id", "time": time, "memory": memory, "cpus": 4, "salt": salt });
    let bomb = u64::from(u32::MAX);
    let pbkdf2 = json!({ "type": "pbkdf2", "hash": "sha256", "iterations": bomb, "salt": salt });
    let requirement = with(good, |json| {
        json["config"]["requirements"] = json!({ "mandatory": ["online-reencrypt-v2"] });
    });
    let segment_is_null = "`segments.0.encryption` is a null cipher";
    vec![
        ("null segment", null_segment, segment_is_null),
        (
            "null keyslot, the host's key",
            set(&own, area, null()),
            "`keyslots.0.area.encryption` is a null cipher",
        ),
        ("both", set(&set(&own, area, null()), segment, null()), segment_is_null),
        ("the host's own", own, "does not open the keyslot"),
        ("no integrity", without_integrity(good), "segment has no integrity"),
        (
            "offset moved",
            set(good, "/segments/0/offset", json!((17_u64 << 20).to_string())),
            "segment starts at byte 17825792",
        ),
        ("copies disagree", disagreeing, "the two copies of the LUKS2 header say different"),
        ("re-encryption", requirement, "has requirements"),
        ("memory", set(good, "/keyslots/0/kdf", argon2id(4, 4 << 20)), "4194304 KiB of memory"),
        ("passes", set(good, "/keyslots/0/kdf", argon2id(1 << 31, 1024)), "2147483648 passes"),
        ("iterations", set(good, "/keyslots/0/kdf", pbkdf2), "4294967295 iterations"),
        ("digest", set(good, "/digests/0/iterations", json!(bomb)), "4294967295 iterations"),
    ]
}

/// The host's own header for a disk of this size: its own volume key in its keyslot.
pub(super) fn hosts_own() -> Vec<u8> {
    let params = LayoutParams::with_default_journal(
        Cipher::AesXtsHmacSha256,
        SectorSize::B4096,
        DISK / 512,
        LUKS2_DATA_OFFSET,
    );
    let id = Uuid::from_u128(0x0011_2233_4455_4677_8899_aabb_ccdd_eeff);
    let spec = VolumeSpec::new(Layout::new(params).unwrap(), id, None).unwrap();
    let key = VolumeKey::derive(&Secret::new(&[0x11; 32]), &spec);
    let cost = Argon2Cost::new(1024, 2, 4).unwrap();
    let unlock = HeaderKey::Passphrase { passphrase: b"the host's own", cost };
    NewHeader { spec: &spec, key: &key, unlock }.to_bytes(&mut OsRng).unwrap()
}

fn without_integrity(header: &[u8]) -> Vec<u8> {
    with(header, |json| {
        json["segments"]["0"].as_object_mut().unwrap().remove("integrity").unwrap();
    })
}

/// A header with another JSON in both copies, and right checksums again.
fn with(header: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let text = &header[BINARY..COPY];
    let end = text.iter().position(|byte| *byte == 0).unwrap();
    let mut json = serde_json::from_slice(&text[..end]).unwrap();
    change(&mut json);
    let text = json.to_string();
    let mut changed = header.to_vec();
    for copy in changed[..2 * COPY].chunks_exact_mut(COPY) {
        copy[BINARY..].fill(0);
        copy[BINARY..BINARY + text.len()].copy_from_slice(text.as_bytes());
        copy[CHECKSUM].fill(0);
        let checksum = Sha256::digest(&*copy);
        copy[CHECKSUM.start..][..checksum.len()].copy_from_slice(&checksum);
    }
    changed
}
