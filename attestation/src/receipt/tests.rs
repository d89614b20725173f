use protocol::cmdline::CommandLine;
use protocol::receipt::Receipt;
use sha2::Digest as _;

use super::*;

const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A verity boot as its owner knows it.
struct Owner {
    config: Config,
    order: LoadOrder,
    hooks: Vec<(Stage, String)>,
    host_keys: HostKeys,
}

impl Owner {
    fn new() -> Self {
        let words = format!(
            "ravelin.root.mode=verity ravelin.root.device=serial:data ravelin.root.fstype=erofs \
             ravelin.verity.hash_device=serial:hash ravelin.verity.roothash={HASH} \
             ravelin.verity.salt=- ravelin.verity.data_blocks=16"
        );
        let cmdline = CommandLine::parse(words.as_bytes()).unwrap();
        let order = "# ravelin load order 1\nkernel 6.12.1\n0 required /a.ko\n0 optional /b.ko\n";
        Self {
            config: protocol::config::parse(None, &cmdline).unwrap(),
            order: LoadOrder::parse(order).unwrap(),
            hooks: vec![(Stage::PreRoot, "b".to_owned()), (Stage::PreRoot, "a".to_owned())],
            host_keys: HostKeys::default(),
        }
    }

    fn compare(&self, text: &str) -> Vec<Line> {
        let receipt = Receipt::decode(text.as_bytes()).unwrap();
        let Self { config, order, hooks, host_keys } = self;
        let measured = Measured { config, order: Some(order), hooks, host_keys };
        compare(&receipt.events().unwrap(), &measured)
    }

    /// What such a boot leaves.
    fn good(&self) -> String {
        let settings = hex::encode(self.config.settings);
        let order = hex::encode(sha2::Sha256::digest(self.order.to_string()));
        let keys = hex::encode(sha2::Sha256::digest(b""));
        format!(
            "configuration\tverity\t{settings}\nhook\tpre-root\ta\nhook\tpre-root\tb\n\
             modules\t6.12.1\t2\t{order}\nharden\tpointers kexec bpf sysrq\tnone\n\
             disk\troot.device\tserial:data\t/dev/vda\t65536\n\
             disk\tverity.hash_device\tserial:hash\t/dev/vdb\t12288\n\
             hook-ran\tpre-root\ta\nhook-ran\tpre-root\tb\n\
             table\troot\t128\tverity\t1 /dev/vda /dev/vdb 4096 4096 16 1 sha256 {HASH} -\n\
             root\terofs\t/sbin/init\nwritable\tdirectories\tmemory up to 50%\t/etc\n\
             reports\tconfigfs-tsm\nssh-host-keys\t0\t{keys}\n"
        )
    }

    /// What is found where one text of the good receipt is another.
    #[track_caller]
    fn with(&self, from: &str, to: &str) -> Vec<(&'static str, Finding)> {
        let good = self.good();
        assert_eq!(good.matches(from).count(), 1, "{from}");
        let lines = self.compare(&good.replace(from, to));
        let other = |line: &Line| !matches!(line.finding, Finding::Predicted { .. });
        assert_eq!(holds(&lines), !lines.iter().any(other));
        let lines = lines.into_iter().filter(other);
        lines.map(|line| (line.event.kind(), line.finding)).collect()
    }
}

fn differs(name: &'static str, expected: &str) -> Finding {
    Finding::Differs { expected: [(name, expected.to_owned())].into() }
}

#[test]
fn a_boot_as_measured_is_predicted() {
    let owner = Owner::new();
    let lines = owner.compare(&owner.good());
    assert!(holds(&lines), "{lines:#?}");
    let disk = lines.iter().find(|line| line.event.kind() == "disk").unwrap();
    let decided = [("node", Decides::Host), ("bytes", Decides::Host)].into();
    assert_eq!(disk.finding, Finding::Predicted { decided });
}

#[test]
fn what_the_host_decides_may_be_any() {
    let owner = Owner::new();
    assert_eq!(owner.with("65536", "131072"), []);
    assert_eq!(owner.with("kexec bpf sysrq\tnone", "kexec bpf sysrq\tintegrity"), []);
    // The processor may lack what an optional module is for.
    assert_eq!(owner.with("harden\t", "module-refused\t/b.ko\nharden\t"), []);
    let node = owner.good().replace("/dev/vda", "/dev/sdz");
    assert!(holds(&owner.compare(&node)));
}

#[test]
fn every_other_line_is_noticed() {
    let owner = Owner::new();
    // A disk that is not the one that was mapped.
    let table = format!("1 /dev/vda /dev/vdb 4096 4096 16 1 sha256 {HASH} -");
    let other = table.replace("/dev/vda", "/dev/vdc");
    assert_eq!(owner.with(&table, &other), [("table", differs("parameters", &table))]);
    let weak = format!("{table} 1 ignore_corruption");
    assert_eq!(owner.with(&table, &weak), [("table", differs("parameters", &table))]);
    assert_eq!(owner.with("\terofs", "\text4"), [("root", differs("fstype", "erofs"))]);
    let init = "/bin/sh";
    assert_eq!(owner.with("/sbin/init", init), [("root", differs("init", "/sbin/init"))]);
    let device = owner.with("root.device", "volume.x.device");
    // Nothing says any more which disk the table should have.
    assert_eq!(device[0], ("disk", differs("key", "root.device")));
    assert_eq!((device.len(), device[1].0), (2, "table"));
    assert_eq!(owner.with("directories", "root"), [("writable", differs("mode", "directories"))]);
    // Another module was refused.
    let refused = owner.with("harden\t", "module-refused\t/a.ko\nharden\t");
    assert_eq!(refused, [("module-refused", Finding::Unexpected)]);
    assert_eq!(owner.with("hook-ran\tpre-root\ta\n", ""), [("hook-ran", Finding::Missing)]);
    let more = owner.with("root\terofs", "hook-ran\tpost-root\tc\nroot\terofs");
    assert_eq!(more, [("hook-ran", Finding::Unexpected)]);
    assert_eq!(owner.with("\t0\te3b0", "\t0\te3b1").len(), 1);
}

