//! Headers: what Ravelin writes is accepted, and every change of it is refused for
//! its own reason, or changes nothing that counts.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use base64ct::{Base64, Encoding};
use common::{ID, header, secret, spec};
use luks::{
    Argon2Cost, Cipher, Copy, HEADER_SIZE, Header, HeaderError, HeaderKey, KdfLimits,
    LUKS2_DATA_OFFSET, NewHeader, SectorSize, UnlockError, VolumeKey,
};
use rand_core::OsRng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const COPY: usize = 16_384;
const BINARY: usize = 4096;

fn parse(bytes: &[u8]) -> Result<Header, HeaderError> {
    Header::parse(bytes, &KdfLimits::default())
}

fn refused(bytes: &[u8]) -> HeaderError {
    parse(bytes).err().unwrap()
}

/// Computes both checksums anew, as a host does that changed something.
fn sign(bytes: &mut [u8]) {
    for copy in [0, COPY] {
        bytes[copy + 448..copy + 512].fill(0);
        let checksum = Sha256::digest(&bytes[copy..copy + COPY]);
        bytes[copy + 448..copy + 480].copy_from_slice(&checksum);
    }
}

fn json_text(bytes: &[u8]) -> &[u8] {
    let area = &bytes[BINARY..COPY];
    &area[..area.iter().position(|byte| *byte == 0).unwrap()]
}

/// The header with another JSON text in both copies.
fn with_text(text: &str) -> Vec<u8> {
    let mut bytes = header(Cipher::AesXtsHmacSha256);
    for copy in [0, COPY] {
        bytes[copy + BINARY..copy + COPY].fill(0);
        bytes[copy + BINARY..][..text.len()].copy_from_slice(text.as_bytes());
    }
    sign(&mut bytes);
    bytes
}

/// The header with a changed JSON.
fn with(change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut json = serde_json::from_slice(json_text(&header(Cipher::AesXtsHmacSha256))).unwrap();
    change(&mut json);
    with_text(&json.to_string())
}

fn set(pointer: &str, value: Value) -> Vec<u8> {
    with(|json| *json.pointer_mut(pointer).unwrap() = value.clone())
}

#[test]
fn what_is_made_is_accepted_and_unlocked() {
    for cipher in Cipher::ALL {
        let bytes = header(cipher);
        let parsed = parse(&bytes).unwrap();
        assert_eq!((parsed.uuid(), parsed.label()), (ID, ""));
        assert_eq!((parsed.cipher(), parsed.sector_size()), (cipher, SectorSize::B4096));
        assert_eq!(parsed.kdf(), "pbkdf2");
        assert_eq!(parsed.sha256(), &<[u8; 32]>::from(Sha256::digest(&bytes)));
        let spec = spec(cipher, SectorSize::B4096, LUKS2_DATA_OFFSET);
        let key = parsed.unlock(secret().as_bytes()).unwrap();
        assert!(key.as_bytes() == VolumeKey::derive(&secret(), &spec).as_bytes());
        for wrong in [&[0x12; 32][..], &[0x11; 31], &[]] {
            assert!(matches!(parsed.unlock(wrong), Err(UnlockError::Passphrase)));
        }
    }
}

#[test]
fn a_passphrase_opens_by_argon2id() {
    let spec = spec(Cipher::AesXtsHmacSha256, SectorSize::B512, LUKS2_DATA_OFFSET);
    let key = VolumeKey::derive(&secret(), &spec);
    let cost = Argon2Cost::new(1024, 2, 4).unwrap();
    let unlock = HeaderKey::Passphrase { passphrase: b"correct horse", cost };
    let bytes = NewHeader { spec: &spec, key: &key, unlock }.to_bytes(&mut OsRng).unwrap();
    let parsed = parse(&bytes).unwrap();
    assert_eq!(parsed.kdf(), "argon2id");
    assert!(parsed.unlock(b"correct horse").unwrap().as_bytes() == key.as_bytes());
    assert!(parsed.unlock(b"correct horsf").is_err());
    let limits = KdfLimits { memory_kib: 1023, ..KdfLimits::default() };
    let error = Header::parse(&bytes, &limits).err().unwrap();
    assert!(matches!(error, HeaderError::KdfCost { found: 1024, most: 1023, .. }));
}

