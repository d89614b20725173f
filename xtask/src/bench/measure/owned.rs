//! Virtual machines as their owners have them, with a simulated secure processor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use toml::{Table, Value};
use vm_tests::{Environment, Launch, Tool, free_port};

use crate::boot::log_of;
use crate::samples::Log;
use crate::tools::{ravelin, run};

/// A VM as its owner has it: description, disk, initramfs, keys.
pub(crate) struct Owned {
    directory: PathBuf,
}

impl Owned {
    /// With an encrypted root, made of a tree or a file system, that its owner unlocks.
    pub(crate) fn encrypted(directory: PathBuf, from: &Path, options: &[&str]) -> Result<Self> {
        let owned = Self { directory };
        fs::create_dir_all(&owned.directory).context("make the VM's directory")?;
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "owner", "-f"])
            .arg(owned.path("owner")))?;
        let owner = fs::read_to_string(owned.path("owner.pub")).context("read the owner's key")?;
        fs::write(owned.path("ravelin.toml"), format!("unlock.owners = [\"{}\"]\n", owner.trim()))?;
        let mut encrypt = ravelin()?;
        encrypt.args(["--quiet", "image", "encrypt"]).args(options).arg("--from").arg(from);
        encrypt.arg("--output").arg(owned.path("root.img"));
        run(encrypt.arg("--vm").arg(owned.path("vm.toml")))?;
        owned.initramfs(&["--config".into(), owned.path("ravelin.toml")])?;
        Ok(owned)
    }

    pub(crate) fn debian(scratch: &Path) -> Result<Self> {
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Of the simulated secure processor.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("simulator/milan/root.pem")
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

    pub(crate) fn edit(&self, change: impl FnOnce(&mut Table)) -> Result<()> {
        let path = self.path("vm.toml");
        let mut vm: Table = fs::read_to_string(&path).context("read vm.toml")?.parse()?;
        change(&mut vm);
        fs::write(path, vm.to_string()).context("write vm.toml")
    }

    /// Three ports that are free now: ssh, evidence, keys.
    pub(crate) fn choose_ports(&self) -> Result<u16> {
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

    pub(crate) fn launch(&self) -> Launch {
        let state = self.path("simulator");
        Launch::new(&self.path("vm.toml")).simulator_argument("--state").simulator_argument(state)
    }

    /// One boot, unlocked by its owner as soon as PID 1 waits for it.
    pub(crate) fn boot(&self) -> Result<Log> {
        self.choose_ports()?;
        let mut machine = self.launch().start();
        machine.wait_for("unlock: waiting for");
        run(ravelin()?
            .args(["--quiet", "unlock", "--wait", "--new-instance", "--vm"])
            .arg(self.path("vm.toml"))
            .arg("--identity")
            .arg(self.path("owner"))
            .arg("--trust-root")
            .arg(self.root())
            .stdout(Stdio::null()))?;
        log_of(&machine.finish())
    }
}
