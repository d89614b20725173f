//! Volumes beside the root: with an owner's key, sealed, and ephemeral ones. The host
//! swaps and wipes their disks.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use vm_tests::{Outcome, Stop, Tool, WorkDir, free_port};

use super::{LIMIT, Machine, Owners};
use crate::fixtures::{check, directory, overwrite};
use crate::simulator::simulated;

/// Bytes of a disk.
const DISK: u64 = 24 << 20;

/// What the probe writes.
const WRITTEN: &str = "20 bytes";

/// Two keys in one release. The new disk is blank: it is not formatted until the owner
/// says so. What was written is there at the next boot, and a disk that the host wiped
/// since is refused.
#[test]
fn an_owners_volume_is_made_once_and_kept() {
    let owner = Roots::encrypted().with(OWNERS_VOLUME).disk("data");
    let data = owner.owners_disk("data");
    let owner = owner.doing("write:/srv/file,list:/srv,read:/data/big");
    let mut machine = owner.start();
    // Without the volume, or without its key, nothing is opened.
    owner.unlock(&[]).failed(1, &["data"]);
    machine.check("both keys");
    owner.unlock(&["--new-instance", "--volume", &data]).failed(1, &["data: ", "blank"]);
    machine.check("the permission");
    assert_eq!(owner.epoch(), 1);
    owner.unlock(&["--new-instance", "--volume", &data, "--provision", "data"]).opened();
    let outcome = machine.finish();
    outcome.booted().said("unlock: data root opened by").said("volumes: data on /srv");
    let mount = mount_at(&outcome, "/srv");
    assert!(mount.contains("ext4") && mount.contains("nosuid,nodev"), "{mount}");
    assert!(outcome.console.probe("write:/srv/file").starts_with(WRITTEN));
    assert_eq!(outcome.console.probe("list:/srv"), "file lost+found");

    let owner = owner.doing("read:/srv/file,list:/srv");
    let mut machine = owner.start();
    // The permission is for a blank disk: this one is not.
    owner.unlock(&["--new-instance", "--volume", &data, "--provision", "data"]).opened();
    machine.check("the hand-over");
    let outcome = machine.finish();
    outcome.booted();
    assert!(outcome.console.probe("read:/srv/file").starts_with(WRITTEN));
    assert_eq!(outcome.console.probe("list:/srv"), "file lost+found");

    // Attack: the host wipes the disk. Observed: refused. Closed: no permission.
    let kept = super::keep(&owner.path("data.img"));
    wipe(&owner.path("data.img"));
    let machine = owner.start();
    owner.unlock(&["--new-instance", "--volume", &data]).failed(1, &["data: ", "blank"]);
    super::put_back(&owner.path("data.img"), &kept);
    owner.unlock(&["--new-instance", "--volume", &data]).opened();
    let outcome = machine.finish();
    outcome.booted();
    assert!(outcome.console.probe("read:/srv/file").starts_with(WRITTEN));
}

/// A root without secrets, and a volume with the owner's key on it.
#[test]
fn a_verity_root_has_an_owners_volume() {
    let owner = Roots::verity().with(OWNERS_VOLUME).disk("data");
    let data = owner.owners_disk("data");
    let owner = owner.doing("write:/srv/file,write:/home/file");
    let machine = owner.start();
    owner.unlock(&["--volume", &data, "--provision", "data"]).opened();
    let outcome = machine.finish();
    outcome.booted().said("unlock: data opened by").said("volumes: data on /srv");
    assert!(outcome.console.probe("write:/srv/file").starts_with(WRITTEN));
    assert!(mount_at(&outcome, "/srv").contains("ext4"));
    assert!(outcome.console.probes("dm.table").iter().any(|table| table.contains(" verity ")));

    let owner = owner.doing("read:/srv/file,read:/home/file");
    let machine = owner.start();
    owner.unlock(&["--new-instance", "--volume", &data]).opened();
    let outcome = machine.finish();
    outcome.booted();
    assert!(outcome.console.probe("read:/srv/file").starts_with(WRITTEN));
    assert!(outcome.console.probe("read:/home/file").starts_with("NotFound"));
}

