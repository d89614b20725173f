//! The kernel and cryptsetup as judges of encrypted disks: what `ravelin image
//! encrypt` writes they open, read whole and write to, and what cryptsetup writes
//! the crate `luks` opens. In a Debian, because this needs device-mapper.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use luks::{
    CryptTable, Device, FileSystemTable, HEADER_SIZE, Header, IntegrityTable, KdfLimits, Layout,
    LayoutParams, Memory, Options, ReadAt, Secret, SectorSize, Volume, VolumeKey, VolumeSpec,
    key_description,
};
use vm_tests::{Environment, Ssh, Stop, Tool, Vm, WorkDir, free_port};

use crate::fixtures::check;

/// Emulated AES on a busy machine.
const LIMIT: Duration = Duration::from_secs(900);
/// The room for each file system.
const ROOM: u64 = 24 << 20;

/// What dm-crypt and dm-integrity need; names that are built in are passed over.
pub(crate) const MODULES: &[&str] =
    &["dm_integrity", "dm_crypt", "authenc", "xts", "gcm", "aegis128"];
/// What cryptsetup needs beside them, and the file system.
pub(crate) const OPTIONAL: &[&str] = &[
    "algif_skcipher",
    "algif_aead",
    "ghash_generic",
    "aesni_intel",
    "hmac",
    "sha256_generic",
    "ext4",
];

/// One disk that Ravelin made.
#[derive(Clone, Copy)]
pub(crate) struct Disk {
    pub(crate) name: &'static str,
    cipher: &'static str,
    sector_size: &'static str,
}

pub(crate) const DISKS: &[Disk] = &[
    Disk { name: "hmac4k", cipher: "aes-xts-hmac-sha256", sector_size: "4096" },
    Disk { name: "hmac512", cipher: "aes-xts-hmac-sha256", sector_size: "512" },
    Disk { name: "gcm4k", cipher: "aes-gcm-random", sector_size: "4096" },
    Disk { name: "gcm512", cipher: "aes-gcm-random", sector_size: "512" },
    Disk { name: "aegis4k", cipher: "aegis128-random", sector_size: "4096" },
    Disk { name: "aegis512", cipher: "aegis128-random", sector_size: "512" },
];

/// cryptsetup opens each disk with its key; its tables are ours but for the name of
/// the key; the whole device reads without an error and is what was encrypted; what
/// the guest writes comes back through `ravelin image decrypt`, into a file system
/// without a fault.
#[test]
fn cryptsetup_opens_what_ravelin_encrypts() {
    let work = WorkDir::new();
    let source = file_system(&work);
    let port = free_port();
    let mut vm = vm(&work, port);
    for disk in DISKS {
        disk.encrypt(&work, &source, ROOM);
        vm = vm.writable_disk(work.join(disk.name), disk.name);
    }
    let mut machine = vm.start();
    let ssh = Ssh::wait(&mut machine, port);
    ssh.run("udevadm settle");
    let expected = padded_digest(&source);
    for disk in DISKS {
        let name = disk.name;
        let spec = disk.spec(&work);
        let device = format!("/dev/disk/by-id/virtio-{name}");
        put(&ssh, "/run/key", &fs::read(work.join(format!("{name}.key"))).unwrap());
        ssh.run(&format!("cryptsetup open --key-file /run/key {device} {name}"));

        let table = |name: &str| ssh.run(&format!("dmsetup table {name}"));
        let below = |path: &str| {
            ssh.run(&format!("dmsetup deps -o devno {name}{path} | sed 's/.*(//; s/, /:/; s/)//'"))
        };
        let integrity = IntegrityTable::new(spec.layout(), Device::new(below("_dif")).unwrap());
        assert_eq!(
            table(&format!("{name}_dif")),
            format!("0 {} integrity {integrity}", integrity.length())
        );
        let crypt = CryptTable::new(&spec, Device::new(below("")).unwrap());
        let ours = format!("0 {} crypt {crypt}", crypt.length());
        let theirs = format!("cryptsetup:{}-d0", spec.volume_id());
        assert_eq!(table(name), ours.replace(&key_description(spec.volume_id()), &theirs));

        let read = format!("head -c {ROOM} /dev/mapper/{name} | sha256sum");
        assert_eq!(ssh.run(&read), format!("{expected}  -"), "{name}");
        // The tail too: no sector is left unsealed.
        ssh.run(&format!("dd if=/dev/mapper/{name} of=/dev/null bs=1M status=none"));

        ssh.run(&format!(
            "mount /dev/mapper/{name} /mnt && echo {name} > /mnt/written && sync && umount /mnt && \
             cryptsetup close {name}"
        ));
    }
    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    machine.finish().stopped(Stop::PowerOff);

    for disk in DISKS {
        let clear = disk.decrypt(&work);
        check(Command::new("e2fsck").args(["-f", "-n"]).arg(&clear));
        let written = Command::new("debugfs").args(["-R", "cat /written"]).arg(&clear).output();
        assert_eq!(String::from_utf8_lossy(&written.unwrap().stdout).trim(), disk.name);
    }
}

