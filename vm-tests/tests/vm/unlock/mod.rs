//! Encrypted roots from end to end: PID 1 waits for its key on an attested channel,
//! `ravelin unlock` gives it, and what the host does to disk, header and channel is
//! refused by name. The guest waits on after a refusal, so one boot sees many attacks.

mod attacks;
mod boots;
mod debian;
mod luks_path;
mod made;
mod network;
mod power_cuts;
mod receipt;
mod volumes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use vm_tests::nbd::{Image, Server};
use vm_tests::{Environment, Launch, NO_TIMER_CHECK, Running, Tool, WorkDir, free_port};

use self::made::{Made, ROOM};
use crate::fixtures::{check, directory};
use crate::said::Said;
use crate::simulator::{root_file, simulated};

/// An emulated machine, and a dozen conversations with it.
const LIMIT: Duration = Duration::from_secs(420);

/// Owners of the tests' VMs.
struct Owners {
    directory: PathBuf,
}

impl Owners {
    fn get() -> &'static Owners {
        static OWNERS: LazyLock<Owners> = LazyLock::new(|| {
            let directory = directory().join("owners");
            fs::create_dir_all(&directory).unwrap();
            for name in ["first", "second", "third", "stranger"] {
                let mut keygen = Command::new("ssh-keygen");
                keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]);
                check(keygen.arg(directory.join(name)));
            }
            Owners { directory }
        });
        &OWNERS
    }

    /// The private key of one.
    fn identity(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The line of authorized_keys.
    fn line(&self, name: &str) -> String {
        let line = fs::read_to_string(self.directory.join(format!("{name}.pub"))).unwrap();
        line.trim().to_owned()
    }
}

/// A VM as its owner describes it. The files are this test's own, so that it may play
/// the host with them.
struct Machine {
    work: WorkDir,
    ssh: u16,
    unlock: u16,
    attest: u16,
}

impl Machine {
    /// With one owner and no more settings.
    fn new() -> Self {
        Self::with(&["first"], "")
    }

    /// With these owners and more lines of the measured configuration.
    fn with(owners: &[&str], more: &str) -> Self {
        Self::of(Made::get(), owners, more)
    }

