//! Encrypted disks where they are used: PID 1 opens its root, and cryptsetup opens and
//! makes such a disk in a Debian with the same kernel.
//!
//! Both in QEMU, as everything that needs device mapper is here. The emulator has the AES
//! instructions, slowly; it slows down both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};
use vm_tests::{Environment, Launch, Ssh, Tool, free_port};

use crate::boot::{log_of, make_tree};
use crate::samples::{Cryptsetup, Log, Unlock};
use crate::tools::{Noise, ravelin, variable};

/// What is encrypted in the Debian.
const BYTES: u64 = 48 << 20;
/// The disk that it is encrypted on has room for what integrity takes.
const DISK: u64 = 96 << 20;
/// And the one with the files, `ravelin`, and what it makes.
const WORK: u64 = 400 << 20;
const ROUNDS: usize = 3;

/// One boot takes a minute, the Debian a few.
pub(crate) fn measure(scratch: &Path, boots: usize) -> Result<Unlock> {
    let root = Owned::encrypted(scratch)?;
    let mut logs = Vec::new();
    for round in 0..boots {
        eprintln!("bench: unlocking an encrypted root, round {} of {boots}", round + 1);
        logs.push(root.boot()?);
    }
    Ok(Unlock { ours: logs, cryptsetup: debian(scratch, &root)?, bytes: BYTES })
}

/// A VM as its owner has it: description, disk, initramfs, keys.
struct Owned {
    directory: PathBuf,
}

impl Owned {
    fn encrypted(scratch: &Path) -> Result<Self> {
        let owned = Self { directory: scratch.join("unlock") };
        let tree = owned.path("tree");
        make_tree(&tree, &variable("RAVELIN_REFERENCE_INIT")?)?;
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "owner", "-f"])
            .arg(owned.path("owner")))?;
        let owner = fs::read_to_string(owned.path("owner.pub")).context("read the owner's key")?;
        fs::write(owned.path("ravelin.toml"), format!("unlock.owners = [\"{}\"]\n", owner.trim()))?;
        run(ravelin()?
            .args(["--quiet", "image", "encrypt", "--root-owned", "--size", "64M", "--from"])
            .arg(&tree)
            .arg("--output")
            .arg(owned.path("root.img"))
            .arg("--vm")
            .arg(owned.path("vm.toml")))?;
        owned.initramfs(&["--config".into(), owned.path("ravelin.toml")])?;
        Ok(owned)
    }

    fn debian(scratch: &Path) -> Result<Self> {
        let owned = Self { directory: scratch.join("debian") };
        fs::create_dir_all(&owned.directory).context("make the Debian's directory")?;
        run(ravelin()?
            .args(["--quiet", "image", "verity", "--from"])
            .arg(Tool::DebianRoot.path())
            .arg("--output")
            .arg(owned.path("root.img"))
            .arg("--vm")
            .arg(owned.path("vm.toml")))?;
        let modules = ["virtio_net", "ext4", "dm_integrity", "dm_crypt", "authenc", "xts"];
        let mut more: Vec<PathBuf> =
            modules.iter().flat_map(|name| ["--module".into(), name.into()]).collect();
        // What may be built in, and what only makes it faster.
        let modules = ["hmac", "sha256_generic", "aesni_intel", "algif_skcipher", "algif_aead"];
        more.extend(modules.iter().flat_map(|name| ["--optional-module".into(), name.into()]));
        owned.initramfs(&more)?;
        owned.edit(|vm| {
            vm.insert("memory".to_owned(), Value::String("2G".to_owned()));
        })?;
        Ok(owned)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn initramfs(&self, more: &[PathBuf]) -> Result<()> {
        let environment = Environment::get();
        run(ravelin()?
            .args(["--quiet", "image", "initramfs", "--compress", "zstd:3", "--output"])
            .arg(self.path("initramfs.cpio.zst"))
            .arg("--kernel")
            .arg(environment.kernel())
            .arg("--firmware")
            .arg(Tool::Firmware.path())
            .arg("--kernel-modules")
            .arg(environment.modules())
            .args(more)
            .arg("--vm")
            .arg(self.path("vm.toml")))
    }

    fn edit(&self, change: impl FnOnce(&mut Table)) -> Result<()> {
        let path = self.path("vm.toml");
        let mut vm: Table = fs::read_to_string(&path).context("read vm.toml")?.parse()?;
        change(&mut vm);
        fs::write(path, vm.to_string()).context("write vm.toml")
    }

    /// Three ports that are free now: ssh, evidence, keys.
    fn choose_ports(&self) -> Result<u16> {
        let ssh = free_port();
        self.edit(|vm| {
            if let Some(network) = vm.get_mut("network").and_then(Value::as_table_mut) {
                let ports =
                    [("ssh_port", ssh), ("attest_port", free_port()), ("unlock_port", free_port())];
                for (key, port) in ports {
                    network.insert(key.to_owned(), Value::Integer(port.into()));
                }
            }
        })?;
        Ok(ssh)
    }

    fn launch(&self) -> Launch {
        let state = self.path("simulator");
        Launch::new(&self.path("vm.toml")).simulator_argument("--state").simulator_argument(state)
    }

    /// One boot, unlocked by its owner as soon as PID 1 waits for it.
    fn boot(&self) -> Result<Log> {
        self.choose_ports()?;
        let mut machine = self.launch().start();
        machine.wait_for("unlock: waiting for");
        run(ravelin()?
            .args(["--quiet", "unlock", "--wait", "--new-instance", "--vm"])
            .arg(self.path("vm.toml"))
            .arg("--identity")
            .arg(self.path("owner"))
            .arg("--trust-root")
            .arg(self.path("simulator/milan/root.pem"))
            .stdout(Stdio::null()))?;
        log_of(&machine.finish())
    }
}