/// Every byte of both copies: without a new checksum it is refused; with one, it is
/// refused or an other value of a field that decides nothing (salt, sequence, label,
/// UUID; the copies have to agree even there).
#[test]
fn every_byte_counts() {
    let bytes = header(Cipher::AesXtsHmacSha256);
    let text_end = BINARY + json_text(&bytes).len();
    let mut changed = bytes.clone();
    for at in (0..text_end).chain(COPY - 16..COPY + 600).chain(2 * COPY - 16..2 * COPY) {
        changed[at] ^= 0x20;
        assert!(parse(&changed).is_err(), "byte {at}");
        sign(&mut changed);
        let salt = (104..168).contains(&(at % COPY));
        let checksum = (448..512).contains(&(at % COPY));
        assert_eq!(parse(&changed).is_ok(), salt || checksum, "byte {at}, signed");
        changed[..2 * COPY].copy_from_slice(&bytes[..2 * COPY]);
    }
}

#[test]
fn the_binary_header_is_held_against_the_format() {
    use HeaderError as E;
    let with = |at: usize, value: &[u8]| {
        let mut bytes = header(Cipher::AesXtsHmacSha256);
        for copy in [0, COPY] {
            bytes[copy + at..][..value.len()].copy_from_slice(value);
        }
        sign(&mut bytes);
        refused(&bytes)
    };
    let primary = Copy::Primary;
    assert!(matches!(refused(&[]), E::Length(0)));
    assert!(matches!(refused(&vec![0; HEADER_SIZE]), E::Magic { copy: Copy::Primary }));
    assert!(matches!(with(0, b"SKUL"), E::Magic { copy } if copy == primary));
    assert!(matches!(with(6, &[0, 1]), E::Binary { field: "version", .. }));
    assert!(matches!(with(8, &[0, 0, 0, 0, 0, 0, 0x80, 0]), E::Binary { field: "size", .. }));
    assert!(matches!(with(24, &[b'a'; 48]), E::Binary { field: "label", .. }));
    assert!(matches!(with(24, b"a\0b"), E::Binary { field: "label", .. }));
    assert!(matches!(with(72, b"sha512"), E::Binary { field: "checksum algorithm", .. }));
    assert!(matches!(with(168, b"X"), E::Binary { field: "UUID", .. }));
    assert!(matches!(with(208, b"x"), E::Subsystem));
    assert!(matches!(with(256, &[1]), E::Binary { field: "offset", .. }));
    for at in [264, 447, 512, 4095] {
        assert!(matches!(with(at, &[1]), E::Binary { field: "reserved bytes", .. }), "{at}");
    }
    let mut bytes = header(Cipher::AesXtsHmacSha256);
    bytes[2 * COPY - 1] ^= 1;
    assert!(matches!(refused(&bytes), E::Checksum { copy: Copy::Secondary }));
}

/// CVE-2025-59054 and others need no disagreement; but two readers that take
/// different copies are an attack of their own.
#[test]
fn copies_that_disagree_are_refused() {
    let good = header(Cipher::AesXtsHmacSha256);
    let other = set("/segments/0/sector_size", json!(512));
    for (from, to) in [(&good, &other), (&other, &good)] {
        let mut mixed = from.clone();
        mixed[COPY + BINARY..2 * COPY].copy_from_slice(&to[COPY + BINARY..2 * COPY]);
        sign(&mut mixed);
        assert!(matches!(refused(&mixed), HeaderError::CopiesDisagree));
    }
    let mut later = good.clone();
    later[COPY + 23] = 9;
    sign(&mut later);
    assert!(matches!(refused(&later), HeaderError::CopiesDisagree));
}

