//! `cargo xtask demo`: a Debian on a verified disk, from its packages to an
//! attested login, with the commands that a user would type.
//!
//! With `--encrypted`, on an encrypted disk ([`encrypted`]).
//!
//! There is no SNP hardware in it: the processor and its secure processor are
//! emulated, nothing is protected, and the text says so. Everything else is
//! real.

mod encrypted;
mod machine;
mod ssh;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::machine::Machine;
use self::ssh::Ssh;
use crate::build;
use crate::command;
use crate::project::Project;
use crate::setup::{self, Prepared};

/// An emulated processor takes its time; a machine that needs more is stuck.
const BOOT_LIMIT: Duration = Duration::from_secs(300);
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(90);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Boot from an encrypted disk instead: unlock it, restart, unlock it again
    #[arg(long)]
    encrypted: bool,
}

/// The ports of the template that `ravelin image` writes: of ssh, of the attestation
/// responder and, for an encrypted disk, of where the guest waits for its key.
const USUAL_PORTS: [(&str, u16); 3] =
    [("ssh_port", 2222), ("attest_port", 4777), ("unlock_port", 4778)];

/// What is shown once logged in: a command and why it is worth a look.
const SHOWN: &[(&str, &str)] = &[
    (
        "findmnt --output TARGET,SOURCE,FSTYPE,OPTIONS /",
        "the root is a dm-verity device, read-only",
    ),
    ("dmsetup table root", "one wrong block, or one that the disk refuses, and the machine resets"),
    ("dmsetup status root", "V: every block that was read so far matched the root hash"),
    (
        "findmnt --output TARGET,FSTYPE,SIZE,USED -t overlay",
        "writes go to memory, and are gone afterwards",
    ),
    ("echo hello > /etc/motd && cat /etc/motd", "so /etc can be written to"),
    ("touch /usr/bin/evil", "and /usr cannot"),
    (
        "ls -l /etc/ssh/ | grep ssh_host",
        "made at this boot; the image's own host keys are out of sight",
    ),
    ("cat /etc/machine-id", "this boot's, not the image's"),
    (
        "systemctl is-system-running --wait; systemd-analyze",
        "the whole boot; what it calls kernel is the kernel and PID 1's part above",
    ),
];

/// Set by Ctrl-C or a termination; whoever waits looks at it.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
        .context("watch for Ctrl-C")?;
    let started = Instant::now();

    title("What is needed");
    let prepared = setup::ensure(project)?;

    title("Building PID 1 and ravelin");
    let built = build::build(project, &prepared)?;
    let directory = if arguments.encrypted { "demo-encrypted" } else { "demo" };
    let demo = Demo { directory: project.target.join(directory), ravelin: built.ravelin };
    if arguments.encrypted {
        return encrypted::run(&demo, &prepared, started);
    }
    demo.images(&prepared)?;

    title("Booting it: QEMU emulates the processor, so this takes a minute and protects nothing");
    let image = demo.directory.join("root.img");
    let before = sha256(&image)?;
    demo.choose_ports()?;
    let mut machine = demo.launch()?;
    let _not_to_be_trusted = machine.wait_for_fingerprint(BOOT_LIMIT)?;

    title("Attesting it: the console above is the host's word; this is the secure processor's");
    demo.attest()?;
    println!(
        "Its root is the simulator's, which anybody can have: it is trusted because the command \
         names it."
    );

    title("Logging in: ssh takes the host key from the attested report and from nowhere else");
    let ssh = Ssh::new(demo.ssh_config()?, prepared.ssh_key);
    ssh.wait(&mut machine, BOOT_LIMIT)?;
    for (shown, why) in SHOWN {
        println!("\n# {why}\nroot@ravelin:~# {shown}");
        ssh.show(shown)?;
    }

    title("Shutting down");
    ssh.power_off()?;
    machine.wait_for_end(SHUTDOWN_LIMIT)?;
    let after = sha256(&image)?;
    ensure!(before == after, "the disk image was written to");
    println!("The disk image is the same as before, SHA-256 {after}");
    println!(
        "\nDone in {} s. Everything is in {}:",
        started.elapsed().as_secs(),
        demo.directory.display()
    );
    println!("  ravelin inspect {}", demo.directory.join("initramfs.cpio.zst").display());
    println!("  ravelin launch --simulate --vm {}", demo.vm().display());
    println!("  ravelin measure --vm {}", demo.vm().display());
    Ok(())
}

/// Fails if somebody wants this to end.
pub(crate) fn check_interrupted() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

struct Demo {
    directory: PathBuf,
    ravelin: PathBuf,
}

impl Demo {
    fn vm(&self) -> PathBuf {
        self.directory.join("vm.toml")
    }

