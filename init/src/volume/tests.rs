use luks::{
    Cipher, HEADER_SIZE, HeaderKey, Layout, LayoutParams, Memory, NewHeader, Options, SECTOR,
    SUPERBLOCK_SIZE, SectorSize, SuperblockError, VolumeKey, WriteAt as _,
};
use protocol::config::{FsType, KeySource, RootKey, Selector, VolumeTarget};
use protocol::release::Refusal;
use sha2::{Digest as _, Sha256};
use ssh_key::rand_core::OsRng;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::*;
use crate::fake::Fake;

const DISK: &str = "/dev/vdb";
const SIZE: usize = 4 << 20;
const SECRET: [u8; 32] = [0x11; 32];
/// Behind superblock, journal and the metadata of the only area, in bytes.
const FIRST_SECTOR: usize = (8 + 264 + 256) << 9;

fn spec_of(id: u128, size: usize, data_offset: u64) -> VolumeSpec {
    let (cipher, block) = (Cipher::AesXtsHmacSha256, SectorSize::B4096);
    let sectors = size as u64 / SECTOR;
    let params = LayoutParams::with_default_journal(cipher, block, sectors, data_offset);
    VolumeSpec::new(Layout::new(params).unwrap(), Uuid::from_u128(id), None).unwrap()
}

fn spec() -> VolumeSpec {
    spec_of(7, SIZE, 0)
}

/// A disk with this volume.
fn sealed(spec: &VolumeSpec, key: &VolumeKey) -> Vec<u8> {
    let bytes = usize::try_from(spec.layout().params().device_sectors * SECTOR).unwrap();
    let disk = Memory::new(vec![0; bytes]);
    luks::seal(spec, key, &[1_u8; 8192][..], 8192, &disk, &mut OsRng, &Options::default()).unwrap();
    disk.into_bytes()
}

fn key(spec: &VolumeSpec) -> VolumeKey {
    VolumeKey::derive(&Secret::new(&SECRET), spec)
}

fn machine(content: Vec<u8>) -> Fake {
    let fake = Fake::default();
    fake.volumes.add_disk(DISK, content);
    fake
}

fn disk(size: usize) -> Device {
    Device { node: DISK.into(), bytes: size as u64 }
}

fn released(spec: &VolumeSpec, secret: [u8; 32]) -> ReleasedVolume {
    ReleasedVolume {
        name: VolumeName::root(),
        key: ReleasedKey::Spec { spec: spec.encode(), secret: Zeroizing::new(secret) },
        min_epoch: 0,
        provision: false,
    }
}

/// The error of opening, after which nothing is mapped.
fn refused(fake: &Fake, released: &ReleasedVolume) -> OpenError {
    let error = open_released(fake, &disk(SIZE), released).unwrap_err();
    assert_eq!(fake.volumes.mapped(), [""; 0], "{error:?}");
    error
}

#[test]
fn a_volume_is_opened_in_this_order() {
    let spec = spec();
    let fake = machine(sealed(&spec, &key(&spec)));
    let opened = open_released(&fake, &disk(SIZE), &released(&spec, SECRET)).unwrap();
    assert_eq!(opened.node, PathBuf::from("/dev/mapper/ravelin-root"));
    assert_eq!((opened.epoch, opened.formatted), (Some(1), false));
    let id = "00000000000000000000000000000007";
    let calls = fake.calls.borrow();
    assert_eq!(
        calls.as_slice(),
        [
            "open-disk /dev/vdb Read".to_owned(),
            "device-number /dev/vdb".to_owned(),
            format!(
                "load ravelin-root.integrity CRYPT-INTEGRITY-{id}-ravelin-root.integrity 7664 \
                 integrity 253:0 0 32 J 7 block_size:4096 journal_sectors:264 \
                 interleave_sectors:32768 buffer_sectors:128 journal_watermark:50 \
                 commit_time:10000 fix_padding"
            ),
            "loaded ravelin-root.integrity".to_owned(),
            "start ravelin-root.integrity".to_owned(),
            "device-number /dev/mapper/ravelin-root.integrity".to_owned(),
            format!(
                "load ravelin-root.crypt CRYPT-RAVELIN-{id}-ravelin-root.crypt 7664 crypt \
                 capi:authenc(hmac(sha256),xts(aes))-plain64 \
                 :96:logon:ravelin:00000000-0000-0000-0000-000000000007 0 253:1 0 2 \
                 integrity:32:aead sector_size:4096 with \
                 ravelin:00000000-0000-0000-0000-000000000007"
            ),
            "loaded ravelin-root.crypt".to_owned(),
            "start ravelin-root.crypt".to_owned(),
            "open-disk /dev/mapper/ravelin-root.crypt Read".to_owned(),
            "device-number /dev/mapper/ravelin-root.crypt".to_owned(),
            format!("load ravelin-root CRYPT-RAVELIN-{id}-ravelin-root 7632 linear 253:2 0"),
            "loaded ravelin-root".to_owned(),
            "start ravelin-root".to_owned(),
        ]
    );
    drop(calls);
    close(&fake, &opened.name);
    assert_eq!(fake.volumes.mapped(), [""; 0]);
}

