//! LUKS2 disks that cryptsetup made: PID 1 reads their header once, pinned by the owner.
//! The host writes other headers, of the kinds that hit other systems (CVE-2025-59054,
//! CVE-2025-58356): each is refused because it is not the pinned one, and by its own
//! reason where the owner was tricked into pinning it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use luks::{
    Cipher, HEADER_SIZE, HeaderKey, LUKS2_DATA_OFFSET, Layout, LayoutParams, NewHeader, Secret,
    SectorSize, VolumeKey, VolumeSpec,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use ssh_key::rand_core::OsRng;
use vm_tests::nbd::{Fault, Image, Rule, Server, Tampered};
use vm_tests::{Running, Ssh, Stop, WorkDir, free_port};

use super::{Answer, LIMIT, Machine, Made, Owners, tree_without_keys};
use crate::fixtures::{check, directory, overwrite};
use crate::simulator::simulated;

/// Bytes of the disk: header, and room for the small root.
const DISK: u64 = 64 << 20;
/// Bytes of one copy of the binary header and its JSON, and of the first (LUKS2 on-disk
/// format, section 2).
const COPY: usize = 16_384;
const BINARY: usize = 4096;

const PASSPHRASE: &str = "correct horse";

/// What cryptsetup made is the root, written to and read again; what the kernel is told
/// is what cryptsetup tells it, but for the numbers of devices and the key's name.
#[test]
fn a_disk_of_cryptsetups_is_a_root() {
    let owner = machine().doing("write:/data/written,hex:/proc/keys");
    let guest = owner.start();
    unlock(&owner, &owner.path("header"), &[]).opened();
    let outcome = guest.finish();
    outcome.booted();
    let root = outcome.console.probes("mount").into_iter().find(|line| line.contains(" / / "));
    assert!(root.unwrap().contains("ext4"));
    assert!(outcome.console.probe("write:/data/written").starts_with("20 bytes"));
    let ours: Vec<String> = outcome
        .console
        .probes("dm.table")
        .into_iter()
        .map(|line| comparable(line.split_once(": ").unwrap().1))
        .collect();
    for table in &Formatted::get().tables {
        assert!(ours.contains(&comparable(table)), "{table}\n{ours:?}");
    }
    assert_eq!(ours.len(), Formatted::get().tables.len());
    let keys = hex::decode(outcome.console.probe("hex:/proc/keys")).unwrap();
    assert!(!String::from_utf8_lossy(&keys).contains("ravelin:"));
    outcome.never_said(PASSPHRASE);

    let owner = owner.doing("read:/data/written");
    let mut guest = owner.start();
    let wrong = owner.path("wrong");
    fs::write(&wrong, "correct horsf").unwrap();
    let header = owner.path("header");
    unlock_with(&owner, &header, &wrong, &["--new-instance"]).failed(1, &["keyslot"]);
    guest.check("the right passphrase");
    unlock(&owner, &header, &["--new-instance"]).opened();
    let outcome = guest.finish();
    outcome.booted();
    assert!(outcome.console.probe("read:/data/written").starts_with("20 bytes"));
}

/// Attack: each header that is known to have worked against other systems. Observed: the
/// pin refuses it; with the pin of the bad header the parser does, by its own reason;
/// no byte of the disk is written, no table loaded, and the owner's header still opens
/// the disk. Closed: pin and strict parser, each alone.
#[test]
fn hostile_headers_are_refused_twice() {
    let owner = machine();
    let mut guest = owner.start();
    let disk = owner.path("luks.img");
    let before = vm_tests::sha256_of_file(&disk);
    let good = fs::read(owner.path("header")).unwrap();
    let bad = owner.path("bad-header");
    for (name, header, reason) in hostile(&good) {
        overwrite(&disk, 0, &header[..2 * COPY]);
        let with_header = vm_tests::sha256_of_file(&disk);
        let pinned = unlock(&owner, &owner.path("header"), &["--new-instance"]);
        pinned.failed(1, &["not the one that was released"]);
        fs::write(&bad, &header).unwrap();
        // Of the host's own header all 16 MiB count.
        overwrite(&disk, 0, &header);
        let whole = vm_tests::sha256_of_file(&disk);
        let answer = unlock(&owner, &bad, &["--new-instance"]);
        assert!(answer.text.contains(reason), "{name}: no {reason:?} in: {}", answer.text);
        answer.failed(1, &[]);
        guest.check(name);
        assert_eq!(vm_tests::sha256_of_file(&disk), whole, "{name}: the disk was written to");
        assert_ne!(with_header, before, "{name}");
        overwrite(&disk, 0, &good);
    }
    assert_eq!(vm_tests::sha256_of_file(&disk), before);
    assert!(!guest.console().contains("device-mapper: table"), "{}", guest.console());
    unlock(&owner, &owner.path("header"), &["--new-instance"]).opened();
    guest.finish().booted();
}

