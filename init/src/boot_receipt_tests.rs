//! What the receipt of a boot says, on the recording machine.

use std::path::Path;

use attestation::receipt::{Decides, Finding, Line, Measured, compare, holds};
use protocol::cmdline::CommandLine;
use protocol::config;
use protocol::hooks::Stage;
use protocol::host_keys::HostKeys;
use protocol::load_order::LoadOrder;
use protocol::receipt::Receipt;
use sha2::{Digest as _, Sha256};
use ssh_encoding::base64::{Base64Unpadded, Encoding as _};
use ssh_key::PublicKey;

use super::encrypted_tests::{
    DATA, ROOT, WRONG, key, machine as encrypted_machine, release, volume,
};
use super::tests::{elf, machine as verity_machine, outcome};
use crate::fake::{Fake, Node};

/// The receipt that the responder has, after a boot that succeeded: the one that is left
/// in `/run/ravelin`, and that the boot's report binds.
fn receipt(fake: &Fake) -> Receipt {
    assert_eq!(outcome(fake), "", "{:#?}", fake.lines.borrow());
    let receipt = fake.receipt.take().unwrap();
    assert_eq!(fake.file("/run/ravelin/receipt").unwrap(), receipt.as_str());
    let json: serde_json::Value =
        serde_json::from_str(&fake.file("/run/ravelin/evidence.json").unwrap()).unwrap();
    assert_eq!(json["receipt_head"], hex::encode(receipt.head()));
    assert!(receipt.events().is_ok());
    receipt
}

/// With bars for tabs, and without the digests that stand last in two kinds of entries.
fn shown(receipt: &Receipt) -> String {
    let shown = |entry: &str| {
        let words = entry.replace('\t', " | ");
        match words.rsplit_once(" | ") {
            Some((rest, _)) if rest.starts_with("configuration") || rest.starts_with("ssh-") => {
                rest.to_owned()
            }
            _ => words,
        }
    };
    receipt.entries().map(shown).collect::<Vec<_>>().join("\n")
}

fn verity() -> Fake {
    let fake = verity_machine();
    fake.add("/sys/kernel/config", Node::Directory);
    fake.add_file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    for hook in ["pre-root.d/10-first", "post-root.d/check", "pre-handover.d/last"] {
        fake.add_file(&format!("/etc/ravelin/hooks/{hook}"), elf(62));
    }
    fake
}

#[test]
fn a_verity_boot_says_what_it_did() {
    let fake = verity();
    fake.module_error.replace(Some(("sha256.ko".to_owned(), nix::libc::ENODEV)));
    let order = fake.file("/lib/modules/ravelin.load").unwrap();
    let order = hex::encode(Sha256::digest(order));
    let hash = "00112233445566778899aabbccddeeff".repeat(2);
    let expected = format!(
        "\
configuration | verity
hook | post-root | check
hook | pre-handover | last
hook | pre-root | 10-first
modules | 6.12.1 | 3 | {order}
module-refused | /lib/modules/6.12.1/sha256.ko
harden | pointers kexec bpf sysrq | integrity
disk | root.device | serial:data | /dev/vda | 65536
disk | verity.hash_device | serial:hash | /dev/vdb | 12288
hook-ran | pre-root | 10-first
table | root | 128 | verity | 1 /dev/vda /dev/vdb 4096 4096 16 1 sha256 {hash} -
root | ext4 | /sbin/init
hook-ran | post-root | check
writable | directories | memory up to 50% | /etc /var /home /root /tmp
reports | a fake
ssh-host-keys | 1"
    );
    assert_eq!(shown(&receipt(&fake)), expected);
}

#[test]
fn equal_boots_differ_in_their_keys_alone() {
    let one = receipt(&verity());
    let other = receipt(&verity());
    assert_ne!(one.head(), other.head());
    let differing = one.entries().zip(other.entries()).filter(|(one, other)| one != other);
    let kinds: Vec<&str> = differing.map(|(one, _)| one.split('\t').next().unwrap()).collect();
    assert_eq!(kinds, ["ssh-host-keys"]);
    // Another setting, wherever it has an effect.
    let fake = verity();
    fake.add_file("/etc/ravelin.toml", "deadline.disks = '31s'");
    assert_ne!(receipt(&fake).entries().next(), one.entries().next());
}