/// A key that the secure processor derives: nobody releases it. The same image on the
/// same chip opens the disk again; another command line, which is another measurement,
/// does not.
#[test]
fn a_sealed_volume_opens_for_the_same_image_only() {
    let vm = Roots::verity().with(&sealed("if-blank")).disk("data");
    blank(&vm.path("data.img"));
    // What is measured has to be the same, so one list of actions does for both: the
    // file is looked for before it is written.
    let vm = vm.doing("read:/srv/file,write:/srv/file,list:/srv");
    let outcome = boot(&vm);
    outcome.booted().said("volumes: making a new ext4 on data").said("volumes: data on /srv");
    assert!(outcome.console.probe("read:/srv/file").starts_with("NotFound"));

    let outcome = boot(&vm);
    outcome.booted().never_said("making a new").said("volumes: data on /srv");
    assert!(outcome.console.probe("read:/srv/file").starts_with(WRITTEN));
    assert_eq!(outcome.console.probe("list:/srv"), "file lost+found");

    let before = vm_tests::sha256_of_file(&vm.path("data.img"));
    let vm = vm.doing("read:/srv/file");
    boot(&vm).refused_then("volumes", "volume-key", Stop::PowerOff);
    // It is never formatted anew: it is not blank.
    assert_eq!(vm_tests::sha256_of_file(&vm.path("data.img")), before);
}

/// Attack: a sealed volume is wiped. Observed: refused by name, and nothing is written.
/// Closed: only `provision = "if-blank"` lets PID 1 format it.
#[test]
fn a_wiped_sealed_volume_is_refused_without_permission() {
    let vm = Roots::verity().with(&sealed("never")).disk("data");
    blank(&vm.path("data.img"));
    let before = vm_tests::sha256_of_file(&vm.path("data.img"));
    boot(&vm).refused_then("volumes", "volume-blank", Stop::PowerOff);
    assert_eq!(vm_tests::sha256_of_file(&vm.path("data.img")), before);
}

/// Another key at each boot: as a mount, and as the layer that takes the writes.
#[test]
fn ephemeral_volumes_forget() {
    let config = "[[volume]]\nname = \"scratch\"\ndevice = \"serial:scratch\"\nkey = \"ephemeral\"\n\
                  fstype = \"ext4\"\nmount = \"/srv\"\n\
                  [[volume]]\nname = \"layer\"\ndevice = \"serial:layer\"\nkey = \"ephemeral\"\n\
                  fstype = \"ext4\"\nmount = \"writable\"\n";
    let vm = Roots::verity().with(config).disk("scratch").disk("layer");
    // Whatever is on such a disk is nobody's data.
    blank(&vm.path("layer.img"));
    blank(&vm.path("scratch.img"));
    overwrite(&vm.path("scratch.img"), 0, &[0xa5; 4096]);
    let vm = vm.doing(
        "read:/srv/file,read:/home/file,write:/srv/file,write:/home/file,read:/srv/file,fill:/home/more",
    );
    let marker = b"written by the probe";
    for _boot in 0..2 {
        let outcome = boot(&vm);
        outcome.booted().said("volumes: scratch on /srv");
        assert!(mount_at(&outcome, "/srv").contains("ext4"));
        for file in ["/srv/file", "/home/file"] {
            let reads = outcome.console.probes(&format!("read:{file}"));
            assert!(reads[0].starts_with("NotFound"), "{file}: {reads:?}");
            let written = outcome.console.probe(&format!("write:{file}"));
            assert!(written.starts_with(WRITTEN), "{file}: {written}");
        }
        // The room of the disk, not of memory.
        let filled = outcome.console.probe("fill:/home/more");
        let bytes: u64 = filled.split(' ').next().unwrap().parse().unwrap();
        assert!((DISK / 2..DISK).contains(&bytes), "{filled}");
        for disk in ["scratch", "layer"] {
            let content = fs::read(vm.path(&format!("{disk}.img"))).unwrap();
            assert!(!content.windows(marker.len()).any(|window| window == marker), "{disk}");
            // More than a little was written: sealed before use.
            assert!(content.iter().filter(|byte| **byte != 0).count() > content.len() / 2);
        }
    }
}

const OWNERS_VOLUME: &str = "[[volume]]\nname = \"data\"\ndevice = \"serial:data\"\nkey = \"owner\"\n\
                             fstype = \"ext4\"\nmount = \"/srv\"\n";

fn sealed(provision: &str) -> String {
    format!(
        "[[volume]]\nname = \"data\"\ndevice = \"serial:data\"\nkey = \"sealed\"\nfstype = \"ext4\"\n\
         mount = \"/srv\"\nprovision = \"{provision}\"\n"
    )
}

/// The line of mountinfo.
fn mount_at(outcome: &Outcome, path: &str) -> String {
    let part = format!(" {path} ");
    outcome
        .console
        .probes("mount")
        .into_iter()
        .find(|line| line.contains(&part))
        .unwrap()
        .to_owned()
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

/// Roots with a `mkfs.ext4`: made once, copied for each test.
pub(super) struct Roots {
    directory: PathBuf,
    files: &'static [&'static str],
}

