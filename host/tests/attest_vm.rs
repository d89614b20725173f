//! `ravelin attest` from a VM description: what is launched is what is
//! expected, and where it is asked.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "../../attestation/tests/measurement_common/mod.rs"]
mod measurement_common;
mod responder_support;
#[path = "../../attestation/tests/verify_support/mod.rs"]
mod verify_support;
mod vm_support;

use std::fs;
use std::path::Path;

use common::{Ran, codes, run};
use responder_support::{AT, Responder, at_home, host_keys, measurement, vm, write_root};
use vm_support::describe;

/// Where the description leads to, as it is written there.
fn network(responder: &Responder) -> String {
    let port = responder.address.rsplit(':').next().unwrap();
    format!("[network]\nssh_port = 2222\nattest_port = {port}\n")
}

fn attest(directory: &Path, arguments: &[&str]) -> Ran {
    let mut command = at_home(directory);
    command
        .args(["attest", "--json", "--offline", "--trust-root", "ark.der", "--at", AT])
        .args(arguments);
    command.output().unwrap().into()
}

#[test]
fn the_description_says_whom_to_ask_and_what_to_expect() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    write_root(home);
    describe(home, "");
    let json = run(home, &["measure", "--json"]).ok().json();
    let digest: Vec<u8> = hex::decode(json["measurement"].as_str().unwrap()).unwrap();
    let mut draft = vm();
    draft.set(0x90, &digest);
    let responder = Responder::good(draft, host_keys(1));
    let network = network(&responder);
    describe(home, &network);
    attest(home, &[]).ok();
    // From anywhere, by name.
    let elsewhere = home.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    write_root(&elsewhere);
    attest(&elsewhere, &["--vm", "../vm.toml"]).ok();
    assert_eq!(responder.asked(), 2);

    // The policy that it names counts, and narrows.
    fs::write(home.join("policy.toml"), "[minimum_tcb]\nsnp = 99\n").unwrap();
    describe(home, &format!("{network}[attest]\npolicy = \"policy.toml\"\n"));
    let ran = attest(home, &[]).code(1);
    let codes_of = codes(&ran.json());
    assert_eq!(codes_of.len(), 4, "{codes_of:?}");
    assert_eq!(codes_of[0], "minimum-tcb.current");
    // One that names the measurement of another image, such as the one before an
    // update: nothing satisfies both, and the old image is not accepted.
    let own = format!("measurement = \"{}\"\n", measurement());
    fs::write(home.join("policy.toml"), own).unwrap();
    let ran = attest(home, &[]).code(3);
    assert!(ran.stderr.contains("no report could satisfy both"), "{}", ran.stderr);
    let both = format!("measurement = [\"{}\", \"{}\"]\n", measurement(), hex::encode(&digest));
    fs::write(home.join("policy.toml"), both).unwrap();
    attest(home, &[]).ok();
    // A description stays a rule even where anything else would be allowed.
    fs::write(home.join("policy.toml"), "allow = [\"any-measurement\"]\n").unwrap();
    let kernel = fs::read(home.join("vmlinuz")).unwrap();
    fs::write(home.join("vmlinuz"), [kernel.as_slice(), b"x"].concat()).unwrap();
    assert_eq!(codes(&attest(home, &[]).code(1).json()), ["measurement.mismatch"]);
    fs::write(home.join("vmlinuz"), kernel).unwrap();

    // An address there goes before the port, and one here before both.
    describe(home, &format!("{network}[attest]\naddress = \"127.0.0.1:1\"\n"));
    let ran = attest(home, &[]).code(4);
    assert!(ran.stderr.contains("127.0.0.1:1: no connection"), "{}", ran.stderr);
    attest(home, &["--address", &responder.address]).ok();

    // ssh reaches the forwarded port.
    describe(home, &network);
    let mut config = at_home(home);
    config.args(["ssh-config", "web"]);
    let lines = Ran::from(config.output().unwrap()).ok().stdout;
    assert!(lines.contains("    HostName 127.0.0.1\n    Port 2222\n"), "{lines}");
    let path = home.join("vm.toml");
    assert!(lines.contains(&format!(" --vm {} ", path.display())), "{lines}");

    // One byte of the kernel, of the command line.
    let mut kernel = fs::read(home.join("vmlinuz")).unwrap();
    kernel[60_000] ^= 1;
    fs::write(home.join("vmlinuz"), kernel).unwrap();
    assert_eq!(codes(&attest(home, &[]).code(1).json()), ["measurement.mismatch"]);
    describe(home, &network);
    attest(home, &[]).ok();
    let text = fs::read_to_string(&path).unwrap().replace("ttyS0", "ttyS1");
    fs::write(&path, text).unwrap();
    assert_eq!(codes(&attest(home, &[]).code(1).json()), ["measurement.mismatch"]);
    // No root of trust comes from the description.
    describe(home, &format!("{network}[attest]\ntrust_root = \"ark.der\"\n"));
    let ran = attest(home, &[]).code(3);
    assert!(ran.stderr.contains("unknown field `trust_root`"), "{}", ran.stderr);
}
