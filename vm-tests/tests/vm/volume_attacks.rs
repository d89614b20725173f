//! The host changes single sectors of an encrypted volume, or its journal.
//!
//! What is not authentic is an I/O error at exactly that sector, never data. What *is*
//! authentic and old is accepted: the format has no freshness within a volume. These
//! tests say so too, byte by byte (docs/security.md).

use std::sync::Arc;

use vm_tests::nbd::{Image, Server};
use vm_tests::{Outcome, WorkDir, sha256};

use crate::encrypted::{DISKS, Disk};
use crate::on_disk::OnDisk;
use crate::volumes::{FILE_SYSTEM, Script, TestVolume, scanned};

/// EILSEQ: dm-crypt's word for what is not authentic (`BLK_STS_PROTECTION`).
const NOT_AUTHENTIC: u64 = 84;
/// Bytes that the guest writes, over the zeros that were there, and to how many sectors.
const NEW: u8 = 0x22;
const SECTORS: u64 = 8;

/// What the host does to the disk.
#[derive(Clone, Copy, Debug)]
enum Attack {
    Nothing,
    DataBit,
    MetadataBit,
    MetadataOfAnother,
    Exchange,
    ForgedEntry,
    ChangedEntry,
    MovedEntry,
    NewestEntry,
    OldSector,
    OldEntry,
}

const ATTACKS: [Attack; 11] = [
    Attack::Nothing,
    Attack::DataBit,
    Attack::MetadataBit,
    Attack::MetadataOfAnother,
    Attack::Exchange,
    Attack::ForgedEntry,
    Attack::ChangedEntry,
    Attack::MovedEntry,
    Attack::NewestEntry,
    Attack::OldSector,
    Attack::OldEntry,
];

/// What the guest finds at the attacked sectors.
struct Expected {
    /// Unreadable ones.
    errors: Vec<u64>,
    /// Those with the content that they had before the guest wrote.
    old: Vec<u64>,
}

/// Attack: single sectors of an encrypted volume, their tags, and entries of its journal
/// are changed, exchanged, moved and forged. Observed: an I/O error at exactly that sector,
/// never data; what is authentic and old is read, as documented. Closed: each sector's tag
/// has its key and its place; there is no freshness within a volume.
#[test]
fn changed_sectors_of_4096_bytes_are_errors_and_never_data() {
    attack(DISKS[0]);
}

/// Attack: such changes on a volume with random IVs. Observed: an I/O error at exactly that
/// sector, never data. Closed: the authenticated cipher.
#[test]
fn changed_sectors_with_random_ivs_are_errors_and_never_data() {
    attack(DISKS[3]);
}

fn attack(disk: Disk) {
    let work = WorkDir::new();
    let volume = TestVolume::make(disk, &work);
    let block = volume.sector();
    let old = volume.image();
    let new = write_new(&volume, &work);
    let clear = volume.decrypt(&new, &work);
    let (target, other) = (FILE_SYSTEM + block, FILE_SYSTEM + 5 * block);

    let attacked: Vec<_> = ATTACKS
        .into_iter()
        .map(|attack| {
            let image = new.clone();
            let expected = attack.perform(&OnDisk::of(&volume.spec), &image, &old, target, other);
            (attack, Arc::new(image), expected)
        })
        .collect();
    let outcome = open_all(&volume, &attacked, &work);
    for (attack, _, expected) in &attacked {
        let name = attack.name();
        let mut content = clear.clone();
        for (offset, byte) in expected
            .errors
            .iter()
            .map(|offset| (offset, 0))
            .chain(expected.old.iter().map(|offset| (offset, old_byte())))
        {
            let start = usize::try_from(*offset).unwrap();
            content[start..start + usize::try_from(block).unwrap()].fill(byte);
        }
        let errors: Vec<_> =
            expected.errors.iter().map(|offset| format!("{offset}:{NOT_AUTHENTIC}")).collect();
        let expected = (sha256(&content), errors.join(" "));
        let (digest, errors) = scanned(&outcome, &name);
        assert_eq!((digest.to_owned(), errors.to_owned()), expected, "{name} of {}", disk.name);
        assert_eq!(outcome.console.probe(&format!("close:{name}")), "closed");
    }
}