#[test]
fn the_keys_are_those_of_the_report() {
    let fake = verity();
    let receipt = receipt(&fake);
    let public = fake.file("/run/ravelin/ssh_host_keys").unwrap();
    let blob = PublicKey::from_openssh(public.trim_end()).unwrap().to_bytes().unwrap();
    let keys = HostKeys::new([blob]).unwrap();
    let digest = hex::encode(Sha256::digest(keys.encode()));
    assert_eq!(receipt.entries().last().unwrap(), format!("ssh-host-keys\t1\t{digest}"));
}

/// The tables of a volume, over this disk.
fn tables(name: &str, id: &str, disk: &str) -> String {
    format!(
        "\
table | ravelin-{name}.integrity | 7664 | integrity | {disk} 0 32 J 7 block_size:4096 \
journal_sectors:264 interleave_sectors:32768 buffer_sectors:128 journal_watermark:50 \
commit_time:10000 fix_padding
table | ravelin-{name}.crypt | 7664 | crypt | capi:authenc(hmac(sha256),xts(aes))-plain64 \
:96:logon:ravelin:{id} 0 ravelin-{name}.integrity 0 2 integrity:32:aead sector_size:4096
table | ravelin-{name} | 7632 | linear | ravelin-{name}.crypt 0"
    )
}

#[test]
fn an_encrypted_boot_says_whose_keys_opened_what() {
    let fake = encrypted_machine();
    let right = fake.releases.take();
    release(&fake, vec![volume("root", 1, WRONG), volume("data", 2, DATA)]);
    fake.releases.borrow_mut().extend(right);
    let receipt = receipt(&fake);
    let order = fake.file("/lib/modules/ravelin.load").unwrap();
    let order = hex::encode(Sha256::digest(order));
    let random = receipt.as_str().split("ravelin-scratch.crypt").nth(1).unwrap();
    let random = random.split("logon:ravelin:").nth(1).unwrap().split(' ').next().unwrap();
    let expected = [
        format!(
            "\
configuration | encrypted
modules | 6.12.1 | 3 | {order}
harden | pointers kexec bpf sysrq | unknown to this kernel
disk | root.device | serial:root | /dev/vda | 4194304
disk | volume.data.device | serial:data-volume | /dev/vdb | 4194304
disk | volume.scratch.device | serial:scratch | /dev/vdc | 4194304
disk | volume.vault.device | serial:vault | /dev/vdd | 4194304
network | dhcp | 192.0.2.7/24
reports | a fake
release | data root | 1 of 1 | SHA256:owner | 1"
        ),
        tables("root", "00000000-0000-0000-0000-000000000001", "/dev/vda"),
        "volume | root | owner | opened | 2".to_owned(),
        tables("data", "00000000-0000-0000-0000-000000000002", "/dev/vdb"),
        "volume | data | owner | opened | 2".to_owned(),
        "root | ext4 | /sbin/init".to_owned(),
        "writable | disk | disk of the root | /".to_owned(),
        "mount | data | xfs | /srv/data".to_owned(),
        tables("scratch", random, "/dev/vdc"),
        "volume | scratch | ephemeral | made | 1".to_owned(),
        "file-system | scratch | ext4 | new".to_owned(),
        "mount | scratch | ext4 | /scratch".to_owned(),
        tables("vault", "e90fe15d-9abf-88ae-8095-37d4a662bb91", "/dev/vdd"),
        "volume | vault | sealed | made | 1".to_owned(),
        "file-system | vault | btrfs | new".to_owned(),
        "mount | vault | btrfs | /vault".to_owned(),
        "ssh-host-keys | 1".to_owned(),
    ];
    assert_eq!(shown(&receipt), expected.join("\n"));
    // Owners were shown what had been done until then.
    let lines = receipt.as_str().split_inclusive('\n');
    let until: String = lines.take_while(|line| !line.starts_with("release\t")).collect();
    let until = Receipt::decode(until.as_bytes()).unwrap();
    assert!(until.entries().last().unwrap().starts_with("reports\t"));
    assert_eq!(fake.served_head.take().unwrap(), hex::encode(until.head()));
}