/// Attack: the disk shows another header from its second read on. Observed: whoever reads
/// it again is refused by the pin; one release reads it once, and what it read decides.
/// Closed: one read, and only that copy is used.
#[test]
fn a_header_that_changes_between_two_reads_is_read_once() {
    let owner = machine();
    let good = fs::read(owner.path("header")).unwrap();
    let null = hostile(&good).swap_remove(0).1;
    let disk = Image::open(&owner.path("luks.img"));
    let disk = Arc::new(Tampered::new(disk, []));
    let server = Server::start(Arc::clone(&disk));
    let mut vm = owner.vm();
    vm["disks"].as_array_mut().unwrap().clear();
    owner.set_vm(&vm);
    let mut guest = start_with(&owner, &server);
    let text = BINARY as u64..COPY as u64;
    disk.add(Rule::at_reads(text.clone(), Fault::Flip(0)));
    let (header, wrong) = (owner.path("header"), owner.path("wrong"));
    fs::write(&wrong, "correct horsf").unwrap();
    // The first look: the pin fits, the passphrase does not.
    unlock_with(&owner, &header, &wrong, &[]).failed(1, &["keyslot"]);
    let once = disk.met()[0];
    assert!(once > 0);
    // One more look sees the owner's text, and every read after it the host's.
    let changed = Fault::Content(null[BINARY..COPY].to_vec());
    disk.add(Rule::at_reads(text, changed).after(once));
    unlock_with(&owner, &header, &wrong, &["--new-instance"]).failed(1, &["keyslot"]);
    assert_eq!(disk.met(), [2 * once, once], "the header was read again");
    unlock(&owner, &header, &["--new-instance"]).failed(1, &["not the one that was released"]);
    guest.check("the disk as it was");
    assert_eq!(disk.inner().written_sectors(), 0);
}

/// Name, header and the parser's own reason.
fn hostile(good: &[u8]) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let null = || json!("cipher_null-ecb");
    let own = hosts_own();
    let set = |of: &[u8], pointer: &str, value: Value| {
        with(of, |json| *json.pointer_mut(pointer).unwrap() = value.clone())
    };
    let area = "/keyslots/0/area/encryption";
    let argon2 = |time: u64, memory: u64| {
        json!({
            "type": "argon2id", "time": time, "memory": memory, "cpus": 4,
            "salt": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
        })
    };
    let pbkdf2 = json!({
        "type": "pbkdf2", "hash": "sha256", "iterations": 4_294_967_295_u64,
        "salt": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
    });
    let without_integrity = with(good, |json| {
        json["segments"]["0"].as_object_mut().unwrap().remove("integrity").unwrap();
    });
    let mut disagreeing = good.to_vec();
    let other = set(good, "/segments/0/sector_size", json!(512));
    disagreeing[COPY..2 * COPY].copy_from_slice(&other[COPY..2 * COPY]);
    let segment_null = "`segments.0.encryption` is a null cipher";
    let area_null = "`keyslots.0.area.encryption` is a null cipher";
    vec![
        ("null segment", set(good, "/segments/0/encryption", null()), segment_null),
        ("null keyslot, the host's key", set(&own, area, null()), area_null),
        (
            "both",
            with(&own, |json| {
                json["segments"]["0"]["encryption"] = null();
                *json.pointer_mut(area).unwrap() = null();
            }),
            "is a null cipher",
        ),
        ("the host's own header", own.clone(), "does not open the keyslot"),
        ("no integrity", without_integrity, "has no integrity"),
        (
            "offset moved",
            set(good, "/segments/0/offset", json!((17_u64 << 20).to_string())),
            "segment starts at byte 17825792",
        ),
        ("copies disagree", disagreeing, "say different things"),
        ("argon2id memory", set(good, "/keyslots/0/kdf", argon2(4, 4 << 20)), "KiB of memory"),
        ("argon2id passes", set(good, "/keyslots/0/kdf", argon2(1 << 31, 1024)), "passes"),
        ("pbkdf2", set(good, "/keyslots/0/kdf", pbkdf2), "iterations"),
        ("digest", set(good, "/digests/0/iterations", json!(4_294_967_295_u64)), "iterations"),
    ]
}

