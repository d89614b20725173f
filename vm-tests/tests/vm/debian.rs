//! End to end: a real Debian with systemd and openssh-server, on the disk and
//! with the initramfs that `ravelin` makes, started by `ravelin launch`.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use vm_tests::ethernet::dhcp::Kind;
use vm_tests::ethernet::{Behaviour, Link, Responder, Seen};
use vm_tests::{
    Environment, NO_TIMER_CHECK, Ssh, Stop, Tool, Vm, WorkDir, free_port, sha256_of_file,
};

use crate::fixtures::{check, directory};
use crate::simulator::simulated;

/// An emulated Debian on a busy machine: half a minute, or minutes.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// The whole path: from a tar and a kernel package to a login and back to a disk
/// image that nobody has written to.
#[test]
fn debian_boots_from_a_disk_that_is_never_written_to() {
    let image = Image::get();
    let before = sha256_of_file(&image.directory.join("root.img"));
    let port = free_port();
    let vm = image.vm_on_port(port);
    let mut machine = simulated(&vm).time_limit(LIMIT).start();

    // The key that PID 1 made and said on the console is the one that ssh meets.
    let line = machine.wait_for("ssh host key ssh-ed25519 ");
    let said = line.rsplit(' ').next().unwrap().to_owned();
    let ssh = Ssh::wait(&mut machine, port);
    assert_eq!(ssh.fingerprint(), said);

    // systemd is done, and nothing in it has failed.
    assert_eq!(ssh.run("systemctl is-system-running --wait"), "running");
    assert_eq!(ssh.run("systemctl is-active multi-user.target"), "active");
    assert_eq!(ssh.run("systemctl list-units --failed --plain --no-legend"), "");

    // The root is what the measured command line says.
    let root = ssh.run("findmnt --noheadings --raw --output MAJ:MIN,FSTYPE,OPTIONS /");
    assert!(root.starts_with("253:0 erofs ro,"), "{root}");
    let table = ssh.run("dmsetup table root");
    assert!(table.contains(&image.setting("verity.roothash")), "{table}");
    assert!(table.ends_with("2 panic_on_corruption panic_on_error"), "{table}");
    assert_eq!(ssh.run("dmsetup status root").rsplit(' ').next(), Some("V"));

    // Writes work where they should, and only there.
    assert_eq!(ssh.run("echo written > /etc/new && cat /etc/new"), "written");
    assert_eq!(ssh.run("mkdir -p /var/lib/new/deep && ls /var/lib/new"), "deep");
    let refused = ssh.output("touch /usr/bin/new");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Read-only file system"));

    // The image's own identity is out of sight.
    let keys = ssh.run("ls /etc/ssh/ | grep ssh_host");
    assert_eq!(keys, "ssh_host_ed25519_key\nssh_host_ed25519_key.pub");
    let id = ssh.run("cat /etc/machine-id");
    assert_eq!(id.len(), 32);
    assert_ne!(id, "0123456789abcdef0123456789abcdef");
    // With an empty machine-id systemd does not take the boot for the first one.
    assert_eq!(ssh.output("systemctl is-active first-boot-complete.target").status.code(), Some(3));

    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    let outcome = machine.finish();
    outcome.stopped(Stop::PowerOff).never_said("ravelin: FAILED");
    assert_eq!(sha256_of_file(&image.directory.join("root.img")), before);
}

/// The reference: what `veritysetup open` tells the kernel for the same image is
/// what PID 1 tells it, word for word. The image is attached a second time for
/// that, because a device that is in use cannot be opened again.
#[test]
fn the_table_is_the_one_that_veritysetup_makes() {
    let image = Image::get();
    let (data, hash) = (image.directory.join("bare.img"), image.directory.join("bare.img.hash"));
    let sidecar = fs::read_to_string(image.directory.join("bare.img.toml")).unwrap();
    let sidecar: toml::Table = sidecar.parse().unwrap();
    let root_hash = sidecar["verity"]["root_hash"].as_str().unwrap();
    let words = sidecar["cmdline"].as_str().unwrap();
    let port = free_port();
    let mut machine = Vm::new()
        .memory_mib(1024)
        .initrd(image.directory.join("initramfs.cpio.zst"))
        // The veritysetup of Debian 12 does not know the reaction to disk errors.
        .cmdline(format!(
            "{} {words} ravelin.verity.on_error=eio ravelin.attest.mode=none",
            crate::fixtures::BASE
        ))
        .disk(&data, "ravelin-root")
        .disk(&hash, "ravelin-hash")
        .disk(&data, "again-root")
        .disk(&hash, "again-hash")
        .ssh_port(port)
        .time_limit(LIMIT)
        .start();
    let ssh = Ssh::wait(&mut machine, port);

    let by_id = "/dev/disk/by-id/virtio-again";
    ssh.run("udevadm settle");
    ssh.run(&format!(
        "veritysetup open --panic-on-corruption {by_id}-root reference {by_id}-hash {root_hash}"
    ));
    let table = |name: &str| ssh.run(&format!("dmsetup table {name}"));
    // The first two disks are 254:0 and 254:16, the others come after them.
    let reference = table("reference").replace(" 254:32 254:48 ", " 254:0 254:16 ");
    assert_eq!(table("root"), reference);
    let read_only = |name: &str| ssh.run(&format!("dmsetup info -c --noheadings -o attr {name}"));
    assert_eq!(read_only("root"), read_only("reference"));

    // And `veritysetup` knows PID 1's device for one of its own.
    let status = ssh.run("veritysetup status root");
    for line in ["type:        VERITY", "status:      verified", "mode:        readonly"] {
        assert!(status.contains(line), "{status}");
    }
    assert!(status.contains(root_hash), "{status}");

    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    machine.finish().stopped(Stop::PowerOff);
}