/// What the owner's side predicts of the machine's configuration, written from the
/// description of the boot, is what PID 1 does.
fn compared(fake: &Fake, receipt: &str) -> Vec<Line> {
    let cmdline = fake.file("/proc/cmdline").unwrap();
    let cmdline = CommandLine::parse(cmdline.as_bytes()).unwrap();
    let file = fake.file("/etc/ravelin.toml");
    let order = fake.file("/lib/modules/ravelin.load").unwrap();
    let public = fake.file("/run/ravelin/ssh_host_keys").unwrap();
    let blob = |line| PublicKey::from_openssh(line).unwrap().to_bytes().unwrap();
    let blobs: Vec<Vec<u8>> = public.lines().map(blob).collect();
    let hooks = [Stage::PreRoot, Stage::PostRoot, Stage::PreHandOver].map(|stage| {
        let directory = Path::new("/etc/ravelin/hooks").join(stage.directory());
        let nodes = fake.nodes.borrow();
        let names = nodes.keys().filter(|path| path.parent() == Some(&directory));
        let names = names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        names.map(|name| (stage, name)).collect::<Vec<_>>()
    });
    let measured = Measured {
        config: &config::parse(file.as_deref().map(str::as_bytes), &cmdline).unwrap(),
        order: Some(&LoadOrder::parse(&order).unwrap()),
        hooks: &hooks.concat(),
        host_keys: &HostKeys::new(blobs).unwrap(),
    };
    let receipt = Receipt::decode(receipt.as_bytes()).unwrap();
    compare(&receipt.events().unwrap(), &measured)
}

/// The same of the configuration's owner: the fake machine's is nobody.
fn by_owner(fake: &Fake, receipt: &str) -> String {
    let file = fake.file("/etc/ravelin.toml").unwrap();
    let cmdline = fake.file("/proc/cmdline").unwrap();
    let cmdline = CommandLine::parse(cmdline.as_bytes()).unwrap();
    let config = config::parse(Some(file.as_bytes()), &cmdline).unwrap();
    receipt.replace("SHA256:owner", &config.unlock.unwrap().owners[0].fingerprint())
}

#[test]
fn the_owner_predicts_what_is_done() {
    let fake = verity();
    fake.add_file(
        "/etc/ravelin.toml",
        "verity.ignore_zero_blocks = true\nwritable.mode = 'root'\nattest.source = 'tsm'",
    );
    // As that source is called.
    let receipt = receipt(&fake).as_str().replace("a fake", "configfs-tsm");
    let lines = compared(&fake, &receipt);
    assert!(holds(&lines), "{lines:#?}");
}

#[test]
fn the_owner_predicts_an_encrypted_boot() {
    let fake = encrypted_machine();
    let receipt = receipt(&fake);
    let lines = compared(&fake, receipt.as_str());
    let other = |line: &&Line| !matches!(line.finding, Finding::Predicted { .. });
    let other: Vec<&Line> = lines.iter().filter(other).collect();
    // The fake machine's owner is none of the configuration's.
    assert_eq!(other.len(), 1, "{other:#?}");
    let Finding::Differs { expected } = &other[0].finding else { panic!("{other:?}") };
    let (threshold, owner) = expected["owners"].split_once(" of ").unwrap();
    assert_eq!((threshold, expected.len()), ("1", 1));
    let by_owner = by_owner(&fake, receipt.as_str());
    assert!(by_owner.contains(owner));
    assert!(holds(&compared(&fake, &by_owner)));
}