    /// The two image commands.
    fn images(&self, prepared: &Prepared) -> Result<()> {
        fs::create_dir_all(&self.directory).context("create the demo's directory")?;
        let _from_an_earlier_run = fs::remove_file(self.vm());

        title("Making the disk: a root file system and its dm-verity tree");
        let mut verity = self.ravelin_command();
        verity.args(["image", "verity", "--from"]).arg(&prepared.root_tar);
        verity.arg("--output").arg(self.directory.join("root.img"));
        verity.arg("--vm").arg(self.vm());
        prepared.export_tools(&mut verity);
        show_and_run(&mut verity)?;

        title("Making the initramfs: PID 1, the kernel modules it needs, nothing else");
        self.initramfs(prepared, None)
    }

    fn initramfs(&self, prepared: &Prepared, config: Option<&Path>) -> Result<()> {
        let version = &prepared.kernel_version;
        let mut initramfs = self.ravelin_command();
        initramfs.args(["image", "initramfs", "--output"]);
        initramfs.arg(self.directory.join("initramfs.cpio.zst"));
        initramfs.arg("--kernel").arg(prepared.kernel.join(format!("boot/vmlinuz-{version}")));
        initramfs.arg("--kernel-modules").arg(prepared.kernel.join("lib/modules").join(version));
        initramfs.arg("--firmware").arg(&prepared.firmware);
        match config {
            // A guest that gets its key over the network has the module.
            Some(config) => initramfs.arg("--config").arg(config),
            None => initramfs.args(["--module", "virtio_net"]),
        };
        initramfs.arg("--vm").arg(self.vm());
        show_and_run(&mut initramfs)
    }

    /// Other ports where the usual ones are taken.
    fn choose_ports(&self) -> Result<()> {
        let mut text = fs::read_to_string(self.vm()).context("read vm.toml")?;
        for (key, usual) in USUAL_PORTS {
            let line = format!("{key} = {usual}");
            if !text.contains(&line) {
                continue;
            }
            let free = |port| {
                TcpListener::bind(("127.0.0.1", port)).and_then(|socket| socket.local_addr())
            };
            let port = free(usual).or_else(|_| free(0)).context("find a free port")?.port();
            if port != usual {
                println!("Port {usual} is taken; {key} in vm.toml is {port} instead.");
            }
            text = text.replace(&line, &format!("{key} = {port}"));
        }
        fs::write(self.vm(), text).context("write vm.toml")
    }

    /// The simulator's keys, and the root that its reports chain to.
    fn simulator(&self) -> PathBuf {
        self.directory.join("simulator")
    }

    fn root(&self) -> PathBuf {
        self.simulator().join("milan/root.pem")
    }

    fn attest(&self) -> Result<()> {
        let mut attest = self.ravelin_command();
        attest.args(["attest", "--wait", "5m", "--vm"]).arg(self.vm());
        attest.arg("--trust-root").arg(self.root());
        show_and_run(&mut attest)
    }

    /// The configuration by which ssh knows the machine as `demo`.
    fn ssh_config(&self) -> Result<PathBuf> {
        let path = self.directory.join("ssh.conf");
        let mut config = self.ravelin_command();
        config.args(["ssh-config", "demo", "--user", "root", "--vm"]).arg(self.vm());
        config.arg("--trust-root").arg(self.root()).arg("--output").arg(&path);
        show_and_run(&mut config)?;
        print!("{}", fs::read_to_string(&path).context("read the ssh configuration")?);
        Ok(path)
    }

    fn launch(&self) -> Result<Machine> {
        let log = self.directory.join("console.log");
        let mut launch = self.ravelin_command();
        launch.args(["launch", "--simulate", "--timeout", "10m", "--vm"]).arg(self.vm());
        launch.arg("--console-log").arg(&log);
        launch.args(["--simulator-argument", "--state", "--simulator-argument"]);
        launch.arg(self.simulator());
        println!("$ {}", command::shown(&launch));
        Machine::start(launch, log)
    }

    fn ravelin_command(&self) -> Command {
        Command::new(&self.ravelin)
    }
}

fn title(text: &str) {
    println!("\n=== {text}");
}

fn show_and_run(command: &mut Command) -> Result<()> {
    println!("$ {}", command::shown(command));
    command::run(command)
}

/// Shows a command that is not to work; its exit code.
fn show_and_fail(command: &mut Command) -> Result<Option<i32>> {
    println!("$ {}", command::shown(command));
    let status = command.status().with_context(|| format!("start {}", command::shown(command)))?;
    Ok(status.code())
}

fn sha256(path: &Path) -> Result<String> {
    let sums = command::stdout(Command::new("sha256sum").arg("--").arg(path))?;
    Ok(sums.split_whitespace().next().unwrap_or_default().to_owned())
}
