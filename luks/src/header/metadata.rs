//! The JSON of a header, held against the one shape that is accepted.

use super::json::Object;
use super::keyslot::{DIGEST_SIZE, Kdf, KdfLimits, KeyDigest, Keyslot, area_size};
use super::{COPY_SIZE, HEADER_SIZE, HeaderError, JSON_SIZE, af};
use crate::cipher::Cipher;
use crate::key::Argon2Cost;
use crate::layout::SectorSize;

/// Bytes before the keyslots: both copies.
pub(super) const KEYSLOTS_OFFSET: u64 = 2 * COPY_SIZE as u64;
/// Bytes of the keyslots' area.
pub(super) const KEYSLOTS_SIZE: u64 = HEADER_SIZE as u64 - KEYSLOTS_OFFSET;
/// The cipher of a keyslot's area, and its key in bytes.
pub(super) const AREA_CIPHER: &str = "aes-xts-plain64";
pub(super) const AREA_KEY_SIZE: u64 = 64;
/// The least iterations of PBKDF2 that the format allows.
pub(super) const MIN_ITERATIONS: u32 = 1000;

const MAX_SALT: usize = 64;
const MIN_SALT: usize = 16;

/// What the JSON says.
pub(super) struct Metadata {
    pub(super) cipher: Cipher,
    pub(super) sector_size: SectorSize,
    /// Without its area.
    pub(super) keyslot: Keyslot,
}

pub(super) fn parse(text: &[u8], limits: &KdfLimits) -> Result<Metadata, HeaderError> {
    let mut root = Object::parse(text)?;
    config(root.object("config")?)?;
    if !root.object("tokens")?.is_empty() {
        return Err(HeaderError::Tokens);
    }
    let (cipher, sector_size) = segment(single(root.object("segments")?, HeaderError::Segments)?)?;
    let digest = digest(single(root.object("digests")?, HeaderError::Digests)?, limits)?;
    let keyslots = single(root.object("keyslots")?, HeaderError::Keyslots)?;
    let keyslot = keyslot(keyslots, cipher, digest, limits)?;
    root.finish()?;
    Ok(Metadata { cipher, sector_size, keyslot })
}

/// The one member of an object, named `0`.
fn single(
    mut object: Object,
    error: impl FnOnce(usize) -> HeaderError,
) -> Result<Object, HeaderError> {
    if object.len() != 1 {
        return Err(error(object.len()));
    }
    let only = object.object("0")?;
    object.finish()?;
    Ok(only)
}

fn config(mut config: Object) -> Result<(), HeaderError> {
    if config.has("requirements") {
        return Err(HeaderError::Requirements);
    }
    no_flags(&config)?;
    for (key, expected) in [("json_size", JSON_SIZE as u64), ("keyslots_size", KEYSLOTS_SIZE)] {
        let found = config.decimal(key)?;
        if found != expected {
            let accepted = "what cryptsetup luksFormat chooses";
            let found = found.to_string();
            return Err(HeaderError::Policy { path: config.path(key), found, accepted });
        }
    }
    config.finish()
}

fn no_flags(object: &Object) -> Result<(), HeaderError> {
    if object.has("flags") {
        return Err(HeaderError::Flags { path: object.path("flags") });
    }
    Ok(())
}

fn exactly(object: &mut Object, key: &str, accepted: &'static str) -> Result<(), HeaderError> {
    let found = object.text(key)?;
    if found == accepted {
        return Ok(());
    }
    Err(HeaderError::Policy { path: object.path(key), found: shown(&found), accepted })
}

/// A value of the attacker's, short.
fn shown(value: &str) -> String {
    value.chars().take(60).collect()
}

/// The name of a cipher that is none.
fn not_null(object: &Object, key: &str, cipher: &str) -> Result<(), HeaderError> {
    if cipher.contains("null") {
        return Err(HeaderError::NullCipher { path: object.path(key) });
    }
    Ok(())
}

fn segment(mut segment: Object) -> Result<(Cipher, SectorSize), HeaderError> {
    no_flags(&segment)?;
    exactly(&mut segment, "type", "crypt")?;
    let encryption = segment.text("encryption")?;
    not_null(&segment, "encryption", &encryption)?;
    if !segment.has("integrity") {
        return Err(HeaderError::NoIntegrity);
    }
    let mut integrity = segment.object("integrity")?;
    let kind = integrity.text("type")?;
    exactly(&mut integrity, "journal_encryption", "none")?;
    exactly(&mut integrity, "journal_integrity", "none")?;
    integrity.finish()?;
    let cipher = Cipher::ALL
        .into_iter()
        .find(|cipher| cipher.segment_names() == (encryption.as_str(), kind.as_str()))
        .ok_or_else(|| HeaderError::Cipher {
            encryption: shown(&encryption),
            integrity: shown(&kind),
        })?;
    let offset = segment.decimal("offset")?;
    if offset != HEADER_SIZE as u64 {
        return Err(HeaderError::SegmentOffset(offset));
    }
    exactly(&mut segment, "size", "dynamic")?;
    exactly(&mut segment, "iv_tweak", "0")?;
    let found = segment.number("sector_size")?;
    let sector_size = u32::try_from(found).ok().and_then(|size| SectorSize::try_from(size).ok());
    let sector_size = sector_size.ok_or_else(|| HeaderError::Policy {
        path: segment.path("sector_size"),
        found: found.to_string(),
        accepted: "512 or 4096",
    })?;
    segment.finish()?;
    Ok((cipher, sector_size))
}