/// The DIRTY_BITMAP flag crashes Linux 6.12; a superblock of zeros would be formatted.
#[test]
fn no_table_is_loaded_over_another_superblock() {
    let spec = spec();
    let good = sealed(&spec, &key(&spec));
    for byte in (0..32).chain([511, 512, SUPERBLOCK_SIZE - 1]) {
        for bit in [0, 2, 7] {
            let mut content = good.clone();
            content[byte] ^= 1 << bit;
            let fake = machine(content);
            let error = refused(&fake, &released(&spec, SECRET));
            let OpenError::Superblock { source: SuperblockError::Differs { offset, .. }, .. } =
                &error
            else {
                panic!("{error:?}")
            };
            assert_eq!(*offset, byte);
            assert!(error.may_be_the_release());
            assert_eq!(fake.calls_of("load"), [""; 0], "{byte}");
        }
    }
    let mut content = good;
    content[..SUPERBLOCK_SIZE].fill(0);
    for provision in [false, true] {
        let fake = machine(content.clone());
        let error = refused(&fake, &ReleasedVolume { provision, ..released(&spec, SECRET) });
        let is_named =
            matches!(&error, OpenError::Superblock { source: SuperblockError::Blank, .. });
        assert!(is_named, "{error:?}");
        assert_eq!(fake.calls_of("load"), [""; 0]);
        assert!(fake.volumes.disk(DISK, SIZE) == content, "a wiped volume is left alone");
    }
}

#[test]
fn a_blank_disk_needs_permission() {
    let spec = spec();
    let fake = machine(vec![0; SIZE]);
    let error = refused(&fake, &released(&spec, SECRET));
    assert!(matches!(error, OpenError::Blank { .. }), "{error:?}");
    assert_eq!(fake.calls_of("open-disk"), ["open-disk /dev/vdb Read"]);

    let provision = ReleasedVolume { provision: true, ..released(&spec, SECRET) };
    let rolled_back = ReleasedVolume { provision: true, min_epoch: 2, ..released(&spec, SECRET) };
    let error = refused(&fake, &rolled_back);
    assert!(matches!(error, OpenError::RolledBack { found: 0, least: 2 }), "{error:?}");
    assert!(fake.volumes.disk(DISK, SIZE) == vec![0; SIZE]);

    let opened = open_released(&fake, &disk(SIZE), &provision).unwrap();
    assert_eq!((opened.epoch, opened.formatted), (Some(1), true));
    close(&fake, &opened.name);
    // What is there now is not formatted again.
    let content = fake.volumes.disk(DISK, SIZE);
    let opened = open_released(&fake, &disk(SIZE), &provision).unwrap();
    assert!(!opened.formatted);
    assert!(fake.volumes.disk(DISK, SIZE) == content);
}

#[test]
fn an_interrupted_run_is_begun_again() {
    let spec = spec();
    // What the mark says, and remains of sectors.
    let mut content = sealed(&spec, &key(&spec));
    content[..SUPERBLOCK_SIZE].fill(0);
    content[..provision::UNFINISHED.len()].copy_from_slice(provision::UNFINISHED);
    let fake = machine(content);
    let error = refused(&fake, &released(&spec, SECRET));
    assert!(matches!(error, OpenError::Blank { .. }), "{error:?}");
    let provision = ReleasedVolume { provision: true, ..released(&spec, SECRET) };
    assert!(open_released(&fake, &disk(SIZE), &provision).unwrap().formatted);
}

