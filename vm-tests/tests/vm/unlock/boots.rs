//! What is meant to happen.

use std::fs::{self, File};

use vm_tests::Stop;

use super::Machine;
use crate::said::Said;

/// One boot and another: the root is encrypted, authenticated and writable; what was
/// written is there again; the epoch rises; nothing secret is said anywhere.
#[test]
fn an_encrypted_root_is_unlocked_and_written_to() {
    let owner = Machine::new().doing("write:/data/written,hex:/proc/keys,read:/data/big");
    let mut machine = owner.start();
    let looked = owner.unlock(&["--dry-run"]);
    assert_eq!(looked.code, Some(0), "{}", looked.text);
    assert_eq!(looked.json["released"], false, "{}", looked.text);
    machine.check("the key, after a dry run");

    assert_eq!(owner.epoch(), 1);
    let answer = owner.unlock(&[]);
    answer.opened();
    assert_eq!(answer.json["volumes"][0]["epoch"], 2, "{}", answer.text);
    assert_eq!(owner.epoch(), 2);
    let outcome = machine.finish();
    outcome.booted().said(" has 10.0.2.15/24 from 10.0.2.2 for 86400 s, router 10.0.2.2");
    super::network::nothing_is_left(&outcome);

    // The root is the file-system device over dm-crypt over dm-integrity.
    let root = outcome.console.probes("mount").into_iter().find(|line| line.contains(" / / "));
    let root = root.unwrap();
    assert!(root.contains("ext4") && root.contains(" rw,"), "{root}");
    let tables = outcome.console.probes("dm.table");
    for part in
        [" crypt capi:authenc(hmac(sha256),xts(aes))-plain64 :96:logon:ravelin:", " integrity "]
    {
        assert!(tables.iter().any(|table| table.contains(part)), "{tables:?}");
    }
    assert!(outcome.console.probe("write:/data/written").contains("20 bytes"));

    // No key of ours in any keyring, no secret on the console.
    let keys = hex::decode(outcome.console.probe("hex:/proc/keys")).unwrap();
    assert!(!String::from_utf8_lossy(&keys).contains("ravelin:"));
    let secret = owner.secret();
    let text = outcome.console.to_string();
    assert!(
        !text.contains(&secret) && !text.contains(secret.split_at(16).0),
        "the secret is on the console"
    );

    // A restarted VM is another instance.
    let owner = owner.doing("read:/data/written");
    let machine = owner.start();
    owner.unlock(&[]).failed(1, &["--new-instance"]);
    owner.unlock(&["--new-instance"]).opened();
    assert_eq!(owner.epoch(), 3);
    let outcome = machine.finish();
    outcome.booted();
    assert!(outcome.console.probe("read:/data/written").starts_with("20 bytes"));
}

/// Two of three owners: each attests and signs for himself; one twice is one. Another
/// release does not count for them, and does not keep them from opening the disk, though
/// it came first.
#[test]
fn two_of_three_owners_have_to_agree() {
    let owner = Machine::with(&["first", "second", "third"], "unlock.threshold = 2\n");
    let mut machine = owner.start();
    // With another lowest epoch it is another release.
    let sidecar = owner.path("root.img.toml");
    let text = fs::read_to_string(&sidecar).unwrap();
    fs::write(&sidecar, text.replace("epoch = 1", "epoch = 0")).unwrap();
    let other = owner.command_of("second").spawn_waiting();
    machine.wait_for("releases keys, 1 of 2");
    fs::write(&sidecar, text).unwrap();
    let first = owner.command_elsewhere("first").spawn_waiting();
    machine.wait_for("1 of 2; other keys than 1 of the owners");
    let third = Said::of(&owner.command_elsewhere("third").output().unwrap());
    third.opened();
    assert!(third.text.contains("sent another release than you"), "{}", third.text);
    Said::of(&first.wait_with_output().unwrap()).opened();
    Said::of(&other.wait_with_output().unwrap()).failed(1, &["agree on another release"]);
    machine.finish().booted();
}

/// A volume whose key the secure processor derives from the root key that is configured:
/// this chip has its own, and no provider's.
#[test]
fn a_sealed_volume_has_the_root_key_that_is_configured() {
    // The root has no mkfs: that one is wanted says that the volume was made and opened.
    for (root, said) in [
        ("vcek", "volumes: making a new ext4 on state"),
        ("vlek", "INVALID_KEY: this processor has no vlek"),
    ] {
        let volume = format!(
            "[[volume]]\nname = \"state\"\ndevice = \"serial:state\"\nmount = \"/srv\"\n\
             fstype = \"ext4\"\nkey = \"sealed\"\nprovision = \"if-blank\"\n\
             sealed.tcb_version = \"any\"\nsealed.root_key = \"{root}\"\n"
        );
        let owner = Machine::with(&["first"], &volume).disk("state");
        File::create(owner.path("state.img")).unwrap().set_len(32 << 20).unwrap();
        let machine = owner.start();
        owner.unlock(&[]).opened();
        machine.finish().stopped(Stop::PowerOff).said(said);
    }
}

/// Nobody comes: the deadline ends it by name.
#[test]
fn the_wait_for_owners_has_an_end() {
    let owner = Machine::with(&["first"], "deadline.unlock = \"3s\"\n");
    let machine = owner.start();
    machine.finish().stopped(Stop::PowerOff).said("code=unlock-deadline");
}

trait SpawnWaiting {
    fn spawn_waiting(&mut self) -> std::process::Child;
}

impl SpawnWaiting for std::process::Command {
    /// Starts it; its output is taken later.
    fn spawn_waiting(&mut self) -> std::process::Child {
        use std::process::Stdio;
        self.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}
