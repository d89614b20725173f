//! libcryptsetup reads the headers that Ravelin writes, without device-mapper: what it
//! says of them is what was meant, and keyslots give the very key that follows from
//! specification and secret. Volumes are opened in a virtual machine.

use std::fs;

use libcryptsetup_rs::CryptInit;
use libcryptsetup_rs::consts::flags::CryptActivate;
use libcryptsetup_rs::consts::vals::{CryptKdf, EncryptionFormat, KeyslotInfo};
use luks::{
    Argon2Cost, Cipher, HeaderKey, LUKS2_DATA_OFFSET, Layout, NewHeader, SECTOR, Secret,
    SectorSize, VolumeKey, VolumeSpec,
};
use rand_core::OsRng;
use uuid::Uuid;

const ID: Uuid = Uuid::from_u128(0x0011_2233_4455_4677_8899_aabb_ccdd_eeff);
const PASSPHRASE: &[u8] = b"correct horse";

/// What libcryptsetup has to say.
struct Expected {
    cipher: &'static str,
    mode: &'static str,
    integrity: &'static str,
}

fn expected(cipher: Cipher) -> Expected {
    let (cipher, mode, integrity) = match cipher {
        Cipher::AesXtsHmacSha256 => ("aes", "xts-plain64", "hmac(sha256)"),
        Cipher::AesGcmRandom => ("aes", "gcm-random", "aead"),
        Cipher::Aegis128Random => ("aegis128", "random", "aead"),
    };
    Expected { cipher, mode, integrity }
}

#[test]
fn libcryptsetup_reads_what_was_meant() {
    let secret = Secret::new(&[0x11; 32]);
    let cost = Argon2Cost::new(4096, 4, 3).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for cipher in Cipher::ALL {
        for sector_size in [SectorSize::B512, SectorSize::B4096] {
            for by_passphrase in [false, true] {
                let layout =
                    Layout::for_volume(cipher, sector_size, LUKS2_DATA_OFFSET, 1 << 12).unwrap();
                let spec = VolumeSpec::new(layout, ID, None).unwrap();
                let key = VolumeKey::derive(&secret, &spec);
                let unlock = if by_passphrase {
                    HeaderKey::Passphrase { passphrase: PASSPHRASE, cost }
                } else {
                    HeaderKey::Secret(&secret)
                };
                let header = NewHeader { spec: &spec, key: &key, unlock };
                let mut disk = header.to_bytes(&mut OsRng).unwrap().to_vec();
                let bytes = layout.params().device_sectors * SECTOR;
                disk.resize(usize::try_from(bytes).unwrap(), 0);
                let path = directory.path().join("disk");
                fs::write(&path, &disk).unwrap();

                let mut device = CryptInit::init(&path).unwrap();
                let mut context = device.context_handle();
                context.load::<()>(Some(EncryptionFormat::Luks2), None).unwrap();
                let mut status = device.status_handle();
                let expected = expected(cipher);
                assert_eq!(status.get_uuid().unwrap(), ID);
                assert_eq!(status.get_cipher().unwrap(), expected.cipher);
                assert_eq!(status.get_cipher_mode().unwrap(), expected.mode);
                assert_eq!(status.get_data_offset(), LUKS2_DATA_OFFSET);
                assert_eq!(status.get_iv_offset(), 0);
                assert_eq!(usize::try_from(status.get_volume_key_size()), Ok(cipher.key_size()));
                let json = status.dump_json().unwrap();
                let segment = json.pointer("/segments/0").unwrap();
                assert_eq!(segment.pointer("/integrity/type").unwrap(), expected.integrity);
                assert_eq!(segment.pointer("/sector_size").unwrap(), sector_size.bytes());

                let mut keyslots = device.keyslot_handle();
                assert!(matches!(keyslots.status(0).unwrap(), KeyslotInfo::ActiveLast));
                assert!(matches!(keyslots.status(1).unwrap(), KeyslotInfo::Inactive));
                assert_eq!(keyslots.get_encryption(Some(0)).unwrap(), ("aes-xts-plain64", 64));
                let size = keyslots.get_key_size(0).unwrap();
                assert_eq!(usize::try_from(size), Ok(cipher.key_size()));
                let kdf = keyslots.get_pbkdf(0).unwrap();
                if by_passphrase {
                    assert!(matches!(kdf.type_, CryptKdf::Argon2Id));
                    let found = (kdf.max_memory_kb, kdf.iterations, kdf.parallel_threads);
                    assert_eq!(found, (cost.memory_kib(), cost.passes(), cost.lanes()));
                } else {
                    assert!(matches!(kdf.type_, CryptKdf::Pbkdf2));
                    assert_eq!(kdf.hash.as_deref(), Some("sha256"));
                }

                let passphrase = if by_passphrase { PASSPHRASE } else { secret.as_bytes() };
                let mut found = vec![0; cipher.key_size()];
                let mut keys = device.volume_key_handle();
                let (keyslot, length) = keys.get(None, &mut found, Some(passphrase)).unwrap();
                assert_eq!((keyslot, length), (0, cipher.key_size()));
                assert!(found == key.as_bytes(), "{cipher}");
                keys.verify(key.as_bytes()).unwrap();
                assert!(keys.get(None, &mut found, Some(b"wrong")).is_err());
                // Without a name it opens the keyslot and activates nothing.
                let mut activate = device.activate_handle();
                let open =
                    activate.activate_by_passphrase(None, None, passphrase, CryptActivate::empty());
                assert_eq!(open.unwrap(), 0);
                drop(device);
                assert!(fs::read(&path).unwrap() == disk, "nothing was repaired");
            }
        }
    }
}