/// The host's own header for a disk of this size: its own volume key in its keyslot.
fn hosts_own() -> Vec<u8> {
    let params = LayoutParams::with_default_journal(
        Cipher::AesXtsHmacSha256,
        SectorSize::B4096,
        DISK / 512,
        LUKS2_DATA_OFFSET,
    );
    let id = uuid::Uuid::from_u128(0x0011_2233_4455_4677_8899_aabb_ccdd_eeff);
    let spec = VolumeSpec::new(Layout::new(params).unwrap(), id, None).unwrap();
    let key = VolumeKey::derive(&Secret::new(&[0x11; 32]), &spec);
    let cost = luks::Argon2Cost::new(1024, 2, 4).unwrap();
    let unlock = HeaderKey::Passphrase { passphrase: b"the host's own", cost };
    NewHeader { spec: &spec, key: &key, unlock }.to_bytes(&mut OsRng).unwrap()
}

/// A header with a changed JSON, and right checksums again.
fn with(header: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let area = &header[BINARY..COPY];
    let end = area.iter().position(|byte| *byte == 0).unwrap();
    let mut json = serde_json::from_slice(&area[..end]).unwrap();
    change(&mut json);
    let text = json.to_string();
    let mut changed = header.to_vec();
    for copy in [0, COPY] {
        changed[copy + BINARY..copy + COPY].fill(0);
        changed[copy + BINARY..][..text.len()].copy_from_slice(text.as_bytes());
        changed[copy + 448..copy + 512].fill(0);
        let checksum = Sha256::digest(&changed[copy..copy + COPY]);
        changed[copy + 448..copy + 480].copy_from_slice(&checksum);
    }
    changed
}

fn unlock(owner: &Machine, header: &Path, more: &[&str]) -> Answer {
    unlock_with(owner, header, &owner.path("passphrase"), more)
}

fn unlock_with(owner: &Machine, header: &Path, passphrase: &Path, more: &[&str]) -> Answer {
    let mut command = owner.command();
    command.arg("--luks-header").arg(header).arg("--passphrase-file").arg(passphrase);
    Answer::patiently(command.args(more))
}

/// The machine of a disk that is served by the test.
fn start_with(owner: &Machine, server: &Server) -> Running {
    let socket = server.socket();
    let arguments = [
        "-blockdev".to_owned(),
        format!("driver=nbd,node-name=luks,server.type=unix,server.path={}", socket.display()),
        "-device".to_owned(),
        "virtio-blk-pci,drive=luks,serial=luks,disable-legacy=on,iommu_platform=true".to_owned(),
    ];
    let launch = simulated(&owner.path("vm.toml")).time_limit(LIMIT).qemu_arguments(arguments);
    let mut machine = launch.start();
    machine.wait_for("unlock: waiting for");
    machine
}