#[test]
fn a_disk_of_another_size_is_refused_unread() {
    let spec = spec();
    let fake = machine(sealed(&spec, &key(&spec)));
    for size in [SIZE - 512, SIZE + 512, 0] {
        let error = open_released(&fake, &disk(size), &released(&spec, SECRET)).unwrap_err();
        assert!(matches!(error, OpenError::DiskSize { .. }), "{error:?}");
    }
    assert_eq!(fake.calls.borrow().as_slice(), [""; 0]);
    let mut released = released(&spec, SECRET);
    if let ReleasedKey::Spec { spec, .. } = &mut released.key {
        spec[0] ^= 1;
    }
    assert!(matches!(refused(&fake, &released), OpenError::Spec(_)));
    assert_eq!(fake.calls.borrow().as_slice(), [""; 0]);
}

#[test]
fn a_wrong_key_or_specification_opens_nothing() {
    let spec = spec();
    let fake = machine(sealed(&spec, &key(&spec)));
    // The same geometry, another volume.
    let other = spec_of(8, SIZE, 0);
    for wrong in [released(&spec, [0x12; 32]), released(&other, SECRET)] {
        let error = refused(&fake, &wrong);
        assert!(matches!(error, OpenError::Key { .. }), "{error:?}");
        assert!(error.may_be_the_release());
        assert_eq!(error.refusal(), Refusal::NotOpened);
    }
    assert_eq!(fake.calls_of("load ravelin-root CRYPT"), [""; 0]);
    // The right one opens it afterwards.
    assert!(open_released(&fake, &disk(SIZE), &released(&spec, SECRET)).is_ok());
}

#[test]
fn epochs_go_up_and_older_disks_are_refused() {
    let spec = spec();
    let fake = machine(sealed(&spec, &key(&spec)));
    let at_least = |min_epoch| ReleasedVolume { min_epoch, ..released(&spec, SECRET) };
    let mut opened = open_released(&fake, &disk(SIZE), &at_least(1)).unwrap();
    for next in 2..5 {
        assert_eq!(commit_epoch(&fake, &mut opened).unwrap(), next);
        assert_eq!(opened.epoch, Some(next));
    }
    close(&fake, &opened.name);
    let mut opened = open_released(&fake, &disk(SIZE), &at_least(4)).unwrap();
    assert_eq!(opened.epoch, Some(4));
    fake.volumes.forgetful.set(true);
    let error = commit_epoch(&fake, &mut opened).unwrap_err();
    assert!(matches!(error, OpenError::EpochLost { expected: 5, found: 4 }), "{error:?}");
    close(&fake, &opened.name);
    assert!(matches!(refused(&fake, &at_least(5)), OpenError::RolledBack { found: 4, least: 5 }));
    fake.volumes.roll_back();
    let error = refused(&fake, &at_least(4));
    assert!(matches!(error, OpenError::RolledBack { found: 1, least: 4 }), "{error:?}");
    assert_eq!(error.refusal(), Refusal::RolledBack);
}

#[test]
fn a_device_with_another_table_is_not_started() {
    let spec = spec();
    for (text, other, name) in [
        ("journal_sectors:264", "journal_sectors:528", "ravelin-root.integrity"),
        ("fix_padding", "recalculate fix_padding", "ravelin-root.integrity"),
        (" J ", " D ", "ravelin-root.integrity"),
        ("integrity:32:aead", "integrity:32:none", "ravelin-root.crypt"),
        ("capi:authenc(hmac(sha256),xts(aes))-plain64", "cipher_null-ecb", "ravelin-root.crypt"),
    ] {
        let fake = machine(sealed(&spec, &key(&spec)));
        *fake.volumes.other_table.borrow_mut() = Some((text.to_owned(), other.to_owned()));
        let error = refused(&fake, &released(&spec, SECRET));
        let OpenError::TableDiffers { device, .. } = &error else { panic!("{error:?}") };
        assert_eq!(device, name);
        assert!(!error.may_be_the_release());
        assert_eq!(fake.calls_of(&format!("start {name}")), [""; 0]);
    }
}

