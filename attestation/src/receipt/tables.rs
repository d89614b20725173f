//! The device-mapper tables of an encrypted volume.
//!
//! Written from the kernel's description of its targets (Documentation/admin-guide/
//! device-mapper: dm-integrity.rst, dm-crypt.rst, linear.rst) and docs/formats.md. Sizes are
//! taken as the receipt has them: they are in the owners' specification, or follow from the
//! size of the disk. All else is predicted: what lies on what, and how it is encrypted.

use protocol::config::VolumeCipher;
use protocol::release::VolumeName;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Where data begin behind a LUKS2 header of 16 MiB, in sectors.
pub(super) const AFTER_HEADER: u64 = 32768;

/// Stands where a word is of no form that is known here.
const UNKNOWN: &str = "…";

/// What a volume's tables follow from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Volume<'a> {
    /// The node of its disk.
    pub(super) disk: &'a str,
    /// The name of its file system's device.
    pub(super) device: &'a str,
    /// The first sector of its data; `None`: the owners' to say.
    pub(super) offset: Option<u64>,
    /// Its cipher and its ID, if no owner says them: then the whole disk is the volume, in
    /// sectors of 4096 bytes.
    pub(super) here: Option<(VolumeCipher, Option<Uuid>)>,
}

/// A cipher as tables have it, and the size of a sector.
#[derive(Debug, Clone, Copy)]
struct Form {
    cipher: VolumeCipher,
    is_large: bool,
}

impl Form {
    /// Its name in the crypt target, bytes of its key, bytes of metadata of a sector.
    const fn words(self) -> (&'static str, u8, u8) {
        match self.cipher {
            VolumeCipher::AesXtsHmacSha256 => {
                ("capi:authenc(hmac(sha256),xts(aes))-plain64", 96, 32)
            }
            VolumeCipher::AesGcmRandom => ("capi:gcm(aes)-random", 32, 28),
            VolumeCipher::Aegis128Random => ("capi:aegis128-random", 16, 32),
        }
    }

    /// What `crypt` parameters say, as far as they say it.
    fn of(parameters: &str) -> Self {
        let is_large = parameters.ends_with(" sector_size:4096");
        let ciphers = [VolumeCipher::AesGcmRandom, VolumeCipher::Aegis128Random];
        let form = |cipher| Self { cipher, is_large };
        let found = ciphers.map(form).into_iter().find(|form| {
            let (name, ..) = form.words();
            parameters.split(' ').next() == Some(name)
        });
        found.unwrap_or(form(VolumeCipher::AesXtsHmacSha256))
    }
}

impl Volume<'_> {
    fn form(&self, crypt: &str) -> Form {
        match self.here {
            Some((cipher, _)) => Form { cipher, is_large: true },
            None => Form::of(crypt),
        }
    }

    /// `integrity` over the disk; the receipt has `found`, and `crypt` over it.
    pub(super) fn integrity(&self, found: &str, crypt: &str) -> String {
        let form = self.form(crypt);
        let (_, _, tag) = form.words();
        let offset = match self.offset {
            Some(offset) => offset.to_string(),
            None => number(found.split(' ').nth(1)),
        };
        let sized = |name: &str| {
            number(found.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix(':')))
        };
        let interleave = match self.here {
            Some(_) => "32768".to_owned(),
            None => sized("interleave_sectors"),
        };
        format!(
            "{} {offset} {tag} J {}journal_sectors:{} interleave_sectors:{interleave} \
             buffer_sectors:{} journal_watermark:50 commit_time:10000 fix_padding",
            self.disk,
            if form.is_large { "7 block_size:4096 " } else { "6 " },
            sized("journal_sectors"),
            sized("buffer_sectors"),
        )
    }

    /// `crypt` over that; the receipt has `found`.
    pub(super) fn crypt(&self, found: &str) -> String {
        let form = self.form(found);
        let (name, key, tag) = form.words();
        let id = match self.here {
            Some((_, Some(id))) => id.to_string(),
            Some((_, None)) | None => found_id(found),
        };
        format!(
            "{name} :{key}:logon:ravelin:{id} 0 {}.integrity 0 {} integrity:{tag}:aead{}",
            self.device,
            if form.is_large { 2 } else { 1 },
            if form.is_large { " sector_size:4096" } else { "" },
        )
    }

    /// `linear` over that.
    pub(super) fn linear(&self) -> String {
        format!("{}.crypt 0", self.device)
    }
}