#[test]
fn hostile_json_is_refused() {
    use HeaderError as E;
    let good = String::from_utf8(json_text(&header(Cipher::AesXtsHmacSha256)).to_vec()).unwrap();
    assert!(parse(&with_text(&good)).is_ok());
    for text in ["", "{", "[]", "null", "{\"a\":", "nonsense", "{\"config\":1e400}", "{\"a\":-1}"] {
        assert!(matches!(refused(&with_text(text)), E::Json { .. } | E::Value { .. }), "{text}");
    }
    let deep = "[".repeat(6000) + &"]".repeat(6000);
    assert!(matches!(refused(&with_text(&deep)), E::Json { .. }));
    let full = format!("{good}{}", " ".repeat(12_288 - good.len()));
    assert!(matches!(refused(&with_text(&full)), E::JsonEnd));
    let mut behind = with_text(&good);
    for copy in [0, COPY] {
        behind[copy + COPY - 1] = b'x';
    }
    sign(&mut behind);
    assert!(matches!(refused(&behind), E::JsonEnd));
    assert!(matches!(refused(&with_text(&format!("{good}{{}}"))), E::Json { .. }));

    // The same key twice, at every level: the first or the last may be the host's.
    let twice = |key: &str, extra: &str| {
        refused(&with_text(&good.replacen(key, &format!("{extra}{key}"), 1)))
    };
    for (key, extra, path) in [
        ("\"segments\":{", "\"segments\":{},", "segments"),
        ("\"encryption\":", "\"encryption\":\"cipher_null-ecb\",", "keyslots.0.area.encryption"),
        ("\"iterations\":", "\"iterations\":1000,", "digests.0.iterations"),
    ] {
        let error = twice(key, extra);
        assert!(matches!(&error, E::DuplicateKey { path: found } if found == path), "{error}");
    }

    // A key that is not known, in every object.
    for (pointer, path) in [
        ("", "new"),
        ("/config", "config.new"),
        ("/segments/0", "segments.0.new"),
        ("/segments/0/integrity", "segments.0.integrity.new"),
        ("/digests/0", "digests.0.new"),
        ("/keyslots/0", "keyslots.0.new"),
        ("/keyslots/0/af", "keyslots.0.af.new"),
        ("/keyslots/0/area", "keyslots.0.area.new"),
        ("/keyslots/0/kdf", "keyslots.0.kdf.new"),
    ] {
        let bytes = with(|json| json.pointer_mut(pointer).unwrap()["new"] = json!(1));
        let error = refused(&bytes);
        assert!(matches!(&error, E::UnknownKey { path: found } if found == path), "{error}");
    }
}

/// Attack: text in the header that turns the direction of writing, moves the cursor or
/// begins a line of its own, so that an error reads like another one. Closed: escaped.
#[test]
fn text_of_the_header_cannot_steer_a_terminal() {
    const HOSTILE: &str = "a\u{202e}b\u{9b}2J\n\u{2066}";
    let unknown = with(|json| json[HOSTILE] = json!(1));
    let other = with(|json| json["segments"]["0"]["encryption"] = json!(HOSTILE));
    let kdf = with(|json| json["keyslots"]["0"]["kdf"]["type"] = json!(HOSTILE));
    for bytes in [unknown, other, kdf] {
        let error = refused(&bytes).to_string();
        assert!(error.is_ascii() && !error.contains(char::is_control), "{error:?}");
        assert!(error.contains("\\u{202e}"), "{error}");
    }
}

/// Every member of the JSON, left out, and with a value of another type.
#[test]
fn every_member_is_needed_and_typed() {
    fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            let pointer = format!("{at}/{key}");
            pointers(value, &pointer, all);
            all.push(pointer);
        }
    }
    let json = serde_json::from_slice(json_text(&header(Cipher::AesXtsHmacSha256))).unwrap();
    let mut all = Vec::new();
    pointers(&json, "", &mut all);
    assert!(all.len() > 40, "{}", all.len());
    for pointer in all {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let left_out = with(|json| {
            json.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        });
        assert!(parse(&left_out).is_err(), "{pointer} left out");
        for value in [json!(null), json!(true), json!([]), json!(1.5), json!("x"), json!(7)] {
            assert!(parse(&set(&pointer, value.clone())).is_err(), "{pointer}: {value}");
        }
    }
}