/// Whichever call fails, nothing stays mapped.
#[test]
fn every_failure_takes_all_away() {
    let spec = spec();
    let content = sealed(&spec, &key(&spec));
    let fake = machine(content.clone());
    open_released(&fake, &disk(SIZE), &released(&spec, SECRET)).unwrap();
    let calls = fake.calls.borrow().len();
    for fails in 0..calls {
        let fake = machine(content.clone());
        fake.fail_at.set(Some(fails));
        refused(&fake, &released(&spec, SECRET));
    }
}

const LUKS_SIZE: usize = HEADER_SIZE + SIZE;

/// A disk with a header, and the header's digest.
fn luks_disk() -> (Vec<u8>, [u8; 32]) {
    let spec = spec_of(9, LUKS_SIZE, HEADER_SIZE as u64 / SECTOR);
    let key = key(&spec);
    let unlock = HeaderKey::Secret(&Secret::new(&SECRET));
    let header = NewHeader { spec: &spec, key: &key, unlock }.to_bytes(&mut OsRng).unwrap();
    let disk = Memory::new(sealed(&spec, &key));
    disk.write_all_at(&header, 0).unwrap();
    (disk.into_bytes(), Sha256::digest(&header).into())
}

fn luks_released(header_sha256: [u8; 32], passphrase: &[u8]) -> ReleasedVolume {
    let passphrase = Zeroizing::new(passphrase.to_vec());
    let key = ReleasedKey::Luks { header_sha256, passphrase };
    ReleasedVolume { name: VolumeName::root(), key, min_epoch: 0, provision: false }
}

#[test]
fn a_luks2_disk_is_opened_by_its_pinned_header_only() {
    let (content, digest) = luks_disk();
    let fake = machine(content.clone());
    let open =
        |fake: &Fake, released: &ReleasedVolume| open_released(fake, &disk(LUKS_SIZE), released);
    let mut opened = open(&fake, &luks_released(digest, &SECRET)).unwrap();
    assert_eq!((opened.epoch, opened.formatted), (None, false));
    assert_eq!(opened.node, PathBuf::from("/dev/mapper/ravelin-root"));
    assert_eq!(commit_epoch(&fake, &mut opened).unwrap(), 0);
    assert_eq!(fake.volumes.mapped(), ["ravelin-root", "ravelin-root.integrity"]);
    close(&fake, &opened.name);

    let refused = |content: Vec<u8>, released: &ReleasedVolume| {
        let fake = machine(content);
        let error = open(&fake, released).unwrap_err();
        assert_eq!(fake.volumes.mapped(), [""; 0]);
        (error, fake.calls_of("load").len())
    };
    let right = luks_released(digest, &SECRET);
    let (error, loads) = refused(content.clone(), &luks_released(digest, &[0x12; 32]));
    assert!(matches!(error, OpenError::Unlock(luks::UnlockError::Passphrase)), "{error:?}");
    assert_eq!(loads, 0);
    for at in [0, 8, 5000, 20_000, 40_000, HEADER_SIZE - 1] {
        let mut other = content.clone();
        other[at] ^= 1;
        let (error, loads) = refused(other, &right);
        assert!(matches!(error, OpenError::HeaderDigest { .. }), "{at}: {error:?}");
        assert_eq!(loads, 0);
    }
    // The owner named this one, and it is none.
    let mut other = content.clone();
    other[0] ^= 1;
    let pinned = Sha256::digest(&other[..HEADER_SIZE]).into();
    let (error, _) = refused(other, &luks_released(pinned, &SECRET));
    assert!(matches!(error, OpenError::Header { .. }), "{error:?}");
    let mut other = content.clone();
    other[HEADER_SIZE + 24] ^= 4;
    let (error, loads) = refused(other, &right);
    assert!(matches!(error, OpenError::Superblock { .. }), "{error:?}");
    assert_eq!(loads, 0);
    // The first block of the first area.
    let mut other = content.clone();
    other[HEADER_SIZE + FIRST_SECTOR] ^= 1;
    let (error, _) = refused(other, &right);
    assert!(matches!(error, OpenError::Key { .. }), "{error:?}");

    let epoch = ReleasedVolume { min_epoch: 1, ..luks_released(digest, &SECRET) };
    assert!(matches!(refused(content.clone(), &epoch).0, OpenError::NoEpochs { least: 1 }));
    let provision = ReleasedVolume { provision: true, ..luks_released(digest, &SECRET) };
    assert!(matches!(refused(content, &provision).0, OpenError::ProvisionLuks));
}