/// What PID 1 could say of an encrypted boot, and what the owner would think of it.
#[test]
fn an_encrypted_volume_lies_on_its_disk_and_is_encrypted_as_configured() {
    let fake = encrypted_machine();
    let good = receipt(&fake);
    let good = by_owner(&fake, good.as_str());
    assert!(holds(&compared(&fake, &good)));
    let volumes = ["root", "data", "scratch", "vault"];
    for (name, disk) in volumes.iter().zip(["/dev/vda", "/dev/vdb", "/dev/vdc", "/dev/vdd"]) {
        let crypt = format!("0 ravelin-{name}.integrity 0 ");
        for (from, to) in [
            // Past the encryption, or not at its beginning.
            (format!("linear\travelin-{name}.crypt 0"), "linear\t8:0 0".to_owned()),
            (format!("linear\travelin-{name}.crypt 0"), format!("linear\t{disk} 0")),
            (format!("linear\travelin-{name}.crypt 0"), format!("linear\travelin-{name}.crypt 8")),
            // Past the authentication, or over another volume's.
            (crypt.clone(), format!("0 {disk} 0 ")),
            (crypt.clone(), "0 ravelin-other.integrity 0 ".to_owned()),
            (crypt.clone(), format!("0 ravelin-{name}.integrity 8 ")),
            // On another disk, or one whose changes are not noticed.
            (format!("integrity\t{disk} 0 32 J"), "integrity\t/dev/vde 0 32 J".to_owned()),
            (format!("integrity\t{disk} 0 32 J"), format!("integrity\t{disk} 0 32 R")),
            (format!("integrity\t{disk} 0 32 J"), format!("integrity\t{disk} 0 28 J")),
        ] {
            assert_eq!(good.matches(&from).count(), 1, "{from}");
            let lines = compared(&fake, &good.replace(&from, &to));
            let other = |line: &&Line| !matches!(line.finding, Finding::Predicted { .. });
            let other: Vec<&Line> = lines.iter().filter(other).collect();
            assert_eq!(other.len(), 1, "{to}: {other:#?}");
            let Finding::Differs { expected } = &other[0].finding else { panic!("{other:?}") };
            assert_eq!(expected.keys().collect::<Vec<_>>(), [&"parameters"], "{to}");
        }
        // A volume that does not authenticate, whose key is held, or whose keys are another's.
        let line = |text: &str| text.contains(&format!("\travelin-{name}.crypt\t"));
        for (from, to) in [
            (" integrity:32:aead", ""),
            (":96:logon:ravelin:", ":96:logon:other:"),
            (":96:logon:ravelin:", "00112233:"),
            (" sector_size:4096", " sector_size:4096 allow_discards"),
            ("xts(aes)", "ecb(aes)"),
        ] {
            let change = |text: &str| match line(text) {
                true => text.replace(from, to),
                false => text.to_owned(),
            };
            let weak: String = good.split_inclusive('\n').map(change).collect();
            assert_ne!(weak, good);
            assert!(!holds(&compared(&fake, &weak)), "{name}: {to}");
        }
    }
    // Another cipher, whole: an owner's to choose by the release, else the configuration's.
    let aes = "capi:authenc(hmac(sha256),xts(aes))-plain64 :96:";
    for (name, is_chosen) in volumes.iter().zip([true, true, false, false]) {
        let change = |text: &str| match text.contains(&format!("\travelin-{name}.crypt\t")) {
            true => text.replace(aes, "capi:aegis128-random :16:"),
            false => text.to_owned(),
        };
        let other: String = good.split_inclusive('\n').map(change).collect();
        assert_ne!(other, good);
        assert_eq!(holds(&compared(&fake, &other)), is_chosen, "{name}");
    }
    // The ID of a sealed volume follows from its name.
    let id = "e90fe15d-9abf-88ae-8095-37d4a662bb91";
    let other = good.replace(id, "00000000-0000-4000-8000-000000000001");
    assert!(!holds(&compared(&fake, &other)));
}

/// Neither the secrets of the owners nor the keys that follow from them, in any form.
#[test]
fn no_key_is_in_a_receipt() {
    let fake = encrypted_machine();
    let right = fake.releases.take();
    release(&fake, vec![volume("root", 1, WRONG), volume("data", 2, DATA)]);
    fake.releases.borrow_mut().extend(right);
    let receipt = receipt(&fake);
    let [root, data] = [(1, ROOT), (2, DATA)].map(|(id, secret)| key(id, &secret));
    let private = fake.file("/sysroot/etc/ssh/ssh_host_ed25519_key").unwrap();
    let private = ssh_key::PrivateKey::from_openssh(private).unwrap();
    let seed = private.key_data().ed25519().unwrap().private.to_bytes();
    // The fake machine's derived key is [1; 32].
    for secret in [&ROOT[..], &DATA, &WRONG, &[1; 32], &seed, root.as_bytes(), data.as_bytes()] {
        for part in secret.chunks_exact(8) {
            let raw = receipt.as_str().as_bytes().windows(8).any(|bytes| bytes == part);
            assert!(!raw, "raw {part:02x?}");
            assert!(
                !receipt.as_str().to_lowercase().contains(&hex::encode(part)),
                "hex {part:02x?}"
            );
        }
        // At each of the three places that a byte may have in base64.
        for skip in 0..3 {
            let text = Base64Unpadded::encode_string(&secret[skip..skip + 12]);
            assert!(!receipt.as_str().contains(&text), "base64 {text}");
        }
    }
}

