//! Volumes beside the root: with an owner's key, sealed, and ephemeral ones. The host
//! swaps and wipes their disks.

use std::fs::{self, File};
use std::path::Path;

use vm_tests::{Outcome, Tool, sha256_of_file};

use super::{LIMIT, Machine, Made, keep, put_back};
use crate::fixtures::{check, overwrite};
use crate::simulator::simulated;

/// Bytes of the disk of a volume that PID 1 alone knows.
const DISK: u64 = 24 << 20;

/// What the probe says that it has written, and what that was.
const WRITTEN: &str = "20 bytes";
const MARKER: &[u8] = b"written by the probe";

const OWNERS_VOLUME: &str = "[[volume]]\nname = \"data\"\ndevice = \"serial:data\"\nkey = \"owner\"\n\
                             fstype = \"ext4\"\nmount = \"/srv\"\n";

/// Two keys in one release. The new disk is blank: it is formatted once the owner says
/// so, and not before. What was written is there at the next boot, and a disk that the
/// host wiped since is refused.
#[test]
fn an_owners_volume_is_made_once_and_kept() {
    let owner = Machine::of(Made::with_e2fsprogs(), &["first"], OWNERS_VOLUME).disk("data");
    let data = owner.owners_disk("data");
    let owner = owner.doing("write:/srv/file,list:/srv");
    let mut machine = owner.start();
    // Without the volume, or without its key, nothing is opened.
    let root = owner.path("root.img.toml").display().to_string();
    owner.unlock(&["--sidecar", &root]).failed(3, &["the VM waits for data too"]);
    owner.unlock(&["--volume", &data]).failed(1, &["data: ", "is blank or was wiped"]);
    machine.check("the permission");
    assert_eq!(owner.epoch(), 1);
    owner.unlock(&["--volume", &data, "--provision", "data"]).opened();
    assert_eq!(owner.epoch(), 2);
    let outcome = machine.finish();
    outcome.booted().said("unlock: data root opened by").said("volumes: data on /srv");
    let mount = mount_at(&outcome, "/srv");
    assert!(mount.contains(" ext4 ") && mount.contains("nosuid,nodev"), "{mount}");
    assert!(outcome.console.probe("write:/srv/file").starts_with(WRITTEN));
    assert_eq!(outcome.console.probe("list:/srv"), "file lost+found");
    assert!(!has_marker(&owner.path("data.img")), "the volume was written in clear");

    let owner = owner.doing("read:/srv/file,list:/srv");
    let mut machine = owner.start();
    // The host wipes the disk: refused, as the permission was for the first time.
    let disk = owner.path("data.img");
    let kept = keep(&disk);
    wipe(&disk);
    let blank = sha256_of_file(&disk);
    let refused = owner.unlock(&["--new-instance", "--volume", &data]);
    refused.failed(1, &["data: ", "is blank or was wiped"]);
    machine.check("the owner's disk");
    assert_eq!(sha256_of_file(&disk), blank);
    put_back(&disk, &kept);
    // A permission that nobody needs does nothing to a disk with a volume.
    owner.unlock(&["--new-instance", "--volume", &data, "--provision", "data"]).opened();
    let outcome = machine.finish();
    outcome.booted().never_said("making a new");
    assert!(outcome.console.probe("read:/srv/file").starts_with(WRITTEN));
    assert_eq!(outcome.console.probe("list:/srv"), "file lost+found");
}

/// A root without secrets, and a volume with the owner's key on it.
#[test]
fn a_verity_root_has_an_owners_volume() {
    let owner = Machine::of(Made::verity(), &["first"], OWNERS_VOLUME).disk("data");
    let data = owner.owners_disk("data");
    let owner = owner.doing("write:/srv/file");
    let machine = owner.start();
    owner.unlock(&["--volume", &data, "--provision", "data"]).opened();
    let outcome = machine.finish();
    outcome.booted().said("unlock: data opened by").said("volumes: data on /srv");
    assert!(outcome.console.probe("write:/srv/file").starts_with(WRITTEN));
    assert!(mount_at(&outcome, "/srv").contains(" ext4 "));
    let tables = outcome.console.probes("dm.table");
    for kind in [" verity ", " crypt ", " integrity "] {
        assert!(tables.iter().any(|table| table.contains(kind)), "{kind}: {tables:?}");
    }
}

