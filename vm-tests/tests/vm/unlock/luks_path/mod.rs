//! LUKS2 disks that cryptsetup made: PID 1 reads their header once, pinned by the owner.
//!
//! The host serves the disk and plays what hit other systems (CVE-2025-59054,
//! CVE-2025-58356). Each of its headers is refused because it is not the pinned one, and
//! by its own reason where the owner was tricked into pinning it.

mod formatted;
mod headers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use luks::HEADER_SIZE;
use vm_tests::nbd::{Access, Fault, Image, Recorder, Rule, Server, Tampered};
use vm_tests::{Running, Tool};

use self::formatted::{Formatted, PASSPHRASE};
use self::headers::{COPY, hostile, hosts_own};
use super::{Machine, Made};
use crate::fixtures::check;
use crate::said::Said;

/// What the probe writes to a file.
const WRITTEN: &str = "written by the probe";

/// What a release with another header's digest is answered.
const NOT_PINNED: &str = "not the one that was released";

/// What cryptsetup made is the root, written to and read again, and nothing of it is on
/// the disk in clear; what the kernel is told is what cryptsetup tells it, but for the
/// numbers of devices and the key's name. The owner reads it back.
#[test]
fn a_disk_of_cryptsetups_is_a_root() {
    let mut host = Host::new();
    host.owner = host.owner.doing("write:/data/written,hex:/proc/keys");
    let mut guest = host.start();
    host.unlock_with("wrong", &[]).failed(1, &["keyslot"]);
    guest.check("the right passphrase");
    host.unlock(&["--new-instance"]).opened();
    let outcome = guest.finish();
    outcome.booted().never_said(PASSPHRASE);
    let root = outcome.console.probes("mount").into_iter().find(|line| line.contains(" / / "));
    assert!(root.unwrap().contains(" ext4 "));
    assert!(outcome.console.probe("write:/data/written").starts_with("20 bytes"));
    let keys = hex::decode(outcome.console.probe("hex:/proc/keys")).unwrap();
    assert!(!String::from_utf8_lossy(&keys).contains("ravelin:"));
    let tables = outcome.console.probes("dm.table").into_iter();
    let mut ours: Vec<_> =
        tables.map(|line| formatted::comparable(line.split_once(": ").unwrap().1)).collect();
    ours.sort();
    assert_eq!(ours, Formatted::get().tables);

    host.owner = host.owner.doing("read:/data/written");
    let guest = host.start();
    host.unlock(&["--new-instance"]).opened();
    let outcome = guest.finish();
    outcome.booted();
    assert!(outcome.console.probe("read:/data/written").starts_with("20 bytes"));

    host.wrote_nothing_in_clear();
    let clear = host.decrypted();
    check(Command::new("e2fsck").args(["-f", "-n"]).arg(&clear));
    let shown = Command::new("debugfs").args(["-R", "cat /data/written"]).arg(&clear).output();
    assert_eq!(String::from_utf8_lossy(&shown.unwrap().stdout), WRITTEN);
}

/// Attack: each header that is known to have worked against other systems, on the disk
/// from the start. Observed: the pin refuses it; with the pin of the bad header the
/// parser does, by its own reason; nothing is written, nothing is read but a header, and
/// the owner's opens the disk afterwards. Closed: pin and strict parser, each alone.
#[test]
fn hostile_headers_are_refused_by_pin_and_by_name() {
    let host = Host::new();
    let mut guest = host.start();
    let good = fs::read(host.owner.path("header")).unwrap();
    let bad = host.owner.path("bad-header");

    // A pin of another header than the disk's; other headers than the pinned one.
    fs::write(&bad, hosts_own()).unwrap();
    let before = host.bytes_read();
    host.release(&bad, "passphrase", &[]).failed(1, &[NOT_PINNED]);
    let of_a_header = host.bytes_read() - before;
    for of in ["null segment", "the host's own"] {
        let (_, header, _) = hostile(&good).into_iter().find(|(name, ..)| *name == of).unwrap();
        host.image().poke(0, &header);
        host.unlock(&["--new-instance"]).failed(1, &[NOT_PINNED]);
        guest.check(of);
    }

    for (name, header, reason) in hostile(&good) {
        host.image().poke(0, &header);
        fs::write(&bad, &header).unwrap();
        let before = host.bytes_read();
        let said = host.release(&bad, "passphrase", &["--new-instance"]);
        assert!(said.text.contains(reason), "{name}: no {reason:?} in: {}", said.text);
        said.failed(1, &[]);
        guest.check(name);
        assert_eq!(host.disk.written(), 0, "{name}: the disk was written to");
        let read = host.bytes_read() - before;
        assert!(read <= of_a_header, "{name}: {read} bytes were read, more than of a header");
    }

    host.image().poke(0, &good);
    host.unlock(&["--new-instance"]).opened();
    guest.finish().booted();
}