/// Attack: an SMBIOS credential, which systemd would trust, that writes root's authorized
/// keys. Observed: it is not imported. Closed: by
/// `systemd.import_credentials=no` of the generated command line; without it the
/// owner's login is refused and the host's key is there.
#[test]
fn credentials_of_the_host_are_not_taken() {
    let keys = "f+ /root/.ssh/authorized_keys 600 root root - host-was-here";
    let credential = format!("type=11,value=io.systemd.credential:tmpfiles.extra={keys}");
    let port = free_port();
    let mut machine = Image::get()
        .vm_beside_launch(port)
        .disk(Image::get().directory.join("root.img"), "ravelin-root")
        .qemu_arguments(["-smbios".to_owned(), credential])
        .start();
    let ssh = Ssh::wait(&mut machine, port);
    assert_eq!(ssh.run("systemctl is-system-running --wait"), "running");
    assert!(!ssh.run("cat /root/.ssh/authorized_keys").contains("host-was-here"));
    assert_eq!(ssh.run("ls /run/credentials 2>/dev/null | grep -c @system || true"), "0");
    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    machine.finish().stopped(Stop::PowerOff);
}

/// The harness's own network, with a DHCP client that nobody here has written: a second
/// card, served by the test's own process.
#[test]
fn a_guest_gets_its_address_from_the_tests_network() {
    let network = Responder::start(Link::new(), Behaviour::Honest);
    let port = free_port();
    let vm = machine(port).initrd(Image::get().directory.join("initramfs.cpio.zst"));
    let mut machine = vm.qemu_arguments(network.link().qemu_arguments()).start();
    let ssh = Ssh::wait(&mut machine, port);
    let address = format!("inet {}/24", Responder::CLIENT);
    let mut found = String::new();
    for _ in 0..60 {
        found = ssh.run("ip -4 -oneline address");
        if found.contains(&address) {
            break;
        }
        thread::sleep(Duration::from_secs(1));
    }
    assert!(found.contains(&address), "{found}\n{:?}", network.seen());
    let kinds: Vec<_> = network.requests().iter().map(|request| request.kind).collect();
    assert!(kinds.contains(&Kind::Discover) && kinds.ends_with(&[Kind::Request]), "{kinds:?}");
    // Its ARP is answered, so a datagram comes through.
    ssh.run(&format!("bash -c 'echo hello > /dev/udp/{}/9'", Responder::ADDRESS));
    let is_it = |seen: &Seen| match seen {
        Seen::Datagram(datagram) => {
            (*datagram.source.ip(), datagram.payload.as_slice()) == (Responder::CLIENT, b"hello\n")
        }
        Seen::Dhcp(_) | Seen::Arp(_) | Seen::Advertisement(_) | Seen::Other(_) => false,
    };
    for _ in 0..50 {
        if network.seen().iter().any(is_it) {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(network.seen().iter().any(is_it), "{:?}", network.seen());
    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    machine.finish().stopped(Stop::PowerOff);
}

/// Attack: a swap partition, which systemd would use, that the host adds to the disk to
/// read the guest's memory there. Observed: it is seen and not used.
/// Closed: by `systemd.gpt_auto=no systemd.swap=no`; without them it is active.
#[test]
fn swap_space_of_the_host_is_not_used() {
    let image = Image::get();
    let work = WorkDir::new();
    let disk = work.join("disk.img");
    fs::copy(image.directory.join("root.img"), &disk).unwrap();
    add_swap_partition(&disk, &work);
    let port = free_port();
    let mut machine = image.vm_beside_launch(port).writable_disk(&disk, "ravelin-root").start();
    let ssh = Ssh::wait(&mut machine, port);
    assert_eq!(ssh.run("systemctl is-system-running --wait"), "running");
    assert_eq!(ssh.run("ls /dev/vda3"), "/dev/vda3");
    assert_eq!(ssh.run("wc -l < /proc/swaps"), "1");
    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    machine.finish().stopped(Stop::PowerOff);
}

/// Appends a partition with swap space, as a host could.
fn add_swap_partition(disk: &Path, work: &WorkDir) {
    const SWAP_BYTES: u64 = 32 << 20;
    let swap = work.join("swap.img");
    fs::File::create(&swap).unwrap().set_len(SWAP_BYTES).unwrap();
    check(Command::new("mkswap").arg(&swap));
    let file = fs::OpenOptions::new().write(true).open(disk).unwrap();
    let start = file.metadata().unwrap().len().next_multiple_of(1 << 20);
    file.set_len(start + SWAP_BYTES + (1 << 20)).unwrap();
    file.write_all_at(&fs::read(&swap).unwrap(), start).unwrap();
    let (first, last) = (start / 512, (start + SWAP_BYTES) / 512 - 1);
    let mut sgdisk = Command::new("sgdisk");
    sgdisk.args(["--move-second-header", &format!("--new=3:{first}:{last}"), "--typecode=3:8200"]);
    check(sgdisk.arg(disk));
}

/// The Debian as a machine for tests of something else, which give it an initramfs
/// with the modules that they need.
pub(crate) fn machine(port: u16) -> Vm {
    let image = Image::get();
    image.vm_beside_launch(port).disk(image.directory.join("root.img"), "ravelin-root")
}

/// The Debian root in both layouts, and the initramfs for it.
pub(crate) struct Image {
    pub(crate) directory: PathBuf,
}

impl Image {
    pub(crate) fn get() -> &'static Image {
        static IMAGE: LazyLock<Image> = LazyLock::new(|| {
            let root = Tool::DebianRoot.path();
            let image = Image::of("debian", &root, &[]);
            image.verity(&root, "bare.img", &["--layout", "bare"]);
            image
        });
        &IMAGE
    }

    /// A verified disk of any source, its VM description and its initramfs.
    pub(crate) fn of(name: &str, from: &Path, options: &[&str]) -> Image {
        let image = Image { directory: directory().join(name) };
        fs::create_dir_all(&image.directory).unwrap();
        let vm = image.directory.join("vm.toml");
        image.verity(from, "root.img", &[options, &["--vm", vm.to_str().unwrap()]].concat());
        image.make_initramfs();
        image
    }

    fn verity(&self, from: &Path, output: &str, options: &[&str]) {
        let mut ravelin = Tool::Ravelin.command();
        ravelin.args(["--quiet", "image", "verity", "--from"]).arg(from).args(options);
        check(ravelin.arg("--output").arg(self.directory.join(output)));
    }

    fn make_initramfs(&self) {
        let path = |name: &str| self.directory.join(name);
        let environment = Environment::get();
        let mut initramfs = Tool::Ravelin.command();
        initramfs.args(["--quiet", "image", "initramfs", "--output"]);
        initramfs.arg(path("initramfs.cpio.zst"));
        initramfs.arg("--kernel").arg(environment.kernel());
        initramfs.arg("--firmware").arg(Tool::Firmware.path());
        initramfs.arg("--kernel-modules").arg(environment.modules());
        initramfs.args(["--module", "virtio_net", "--vm"]).arg(path("vm.toml"));
        check(&mut initramfs);
    }

    /// The machine of the VM description without its disk, for what `ravelin
    /// launch` does not do.
    fn vm_beside_launch(&self, port: u16) -> Vm {
        let text = fs::read_to_string(self.directory.join("vm.toml")).unwrap();
        let vm: toml::Table = text.parse().unwrap();
        Vm::new()
            .memory_mib(1024)
            .initrd(self.directory.join("initramfs.cpio.zst"))
            // What is tested here is systemd's part; no secure processor is there.
            .cmdline(format!("{} ravelin.attest.mode=none", vm["cmdline"].as_str().unwrap()))
            .ssh_port(port)
            .time_limit(LIMIT)
    }

    /// The VM description, with another SSH port than the template's.
    pub(crate) fn vm_on_port(&self, ssh: u16) -> PathBuf {
        self.vm_on_ports(ssh, free_port())
    }

    /// The VM description, with other ports than the template's, for a busy machine.
    pub(crate) fn vm_on_ports(&self, ssh: u16, attest: u16) -> PathBuf {
        let mut text = fs::read_to_string(self.directory.join("vm.toml")).unwrap();
        for (key, usual, port) in [("ssh_port", 2222, ssh), ("attest_port", 4777, attest)] {
            let line = format!("{key} = {usual}\n");
            assert!(text.contains(&line), "{text}");
            text = text.replace(&line, &format!("{key} = {port}\n"));
        }
        let line = text.lines().find(|line| line.starts_with("cmdline = ")).unwrap();
        let longer = format!("{} {NO_TIMER_CHECK}\"", line.strip_suffix('"').unwrap());
        text = text.replace(line, &longer);
        let vm = self.directory.join(format!("vm-{ssh}.toml"));
        fs::write(&vm, text).unwrap();
        vm
    }

    /// A setting of the image, from its sidecar.
    pub(crate) fn setting(&self, key: &str) -> String {
        let sidecar = fs::read_to_string(self.directory.join("root.img.toml")).unwrap();
        let sidecar: toml::Table = sidecar.parse().unwrap();
        let prefix = format!("ravelin.{key}=");
        let words = sidecar["cmdline"].as_str().unwrap().split(' ');
        words.filter_map(|word| word.strip_prefix(&prefix)).next().unwrap().to_owned()
    }
}