/// Keys that nobody releases. One that the secure processor derives opens its disk at
/// the next boot of the same image on the same chip, and at none of another command
/// line, which is another measurement. Ephemeral ones, a mount and the layer that takes
/// the writes, are others at each boot.
#[test]
fn sealed_volumes_are_kept_and_ephemeral_ones_are_not() {
    let config = format!(
        "{}{}{}",
        sealed("if-blank"),
        ephemeral("scratch", "/mnt/scratch"),
        ephemeral("layer", "writable")
    );
    let vm = Machine::of(Made::verity(), &[], &config);
    let vm = vm.disk("sealed").disk("scratch").disk("layer");
    let disks = ["sealed", "scratch", "layer"].map(|name| vm.path(&format!("{name}.img")));
    disks.iter().for_each(|disk| blank(disk));
    // Whatever is on an ephemeral volume's disk is nobody's data.
    overwrite(&disks[1], 0, &[0xa5; 4096]);
    // What is measured has to be the same, so one list does for both boots: each file is
    // looked for before it is written.
    let files = ["/mnt/sealed/file", "/mnt/scratch/file", "/home/file"];
    let actions = files.map(|file| format!("read:{file},write:{file}")).join(",");
    let vm = vm.doing(&format!("{actions},fill:/home/more"));
    for boot_number in 0..2 {
        let outcome = boot(&vm);
        outcome.booted().said("volumes: scratch on /mnt/scratch, sealed on /mnt/sealed");
        for file in files {
            let kept = boot_number == 1 && file == files[0];
            let expected = if kept { WRITTEN } else { "NotFound" };
            let read = outcome.console.probe(&format!("read:{file}"));
            assert!(read.starts_with(expected), "{file}: {read}");
            let written = outcome.console.probe(&format!("write:{file}"));
            assert!(written.starts_with(WRITTEN), "{file}: {written}");
        }
        let made = |volume| outcome.console.contains(&format!("making a new ext4 on {volume}"));
        assert_eq!(["sealed", "scratch", "layer"].map(made), [boot_number == 0, true, true]);
        // The room of the disk, not of memory.
        let filled = outcome.console.probe("fill:/home/more");
        let bytes: u64 = filled.split(' ').next().unwrap().parse().unwrap();
        assert!((DISK / 2..DISK).contains(&bytes), "{filled}");
        for disk in &disks {
            assert!(!has_marker(disk), "{} was written in clear", disk.display());
        }
    }

    let before = sha256_of_file(&disks[0]);
    let vm = vm.doing("read:/mnt/sealed/file");
    boot(&vm).refused("volumes", "volume-key");
    // It is never formatted anew: it is not blank.
    assert_eq!(sha256_of_file(&disks[0]), before);
}

/// Attack: a sealed volume is wiped. Observed: `volume-blank`, and nothing is written.
/// Closed: only `provision = "if-blank"` lets PID 1 format it.
#[test]
fn a_wiped_sealed_volume_is_refused_without_permission() {
    let vm = Machine::of(Made::verity(), &[], &sealed("never")).disk("sealed");
    let disk = vm.path("sealed.img");
    blank(&disk);
    let before = sha256_of_file(&disk);
    boot(&vm).refused("volumes", "volume-blank");
    assert_eq!(sha256_of_file(&disk), before);
}

fn sealed(provision: &str) -> String {
    format!(
        "[[volume]]\nname = \"sealed\"\ndevice = \"serial:sealed\"\nkey = \"sealed\"\n\
         fstype = \"ext4\"\nmount = \"/mnt/sealed\"\nprovision = \"{provision}\"\n\
         sealed.tcb_version = \"any\"\n"
    )
}

fn ephemeral(name: &str, mount: &str) -> String {
    format!(
        "[[volume]]\nname = \"{name}\"\ndevice = \"serial:{name}\"\nkey = \"ephemeral\"\n\
         fstype = \"ext4\"\nmount = \"{mount}\"\n"
    )
}

/// The line of mountinfo of what is on top there.
#[track_caller]
fn mount_at(outcome: &Outcome, path: &str) -> String {
    let part = format!(" {path} ");
    let mounts = outcome.console.probes("mount");
    mounts.into_iter().rfind(|line| line.contains(&part)).unwrap().to_owned()
}

/// Boots a machine that waits for nobody.
fn boot(machine: &Machine) -> Outcome {
    simulated(&machine.path("vm.toml")).time_limit(LIMIT).start().finish()
}

/// A new disk of zeros.
fn blank(path: &Path) {
    File::create(path).unwrap().set_len(DISK).unwrap();
}

/// Zeros in the same file.
fn wipe(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(0).unwrap();
    file.set_len(length).unwrap();
}

/// Whether what the probe writes is somewhere on a disk in clear.
fn has_marker(disk: &Path) -> bool {
    fs::read(disk).unwrap().windows(MARKER.len()).any(|part| part == MARKER)
}

impl Machine {
    /// Makes the sidecar and key of that disk, and the disk blank; returns what
    /// `--volume` takes.
    fn owners_disk(&self, name: &str) -> String {
        let image = self.path(&format!("{name}.img"));
        let empty = self.path("empty");
        fs::create_dir_all(&empty).unwrap();
        let mut encrypt = Tool::Ravelin.command();
        encrypt.args(["--quiet", "image", "encrypt", "--layout", "bare", "--size", "32M"]);
        check(encrypt.arg("--from").arg(&empty).arg("--output").arg(&image));
        wipe(&image);
        let image = image.display();
        format!("{name}={image}.toml:{image}.key")
    }
}