/// cryptsetup opens PID 1's root; and makes an encrypted disk of a file, as `ravelin`
/// does beside it, with the same cipher and no cost of a passphrase.
fn debian(scratch: &Path, root: &Owned) -> Result<Vec<Cryptsetup>> {
    let debian = Owned::debian(scratch)?;
    let tools = debian.path("tools");
    fs::create_dir(&tools)?;
    fs::copy(variable("RAVELIN_CLI")?, tools.join("ravelin")).context("copy ravelin")?;
    fs::copy(root.path("root.img.key"), tools.join("key")).context("copy the key")?;
    let (files, plain) = (debian.path("files"), tools.join("plain"));
    fs::create_dir(&files)?;
    Noise::new().write(&files.join("noise"), BYTES * 3 / 4)?;
    let (work, disk) = (debian.path("work.img"), debian.path("disk.img"));
    for (tree, image, bytes) in [(&files, &plain, BYTES), (&tools, &work, WORK)] {
        run(Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-b", "4096", "-E", "root_owner=0:0", "-d"])
            .args([tree, image])
            .arg(format!("{}M", bytes >> 20)))?;
    }
    fs::File::create(&disk)?.set_len(DISK)?;

    let ssh = debian.choose_ports()?;
    let disks = [("work", work.as_path()), ("disk", &disk), ("root", &root.path("root.img"))];
    let drives = disks.iter().flat_map(|(name, path)| {
        [
            "-drive".to_owned(),
            format!("if=none,id={name},format=raw,cache=unsafe,file={}", path.display()),
            "-device".to_owned(),
            format!("virtio-blk-pci,drive={name},serial={name}"),
        ]
    });
    let mut machine = debian.launch().qemu_arguments(drives).start();
    let ssh = Ssh::wait(&mut machine, ssh);
    ssh.run("udevadm settle; mount /dev/disk/by-id/virtio-work /mnt; cat /mnt/plain /mnt/ravelin > /dev/null");
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        eprintln!("bench: cryptsetup in a Debian, round {} of {ROUNDS}", round + 1);
        rounds.push(one_round(&ssh, round)?);
    }
    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    let _ended = machine.finish();
    Ok(rounds)
}

/// Who is first changes with the round.
fn one_round(ssh: &Ssh, round: usize) -> Result<Cryptsetup> {
    let open = timed(
        ssh,
        "cryptsetup open --key-file /mnt/key /dev/disk/by-id/virtio-root-part1 theirs && \
         mkdir -p /run/theirs && mount /dev/mapper/theirs /run/theirs",
    )?;
    ssh.run("umount /run/theirs && cryptsetup close theirs");
    let ours = || {
        timed(
            ssh,
            "/mnt/ravelin --quiet image encrypt --layout bare --from /mnt/plain \
             --output /mnt/encrypted && sync",
        )
    };
    let theirs = || {
        timed(
            ssh,
            "cryptsetup luksFormat --batch-mode --type luks2 --cipher aes-xts-plain64 --integrity \
             hmac-sha256 --key-size 512 --sector-size 4096 --pbkdf pbkdf2 \
             --pbkdf-force-iterations 1000 /dev/disk/by-id/virtio-disk /mnt/key && cryptsetup open \
             --key-file /mnt/key /dev/disk/by-id/virtio-disk new && dd if=/mnt/plain \
             of=/dev/mapper/new bs=1M conv=fsync status=none && cryptsetup close new && sync",
        )
    };
    let (encrypt, format) = if round.is_multiple_of(2) {
        let ours = ours()?;
        (ours, theirs()?)
    } else {
        let theirs = theirs()?;
        (ours()?, theirs)
    };
    ssh.run("rm /mnt/encrypted*");
    Ok(Cryptsetup { open, encrypt, format })
}

/// Milliseconds by the guest's clock.
fn timed(ssh: &Ssh, commands: &str) -> Result<f64> {
    let text = ssh.run(&format!(
        "begin=$(date +%s%N); {{ {commands}; }} >&2 && end=$(date +%s%N) && \
         echo $(((end - begin) / 1000))"
    ));
    let microseconds: f64 = text.trim().parse().with_context(|| format!("a time: {text:?}"))?;
    Ok(microseconds / 1000.0)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().context("start a program")?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