/// The ID of a sealed volume.
pub(super) fn sealed_id(name: &VolumeName) -> Uuid {
    let digest =
        Sha256::new().chain_update("ravelin sealed volume id v1").chain_update(name.as_str());
    let start = digest.finalize().first_chunk().copied().unwrap_or_default();
    uuid::Builder::from_custom_bytes(start).into_uuid()
}

/// The volume's ID in `crypt` parameters, if it is one.
fn found_id(parameters: &str) -> String {
    let key = parameters.split(' ').nth(1);
    let id = key.and_then(|key| key.rsplit(':').next()).unwrap_or_default();
    match Uuid::try_parse(id) {
        Ok(read) if read.to_string() == id => read.to_string(),
        Ok(_) | Err(_) => UNKNOWN.to_owned(),
    }
}

/// A number, if it is one.
fn number(word: Option<&str>) -> String {
    let read: Option<u64> = word.and_then(|word| word.parse().ok());
    read.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233-4455-4677-8899-aabbccddeeff";
    const VOLUME: Volume<'_> =
        Volume { disk: "/dev/vda", device: "ravelin-root", offset: None, here: None };

    /// The tables of volumes that cryptsetup 2.6.1 made, with names for numbers.
    #[test]
    fn the_tables_of_cryptsetup_are_predicted() {
        let key = format!("logon:ravelin:{ID} 0 ravelin-root.integrity 0");
        let options = "journal_watermark:50 commit_time:10000 fix_padding";
        let large = format!(
            "/dev/vda 32768 32 J 7 block_size:4096 journal_sectors:528 interleave_sectors:32768 \
             buffer_sectors:128 {options}"
        );
        let small = format!(
            "/dev/vda 32768 32 J 6 journal_sectors:616 interleave_sectors:32768 \
             buffer_sectors:128 {options}"
        );
        let aes = "capi:authenc(hmac(sha256),xts(aes))-plain64 :96";
        for (integrity, crypt) in [
            (&large, format!("{aes}:{key} 2 integrity:32:aead sector_size:4096")),
            (&small, format!("{aes}:{key} 1 integrity:32:aead")),
            (
                &small.replace(" 32 J", " 28 J"),
                format!("capi:gcm(aes)-random :32:{key} 1 integrity:28:aead"),
            ),
            (&small, format!("capi:aegis128-random :16:{key} 1 integrity:32:aead")),
        ] {
            for offset in [None, Some(AFTER_HEADER)] {
                let volume = Volume { offset, ..VOLUME };
                assert_eq!(volume.integrity(integrity, &crypt), *integrity);
                assert_eq!(volume.crypt(&crypt), crypt);
            }
            // Metadata of another cipher's size, or sectors of another size.
            let other = Volume { offset: Some(0), ..VOLUME };
            assert_ne!(other.integrity(integrity, &crypt), *integrity);
            let swapped = if integrity.contains("block_size") { &small } else { &large };
            assert_ne!(VOLUME.integrity(swapped, &crypt), *swapped);
        }
        assert_eq!(VOLUME.linear(), "ravelin-root.crypt 0");
    }

    #[test]
    fn what_is_no_number_or_id_is_not_taken_over() {
        let ids = [&ID.to_uppercase().replace('-', ""), "", "x y", "00112233-4455"];
        for id in ids {
            let found = format!("capi:aegis128-random :16:logon:ravelin:{id} 0");
            assert!(VOLUME.crypt(&found).contains(":ravelin:… 0 "), "{id}");
        }
        for found in ["", "x", "/dev/vda -1 32 J 6 journal_sectors:+ buffer_sectors:1e3"] {
            let text = VOLUME.integrity(found, "");
            assert!(text.starts_with("/dev/vda … 32 J 6 journal_sectors:… "), "{text}");
        }
    }
}