#[test]
fn a_receipt_that_ends_early_is_noticed() {
    let owner = Owner::new();
    let good = owner.good();
    let lines: Vec<&str> = good.split_inclusive('\n').collect();
    for length in 0..lines.len() {
        let cut = owner.compare(&format!("{}cut\n", lines[..length].concat()));
        let missing = cut.iter().filter(|line| line.finding == Finding::Missing).count();
        assert_eq!(missing, lines.len() - length);
        assert!(!holds(&cut) && !holds(&owner.compare(&lines[..length].concat())));
    }
}

#[test]
fn lines_are_flat_in_json() {
    let owner = Owner::new();
    let lines = owner.compare(&owner.good().replace("\terofs", "\text4"));
    let root = lines.iter().find(|line| line.event.kind() == "root").unwrap();
    assert_eq!(
        serde_json::to_value(root).unwrap(),
        serde_json::json!({
            "event": "root",
            "values": {"fstype": "ext4", "init": "/sbin/init"},
            "finding": "differs",
            "expected": {"fstype": "erofs"},
        })
    );
}

/// Three owners, of whom two are needed: more than two may come, and fewer may not.
#[test]
fn as_many_owners_as_are_needed_sign_or_more() {
    let keys: Vec<String> = (1..=3).map(owner_key).collect();
    let file = format!(
        "root.mode = 'encrypted'\nroot.device = 'serial:root'\nroot.fstype = 'ext4'\n\
         unlock.owners = ['{}']\nunlock.threshold = 2\n",
        keys.join("', '")
    );
    let config = protocol::config::parse(Some(file.as_bytes()), &CommandLine::default()).unwrap();
    let listed = &config.unlock.as_ref().unwrap().owners;
    let [a, b, c] = [0, 1, 2].map(|index| listed[index].fingerprint());
    let stranger = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let said = |owners: &str| {
        let release = Event::Release {
            volumes: "root".to_owned(),
            threshold: "2 of 3".to_owned(),
            owners: owners.to_owned(),
            before: "0".to_owned(),
        };
        let (hooks, host_keys) = (&[], &HostKeys::default());
        let measured = Measured { config: &config, order: None, hooks, host_keys };
        let lines = compare(std::slice::from_ref(&release), &measured);
        lines.into_iter().find(|line| line.event == release).unwrap().finding
    };
    let predicted = Finding::Predicted { decided: [("before", Decides::Host)].into() };
    for enough in [format!("{a} {b}"), format!("{c} {a}"), format!("{a} {b} {c}")] {
        assert_eq!(said(&enough), predicted, "{enough}");
    }
    let expected = differs("owners", &format!("2 of {a} {b} {c}"));
    for wrong in [
        a.clone(),
        format!("{a} {a}"),
        format!("{a} {stranger}"),
        format!("{a} {b} {stranger}"),
        String::new(),
    ] {
        assert_eq!(said(&wrong), expected, "{wrong}");
    }
}

/// `ssh-ed25519` of nobody.
fn owner_key(seed: u8) -> String {
    use base64ct::{Base64, Encoding as _};
    let blob = [b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &[seed; 32]].concat();
    format!("ssh-ed25519 {}", Base64::encode_string(&blob))
}

/// The largest configuration has room, with some hooks: only names that people choose in
/// great number could cut a receipt.
#[test]
fn the_receipt_of_every_configuration_has_room() {
    let long = |name: &str| format!("/{name}-{}", "x".repeat(980));
    let owners: Vec<String> = (0..32).map(owner_key).collect();
    let mut file = format!(
        "root.mode = 'encrypted'\nroot.device = 'path:/dev{}'\nroot.fstype = 'ext4'\n\
         root.init = '{}'\nunlock.owners = ['{}']\nunlock.threshold = 32\n",
        long("root"),
        long("init"),
        owners.join("', '")
    );
    for index in 10..26 {
        let name = format!("volume-{index}-{}", "x".repeat(22));
        file.push_str(&format!(
            "[[volume]]\nname = '{name}'\ndevice = 'path:/dev{}'\nmount = '{}'\n\
             fstype = 'btrfs'\nkey = 'owner'\n",
            long(&name),
            long(&name)
        ));
    }
    let config = protocol::config::parse(Some(file.as_bytes()), &CommandLine::default()).unwrap();
    let hooks: Vec<_> =
        (0..16).map(|index| (Stage::PreRoot, format!("{index}-{}", "x".repeat(32)))).collect();
    let host_keys = &HostKeys::default();
    let measured = Measured { config: &config, order: None, hooks: &hooks, host_keys };
    let mut receipt = Receipt::default();
    for expected in predict::predict(&measured, &[]) {
        receipt.push(&expected.event);
    }
    // Decided by others: two short values in the lines of a disk, a table and a volume.
    let rest = receipt.entries().count() * 32;
    let size = receipt.as_str().len() + rest;
    assert!(!receipt.is_cut() && size <= protocol::receipt::MAX_BYTES, "{size}");
}