fn data_volume(key: KeySource, provision_if_blank: bool) -> DataVolume {
    DataVolume {
        name: "data".parse().unwrap(),
        device: Selector::Serial("data".to_owned()),
        target: VolumeTarget::Writable,
        fstype: FsType::Ext4,
        key,
        provision_if_blank,
    }
}

const SEALING: Sealing = Sealing {
    cipher: VolumeCipher::Aegis128Random,
    root_key: RootKey::Vcek,
    family_id: false,
    image_id: false,
    guest_svn: None,
    tcb_version: None,
};

#[test]
fn a_sealed_volume_is_made_once_and_opened_by_the_same_key() {
    let fake = machine(vec![0; SIZE]);
    let open = |sealing: Sealing, provision| {
        let volume = data_volume(KeySource::Sealed(sealing), provision);
        open_sealed(&fake, &disk(SIZE), &volume, &sealing, Duration::from_secs(9))
    };
    assert!(matches!(open(SEALING, false), Err(OpenError::Blank { .. })));
    let opened = open(SEALING, true).unwrap();
    assert!(opened.formatted);
    close(&fake, &opened.name);
    let opened = open(SEALING, true).unwrap();
    assert!(!opened.formatted);
    close(&fake, &opened.name);
    // Another image's key, or another root's: the disk is left alone, also with permission.
    let content = fake.volumes.disk(DISK, SIZE);
    for other in
        [Sealing { family_id: true, ..SEALING }, Sealing { root_key: RootKey::Vlek, ..SEALING }]
    {
        let error = open(other, true).unwrap_err();
        assert!(matches!(error, OpenError::Key { .. }), "{error:?}");
        assert!(fake.volumes.disk(DISK, SIZE) == content);
    }
    assert_eq!(fake.volumes.mapped(), [""; 0]);
}

/// The vectors of docs/formats.md.
#[test]
fn the_secret_and_id_of_a_sealed_volume() {
    let name = "data".parse().unwrap();
    let secret = derived::sealed_secret(&[0x22; 32], &name);
    let hex: String = secret.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "0ad21911195aa38621cdde6e631dfdc4750f8b51fa8860a2ebc5343f8b6e6925");
    assert_eq!(derived::sealed_id(&name).to_string(), "0da08955-68db-8c87-9d1f-d995ac2e2706");
    assert_ne!(derived::sealed_id(&VolumeName::root()), derived::sealed_id(&name));
}

#[test]
fn an_ephemeral_volume_is_made_anew_each_time() {
    let fake = machine(b"anything".repeat(SIZE / 8));
    let cipher = VolumeCipher::AesXtsHmacSha256;
    let volume = data_volume(KeySource::Ephemeral(cipher), false);
    let mut contents = Vec::new();
    for _ in 0..2 {
        let opened = open_ephemeral(&fake, &disk(SIZE), &volume, cipher).unwrap();
        assert!(opened.formatted);
        assert_eq!(fake.calls_of("open-disk /dev/vdb Exclusive").len(), contents.len() + 1);
        contents.push(fake.volumes.disk(DISK, SIZE));
        close(&fake, &opened.name);
    }
    // Another key: not one sector of the volume is the same.
    let volume = |content: &Vec<u8>| content[FIRST_SECTOR..FIRST_SECTOR + (7664 << 9)].to_vec();
    let [first, second] = [&contents[0], &contents[1]].map(volume);
    assert!(first.chunks(4096).zip(second.chunks(4096)).all(|(first, second)| first != second));
}
