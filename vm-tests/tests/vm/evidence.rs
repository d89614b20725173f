//! PID 1's evidence, with the simulated secure processor and without one.

use attestation::report::Unwrapped;
use protocol::host_keys::HostKeys;
use protocol::receipt::Receipt;
use protocol::report_data::Binding;
use sha2::{Digest as _, Sha256};
use ssh_key::PublicKey;
use vm_tests::{Environment, Outcome};

use crate::fixtures::{Settings, SmallRoot};
use crate::simulator::{Described, codes, verdict_of};

/// A small root that asks for a report at boot.
fn settings() -> Settings {
    SmallRoot::get().settings.clone().with("attest.mode", "report")
}

fn file(outcome: &Outcome, path: &str) -> Vec<u8> {
    hex::decode(outcome.console.probe(&format!("hex:{path}"))).unwrap()
}

/// From both of the kernel's interfaces: what PID 1 leaves behind verifies, with
/// the measurement that the owner computed, over the keys of this boot.
#[test]
fn the_boot_report_binds_the_keys_and_verifies() {
    let files = ["report.bin", "ssh_host_keys", "certificates.bin", "receipt"];
    let actions = files.map(|file| format!("hex:/run/ravelin/{file}")).join(",");
    for (source, name) in [("tsm", "configfs-tsm"), ("sev-guest", "/dev/sev-guest")] {
        let vm = Described::with(&settings().with("attest.source", source), &actions);
        let outcome = vm.launch(&[]);
        outcome.booted().said(&format!("evidence: report by {name} in /run/ravelin"));
        let lines = String::from_utf8(file(&outcome, "/run/ravelin/ssh_host_keys")).unwrap();
        let key = PublicKey::from_openssh(lines.trim_end()).unwrap();
        outcome.said(&key.fingerprint(ssh_key::HashAlg::Sha256).to_string());
        let keys = HostKeys::new([key.to_bytes().unwrap()]).unwrap();
        let receipt = Receipt::decode(&file(&outcome, "/run/ravelin/receipt")).unwrap();
        let receipt_head = Some(receipt.head());
        let data = Binding::Boot { host_keys: &keys, receipt_head }.report_data();
        let report = file(&outcome, "/run/ravelin/report.bin");
        let certificates = match source {
            "tsm" => file(&outcome, "/run/ravelin/certificates.bin"),
            // The device's table is not asked for; the owner has certificates.
            _ => continue_with_certificates(&outcome),
        };
        let verdict = verdict_of(&report, &certificates, vm.measurement(), data);
        assert!(verdict.accepted(), "{source}: {:?}", codes(&verdict));
    }
}

/// With `/dev/sev-guest` there is no table; the simulator's own is the same for
/// all VMs of one chip, so that of another VM serves.
fn continue_with_certificates(outcome: &Outcome) -> Vec<u8> {
    assert!(outcome.console.probe("hex:/run/ravelin/certificates.bin").contains("NotFound"));
    let vm = Described::with(&settings(), "hex:/run/ravelin/certificates.bin");
    let other = vm.launch(&[]);
    other.booted();
    file(&other, "/run/ravelin/certificates.bin")
}

/// SNPGuard's file: its form, its binding, and a genuine report.
#[test]
fn snpguard_finds_its_report() {
    let actions = "hex:/etc/report.json,hex:/etc/ssh/ssh_host_ecdsa_key.pub,\
                   hex:/run/ravelin/certificates.bin";
    let vm = Described::with(&settings().with("compat.snpguard", "true"), actions);
    let outcome = vm.launch(&[]);
    outcome.booted();
    let line = String::from_utf8(file(&outcome, "/etc/ssh/ssh_host_ecdsa_key.pub")).unwrap();
    let blob = PublicKey::from_openssh(line.trim_end()).unwrap().to_bytes().unwrap();
    let mut data = [0; 64];
    data[..32].copy_from_slice(&Sha256::digest(&blob));
    let report = Unwrapped::read(&file(&outcome, "/etc/report.json")).unwrap().report;
    let certificates = file(&outcome, "/run/ravelin/certificates.bin");
    let verdict = verdict_of(report.as_bytes(), &certificates, vm.measurement(), data);
    assert!(verdict.accepted(), "{:?}", codes(&verdict));
}

/// Attack: there is no secure processor where a report is wanted. Observed:
/// `report-no-source`; that sev_guest found no device, and tsm no driver, is not what stops
/// it. Closed: no report, no boot.
#[test]
fn without_a_secure_processor_the_boot_ends_by_name() {
    let root = SmallRoot::get();
    for source in ["auto", "sev-guest"] {
        let settings = settings().with("attest.source", source);
        let outcome = root.vm().cmdline(settings.to_string()).run();
        outcome.refused("evidence", "report-no-source");
        if Environment::get().built_with("MODULES") {
            outcome.said("sev-guest.ko (optional)");
        }
    }
}