/// Files that one boot writes and syncs are there in the next, and then on the owner's
/// machine, in a file system without a fault.
#[test]
fn what_cryptsetup_wrote_is_there_after_a_reboot() {
    let work = WorkDir::new();
    let source = file_system(&work);
    let disks = [DISKS[0], DISKS[3], DISKS[4]];
    disks.iter().for_each(|disk| disk.encrypt(&work, &source, ROOM));
    let boot = |commands: &dyn Fn(&Ssh, &str)| {
        let port = free_port();
        let mut vm = vm(&work, port);
        for disk in disks {
            vm = vm.writable_disk(work.join(disk.name), disk.name);
        }
        let mut machine = vm.start();
        let ssh = Ssh::wait(&mut machine, port);
        ssh.run("udevadm settle");
        for Disk { name, .. } in disks {
            put(&ssh, "/run/key", &fs::read(work.join(format!("{name}.key"))).unwrap());
            ssh.run(&format!(
                "cryptsetup open --key-file /run/key /dev/disk/by-id/virtio-{name} {name} && \
                 mkdir -p /run/{name} && mount /dev/mapper/{name} /run/{name}"
            ));
            commands(&ssh, &format!("/run/{name}"));
        }
        // A reboot as it is usual: systemd unmounts and closes what is open.
        let _ends_with_the_connection = ssh.output("systemctl start reboot.target");
        machine.finish().stopped(Stop::Reset);
    };
    let text: String = (1..=100_000).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{number}");
        text
    });
    boot(&|ssh, directory| {
        ssh.run(&format!("seq 1 100000 | dd of={directory}/new bs=64k conv=fsync status=none"));
        // Over what `image encrypt` has sealed.
        ssh.run(&format!(
            "echo changed | dd of={directory}/numbers bs=1 seek=500000 conv=notrunc,fsync \
             status=none && sync"
        ));
    });
    boot(&|ssh, directory| {
        let digest = ssh.run(&format!("sha256sum < {directory}/new"));
        assert_eq!(digest, format!("{}  -", vm_tests::sha256(text.as_bytes())), "{directory}");
        let changed = ssh.run(&format!("tail -c +500001 {directory}/numbers | head -n 1"));
        assert_eq!(changed, "changed", "{directory}");
        ssh.run(&format!("rm {directory}/numbers"));
    });
    for disk in disks {
        let clear = disk.decrypt(&work);
        check(Command::new("e2fsck").args(["-f", "-n"]).arg(&clear));
        let new = Command::new("debugfs").args(["-R", "cat /new"]).arg(&clear).output().unwrap();
        assert!(new.stdout == text.as_bytes(), "{}", disk.name);
        let list = check(Command::new("debugfs").args(["-R", "ls -p /"]).arg(&clear));
        assert!(list.contains("/new/") && !list.contains("/numbers/"), "{list}");
    }
}