/// Attack: the disk shows one header, and another one from the next read on. Observed: a
/// release reads the header once. Where that is the host's, the pin refuses it; where it
/// is the owner's, the root is the owner's, though every later read would say that
/// nothing is encrypted. Closed: one read, and only that copy is used.
#[test]
fn a_header_that_changes_between_two_reads_is_read_once() {
    let mut host = Host::new();
    host.owner = host.owner.doing("write:/data/written");
    let mut guest = host.start();
    let good = fs::read(host.owner.path("header")).unwrap();
    let (_, null, _) = hostile(&good).swap_remove(0);
    let of_the_host = || {
        let fault = Fault::Content(null[..2 * COPY].to_vec());
        Rule::at_reads(0..2 * COPY as u64, fault)
    };
    let disk = host.disk.inner();

    // How many requests one look is.
    disk.add(Rule::at_reads(0..2 * COPY as u64, Fault::Flip(0)));
    host.unlock_with("wrong", &[]).failed(1, &["keyslot"]);
    let once = disk.met()[0];
    assert!(once > 0);

    // The host's first, the owner's from the next look on.
    disk.add(of_the_host().times(once));
    host.unlock(&["--new-instance"]).failed(1, &[NOT_PINNED]);
    assert_eq!(disk.met()[0], 2 * once);
    guest.check("the owner's header");
    assert_eq!(host.disk.written(), 0, "the disk was written to");

    // The owner's first, the host's for ever after.
    disk.add(of_the_host().after(once));
    host.unlock(&["--new-instance"]).opened();
    let outcome = guest.finish();
    outcome.booted();
    assert!(outcome.console.probe("write:/data/written").starts_with("20 bytes"));
    assert_eq!(disk.met()[0], 3 * once, "the header was read again");
    host.wrote_nothing_in_clear();
}

/// The host, which serves the disk, and the owner whose root it is.
struct Host {
    owner: Machine,
    disk: Arc<Recorder<Tampered<Image>>>,
    server: Server,
}

impl Host {
    /// With a copy of cryptsetup's disk. The owner has its header, pinned, and the
    /// passphrase.
    fn new() -> Self {
        let owner = Machine::bare();
        let disk = Formatted::get().directory.join("luks.img");
        fs::copy(Made::get().directory.join("vm.toml"), owner.path("vm.toml")).unwrap();
        let image = Image::open(&disk);
        fs::write(owner.path("header"), image.peek(0, HEADER_SIZE)).unwrap();
        fs::write(owner.path("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
        fs::write(owner.path("wrong"), "correct horsf").unwrap();
        let mut vm = owner.vm();
        let words = vm["cmdline"].as_str().unwrap().split(' ').map(|word| {
            match word.strip_prefix("ravelin.root.device=") {
                Some(_) => "ravelin.root.device=serial:ravelin-root",
                None => word,
            }
        });
        let cmdline = words.collect::<Vec<_>>().join(" ");
        vm.insert("cmdline".to_owned(), cmdline.into());
        owner.set_vm(&vm);
        owner.configure(&["first"], "encrypted.format = \"luks2\"\n");
        let disk = Recorder::new(Tampered::new(image, [])).marker(PASSPHRASE).marker(WRITTEN);
        let disk = Arc::new(disk);
        let server = Server::start(Arc::clone(&disk));
        Self { owner, disk, server }
    }

    fn start(&self) -> Running {
        self.owner.start_on(&self.server)
    }

    /// The disk as it is, without what is changed on the way.
    fn image(&self) -> &Image {
        self.disk.inner().inner()
    }

    /// Unlocks it with the pinned header and the passphrase.
    fn unlock(&self, more: &[&str]) -> Said {
        self.unlock_with("passphrase", more)
    }

    fn unlock_with(&self, passphrase: &str, more: &[&str]) -> Said {
        self.release(&self.owner.path("header"), passphrase, more)
    }

    /// Releases a file's header and a file's passphrase.
    fn release(&self, header: &Path, passphrase: &str, more: &[&str]) -> Said {
        let mut command = self.owner.command();
        command.arg("--luks-header").arg(header);
        command.arg("--passphrase-file").arg(self.owner.path(passphrase));
        Said::patiently(command.args(more))
    }

    /// How many bytes the guest has read so far. Each release reads the header anew, and
    /// what the kernel reads ahead of its end.
    fn bytes_read(&self) -> u64 {
        let bytes = |access: &Access| match access {
            Access::Read { bytes, .. } => *bytes as u64,
            Access::Write { .. } | Access::Flush => 0,
        };
        self.disk.log().iter().map(bytes).sum()
    }

    #[track_caller]
    fn wrote_nothing_in_clear(&self) {
        assert!(self.disk.written() > 0, "nothing was written");
        assert_eq!(self.disk.markers_written(), [0; 0], "something was written in clear");
    }

    /// The root's file system, in clear on the owner's machine.
    fn decrypted(&self) -> PathBuf {
        let (disk, clear) = (self.owner.path("back.img"), self.owner.path("clear.img"));
        self.image().save(&disk);
        let mut decrypt = Tool::Ravelin.command();
        decrypt.args(["--quiet", "image", "decrypt", "--disk"]).arg(&disk);
        decrypt.arg("--passphrase-file").arg(self.owner.path("passphrase"));
        check(decrypt.arg("--output").arg(&clear));
        clear
    }
}