    fn of(made: &Made, owners: &[&str], more: &str) -> Self {
        let machine = Self::bare();
        for entry in fs::read_dir(&made.directory).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, machine.work.join(path.file_name().unwrap())).unwrap();
        }
        machine.configure(owners, more);
        machine
    }

    /// Ports, and a directory without a file.
    fn bare() -> Self {
        let (ssh, unlock, attest) = (free_port(), free_port(), free_port());
        Self { work: WorkDir::new(), ssh, unlock, attest }
    }

    /// Makes its initramfs with these owners, where there are any, and more lines.
    fn configure(&self, owners: &[&str], more: &str) {
        let lines: Vec<String> =
            owners.iter().map(|name| format!("\"{}\"", Owners::get().line(name))).collect();
        let owners = match lines.as_slice() {
            [] => String::new(),
            lines => format!("unlock.owners = [{}]\n", lines.join(", ")),
        };
        fs::write(self.path("ravelin.toml"), format!("{owners}{more}")).unwrap();
        self.make_initramfs();
        self.choose_ports();
        let mut vm = self.vm();
        let cmdline = format!("{} {NO_TIMER_CHECK}", vm["cmdline"].as_str().unwrap());
        vm.insert("cmdline".to_owned(), cmdline.into());
        self.set_vm(&vm);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    fn make_initramfs(&self) {
        let environment = Environment::get();
        let mut initramfs = Tool::Ravelin.command();
        initramfs.args(["--quiet", "image", "initramfs", "--compress", "zstd:3", "--output"]);
        initramfs.arg(self.path("initramfs.cpio.zst"));
        initramfs.arg("--config").arg(self.path("ravelin.toml"));
        initramfs.arg("--kernel").arg(environment.kernel());
        initramfs.arg("--firmware").arg(Tool::Firmware.path());
        initramfs.arg("--kernel-modules").arg(environment.modules());
        initramfs.arg("--vm").arg(self.path("vm.toml"));
        check(&mut initramfs);
    }

    /// Ports of its own in vm.toml.
    fn choose_ports(&self) {
        let mut vm = self.vm();
        let network = vm["network"].as_table_mut().unwrap();
        let ports =
            [("ssh_port", self.ssh), ("attest_port", self.attest), ("unlock_port", self.unlock)];
        for (key, port) in ports {
            network.insert(key.to_owned(), toml::Value::Integer(port.into()));
        }
        self.set_vm(&vm);
    }

    fn vm(&self) -> toml::Table {
        fs::read_to_string(self.path("vm.toml")).unwrap().parse().unwrap()
    }

    fn set_vm(&self, vm: &toml::Table) {
        fs::write(self.path("vm.toml"), vm.to_string()).unwrap();
    }

    /// One more disk, NAME.img with the serial NAME.
    fn disk(self, name: &str) -> Self {
        let mut vm = self.vm();
        let mut disk = toml::Table::new();
        disk.insert("file".to_owned(), format!("{name}.img").into());
        disk.insert("serial".to_owned(), name.into());
        disk.insert("read_only".to_owned(), false.into());
        vm["disks"].as_array_mut().unwrap().push(disk.into());
        self.set_vm(&vm);
        self
    }

    /// What a power cut has left, in the place of the root's disk.
    fn put_root(&self, image: &Image) {
        // The image is one over that file: it cannot be saved into it.
        image.save(&self.path("left.img"));
        fs::rename(self.path("left.img"), self.path("root.img")).unwrap();
    }

    /// What the probe does once it is the root's init.
    fn doing(self, actions: &str) -> Self {
        let mut vm = self.vm();
        let cmdline = vm["cmdline"].as_str().unwrap();
        let cmdline = match cmdline.split_once(" probe.do=") {
            Some((before, _)) => before.to_owned(),
            None => cmdline.to_owned(),
        };
        vm.insert("cmdline".to_owned(), format!("{cmdline} probe.do={actions}").into());
        self.set_vm(&vm);
        self
    }

    /// Starts it and waits until it waits for its key.
    fn start(&self) -> Running {
        Self::waiting(simulated(&self.path("vm.toml")))
    }

    /// The same, with a disk that the test serves in place of the file.
    fn start_on(&self, disk: &Server) -> Running {
        let mut vm = self.vm();
        vm.remove("disks");
        let host = self.path("host.toml");
        fs::write(&host, vm.to_string()).unwrap();
        Self::waiting(simulated(&host).served_disk(disk, "ravelin-root"))
    }

    fn waiting(launch: Launch) -> Running {
        let mut machine = launch.time_limit(LIMIT).start();
        machine.wait_for("unlock: waiting for");
        machine
    }

    /// `ravelin unlock` by the first owner, with nothing of the user's.
    fn command(&self) -> Command {
        self.command_of("first")
    }

    fn command_of(&self, owner: &str) -> Command {
        self.command_in(self.work.path(), owner)
    }

    /// The same on a machine of his own: with his copy of what he needs.
    fn command_elsewhere(&self, owner: &str) -> Command {
        let place = self.path(&format!("of-{owner}"));
        if !place.exists() {
            fs::create_dir(&place).unwrap();
            for name in ["root.img.toml", "root.img.key", "vm.toml", "initramfs.cpio.zst"] {
                fs::copy(self.path(name), place.join(name)).unwrap();
            }
            fs::write(place.join("root.img"), "the host has it").unwrap();
        }
        self.command_in(&place, owner)
    }

    fn command_in(&self, place: &Path, owner: &str) -> Command {
        let mut unlock = Tool::Ravelin.command();
        unlock.args(["unlock", "--json", "--offline", "--wait", "60s", "--timeout", "60s", "--vm"]);
        unlock.arg(place.join("vm.toml")).arg("--trust-root").arg(root_file());
        unlock.arg("--identity").arg(Owners::get().identity(owner));
        for variable in ["XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME"] {
            unlock.env(variable, self.path("xdg"));
        }
        unlock.env_remove("SSH_AUTH_SOCK");
        unlock
    }

    /// Unlocks it.
    fn unlock(&self, more: &[&str]) -> Said {
        Said::patiently(self.command().args(more))
    }

    /// The least epoch that the sidecar accepts.
    fn epoch(&self) -> i64 {
        let sidecar = fs::read_to_string(self.path("root.img.toml")).unwrap();
        sidecar.parse::<toml::Table>().unwrap()["epoch"].as_integer().unwrap()
    }

    /// The secret, as hexadecimal digits.
    fn secret(&self) -> String {
        hex::encode(fs::read(self.path("root.img.key")).unwrap())
    }

    /// First byte of the volume on the disk.
    fn volume_offset(&self) -> u64 {
        let sidecar = fs::read_to_string(self.path("root.img.toml")).unwrap();
        let sidecar: toml::Table = sidecar.parse().unwrap();
        let partition = &sidecar["disk"]["partition"];
        u64::try_from(partition["offset"].as_integer().unwrap()).unwrap()
    }

    /// The root's file system, in clear on the owner's machine.
    #[track_caller]
    fn decrypted(&self) -> PathBuf {
        let clear = self.path("clear.img");
        let mut decrypt = Tool::Ravelin.command();
        decrypt.args(["--quiet", "image", "decrypt"]).arg(self.path("root.img.toml"));
        decrypt.arg("--key").arg(self.path("root.img.key"));
        check(decrypt.arg("--output").arg(&clear));
        clear
    }

    /// The volume specification of the sidecar.
    fn spec(&self) -> luks::VolumeSpec {
        let sidecar = fs::read_to_string(self.path("root.img.toml")).unwrap();
        let sidecar: toml::Table = sidecar.parse().unwrap();
        let text = sidecar["volume"]["spec"].as_str().unwrap();
        luks::VolumeSpec::decode(&hex::decode(text).unwrap()).unwrap()
    }
}

/// What `ravelin unlock --json` may say.
impl Said {
    /// That of a guest that takes releases: after one that failed it takes none for a
    /// while.
    fn patiently(command: &mut Command) -> Self {
        loop {
            let answer = Self::of(&command.output().unwrap());
            if !answer.text.contains("your release failed before; try again in") {
                return answer;
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// The volumes are open.
    #[track_caller]
    fn opened(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}", self.text);
        assert_eq!(self.json["released"], true, "{}", self.text);
        self
    }

    /// It ended with this code and says all of these.
    #[track_caller]
    fn failed(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "no {part:?} in: {}", self.text);
        }
        self
    }
}

/// A copy of a file beside it, to put back later.
fn keep(path: &Path) -> PathBuf {
    let kept = path.with_extension("kept");
    fs::copy(path, &kept).unwrap();
    kept
}

/// Puts a kept file's content back, into the same file: QEMU has it open.
fn put_back(path: &Path, kept: &Path) {
    let content = fs::read(kept).unwrap();
    crate::fixtures::overwrite(path, 0, &content);
}
