//! Power cuts under PID 1's own root, which the running system writes to.
//!
//! As in `crate::power_cuts`, one guest gives many cuts. What each has left is then a root
//! again: PID 1 opens it, the kernel replays the journals, dm-integrity's and ext4's, and
//! the root's own fsck comes before it is mounted for writing.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use vm_tests::Random;
use vm_tests::nbd::{Image, PowerCut, Server};
use vm_tests::workload::BLOCK;

use super::{Machine, Made, keep};
use crate::fixtures::check;
use crate::power_cuts::Cut;

const CUTS: u64 = 5;

/// The root's device, which has its file system and then raw blocks.
const ROOT: &str = "ravelin-root";
const FILE_SYSTEM: u64 = 24 << 20;
const RAW: u64 = 2 << 20;

/// After each of the cuts the root is one: it boots, no sector is unreadable, each is old
/// or new, what was synced is there, and the file system has no fault.
#[test]
fn power_cuts_cost_a_root_nothing_that_was_synced() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut random = Random::new(now.as_secs());
    println!("the seed is {}", now.as_secs());
    let made = Made::with_room_behind(FILE_SYSTEM, RAW);
    let owner = Machine::of(&made, &["first"], "encrypted.fsck = true\n");
    let blocks = RAW / BLOCK as u64;
    let owner = owner.doing(&format!("churn:{ROOT};/data;{FILE_SYSTEM};{blocks};1000000"));
    let disk = Arc::new(PowerCut::new(Image::open(&owner.path("root.img"))));
    let server = Server::start(Arc::clone(&disk));
    let mut machine = owner.start_on(&server);
    owner.unlock(&[]).opened();
    machine.wait_for(&format!("PROBE {ROOT}.blocks="));
    let cuts: Vec<Cut> = (1..=CUTS)
        .map(|number| Cut::take(&disk, &mut machine, ROOT, &mut random, number == CUTS))
        .collect();
    drop((machine, server));

    let owner = owner.doing(&format!("scan:{ROOT};{BLOCK},digests:/data"));
    let sidecar = owner.path("root.img.toml");
    // All cuts are of one epoch.
    let kept = keep(&sidecar);
    for cut in cuts {
        println!("{cut}");
        fs::copy(&kept, &sidecar).unwrap();
        judge(&owner, &cut);
    }
}

/// Boots what a cut has left, and looks at it from inside and as its owner.
fn judge(owner: &Machine, cut: &Cut) {
    let disk = Arc::new(cut.image.clone());
    let server = Server::start(Arc::clone(&disk));
    let machine = owner.start_on(&server);
    owner.unlock(&["--new-instance"]).opened();
    let outcome = machine.finish();
    drop(server);
    outcome.booted();
    let scan = outcome.console.probe(&format!("scan:{ROOT};{BLOCK}"));
    assert!(scan.ends_with(" errors=[]"), "{cut}: {scan}");

    owner.put_root(&disk);
    let clear = owner.decrypted();
    let bytes = fs::read(&clear).unwrap();
    let (file_system, raw) = bytes.split_at(usize::try_from(FILE_SYSTEM).unwrap());
    let raw = &raw[..usize::try_from(RAW).unwrap()];
    cut.check(outcome.console.probe("digests:/data"), raw, BLOCK);
    // The probe unmounts nothing: the journal is replayed before the strict check.
    fs::write(&clear, file_system).unwrap();
    check(Command::new("e2fsck").arg("-p").arg(&clear));
    check(Command::new("e2fsck").args(["-f", "-n"]).arg(&clear));
    fs::remove_file(clear).unwrap();
}