impl Roots {
    pub(super) fn encrypted() -> &'static Roots {
        static MADE: LazyLock<Roots> = LazyLock::new(|| {
            let directory = directory().join("encrypted-mkfs");
            fs::create_dir_all(&directory).unwrap();
            let mut encrypt = Tool::Ravelin.command();
            encrypt.args(["--quiet", "image", "encrypt", "--root-owned", "--size", super::ROOM]);
            encrypt.arg("--from").arg(tree_with_mkfs());
            encrypt.arg("--output").arg(directory.join("root.img"));
            check(encrypt.arg("--vm").arg(directory.join("vm.toml")));
            Roots { directory, files: &["root.img", "root.img.toml", "root.img.key", "vm.toml"] }
        });
        &MADE
    }

    pub(super) fn verity() -> &'static Roots {
        static MADE: LazyLock<Roots> = LazyLock::new(|| {
            let directory = directory().join("verity-mkfs");
            fs::create_dir_all(&directory).unwrap();
            let mut verity = Tool::Ravelin.command();
            verity.args(["--quiet", "image", "verity", "--root-owned"]);
            verity.arg("--from").arg(tree_with_mkfs());
            verity.arg("--output").arg(directory.join("root.img"));
            check(verity.arg("--vm").arg(directory.join("vm.toml")));
            Roots { directory, files: &["root.img", "root.img.toml", "vm.toml"] }
        });
        &MADE
    }

    /// A machine of the test's own with it and these settings. Owners are named where
    /// one is needed.
    pub(super) fn with(&self, settings: &str) -> Machine {
        let machine = Machine {
            work: WorkDir::new(),
            ssh: free_port(),
            unlock: free_port(),
            attest: free_port(),
        };
        for name in self.files {
            fs::copy(self.directory.join(name), machine.path(name)).unwrap();
        }
        let owners = match self.files.len() == 4 || settings.contains("\"owner\"") {
            true => format!("unlock.owners = [\"{}\"]\n", Owners::get().line("first")),
            false => String::new(),
        };
        fs::write(machine.path("ravelin.toml"), format!("{owners}{settings}")).unwrap();
        machine.make_initramfs();
        machine.choose_ports();
        machine
    }
}

impl Machine {
    /// One more disk, NAME.img with the serial NAME.
    pub(super) fn disk(self, name: &str) -> Self {
        let mut vm = self.vm();
        let mut disk = toml::Table::new();
        disk.insert("file".to_owned(), format!("{name}.img").into());
        disk.insert("serial".to_owned(), name.into());
        disk.insert("read_only".to_owned(), false.into());
        vm["disks"].as_array_mut().unwrap().push(disk.into());
        self.set_vm(&vm);
        self
    }

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
        let (image, toml) = (image.display(), format!("{}.toml", image.display()));
        format!("{name}={toml}:{image}.key")
    }
}

/// The usual tree, with mke2fs and its libraries.
fn tree_with_mkfs() -> PathBuf {
    static TREE: LazyLock<PathBuf> = LazyLock::new(|| {
        let with = directory().join("tree-mkfs");
        super::tree_without_keys(&with);
        // The set-up's tool is a script beside the root that it takes program and
        // libraries from; without the set-up it is the system's.
        let tool = std::env::var_os("RAVELIN_MKE2FS").map(PathBuf::from);
        let root = tool.and_then(|tool| Some(tool.parent()?.parent()?.join("root")));
        let root = root.filter(|root| root.is_dir()).unwrap_or_else(|| PathBuf::from("/"));
        let libraries = "usr/lib/x86_64-linux-gnu";
        fs::create_dir_all(with.join(libraries)).unwrap();
        fs::create_dir_all(with.join("usr/lib64")).unwrap();
        for link in ["lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{link}"), with.join(link)).unwrap();
        }
        let names =
            ["ext2fs.so.2", "com_err.so.2", "blkid.so.1", "uuid.so.1", "e2p.so.2", "c.so.6"];
        for name in names.map(|name| format!("{libraries}/lib{name}")) {
            fs::copy(root.join(&name), with.join(&name)).unwrap();
        }
        let loader = "ld-linux-x86-64.so.2";
        fs::copy(root.join(libraries).join(loader), with.join("usr/lib64").join(loader)).unwrap();
        fs::copy(root.join("usr/sbin/mke2fs"), with.join("sbin/mkfs.ext4")).unwrap();
        with
    });
    TREE.clone()
}
