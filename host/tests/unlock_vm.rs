//! `ravelin unlock` from a VM description: which disk, which key, which address, and
//! what of the VM is expected.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "../../attestation/tests/measurement_common/mod.rs"]
mod measurement_common;
mod responder_support;
mod unlock_support;
#[path = "../../attestation/tests/verify_support/mod.rs"]
mod verify_support;
mod vm_support;

use std::fs;
use std::path::Path;

use common::{Ran, codes, run};
use measurement_common::Random;
use responder_support::{AT, at_home, vm};
use unlock_support::{Guest, epoch, home};

/// A VM with the encrypted disk, and more of its description.
fn describe(directory: &Path, more: &str) {
    let disk = "[[disks]]\nfile = \"root.img\"\nserial = \"ravelin-root\"\nread_only = false\n";
    vm_support::describe(directory, &format!("{more}\n{disk}"));
}

fn unlock(directory: &Path, arguments: &[&str]) -> Ran {
    let mut command = at_home(directory);
    command.env_remove("SSH_AUTH_SOCK");
    command.args(["unlock", "--json", "--offline", "--trust-root", "ark.der", "--at", AT]);
    command.args(arguments).output().unwrap().into()
}

#[test]
fn the_description_says_disk_key_and_address() {
    let home = home();
    let path = home.path();
    describe(path, "");
    let json = run(path, &["measure", "--json"]).ok().json();
    let mut draft = vm();
    draft.set(0x90, &hex::decode(json["measurement"].as_str().unwrap()).unwrap());
    let guest = Guest::good(draft);
    let port = guest.address.rsplit(':').next().unwrap();
    let network = format!("[network]\nunlock_port = {port}\n");
    describe(path, &network);
    unlock(path, &[]).ok();
    assert_eq!((guest.taken().len(), epoch(path)), (1, 2));
    assert!(path.join("root.img.instance.toml").exists());
    // The description's key and identity.
    fs::create_dir(path.join("keys")).unwrap();
    fs::rename(path.join("root.img.key"), path.join("keys/root")).unwrap();
    fs::rename(path.join(".ssh/id_ed25519"), path.join("keys/owner")).unwrap();
    let ran = unlock(path, &[]).code(3);
    assert!(ran.stderr.contains("no key to sign with"), "{}", ran.stderr);
    let ran = unlock(path, &["--identity", "keys/owner"]).code(3);
    assert!(ran.stderr.contains("name the key file of the volume root"), "{}", ran.stderr);
    let places = "[unlock]\nkey = \"keys/root\"\nidentity = \"keys/owner\"\n";
    describe(path, &format!("{network}{places}"));
    unlock(path, &[]).ok();
    // From anywhere.
    let elsewhere = path.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::copy(path.join("ark.der"), elsewhere.join("ark.der")).unwrap();
    unlock(&elsewhere, &["--vm", "../vm.toml"]).ok();
    assert_eq!(guest.taken().len(), 2);
    // An address goes before the port.
    describe(path, &format!("{network}{places}address = \"127.0.0.1:1\"\n"));
    let ran = unlock(path, &[]).code(4);
    assert!(ran.stderr.contains("127.0.0.1:1: no connection"), "{}", ran.stderr);
    unlock(path, &["--address", &guest.address]).ok();
    assert_eq!(guest.taken().len(), 1);
    // Another kernel than the one that was measured.
    describe(path, &format!("{network}{places}"));
    fs::write(path.join("vmlinuz"), Random(4).bytes(70_000)).unwrap();
    assert_eq!(codes(&unlock(path, &[]).code(1).json()), ["measurement.mismatch"]);
    assert!(guest.taken().is_empty());
    // Without an encrypted disk there is nothing to release.
    fs::remove_file(path.join("root.img.toml")).unwrap();
    let ran = unlock(path, &[]).code(2);
    assert!(ran.stderr.contains("no volume to release"), "{}", ran.stderr);
    // Nothing here decides whom to believe.
    describe(path, &format!("{network}[unlock]\ntrust_root = \"ark.der\"\n"));
    unlock(path, &[]).code(3);
}