/// The same machine after a restart, whose disks a host put back as they were when the
/// volumes had been sealed and no file system made: what was in them is gone.
fn put_back() -> Fake {
    let first = encrypted_machine();
    assert_eq!(outcome(&first), "");
    let mut second = encrypted_machine();
    // The fake machine's mkfs writes nothing.
    second.volumes = first.volumes.rebooted();
    second
}

/// Attack: the host puts back a sealed disk of before its first file system. Observed: it
/// is opened by its key, and a file system is made. Closed: the receipt says so.
#[test]
fn a_file_system_that_is_made_again_is_in_the_receipt() {
    let fake = put_back();
    let receipt = receipt(&fake);
    let text = receipt.as_str();
    let again = "volume\tvault\tsealed\topened\t1\nfile-system\tvault\tbtrfs\tzeros\nmount\tvault";
    assert!(text.contains(again), "{text}");
    assert!(!text.contains("file-system\tdata"), "{text}");
    // The owner is shown it as the host's choice.
    let by_owner = by_owner(&fake, text);
    let lines = compared(&fake, &by_owner);
    assert!(holds(&lines), "{lines:#?}");
    let made: Vec<&Line> = lines.iter().filter(|line| line.event.kind() == "file-system").collect();
    let decided = |line: &Line| {
        let Finding::Predicted { decided } = &line.finding else { panic!("{line:?}") };
        decided.clone()
    };
    assert_eq!(made.len(), 2);
    assert_eq!(decided(made[0]), [].into(), "the ephemeral one always is");
    assert_eq!(decided(made[1]), [("found", Decides::Host)].into());
    // Of a volume that PID 1 never formats, and of one twice, it is not predicted.
    for (from, to) in [
        ("mount\tdata", "file-system\tdata\text4\tzeros\nmount\tdata"),
        ("file-system\tvault\tbtrfs\tzeros", "file-system\tvault\text4\tzeros"),
        ("file-system\tvault\tbtrfs\tzeros", "file-system\tvault\tbtrfs\tnew"),
        ("file-system\tscratch\text4\tnew\n", ""),
    ] {
        assert_eq!(by_owner.matches(from).count(), 1, "{from}");
        assert!(!holds(&compared(&fake, &by_owner.replace(from, to))), "{to}");
    }
    let unsealed = fake.file("/etc/ravelin.toml").unwrap().replace("provision = 'if-blank'", "");
    fake.add_file("/etc/ravelin.toml", unsealed);
    let lines = compared(&fake, &by_owner);
    let other = |line: &&Line| !matches!(line.finding, Finding::Predicted { .. });
    let other: Vec<&str> = lines.iter().filter(other).map(|line| line.event.kind()).collect();
    assert_eq!(other, ["configuration", "file-system"]);
}

/// The finding of the line `writable`, after a boot with these settings.
fn written(settings: &str, change: impl FnOnce(&str) -> String) -> (String, Finding) {
    let fake = verity();
    fake.add_file("/etc/ravelin.toml", settings);
    for serial in ["scratch", "s2"] {
        if settings.contains(&format!("serial:{serial}'")) {
            super::encrypted_tests::add_disk(&fake, "vdc", serial, vec![7; 4 << 20]);
            fake.add_file("/sysroot/sbin/mkfs.ext4", elf(62));
        }
    }
    for directory in settings.split(['\'', ',']).filter(|word| word.starts_with("/d")) {
        let path = directory.split('=').next().unwrap();
        fake.add(Path::new("/sysroot").join(path.trim_start_matches('/')), Node::Directory);
    }
    let receipt = receipt(&fake);
    assert!(!receipt.is_cut(), "{}", receipt.as_str());
    let text = change(receipt.as_str());
    let lines = compared(&fake, &text);
    let line = lines.iter().find(|line| line.event.kind() == "writable").unwrap();
    (line.event.to_string(), line.finding.clone())
}