/// Zeros: what `image encrypt` seals behind a file system.
fn old_byte() -> u8 {
    0
}

/// The disk after the guest has written to some sectors and closed the volume.
fn write_new(volume: &TestVolume, work: &WorkDir) -> Image {
    let disk = Arc::new(volume.image());
    let server = Server::start(Arc::clone(&disk));
    let mut script = Script::new(work);
    let bytes = SECTORS * volume.sector();
    script.line(volume.open("new")).line(format!("put:new;{FILE_SYSTEM};{bytes};{NEW}"));
    let outcome = script.line("close:new").vm().served_disk(&server, "new").run();
    outcome.booted();
    assert_eq!(outcome.console.probe("put:new"), "written");
    assert_eq!(outcome.console.probe("close:new"), "closed");
    let image = Image::clone(&disk);
    let clear = volume.decrypt(&image, work);
    let start = usize::try_from(FILE_SYSTEM).unwrap();
    let end = start + usize::try_from(bytes).unwrap();
    assert!(clear[start..end].iter().all(|byte| *byte == NEW));
    assert!(clear[end..end + 4096].iter().all(|byte| *byte == old_byte()));
    image
}

/// All attacked disks in one machine, each read whole.
fn open_all(
    volume: &TestVolume,
    attacked: &[(Attack, Arc<Image>, Expected)],
    work: &WorkDir,
) -> Outcome {
    let mut script = Script::new(work);
    let mut servers = Vec::new();
    for (attack, image, _) in attacked {
        let name = attack.name();
        script.line(volume.open(&name));
        script.line(format!("scan:{name};{}", volume.sector()));
        script.line(format!("close:{name}"));
        servers.push((Server::start(Arc::clone(image)), name));
    }
    let mut vm = script.vm();
    for (server, name) in &servers {
        vm = vm.served_disk(server, name);
    }
    let outcome = vm.run();
    outcome.booted();
    outcome
}

impl Attack {
    /// A serial number has 20 bytes at most.
    fn name(self) -> String {
        format!("{self:?}")
    }

    /// Changes a disk, at one sector or two.
    fn perform(
        self,
        on_disk: &OnDisk,
        image: &Image,
        old: &Image,
        target: u64,
        other: u64,
    ) -> Expected {
        let errors = |errors: &[u64]| Expected { errors: errors.to_vec(), old: Vec::new() };
        let comes_back = Expected { errors: Vec::new(), old: vec![target] };
        let mut newest = on_disk.take(image, target);
        let another = on_disk.take(image, other);
        let oldest = on_disk.take(old, target);
        assert!(newest.data != oldest.data && newest.metadata != oldest.metadata);
        let (data, metadata) = on_disk.places(target);
        match self {
            Self::Nothing => errors(&[]),
            Self::DataBit => {
                image.flip(data + 100, 1);
                errors(&[target])
            }
            Self::MetadataBit => {
                image.flip(metadata + 3, 0x80);
                errors(&[target])
            }
            Self::MetadataOfAnother => {
                image.poke(metadata, &another.metadata);
                errors(&[target])
            }
            Self::Exchange => {
                on_disk.put(image, target, &another);
                on_disk.put(image, other, &newest);
                errors(&[target, other])
            }
            Self::ForgedEntry => {
                newest.metadata[0] ^= 1;
                on_disk.write_to_journal(image, target, &newest);
                errors(&[target])
            }
            Self::ChangedEntry => {
                newest.data[17] ^= 1;
                on_disk.write_to_journal(image, target, &newest);
                errors(&[target])
            }
            Self::MovedEntry => {
                on_disk.write_to_journal(image, other, &newest);
                errors(&[other])
            }
            Self::NewestEntry => {
                on_disk.write_to_journal(image, target, &newest);
                errors(&[])
            }
            Self::OldSector => {
                on_disk.put(image, target, &oldest);
                comes_back
            }
            Self::OldEntry => {
                on_disk.write_to_journal(image, target, &oldest);
                comes_back
            }
        }
    }
}