/// What the guest does: nothing of the header is read. The tables that follow from
/// the specification are loaded, are read back word for word, and open the volume.
#[test]
fn the_tables_of_a_specification_open_its_volume() {
    let work = WorkDir::new();
    let source = file_system(&work);
    let disk = &DISKS[0];
    disk.encrypt(&work, &source, ROOM);
    let spec = disk.spec(&work);
    // The host may do to the header what it likes.
    let image = File::options().write(true).open(work.join(disk.name)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&image, &vec![0x5a; HEADER_SIZE], 0).unwrap();
    drop(image);

    let port = free_port();
    let mut machine = vm(&work, port).writable_disk(work.join(disk.name), disk.name).start();
    let ssh = Ssh::wait(&mut machine, port);
    ssh.run("udevadm settle");
    let number = |path: &str| ssh.run(&format!("stat -L -c %Hr:%Lr {path}"));
    let create = |name: &str, table: &str| {
        ssh.run(&format!("dmsetup create {name} --table '{table}'"));
        ssh.run(&format!("dmsetup table {name}"))
    };
    let below = Device::new(number("/dev/disk/by-id/virtio-hmac4k")).unwrap();
    let integrity = IntegrityTable::new(spec.layout(), below);
    let table = format!("0 {} integrity {integrity}", integrity.length());
    assert_eq!(create("below", &table), table, "read back word for word");

    let crypt = CryptTable::new(&spec, Device::new(number("/dev/mapper/below")).unwrap());
    let table = format!("0 {} crypt {crypt}", crypt.length());
    let named = format!(":96:logon:{}", key_description(spec.volume_id()));
    assert!(table.contains(&named), "{table}");
    // A keyring needs a program that Debian has not installed; the bytes do as well.
    let key = VolumeKey::derive(&key(&work, disk.name), &spec);
    create("volume", &table.replace(&named, &hex::encode(key.as_bytes())));
    let read = format!("head -c {ROOM} /dev/mapper/volume | sha256sum");
    assert_eq!(ssh.run(&read), format!("{}  -", padded_digest(&source)));
    // The file system's device ends before the tail.
    let linear = FileSystemTable::new(&spec, Device::new(number("/dev/mapper/volume")).unwrap());
    let table = format!("0 {} linear {linear}", linear.length());
    assert_eq!(create("root-fs", &table), table);
    let size = ssh.run("blockdev --getsize64 /dev/mapper/root-fs");
    assert_eq!(size, spec.tail_offset().to_string());
    let tail =
        ssh.run(&format!("tail -c +{} /dev/mapper/volume | head -c 16", spec.tail_offset() + 1));
    assert_eq!(tail, "ravelin check v1");
    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    machine.finish().stopped(Stop::PowerOff);
}

/// The other direction: the header is parsed, the keyslot opened, the superblock is
/// the computed one, and every sector is authentic.
#[test]
fn luks_opens_what_cryptsetup_formats() {
    const BYTES: u64 = 40 << 20;
    let work = WorkDir::new();
    let cases = [
        ("a", "--cipher aes-xts-plain64 --integrity hmac-sha256 --key-size 512", 4096),
        ("b", "--cipher aes-xts-plain64 --integrity hmac-sha256 --key-size 512", 512),
        ("c", "--cipher aes-gcm-random --integrity aead --key-size 256", 512),
        ("d", "--cipher aegis128-random --integrity aead --key-size 128", 4096),
        ("e", "--cipher aes-gcm-random --integrity aead --key-size 256", 4096),
        ("f", "--cipher aegis128-random --integrity aead --key-size 128", 512),
    ];
    let port = free_port();
    let mut vm = vm(&work, port);
    for (name, ..) in cases {
        File::create(work.join(name)).unwrap().set_len(BYTES).unwrap();
        vm = vm.writable_disk(work.join(name), name);
    }
    let mut machine = vm.start();
    let ssh = Ssh::wait(&mut machine, port);
    ssh.run("udevadm settle; printf 'correct horse' > /run/passphrase");
    let mut digests = Vec::new();
    for (name, options, sector_size) in cases {
        let device = format!("/dev/disk/by-id/virtio-{name}");
        let cost = match name {
            "a" => "--pbkdf argon2id --pbkdf-memory 32768 --pbkdf-force-iterations 4",
            _ => "--pbkdf pbkdf2 --pbkdf-force-iterations 1000",
        };
        ssh.run(&format!(
            "cryptsetup luksFormat --batch-mode --type luks2 {options} --sector-size {sector_size} \
             {cost} {device} /run/passphrase && \
             cryptsetup open --key-file /run/passphrase {device} {name} && \
             seq 1 900000 | dd of=/dev/mapper/{name} bs=1M conv=fsync status=none"
        ));
        digests.push(ssh.run(&format!("sha256sum < /dev/mapper/{name}")));
        ssh.run(&format!("cryptsetup close {name}"));
    }
    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    machine.finish().stopped(Stop::PowerOff);

    for ((name, _, sector_size), digest) in cases.into_iter().zip(digests) {
        let disk = File::open(work.join(name)).unwrap();
        let mut bytes = vec![0; HEADER_SIZE];
        disk.read_exact_at(&mut bytes, 0).unwrap();
        let header = Header::parse(&bytes, &KdfLimits::default()).unwrap();
        assert_eq!(header.sector_size(), SectorSize::try_from(sector_size).unwrap());
        assert!(header.unlock(b"wrong").is_err());
        let key = header.unlock(b"correct horse").unwrap();
        let params = LayoutParams::with_default_journal(
            header.cipher(),
            header.sector_size(),
            BYTES / 512,
            luks::LUKS2_DATA_OFFSET,
        );
        let layout = Layout::new(params).unwrap();
        let volume = Volume::open(&layout, &key, &disk).unwrap();
        let clear = Memory::default();
        let length = layout.volume_sectors() * 512 / 4096 * 4096;
        volume.decrypt(length, &clear, &Options::default()).unwrap();
        let mut clear = clear.into_bytes();
        clear.resize(usize::try_from(length).unwrap(), 0);
        assert_eq!(format!("{}  -", vm_tests::sha256(&clear)), digest, "{name}");
    }
}

