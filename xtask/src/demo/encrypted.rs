//! `cargo xtask demo --encrypted`: a Debian on an encrypted disk that only its owner
//! opens, booted twice.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::ssh::Ssh;
use super::{BOOT_LIMIT, Demo, SHUTDOWN_LIMIT, show_and_fail, show_and_run, title};
use crate::command;
use crate::setup::Prepared;

/// What is shown of the first boot: a command and why it is worth a look.
const SHOWN: &[(&str, &str)] = &[
    (
        "findmnt --output TARGET,SOURCE,FSTYPE,OPTIONS /",
        "the root can be written to: it is the owner's own disk",
    ),
    (
        "dmsetup table | grep root | sort",
        "encrypted by dm-crypt, every sector authenticated by dm-integrity; the key is in the \
         kernel alone",
    ),
    ("echo 'I was here' > /root/note && cat /root/note", "something to find again"),
    ("systemctl is-system-running --wait; systemd-analyze", "the whole boot"),
];

/// And of the second.
const SHOWN_AGAIN: &[(&str, &str)] = &[("cat /root/note", "it is there again")];

/// The whole act; the machine has been off before it and is after it.
pub(super) fn run(demo: &Demo, prepared: &Prepared, started: Instant) -> Result<()> {
    images(demo, prepared)?;

    title("Booting it: QEMU emulates the processor, so this takes a minute and protects nothing");
    demo.choose_ports()?;
    let mut machine = demo.launch()?;
    machine.wait_for("unlock: waiting for", BOOT_LIMIT)?;

    title("Unlocking it: the key leaves this machine once the VM has proved what it is");
    unlock(demo, prepared, &[], true)?;
    let _not_to_be_trusted = machine.wait_for_fingerprint(BOOT_LIMIT)?;
    println!(
        "The simulator's root, which anybody can have, is trusted because the command names it."
    );

    title("Logging in: ssh takes the host key from the attested report and from nowhere else");
    let ssh = Ssh::new(demo.ssh_config()?, prepared.ssh_key.clone());
    ssh.wait(&mut machine, BOOT_LIMIT)?;
    show(&ssh, SHOWN)?;

    title("Restarting it: the host keys, and the note, are on the encrypted disk");
    ssh.power_off()?;
    machine.wait_for_end(SHUTDOWN_LIMIT)?;
    let mut machine = demo.launch()?;
    machine.wait_for("unlock: waiting for", BOOT_LIMIT)?;
    println!("\n# a VM that is not the one from before gets the key only if its owner says so");
    unlock(demo, prepared, &[], false)?;
    unlock(demo, prepared, &["--new-instance"], true)?;
    let _not_to_be_trusted = machine.wait_for_fingerprint(BOOT_LIMIT)?;
    ssh.wait(&mut machine, BOOT_LIMIT)?;
    show(&ssh, SHOWN_AGAIN)?;

    title("Shutting down");
    ssh.power_off()?;
    machine.wait_for_end(SHUTDOWN_LIMIT)?;
    println!(
        "\nDone in {} s. Everything is in {}:",
        started.elapsed().as_secs(),
        demo.directory.display()
    );
    let at = |name: &str| demo.directory.join(name).display().to_string();
    println!("  ravelin inspect {}", at("root.img.toml"));
    let (sidecar, key) = (at("root.img.toml"), at("root.img.key"));
    println!("  ravelin image decrypt {sidecar} --key {key} --output clear.img");
    println!("  ravelin launch --simulate --vm {}", demo.vm().display());
    Ok(())
}

/// The owner's settings and the two image commands.
fn images(demo: &Demo, prepared: &Prepared) -> Result<()> {
    fs::create_dir_all(&demo.directory).context("create the demo's directory")?;
    let at = |name: &str| demo.directory.join(name);
    // A key is never overwritten, and this one opens nothing any more.
    for name in ["vm.toml", "root.img", "root.img.toml", "root.img.key", "root.img.instance.toml"] {
        let _from_an_earlier_run = fs::remove_file(at(name));
    }

    title("Making the disk: a root file system, encrypted and authenticated, and its key");
    let mut encrypt = demo.ravelin_command();
    encrypt.args(["image", "encrypt", "--from"]).arg(&prepared.root_tar);
    encrypt.args(["--size", "512M", "--output"]).arg(at("root.img"));
    encrypt.arg("--vm").arg(demo.vm());
    prepared.export_tools(&mut encrypt);
    show_and_run(&mut encrypt)?;

    title("Making the initramfs: PID 1, the kernel modules it needs, and who may unlock");
    let owner = fs::read_to_string(prepared.ssh_key.with_extension("pub"));
    let config = format!("unlock.owners = [\"{}\"]\n", owner.context("read the SSH key")?.trim());
    fs::write(at("ravelin.toml"), &config).context("write ravelin.toml")?;
    print!("$ cat {}\n{config}", at("ravelin.toml").display());
    demo.initramfs(prepared, Some(&at("ravelin.toml")))
}

/// `ravelin unlock`, which is to work or to be refused.
fn unlock(demo: &Demo, prepared: &Prepared, more: &[&str], works: bool) -> Result<()> {
    let mut unlock = demo.ravelin_command();
    unlock.args(["unlock", "--wait", "--vm"]).arg(demo.vm());
    unlock.arg("--identity").arg(&prepared.ssh_key);
    unlock.arg("--trust-root").arg(demo.root()).args(more);
    if works {
        return show_and_run(&mut unlock);
    }
    let code = show_and_fail(&mut unlock)?;
    ensure!(code == Some(1), "{}: expected a refusal", command::shown(&unlock));
    Ok(())
}

fn show(ssh: &Ssh, commands: &[(&str, &str)]) -> Result<()> {
    for (shown, why) in commands {
        println!("\n# {why}\nroot@ravelin:~# {shown}");
        ssh.show(shown)?;
    }
    Ok(())
}