/// Random damage to the JSON, with right checksums: refused or the same, and never a
/// panic. (The fuzz targets do this for longer.)
#[test]
fn random_json_is_refused_or_harmless() {
    const OTHER: &[u8] = b"{}[],:\"0189-.eE truefalsnu\\\0\xff";
    let good = json_text(&header(Cipher::AesXtsHmacSha256)).to_vec();
    let mut bytes = header(Cipher::AesXtsHmacSha256);
    // A linear congruential generator: the same damage in every run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut accepted = 0;
    for _ in 0..2000 {
        let mut text = good.clone();
        for _ in 0..=next(3) {
            let (at, other) = (next(text.len()), next(text.len()));
            match next(5) {
                0 => text[at] = OTHER[next(OTHER.len())],
                1 => drop(text.remove(at)),
                2 => text.swap(at, other),
                3 => text.truncate(at.max(1)),
                _ => {
                    let piece = text[at.min(other)..at.max(other)].to_vec();
                    text.splice(at..at, piece.into_iter().take(60));
                }
            }
        }
        text.truncate(12_287);
        for copy in [0, COPY] {
            bytes[copy + BINARY..copy + COPY].fill(0);
            bytes[copy + BINARY..][..text.len()].copy_from_slice(&text);
        }
        sign(&mut bytes);
        accepted += usize::from(parse(&bytes).is_ok());
    }
    // A changed salt, or digits of a digest: the volume key does not fit then.
    assert!(accepted < 400, "{accepted}");
}

