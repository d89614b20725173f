//! The configuration is wrong: by a mistake of the owner, or by a host that
//! hopes for a guest that guesses.
//!
//! Every byte of it is measured, so a host cannot change it unseen; what it can
//! do is start the guest with another one and another measurement. Then too the
//! guest must end in a definite answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use vm_tests::{Stop, WorkDir};

use crate::fixtures::{self, SmallRoot};

/// Attack: a key that an older or newer PID 1 would know. Observed: refused with
/// the key's name. Closed: no setting is ever ignored.
#[test]
fn an_unknown_key_is_refused() {
    let outcome = SmallRoot::get().vm().add_words("ravelin.verity.rothash=00").run();
    outcome.refused("configuration", "configuration-unknown-key").said("verity.rothash");
}

/// Attack: a second root hash after the first, for whichever parser takes the
/// last. Observed: refused with the key's name. Closed: a key is given once.
#[test]
fn a_repeated_key_is_refused() {
    let root = SmallRoot::get();
    let hash = "0".repeat(64);
    let outcome = root.vm().add_words(&format!("ravelin.verity.roothash={hash}")).run();
    outcome.refused("configuration", "configuration-repeated-key").said("verity.roothash");
}

/// Attack: the second one in the other place. Observed and closed: as above.
#[test]
fn a_key_in_the_file_and_on_the_command_line_is_refused() {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let initramfs = with_configuration(&work, b"root.fstype = \"ext4\"\n");
    let outcome = root.vm().initrd(initramfs).run();
    outcome.refused("configuration", "configuration-repeated-key").said("root.fstype");
}

/// A key without which there is no root to boot.
#[test]
fn a_missing_key_is_refused() {
    let root = SmallRoot::get();
    let settings = root.settings.clone().without("verity.roothash");
    let outcome = root.vm().cmdline(settings.to_string()).run();
    outcome.refused("configuration", "configuration-missing-key").said("verity.roothash");
}

/// Attack: no protection at all. Observed: refused unless the measured
/// configuration calls it insecure itself.
#[test]
fn plain_mode_needs_its_name() {
    let root = SmallRoot::get();
    let outcome = root.bare_vm().disk(&root.data, "data").cmdline(plain(root)).run();
    outcome.refused("configuration", "configuration-conflict").said("insecure");
}

/// With it, the machine boots and says what it is.
#[test]
fn plain_mode_says_that_it_is_insecure() {
    let root = SmallRoot::get();
    let vm = root.bare_vm().disk(&root.data, "data").cmdline(plain(root));
    let outcome = vm.add_words("ravelin.insecure=true").run();
    outcome.booted().said("INSECURE: root.mode=plain");
    assert!(outcome.console.probes("dm.table").is_empty());
}

/// Attack: a megabyte of noise as the configuration. Observed: refused, at once.
/// Closed: it is read up to a limit, and parsed in that memory.
#[test]
fn a_megabyte_of_noise_is_refused() {
    let noise: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    refused_as(&noise, "configuration-too-large");
}

/// Attack: a megabyte that is well-formed, so that only its size can refuse it.
#[test]
fn a_megabyte_of_valid_lines_is_refused() {
    let lines: String =
        (0..60_000).map(|number| format!("a{number:06} = \"{number:08}\"\n")).collect();
    assert!(lines.len() > 1 << 20);
    refused_as(lines.as_bytes(), "configuration-too-large");
}

/// Attack: noise below the limit: no text, and text that is no TOML.
#[test]
fn a_little_noise_is_refused() {
    refused_as(&[0xff; 4096], "configuration-syntax");
    refused_as("[".repeat(4096).as_bytes(), "configuration-syntax");
}

/// The configured failure action is taken, whatever fails.
#[test]
fn reboot_on_failure_resets() {
    let vm = SmallRoot::get().vm().add_words("ravelin.on_failure=reboot ravelin.root.init=/none");
    vm.run().refused_then("root", "init-missing", Stop::Reset);
}

/// A halted machine stays as it is until somebody ends it.
#[test]
fn halt_on_failure_halts() {
    let vm = SmallRoot::get().vm().add_words("ravelin.on_failure=halt ravelin.root.init=/none");
    let mut machine = vm.start();
    machine.wait_for("reboot: System halted");
    let outcome = machine.finish_within(Duration::from_secs(2));
    outcome.refused_then("root", "init-missing", Stop::TimeLimit);
}

/// The kernel's `quiet` hides the boot log, and never a failure.
#[test]
fn quiet_hides_the_log_and_not_a_failure() {
    let root = SmallRoot::get();
    root.vm().add_words("quiet").run().booted().never_said("ravelin: ");
    let outcome = root.vm().add_words("quiet ravelin.nonsense=1").run();
    outcome.refused("configuration", "configuration-unknown-key").never_said("ms]");
}

#[track_caller]
fn refused_as(configuration: &[u8], code: &str) {
    let work = WorkDir::new();
    let initramfs = with_configuration(&work, configuration);
    SmallRoot::get().vm().initrd(initramfs).run().refused("configuration", code);
}

/// The usual initramfs and one more archive, made by GNU cpio: `ravelin` would
/// not write such a configuration.
fn with_configuration(work: &WorkDir, configuration: &[u8]) -> PathBuf {
    fs::create_dir(work.join("etc")).unwrap();
    fs::write(work.join("etc/ravelin.toml"), configuration).unwrap();
    let names = "printf 'etc\\netc/ravelin.toml\\n'";
    let archive = format!("{names} | cpio --create --format=newc --quiet > configuration.cpio");
    fixtures::check(Command::new("sh").args(["-c", &archive]).current_dir(work.path()));
    let joined = work.join("initramfs");
    concatenate(&[&SmallRoot::get().initramfs, &work.join("configuration.cpio")], &joined);
    joined
}

pub(crate) fn concatenate(parts: &[&Path], whole: &Path) {
    let bytes: Vec<u8> = parts.iter().flat_map(|part| fs::read(part).unwrap()).collect();
    fs::write(whole, bytes).unwrap();
}

fn plain(root: &SmallRoot) -> String {
    let mut settings = root.settings.clone().with("root.mode", "plain");
    for key in ["hash_device", "roothash", "salt", "data_blocks"] {
        settings = settings.without(&format!("verity.{key}"));
    }
    settings.to_string()
}
