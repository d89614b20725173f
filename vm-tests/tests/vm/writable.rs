//! The writable layer and the machine's identity, seen from the inside.

use crate::boots::mount;
use crate::fixtures::SmallRoot;

/// SHA-256 of nothing: an empty file.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const READ_ONLY: &str = "ReadOnlyFilesystem 30";

#[test]
fn the_usual_directories_are_writable_and_nothing_else() {
    let outcome = SmallRoot::get().vm().run();
    outcome.booted();
    for directory in ["/etc", "/var", "/home", "/root", "/tmp", "/srv", "/run"] {
        assert_eq!(outcome.console.probe(&format!("writable.{directory}")), "yes", "{directory}");
    }
    for directory in ["/", "/usr"] {
        assert_eq!(outcome.console.probe(&format!("writable.{directory}")), READ_ONLY);
    }
}

#[test]
fn a_list_of_directories_with_sizes_is_obeyed() {
    let words = "ravelin.writable.directories=/etc,/var/lib=1M,/tmp ravelin.writable.size=2M";
    let vm = SmallRoot::get().vm().add_words(words);
    let outcome = vm.add_words("probe.do=fill:/var/lib/full,fill:/tmp/full").run();
    outcome.booted();
    let console = &outcome.console;
    assert_eq!(console.probe("writable./tmp"), "yes");
    for directory in ["/", "/var", "/home"] {
        assert_eq!(console.probe(&format!("writable.{directory}")), READ_ONLY, "{directory}");
    }
    // A page or two of the limit is the layer's own.
    for (file, limit) in [("/var/lib/full", 1 << 20), ("/tmp/full", 2 << 20)] {
        let filled = console.probe(&format!("fill:{file}"));
        let (bytes, why) = filled.split_once(" bytes, then ").unwrap();
        let bytes: u64 = bytes.parse().unwrap();
        assert!((limit - 65536..=limit).contains(&bytes), "{file}: {bytes} bytes of {limit}");
        assert_eq!(why, "StorageFull 28");
    }
    assert!(mount(&outcome, "/var/lib").contains(" - overlay "));
}

#[test]
fn the_whole_root_can_be_writable() {
    let vm = SmallRoot::get().vm().add_words("ravelin.writable.mode=root");
    let outcome = vm.add_words("probe.do=write:/usr/bin/new").run();
    outcome.booted();
    assert_eq!(outcome.console.probe("writable./"), "yes");
    assert_eq!(outcome.console.probe("writable./usr"), "yes");
    assert!(outcome.console.probe("write:/usr/bin/new").starts_with("20 bytes"));
    assert!(mount(&outcome, "/").contains(" - overlay "));
}

#[test]
fn nothing_at_all_can_be_writable() {
    let words = "ravelin.writable.mode=none ravelin.ssh.host_keys=none ravelin.machine_id=keep";
    let outcome = SmallRoot::get().vm().add_words(words).run();
    outcome.booted();
    for directory in ["/", "/etc", "/var", "/home", "/tmp", "/usr"] {
        assert_eq!(outcome.console.probe(&format!("writable.{directory}")), READ_ONLY);
    }
}

/// Threat: an image is public, and so are the private keys in it. Observed: none
/// of them is there any more, one new pair is, with the modes that sshd wants,
/// and the console names its fingerprint. A file that is no key stays.
#[test]
fn the_host_keys_of_the_image_are_gone_and_new_ones_are_there() {
    let outcome = SmallRoot::get().vm().run();
    outcome.booted().said("host keys made (8 of the image masked)");
    let files = outcome.console.probes("ssh");
    let names: Vec<&str> = files.iter().filter_map(|file| file.split(' ').next()).collect();
    assert_eq!(names, ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "sshd_config"]);
    assert!(files[0].contains("mode=100600 owner=0:0"), "{}", files[0]);
    assert!(files[1].contains("mode=100644 owner=0:0"), "{}", files[1]);
    assert!(outcome.console.probe("ssh.public").starts_with("ssh-ed25519 AAAA"));
    outcome.said("ssh host key ssh-ed25519 SHA256:");
}

/// A key that two boots share would be somebody else's too.
#[test]
fn every_boot_has_another_key() {
    let key = || {
        let outcome = SmallRoot::get().vm().run();
        outcome.booted();
        outcome.console.probe("ssh.public").to_owned()
    };
    assert_ne!(key(), key());
}

#[test]
fn both_kinds_of_host_key_can_be_made() {
    let words = "ravelin.ssh.host_keys=ed25519,ecdsa-p256";
    let outcome = SmallRoot::get().vm().add_words(words).run();
    outcome.booted();
    let keys = outcome.console.probes("ssh.public");
    assert_eq!(keys.len(), 2);
    assert!(keys[0].starts_with("ecdsa-sha2-nistp256 AAAA"), "{keys:?}");
    assert!(keys[1].starts_with("ssh-ed25519 AAAA"), "{keys:?}");
}

#[test]
fn host_keys_and_machine_id_can_be_left_alone() {
    let words = "ravelin.ssh.host_keys=none ravelin.machine_id=keep";
    let outcome = SmallRoot::get().vm().add_words(words).run();
    outcome.booted();
    assert_eq!(outcome.console.probes("ssh").len(), 9, "four pairs and a file that is no key");
    assert!(outcome.console.probe("machine_id").contains("size=33 "));
}

/// Threat: machines of one image that share an id (DHCP, journal, D-Bus).
/// Observed: an empty file, which systemd fills without taking the boot for the
/// first one, and no copy from which D-Bus would bring the old one back.
#[test]
fn the_machine_id_is_empty() {
    let outcome = SmallRoot::get().vm().run();
    outcome.booted();
    let id = outcome.console.probe("machine_id");
    assert!(id.contains("owner=0:0 size=0") && id.ends_with(EMPTY), "{id}");
    assert!(outcome.console.probe("dbus_machine_id").starts_with("NotFound"));
}