#[test]
fn each_attack_is_refused_for_its_reason() {
    use HeaderError as E;
    let check = |bytes: &[u8], expected: &dyn Fn(&HeaderError) -> bool| {
        let error = refused(bytes);
        assert!(expected(&error), "{error:?}");
    };
    let null = json!("cipher_null-ecb");
    check(
        &set("/segments/0/encryption", null.clone()),
        &|e| matches!(e, E::NullCipher { path } if path == "segments.0.encryption"),
    );
    check(
        &set("/keyslots/0/area/encryption", null.clone()),
        &|e| matches!(e, E::NullCipher { path } if path == "keyslots.0.area.encryption"),
    );
    let both = with(|json| {
        json["segments"]["0"]["encryption"] = null.clone();
        json["keyslots"]["0"]["area"]["encryption"] = null.clone();
    });
    check(&both, &|e| matches!(e, E::NullCipher { .. }));
    let plain = with(|json| {
        json["segments"]["0"].as_object_mut().unwrap().remove("integrity");
    });
    check(&plain, &|e| matches!(e, E::NoIntegrity));
    check(&set("/segments/0/integrity/type", json!("none")), &|e| matches!(e, E::Cipher { .. }));
    check(&set("/segments/0/encryption", json!("aes-cbc-plain64")), &|e| {
        matches!(e, E::Cipher { .. })
    });
    let text_17m = json!((17_u64 << 20).to_string());
    check(&set("/segments/0/offset", text_17m), &|e| matches!(e, E::SegmentOffset(17_825_792)));
    check(&set("/segments/0/offset", json!("016777216")), &|e| matches!(e, E::Value { .. }));
    check(&set("/segments/0/iv_tweak", json!("8")), &|e| matches!(e, E::Policy { .. }));
    check(&set("/segments/0/size", json!("4096")), &|e| matches!(e, E::Policy { .. }));
    check(&set("/segments/0/sector_size", json!(1024)), &|e| matches!(e, E::Policy { .. }));
    check(&set("/segments/0/type", json!("linear")), &|e| matches!(e, E::Policy { .. }));
    check(&set("/keyslots/0/type", json!("reencrypt")), &|e| matches!(e, E::Reencryption));
    check(&set("/keyslots/0/key_size", json!(32)), &|e| matches!(e, E::KeySize { found: 32, .. }));
    check(&set("/digests/0/keyslots", json!([])), &|e| matches!(e, E::Unbound));
    check(&set("/digests/0/segments", json!(["0", "1"])), &|e| matches!(e, E::Unbound));
    check(&set("/tokens", json!({"0": {}})), &|e| matches!(e, E::Tokens));
    let requirements = with(|json| {
        json["config"]["requirements"] = json!({"mandatory": ["online-reencrypt-v2"]});
    });
    check(&requirements, &|e| matches!(e, E::Requirements));
    for place in ["/config", "/segments/0", "/keyslots/0"] {
        let flags = with(|json| json.pointer_mut(place).unwrap()["flags"] = json!(["no-journal"]));
        check(&flags, &|e| matches!(e, E::Flags { .. }));
    }
    for place in ["keyslots", "segments", "digests"] {
        let two = with(|json| json[place]["1"] = json[place]["0"].clone());
        check(&two, &|e| matches!(e, E::Keyslots(2) | E::Segments(2) | E::Digests(2)));
        let none = with(|json| json[place] = json!({}));
        check(&none, &|e| matches!(e, E::Keyslots(0) | E::Segments(0) | E::Digests(0)));
    }
    for offset in [0, 16_384, 32_767, 33_000, 16 << 20, (16 << 20) - 4096, u64::MAX - 4095] {
        check(&set("/keyslots/0/area/offset", json!(offset.to_string())), &|e| {
            matches!(e, E::AreaPlace)
        });
    }
    for size in [0, 4096, 389_120, u64::MAX] {
        check(&set("/keyslots/0/area/size", json!(size.to_string())), &|e| {
            matches!(e, E::AreaPlace)
        });
    }
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let cost = |bytes: &[u8], what: &str| {
        let error = refused(bytes);
        assert!(matches!(error, HeaderError::KdfCost { what: found, .. } if found == what));
    };
    for iterations in [0, 999, (1_u64 << 24) + 1, (1 << 31) - 1, u64::from(u32::MAX) + 1001] {
        for place in ["/keyslots/0/kdf/iterations", "/digests/0/iterations"] {
            cost(&set(place, json!(iterations)), "iterations");
        }
    }
    let argon2 = |time: u64, memory: u64, cpus: u64| {
        let salt = Base64::encode_string(&[1; 32]);
        let kdf = json!({
            "type": "argon2id", "time": time, "memory": memory, "cpus": cpus, "salt": salt
        });
        set("/keyslots/0/kdf", kdf)
    };
    assert!(parse(&argon2(4, 1 << 20, 4)).is_ok());
    cost(&argon2(1 << 31, 1024, 1), "passes");
    cost(&argon2(0, 1024, 1), "passes");
    cost(&argon2(4, 4 << 20, 1), "KiB of memory");
    cost(&argon2(4, u64::MAX, 1), "KiB of memory");
    cost(&argon2(4, 8, 1), "KiB of memory");
    cost(&argon2(4, 1024, 1 << 20), "lanes");
    cost(&argon2(4, 1024, 0), "lanes");
    cost(&set("/keyslots/0/af/stripes", json!(u64::from(u32::MAX))), "stripes");
    let short = set("/keyslots/0/kdf/salt", json!(Base64::encode_string(&[1; 15])));
    assert!(matches!(refused(&short), HeaderError::Value { .. }));
}

/// What no parser can see: a host's own volume with its own keyslot and digest. Only
/// a pin tells it from the owner's, which is why there is one.
#[test]
fn a_hosts_own_header_has_another_digest() {
    let (ours, hosts) = (header(Cipher::AesXtsHmacSha256), header(Cipher::AesXtsHmacSha256));
    assert_ne!(parse(&ours).unwrap().sha256(), parse(&hosts).unwrap().sha256());
}