fn digest(mut digest: Object, limits: &KdfLimits) -> Result<KeyDigest, HeaderError> {
    exactly(&mut digest, "type", "pbkdf2")?;
    if digest.texts("keyslots")? != ["0"] || digest.texts("segments")? != ["0"] {
        return Err(HeaderError::Unbound);
    }
    exactly(&mut digest, "hash", "sha256")?;
    let iterations = iterations(&mut digest, limits)?;
    let salt = salt(&mut digest)?;
    let bytes = digest.base64("digest", DIGEST_SIZE)?;
    let bytes = bytes.try_into().map_err(|_short| HeaderError::Value {
        path: digest.path("digest"),
        expected: "32 bytes",
    })?;
    digest.finish()?;
    Ok(KeyDigest { salt, iterations, digest: bytes })
}

fn keyslot(
    mut keyslot: Object,
    cipher: Cipher,
    digest: KeyDigest,
    limits: &KdfLimits,
) -> Result<Keyslot, HeaderError> {
    no_flags(&keyslot)?;
    let kind = keyslot.text("type")?;
    if kind == "reencrypt" {
        return Err(HeaderError::Reencryption);
    }
    if kind != "luks2" {
        let (path, found) = (keyslot.path("type"), shown(&kind));
        return Err(HeaderError::Policy { path, found, accepted: "luks2" });
    }
    let found = keyslot.number("key_size")?;
    let expected = cipher.key_size();
    if found != expected as u64 {
        return Err(HeaderError::KeySize { found, expected });
    }
    let mut split = keyslot.object("af")?;
    exactly(&mut split, "type", "luks1")?;
    exactly(&mut split, "hash", "sha256")?;
    within(split.number("stripes")?, "af", "stripes", af::STRIPES as u64, af::STRIPES as u64)?;
    split.finish()?;
    let area_offset = area(keyslot.object("area")?, expected)?;
    let kdf = kdf(keyslot.object("kdf")?, limits)?;
    keyslot.finish()?;
    Ok(Keyslot { kdf, digest, key_size: expected, area_offset, area: Vec::new() })
}

fn area(mut area: Object, key_size: usize) -> Result<u64, HeaderError> {
    exactly(&mut area, "type", "raw")?;
    let encryption = area.text("encryption")?;
    not_null(&area, "encryption", &encryption)?;
    let found = area.number("key_size")?;
    if encryption != AREA_CIPHER || found != AREA_KEY_SIZE {
        return Err(HeaderError::Policy {
            path: area.path("encryption"),
            found: format!("{} with {found} bytes of key", shown(&encryption)),
            accepted: "aes-xts-plain64 with 64 bytes of key",
        });
    }
    let (offset, size) = (area.decimal("offset")?, area.decimal("size")?);
    area.finish()?;
    let end = offset.checked_add(size).filter(|end| *end <= HEADER_SIZE as u64);
    let placed = offset >= KEYSLOTS_OFFSET && offset.is_multiple_of(4096) && end.is_some();
    if placed && size == area_size(key_size) { Ok(offset) } else { Err(HeaderError::AreaPlace) }
}

fn kdf(mut kdf: Object, limits: &KdfLimits) -> Result<Kdf, HeaderError> {
    let kind = kdf.text("type")?;
    let kdf_found = match kind.as_str() {
        "pbkdf2" => {
            exactly(&mut kdf, "hash", "sha256")?;
            Kdf::Pbkdf2 { iterations: iterations(&mut kdf, limits)?, salt: salt(&mut kdf)? }
        }
        "argon2id" => {
            let (lanes, passes) = (kdf.number("cpus")?, kdf.number("time")?);
            let memory = kdf.number("memory")?;
            let lanes = within(lanes, "argon2id", "lanes", 1, Argon2Cost::MAX_LANES.into())?;
            let most = limits.passes.min(Argon2Cost::MAX_PASSES);
            let passes = within(passes, "argon2id", "passes", 1, most.into())?;
            let least = 64.max(8 * lanes);
            let most = limits.memory_kib.min(Argon2Cost::MAX_MEMORY_KIB);
            let memory = within(memory, "argon2id", "KiB of memory", least.into(), most.into())?;
            let cost = Argon2Cost::new(memory, passes, lanes).map_err(|_out_of_bounds| {
                HeaderError::Value { path: kdf.path("memory"), expected: "a cost within bounds" }
            })?;
            Kdf::Argon2id { cost, salt: salt(&mut kdf)? }
        }
        _ => {
            let (path, found) = (kdf.path("type"), shown(&kind));
            return Err(HeaderError::Policy { path, found, accepted: "pbkdf2 or argon2id" });
        }
    };
    kdf.finish()?;
    Ok(kdf_found)
}

fn iterations(object: &mut Object, limits: &KdfLimits) -> Result<u32, HeaderError> {
    let most = limits.iterations.into();
    within(object.number("iterations")?, "pbkdf2", "iterations", MIN_ITERATIONS.into(), most)
}

fn within(
    found: u64,
    kdf: &'static str,
    what: &'static str,
    least: u64,
    most: u64,
) -> Result<u32, HeaderError> {
    u32::try_from(found)
        .ok()
        .filter(|_| (least..=most).contains(&found))
        .ok_or(HeaderError::KdfCost { kdf, what, found, least, most })
}

fn salt(object: &mut Object) -> Result<Vec<u8>, HeaderError> {
    let salt = object.base64("salt", MAX_SALT)?;
    if salt.len() < MIN_SALT {
        let path = object.path("salt");
        return Err(HeaderError::Value { path, expected: "a salt of at least 16 bytes" });
    }
    Ok(salt)
}