#[test]
fn the_writable_layer_is_predicted() {
    let same = str::to_owned;
    let predicted = |decided: &[(&'static str, Decides)]| Finding::Predicted {
        decided: decided.iter().copied().collect(),
    };
    let differs = |name: &'static str, expected: &str| Finding::Differs {
        expected: [(name, expected.to_owned())].into(),
    };
    let keys = "ssh.host_keys = 'none'\nmachine_id = 'keep'\n";
    let list = format!("{keys}writable.size = '25%'\nwritable.directories = '/d1,/d2=4G'\n");
    let (line, finding) = written(&list, same);
    assert_eq!(line, "writable\tdirectories\tmemory up to 25%\t/d1 /d2=4294967296");
    assert_eq!(finding, predicted(&[]));
    // Less in a list that was given, more in memory, another limit of one.
    for (from, to, name) in [
        ("/d1 /d2", "/d2", "directories"),
        ("/d2=4294967296", "/d2", "directories"),
        ("/d2=4294967296", "/d2=8294967296", "directories"),
        ("25%", "50%", "onto"),
    ] {
        let (_, finding) = written(&list, |text| text.replace(from, to));
        let Finding::Differs { expected } = finding else { panic!("{to}: {finding:?}") };
        assert_eq!(expected.keys().collect::<Vec<_>>(), [&name], "{to}");
    }
    // Of the default list the image may lack some, and has no others.
    let (_, finding) = written("", same);
    assert_eq!(finding, predicted(&[("directories", Decides::Image)]));
    let (_, finding) = written("", |text| text.replace("/etc /var /home", "/etc /home"));
    assert_eq!(finding, predicted(&[("directories", Decides::Image)]));
    let (_, finding) = written("", |text| text.replace("/etc /var /home /root /tmp", "-"));
    assert_eq!(finding, predicted(&[("directories", Decides::Image)]));
    let (_, finding) = written("", |text| text.replace("/etc /var /home", "/etc /usr /home"));
    assert!(matches!(finding, Finding::Differs { .. }), "{finding:?}");
    let volume = "[[volume]]\nname = 'scratch'\ndevice = 'serial:scratch'\nmount = 'writable'\n\
                  fstype = 'ext4'\nkey = 'ephemeral'\n";
    let (line, finding) = written(volume, same);
    assert!(line.contains("\tvolume scratch\t"), "{line}");
    assert_eq!(finding, predicted(&[("directories", Decides::Image)]));
    let memory = "memory up to 50%";
    let (_, finding) = written(volume, |text| text.replace("\tvolume scratch\t", "\tmemory\t"));
    assert_eq!(finding, differs("onto", "volume scratch"));
    let (line, finding) = written("writable.mode = 'root'\n", same);
    assert_eq!(line, format!("writable\troot\t{memory}\t/"));
    assert_eq!(finding, predicted(&[]));
    let none = format!("{keys}writable.mode = 'none'\n");
    let (line, finding) = written(&none, same);
    assert_eq!((line.as_str(), finding), ("writable\tnone\t-\t-", predicted(&[])));
}

/// As long as a configuration may make it.
#[test]
fn a_long_list_of_directories_is_predicted() {
    let list: Vec<String> = (0..64).map(|index| format!("/d{index}-{}", "x".repeat(250))).collect();
    let settings = format!(
        "ssh.host_keys = 'none'\nmachine_id = 'keep'\nwritable.directories = '{}'\n",
        list.join(",")
    );
    let (line, finding) = written(&settings, str::to_owned);
    let (text, digest) = (list.join(" "), hex::encode(Sha256::digest(list.join(" "))));
    assert!(line.ends_with(&format!("\t{} bytes, SHA-256 {digest}", text.len())), "{line}");
    assert_eq!(finding, Finding::Predicted { decided: [].into() });
    let other = settings.replace("x,/d7-", "y,/d7-");
    assert_ne!(other, settings);
    assert_ne!(written(&other, str::to_owned).0, line);
}