/// Without the numbers of devices and the name of the key.
fn comparable(table: &str) -> String {
    let word = |word: &str| {
        let device = word.split_once(':').is_some_and(|(major, minor)| {
            major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok()
        });
        match () {
            () if device => "DEVICE".to_owned(),
            () if word.contains(":logon:") => {
                word.split_inclusive(":logon:").next().unwrap().to_owned()
            }
            () => word.to_owned(),
        }
    };
    table.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// A disk that cryptsetup formatted and opened, with the small root on it.
struct Formatted {
    directory: PathBuf,
    /// What `dmsetup table` says of cryptsetup's own devices.
    tables: Vec<String>,
}

impl Formatted {
    fn get() -> &'static Formatted {
        static MADE: LazyLock<Formatted> = LazyLock::new(|| {
            let directory = directory().join("luks2");
            fs::create_dir_all(&directory).unwrap();
            let disk = directory.join("luks.img");
            File::create(&disk).unwrap().set_len(DISK).unwrap();
            let root = directory.join("root.ext4");
            let mut mke2fs =
                Command::new(std::env::var_os("RAVELIN_MKE2FS").unwrap_or("mke2fs".into()));
            mke2fs.args(["-q", "-t", "ext4", "-b", "4096", "-E", "root_owner=0:0", "-d"]);
            check(mke2fs.arg(tree_without_keys(&directory.join("tree"))).arg(&root).arg("32M"));
            let (work, port) = (WorkDir::new(), free_port());
            let vm = crate::encrypted::vm(&work, port);
            let mut machine = vm.writable_disk(&disk, "luks").disk(&root, "source").start();
            let ssh = Ssh::wait(&mut machine, port);
            let by_id = "/dev/disk/by-id/virtio-";
            ssh.run(&format!(
                "udevadm settle; printf '{PASSPHRASE}' > /run/passphrase && \
                 cryptsetup luksFormat --batch-mode --type luks2 --cipher aes-xts-plain64 \
                 --integrity hmac-sha256 --key-size 512 --sector-size 4096 --pbkdf argon2id \
                 --pbkdf-memory 32768 --pbkdf-force-iterations 4 {by_id}luks /run/passphrase && \
                 cryptsetup open --key-file /run/passphrase {by_id}luks luks && \
                 dd if={by_id}source of=/dev/mapper/luks bs=1M conv=fsync status=none"
            ));
            let table = |name: &str| ssh.run(&format!("dmsetup table {name}"));
            let tables = vec![table("luks"), table("luks_dif")];
            ssh.run("cryptsetup close luks");
            let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
            machine.finish().stopped(Stop::PowerOff);
            Formatted { directory, tables }
        });
        &MADE
    }
}

/// A VM whose root is that disk: copied, for the host to play with.
fn machine() -> Machine {
    let made = Formatted::get();
    let machine = Machine {
        work: WorkDir::new(),
        ssh: free_port(),
        unlock: free_port(),
        attest: free_port(),
    };
    fs::copy(made.directory.join("luks.img"), machine.path("luks.img")).unwrap();
    fs::copy(Made::get().directory.join("vm.toml"), machine.path("vm.toml")).unwrap();
    let mut header = vec![0; HEADER_SIZE];
    File::open(machine.path("luks.img")).unwrap().read_exact_at(&mut header, 0).unwrap();
    fs::write(machine.path("header"), header).unwrap();
    fs::write(machine.path("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
    let mut vm = machine.vm();
    let disk = vm["disks"][0].as_table_mut().unwrap();
    disk.insert("file".to_owned(), "luks.img".into());
    disk.insert("serial".to_owned(), "luks".into());
    let cmdline = vm["cmdline"].as_str().unwrap();
    let words = cmdline.split(' ').map(|word| match word.split_once("root.device=") {
        Some((before, _)) => format!("{before}root.device=serial:luks"),
        None => word.to_owned(),
    });
    let cmdline = words.collect::<Vec<_>>().join(" ");
    vm.insert("cmdline".to_owned(), cmdline.into());
    machine.set_vm(&vm);
    let config = format!(
        "unlock.owners = [\"{}\"]\nencrypted.format = \"luks2\"\n",
        Owners::get().line("first")
    );
    fs::write(machine.path("ravelin.toml"), config).unwrap();
    machine.make_initramfs();
    machine.choose_ports();
    machine
}