impl Disk {
    /// With this file system, and room for so many bytes.
    pub(crate) fn encrypt(&self, work: &WorkDir, source: &Path, room: u64) {
        let mut encrypt = Tool::Ravelin.command();
        encrypt.args(["--quiet", "image", "encrypt", "--layout", "bare", "--from"]).arg(source);
        encrypt.args(["--cipher", self.cipher, "--sector-size", self.sector_size]);
        encrypt.args(["--size", &room.to_string(), "--output"]).arg(work.join(self.name));
        check(&mut encrypt);
    }

    /// What `image decrypt` makes of it.
    fn decrypt(&self, work: &WorkDir) -> PathBuf {
        let clear = work.join(format!("{}.clear", self.name));
        let mut decrypt = Tool::Ravelin.command();
        decrypt.args(["--quiet", "image", "decrypt"]);
        decrypt.arg(work.join(format!("{}.toml", self.name)));
        decrypt.arg("--key").arg(work.join(format!("{}.key", self.name)));
        check(decrypt.arg("--output").arg(&clear));
        clear
    }

    /// From the sidecar.
    pub(crate) fn spec(&self, work: &WorkDir) -> VolumeSpec {
        let text = fs::read_to_string(work.join(format!("{}.toml", self.name))).unwrap();
        let sidecar: toml::Table = text.parse().unwrap();
        let spec = sidecar["volume"]["spec"].as_str().unwrap();
        VolumeSpec::decode(&hex::decode(spec).unwrap()).unwrap()
    }
}

pub(crate) fn key(work: &WorkDir, name: &str) -> Secret {
    let bytes = fs::read(work.join(format!("{name}.key"))).unwrap();
    Secret::new(bytes.as_slice().try_into().unwrap())
}

/// An ext4 with some files, smaller than the room for it.
fn file_system(work: &WorkDir) -> PathBuf {
    let (tree, image) = (work.join("tree"), work.join("source.ext4"));
    fs::create_dir(&tree).unwrap();
    let text: String = (0..200_000).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{number}");
        text
    });
    fs::write(tree.join("numbers"), text).unwrap();
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-b", "4096", "-d"]).arg(&tree).arg(&image).arg("20M");
    check(&mut mke2fs);
    image
}

/// SHA-256 of the file system and zeros up to the room for it.
fn padded_digest(source: &Path) -> String {
    let mut bytes = fs::read(source).unwrap();
    bytes.resize(usize::try_from(ROOM).unwrap(), 0);
    vm_tests::sha256(&bytes)
}

/// Writes bytes to a file of the guest, without a program that knows hexadecimal.
fn put(ssh: &Ssh, path: &str, bytes: &[u8]) {
    let escaped = bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:03o}");
        text
    });
    ssh.run(&format!("umask 077; printf '{escaped}' > {path}"));
}

/// The Debian of `debian.rs` with the modules that encrypted disks need.
pub(crate) fn vm(work: &WorkDir, port: u16) -> Vm {
    let environment = Environment::get();
    let initramfs = work.join("initramfs.cpio");
    let mut make = Tool::Ravelin.command();
    make.args(["--quiet", "image", "initramfs", "--output"]).arg(&initramfs);
    make.arg("--kernel-modules").arg(environment.modules());
    make.args(["--set", "virtio-blk", "--set", "verity", "--set", "sha256", "--set", "overlay"]);
    make.args(["--filesystem", "erofs", "--module", "virtio_net"]);
    make.args(MODULES.iter().flat_map(|module| ["--module", module]));
    make.args(OPTIONAL.iter().flat_map(|module| ["--optional-module", module]));
    check(&mut make);
    crate::debian::machine(port).initrd(initramfs).time_limit(LIMIT)
}
