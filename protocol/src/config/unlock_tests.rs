//! Encrypted roots, owners, the network and volumes: good ones, then every way to
//! spoil them.

use super::*;
use crate::release::VolumeName;

const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDyzIszNuLpS7DNw+8O7crE2JLaNeUInekURRDtQLyCI a@x";
const SECOND: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIcJY8yjqm1LwpLV0pAVq9LWuU2kmce73qONnEUuqwg1 b of x";
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGakrMiVI65mSsdiE3c0WEASZV0+aDJ+oxR3lRfbJXWueLLoFoMWDSGUrnmrdAgXfD4Sdz6IQHNqzbmgZbe6yes=";
const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIDyzIszNuLpS7DNw+8O7crE2JLaNeUInekURRDtQLyCIAAAABHNzaDo=";
const SK_ECDSA: &str = "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBBGakrMiVI65mSsdiE3c0WEASZV0+aDJ+oxR3lRfbJXWueLLoFoMWDSGUrnmrdAgXfD4Sdz6IQHNqzbmgZbe6yesAAAAEc3NoOg==";
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDGfr3mwELL/JyVDZXzJEDjd7YN3VKZyduT71QV/yHUZ+7vpd4JosYO9VEbk3unEWFanioumA++mRQ8/lsFSsaunBE6oRlTDr4ZV8sBYROITnRvr6uMhr2I/+5V7g3EIXYX4PE9laCHRVeaJpWtTtTsL9SB1H/kMST03uBGZ2C+4Q==";
const P384: &str = "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBAD3RqRli3R88vj4FKi6k0GymH36MPWqTrpi9McsViuulkGis2T9HNwkNEMzyaUiNpQIjzJuR4HKWpvMc+Ip7X7aiAlws6TAFG6eAlgi2v8wMCmEevBWzf+PzE19wbk2SQ==";

/// [`ECDSA`] with a compressed point.
const COMPRESSED: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAAAhA2akrMiVI65mSsdiE3c0WEASZV0+aDJ+oxR3lRfbJXWu";

const ROOT: &str =
    "ravelin.root.mode=encrypted ravelin.root.device=serial:disk ravelin.root.fstype=ext4";
const PLAIN: &str = "ravelin.root.mode=plain ravelin.insecure=true \
                     ravelin.root.device=serial:disk ravelin.root.fstype=ext4";

fn owners(lines: &[&str]) -> String {
    format!("unlock.owners = {lines:?}\n")
}

fn read(file: &str, cmdline: &str) -> Result<Config, ConfigError> {
    parse(Some(file.as_bytes()), &CommandLine::parse(cmdline.as_bytes())?)
}

/// An encrypted root with one owner, `extra` words, and `file` in the file.
fn encrypted(file: &str, extra: &str) -> Result<Config, ConfigError> {
    read(&format!("{}{file}", owners(&[ED25519])), &format!("{ROOT} {extra}"))
}

fn conflict(result: Result<Config, ConfigError>) -> &'static str {
    match result {
        Err(ConfigError::Conflict(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn invalid(result: Result<Config, ConfigError>) -> String {
    match result {
        Err(error @ ConfigError::InvalidValue { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn meaningless(result: Result<Config, ConfigError>, key: &str) {
    match result {
        Err(ConfigError::NotInThisMode { key: found, .. }) => assert_eq!(found, key),
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn an_encrypted_root_has_defaults_of_its_own() {
    let config = encrypted("", "").unwrap();
    assert_eq!(
        config.root.protection,
        Protection::Encrypted(Encrypted { format: VolumeFormat::Ravelin, fsck: false })
    );
    assert_eq!(config.writable, Writable::Disk);
    assert!(config.writable.covers("/etc/ssh"));
    assert_eq!(config.machine_id, MachineId::Keep);
    assert_eq!(config.host_keys, [HostKeyKind::Ed25519]);
    assert_eq!(config.attest.unwrap().responder_port.unwrap().get(), 4777);
    let unlock = config.unlock.unwrap();
    assert_eq!((unlock.threshold.get(), unlock.port.get()), (1, 4778));
    assert_eq!(unlock.deadline, None);
    assert_eq!(unlock.quorum_deadline.to_string(), "600s");
    let network = config.network.unwrap();
    assert_eq!((network.link, network.addressing), (LinkSelector::Only, Addressing::Dhcp));
    assert_eq!((network.mtu, network.deadline.to_string()), (None, "60s".to_owned()));
    assert_eq!(config.volumes, []);

    let config = encrypted(
        "encrypted = { format = 'luks2', fsck = true }\ndeadline.unlock = '1h'",
        "ravelin.writable.mode=directories ravelin.machine_id=fresh",
    );
    let config = config.unwrap();
    assert_eq!(
        config.root.protection,
        Protection::Encrypted(Encrypted { format: VolumeFormat::Luks2, fsck: true })
    );
    assert!(matches!(config.writable, Writable::Directories { explicit: false, .. }));
    assert_eq!(config.machine_id, MachineId::Fresh);
    assert_eq!(config.unlock.unwrap().deadline.unwrap().to_string(), "3600s");
}

#[test]
fn the_disk_is_written_to_only_where_that_is_protected() {
    conflict(read("", &format!("{PLAIN} ravelin.writable.mode=disk")));
    conflict(encrypted("", "ravelin.writable.size=1G"));
    conflict(encrypted("", "ravelin.writable.directories=/etc"));
    let erofs = ROOT.replace("ext4", "erofs");
    conflict(read(&owners(&[ED25519]), &erofs));
    read(&owners(&[ED25519]), &format!("{erofs} ravelin.writable.mode=root")).unwrap();
    meaningless(read("encrypted.fsck = false", PLAIN), "encrypted.fsck");
    meaningless(encrypted("verity.salt = '-'", ""), "verity.salt");
    conflict(encrypted("insecure = true", ""));
}

#[test]
fn owners_are_keys_that_can_be_verified() {
    let lines = [ED25519, SECOND, ECDSA, SK_ED25519, SK_ECDSA];
    let unlock = read(&owners(&lines), ROOT).unwrap().unlock.unwrap();
    for (owner, line) in unlock.owners.iter().zip(lines) {
        let shown = owner.public_key().to_openssh().unwrap();
        // Without the comment.
        assert_eq!(shown, line.split(' ').take(2).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(unlock.owners.len(), lines.len());
    let renamed = ED25519.replace("a@x", "another name");
    let cut = ED25519.get(..40).unwrap();
    let mislabelled = ED25519.replace("ssh-ed25519", "ecdsa-sha2-nistp256");
    let certificate = ED25519.replace("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com");
    for (lines, reason) in [
        (vec![], "does not begin"),
        (vec![""], "does not begin"),
        (vec![RSA], "RSA keys are not supported"),
        (vec![COMPRESSED], "not uncompressed"),
        (vec![P384], "only ecdsa-sha2-nistp256"),
        (vec![certificate.as_str()], "certificates are not supported"),
        (vec!["restrict ssh-ed25519 AAAA"], "options before it"),
        (vec!["ssh-ed25519"], "malformed"),
        (vec!["ssh-ed25519 AAAA"], "malformed"),
        (vec![cut], "malformed"),
        (vec![mislabelled.as_str()], "another type"),
        (vec!["ssh-ed25519 AAAA\nssh-ed25519 AAAA"], "one line"),
        (vec![ED25519, SECOND, ED25519], "twice"),
        (vec![ED25519, renamed.as_str()], "twice"),
    ] {
        let message = invalid(read(&owners(&lines), ROOT));
        assert!(message.contains(reason), "{lines:?}: {message}");
    }
    // A comma would make two lines of one.
    let comma = ED25519.replace("a@x", "a,b");
    assert!(matches!(read(&owners(&[&comma]), ROOT), Err(ConfigError::WrongType { .. })));
    let key = |n: u8| {
        let data = ssh_key::public::Ed25519PublicKey([n; 32]);
        ssh_key::PublicKey::from(ssh_key::public::KeyData::from(data)).to_openssh().unwrap()
    };
    let many: Vec<String> = (1..=33).map(key).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(read(&owners(&many[..32]), ROOT).unwrap().unlock.unwrap().owners.len(), 32);
    assert!(invalid(read(&owners(&many), ROOT)).contains("more than 32"));
}

#[test]
fn who_unlocks_is_said_where_a_key_is_the_owners_and_nowhere_else() {
    assert!(matches!(
        read("", ROOT),
        Err(ConfigError::MissingKey { key, .. }) if key == "unlock.owners"
    ));
    for key in [
        "unlock.threshold=1",
        "unlock.port=1",
        "deadline.unlock=none",
        "deadline.quorum=1m",
        "deadline.network=1m",
        "network.mode=dhcp",
        "network.link=only",
        "network.mtu=1500",
        "network.address=192.0.2.1/24",
    ] {
        encrypted("", &format!("ravelin.{key} ravelin.network.mode=static")).map_or_else(
            // Those that are given twice or lack an address.
            |error| assert!(!matches!(error, ConfigError::NotInThisMode { .. }), "{error}"),
            |config| assert!(config.unlock.is_some()),
        );
        let (name, _) = key.split_once('=').unwrap();
        meaningless(read("", &format!("{PLAIN} ravelin.{key}")), name);
    }
    meaningless(read(&owners(&[ED25519]), PLAIN), "unlock.owners");
    conflict(encrypted("", "ravelin.attest.mode=none"));
    conflict(encrypted("", "ravelin.attest.port=4778"));
    conflict(encrypted("", "ravelin.unlock.port=4777"));
    encrypted("", "ravelin.unlock.port=4777 ravelin.attest.mode=report").unwrap();
    conflict(encrypted("", "ravelin.unlock.threshold=2"));
    let two = read(&owners(&[ED25519, SECOND]), &format!("{ROOT} ravelin.unlock.threshold=2"));
    assert_eq!(two.unwrap().unlock.unwrap().threshold.get(), 2);
    for bad in ["unlock.threshold=0", "unlock.threshold=256", "unlock.port=0"] {
        invalid(encrypted("", &format!("ravelin.{bad}")));
    }
    // An owner's volume asks for owners too, and the whole is the same.
    let volume = "[[volume]]\nname = 'data'\ndevice = 'serial:data'\nmount = '/data'\n\
                  fstype = 'ext4'\nkey = 'owner'";
    let config = read(&format!("{}{volume}", owners(&[ED25519])), PLAIN).unwrap();
    assert!(config.unlock.is_some() && config.network.is_some());
    assert!(matches!(read(volume, PLAIN), Err(ConfigError::MissingKey { .. })));
}

#[test]
fn a_static_network_is_one_that_can_work() {
    let words = |words: &str| {
        let words: Vec<String> =
            words.split(' ').map(|word| format!("ravelin.network.{word}")).collect();
        encrypted("", &format!("ravelin.network.mode=static {}", words.join(" ")))
    };
    let network = words(
        "address=192.0.2.7/24,2001:db8::7/64,198.51.100.0/31 gateway=192.0.2.1,fe80::1 \
         link=mac:52:54:00:12:34:Ef mtu=1280",
    );
    let network = network.unwrap().network.unwrap();
    assert_eq!(network.link, LinkSelector::Mac([0x52, 0x54, 0, 0x12, 0x34, 0xef]));
    assert_eq!(network.mtu, Some(1280));
    let Addressing::Static { addresses, gateways } = network.addressing else { panic!("static") };
    assert_eq!(addresses[1], ("2001:db8::7".parse().unwrap(), 64));
    assert_eq!((addresses.len(), gateways.len()), (3, 2));
    let config = words("address=10.0.0.1/8 link=driver:virtio_net").unwrap();
    assert_eq!(config.network.unwrap().link, LinkSelector::Driver("virtio_net".to_owned()));

    assert!(matches!(
        encrypted("", "ravelin.network.mode=static"),
        Err(ConfigError::MissingKey { key, .. }) if key == "network.address"
    ));
    meaningless(encrypted("", "ravelin.network.address=10.0.0.1/8"), "network.address");
    meaningless(encrypted("", "ravelin.network.gateway=10.0.0.1"), "network.gateway");
    for bad in [
        "10.0.0.1",
        "10.0.0.1/0",
        "10.0.0.1/33",
        "10.0.0.1/+8",
        "10.0.0.01/8",
        "10.0.0.0/8",
        "10.255.255.255/8",
        "0.0.0.0/8",
        "0.0.0.1/8",
        "127.0.0.1/8",
        "224.0.0.1/4",
        "255.255.255.255/32",
        "::/64",
        "::1/128",
        "ff02::1/64",
        "::ffff:10.0.0.1/128",
        "2001:db8::1/129",
        "fe80::1%eth0/64",
        "10.0.0.1/8,10.0.0.1/8",
        "10.0.0.1/8,10.0.0.1/16",
        "10.0.0.1/8,",
        "host/8",
    ] {
        invalid(words(&format!("address={bad}")));
    }
    let nine: Vec<String> = (1..=9).map(|n| format!("10.0.0.{n}/8")).collect();
    words(&format!("address={}", nine[..8].join(","))).unwrap();
    invalid(words(&format!("address={}", nine.join(","))));
    for bad in ["10.0.0.2,10.0.0.3", "127.0.0.1", "10.0.0.2/8", "ff02::2", ""] {
        invalid(words(&format!("address=10.0.0.1/8 gateway={bad}")));
    }
    for bad in ["192.0.2.1", "fe80::1", "10.0.0.1", "2001:db8::1"] {
        conflict(words(&format!("address=10.0.0.1/8 gateway={bad}")));
    }
    conflict(words("address=2001:db8::1/64 gateway=2001:db8:0:1::1"));
    conflict(words("address=2001:db8::1/64 mtu=1279"));
    for bad in [
        "link=eth0",
        "link=mac:52:54:00:12:34",
        "link=mac:52:54:00:12:34:56:78",
        "link=mac:52:54:00:12:34:+6",
        "link=mac:52:54:0:12:34:56",
        "link=mac:00:00:00:00:00:00",
        "link=mac:01:00:5e:00:00:01",
        "link=driver:",
        "link=driver:../x",
        "mtu=575",
        "mtu=65536",
    ] {
        invalid(words(&format!("address=10.0.0.1/8 {bad}")));
    }
}

const VOLUMES: &str = r#"
[[volume]]
name = "state"
device = "serial:state"
mount = "/var/lib/state"
fstype = "xfs"
key = "sealed"
cipher = "aegis128-random"
provision = "if-blank"
sealed.guest_svn = 4294967295
[volume.sealed]
family_id = true
tcb_version = 72057594037927936
[[volume]]
name = "scratch"
device = "partlabel:scratch"
mount = "writable"
fstype = "ext4"
key = "ephemeral"
[[volume]]
name = "db"
device = "path:/dev/vdd"
mount = "/srv"
fstype = "btrfs"
key = "owner"
"#;

#[test]
fn volumes_come_from_both_places_and_are_sorted() {
    // The table of `sealed` beside the dotted key is no TOML.
    assert!(matches!(
        encrypted(VOLUMES, "ravelin.writable.mode=root"),
        Err(ConfigError::Syntax { .. })
    ));
    let file = VOLUMES.replace("sealed.guest_svn", "# sealed.guest_svn");
    let words = "ravelin.writable.mode=root ravelin.volume.db.format=luks2 \
                 ravelin.volume.state.sealed.guest_svn=7 \
                 ravelin.volume.aux.device=serial:aux ravelin.volume.aux.mount=/aux \
                 ravelin.volume.aux.fstype=ext4 ravelin.volume.aux.key=sealed \
                 ravelin.volume.aux.sealed.tcb_version=any";
    let config = encrypted(&file, words).unwrap();
    let names: Vec<&str> = config.volumes.iter().map(|volume| volume.name.as_str()).collect();
    assert_eq!(names, ["aux", "db", "scratch", "state"]);
    let [aux, db, scratch, state] = &config.volumes[..] else { panic!("four") };
    let sealing = Sealing {
        cipher: VolumeCipher::AesXtsHmacSha256,
        root_key: RootKey::Vcek,
        family_id: false,
        image_id: false,
        guest_svn: None,
        tcb_version: None,
    };
    assert_eq!((&aux.key, aux.provision_if_blank), (&KeySource::Sealed(sealing), false));
    assert_eq!((&db.key, db.fstype), (&KeySource::Owner(VolumeFormat::Luks2), FsType::Btrfs));
    assert_eq!(scratch.target, VolumeTarget::Writable);
    assert_eq!(scratch.key, KeySource::Ephemeral(VolumeCipher::AesXtsHmacSha256));
    let expected = Sealing {
        cipher: VolumeCipher::Aegis128Random,
        family_id: true,
        guest_svn: Some(7),
        tcb_version: Some(1 << 56),
        ..sealing
    };
    assert_eq!((&state.key, state.provision_if_blank), (&KeySource::Sealed(expected), true));
    assert_eq!(state.device, Selector::Serial("state".to_owned()));
}

/// One ephemeral volume on the command line, with words replaced or added.
fn volume(name: &str, changes: &[(&str, &str)]) -> String {
    let mut words = vec![
        ("device", format!("serial:{name}")),
        ("mount", format!("/{name}")),
        ("fstype", "ext4".to_owned()),
        ("key", "ephemeral".to_owned()),
    ];
    for (key, value) in changes {
        words.retain(|(known, _)| known != key);
        words.push((key, (*value).to_owned()));
    }
    words.iter().map(|(key, value)| format!("ravelin.volume.{name}.{key}={value} ")).collect()
}

#[test]
fn volumes_are_held_against_the_rest() {
    let with = |words: &str| read("", &format!("{PLAIN} {words}"));
    let one = |changes: &[(&str, &str)]| with(&volume("a", changes));
    one(&[]).unwrap();
    for mount in
        ["/", "a", "/dev/x", "/proc", "/sys/a", "/run", "/etc", "/etc/ssh", "/a/../b", "/a/"]
    {
        invalid(one(&[("mount", mount)]));
    }
    one(&[("mount", "/etc/pki")]).unwrap();
    for (key, value) in [
        ("device", "/dev/vdb"),
        ("fstype", "erofs"),
        ("fstype", "vfat"),
        ("key", "random"),
        ("cipher", "aes-xts"),
    ] {
        assert!(invalid(one(&[(key, value)])).contains(&format!("volume.a.{key}")));
    }
    for key in ["device", "mount", "fstype", "key"] {
        let words = volume("a", &[]).replace(&format!("volume.a.{key}="), "on_failure=");
        let words = words.split(' ').filter(|word| !word.contains("on_failure"));
        match with(&words.collect::<Vec<_>>().join(" ")) {
            Err(ConfigError::MissingKey { key: missing, .. }) => {
                assert_eq!(missing, format!("volume.a.{key}"));
            }
            other => panic!("{key}: {other:?}"),
        }
    }
    // Settings of other keys.
    for (origin, key, value) in [
        ("ephemeral", "format", "ravelin"),
        ("ephemeral", "provision", "never"),
        ("ephemeral", "sealed.family_id", "false"),
        ("owner", "sealed.root_key", "vcek"),
        ("sealed", "format", "ravelin"),
        ("owner", "cipher", "aes-gcm-random"),
        ("owner", "sealed.tcb_version", "1"),
    ] {
        meaningless(one(&[("key", origin), (key, value)]), &format!("volume.a.{key}"));
    }
    // Whoever wants no least firmware says so.
    match one(&[("key", "sealed")]) {
        Err(ConfigError::MissingKey { key, .. }) => assert_eq!(key, "volume.a.sealed.tcb_version"),
        other => panic!("{other:?}"),
    }
    one(&[("key", "sealed"), ("sealed.tcb_version", "any")]).unwrap();
    invalid(one(&[("key", "sealed"), ("sealed.tcb_version", "0x1")]));
    invalid(one(&[("key", "sealed"), ("sealed.guest_svn", "4294967296")]));
    invalid(one(&[("key", "sealed"), ("sealed.tcb_version", "18446744073709551616")]));
    one(&[("key", "sealed"), ("sealed.tcb_version", "18446744073709551615")]).unwrap();
    conflict(one(&[("key", "owner"), ("format", "luks2"), ("provision", "if-blank")]));
    conflict(one(&[("device", "serial:disk")]));
    let two = |changes: &[(&str, &str)]| {
        with(&format!("{}{}", volume("a", &[("mount", "/a/b")]), volume("b", changes)))
    };
    two(&[("mount", "/a/bc")]).unwrap();
    for change in [("device", "serial:a"), ("mount", "/a/b"), ("mount", "/a"), ("mount", "/a/b/c")]
    {
        conflict(two(&[change]));
    }
    // What takes the writes.
    let writable = volume("w", &[("mount", "writable")]);
    with(&writable).unwrap();
    conflict(one(&[("mount", "writable"), ("key", "sealed"), ("sealed.tcb_version", "any")]));
    conflict(with(&format!("{writable} {}", volume("v", &[("mount", "writable")]))));
    conflict(with(&format!("{writable} ravelin.writable.size=1G")));
    conflict(encrypted("", &writable));
    encrypted("", &format!("{writable} ravelin.writable.mode=root")).unwrap();
}

#[test]
fn names_of_volumes_are_bounded_and_each_key_is_given_once() {
    let unknown = |result: Result<Config, ConfigError>| match result {
        Err(ConfigError::UnknownKey { known, .. }) => known,
        other => panic!("{other:?}"),
    };
    let words = |words: &str| read("", &format!("{PLAIN} {words}"));
    for name in ["root", "", "A", "1a", "a_b", &"a".repeat(33)] {
        invalid(words(&format!("ravelin.volume.{name}.key=sealed")));
        invalid(read(&format!("[[volume]]\nname = '{name}'"), PLAIN));
    }
    assert!(unknown(words("ravelin.volume.a.keys=owner")).contains("sealed.guest_svn"));
    unknown(words("ravelin.volume.a.name=a"));
    unknown(words("ravelin.volume.a=owner"));
    unknown(words("ravelin.volume=owner"));
    unknown(read("[[volume]]\nname = 'a'\nextra = 1", PLAIN));
    unknown(read("[[volume]]\nname = 'a'\nsealed.extra = 1", PLAIN));
    // No way around the array.
    unknown(read("'volume.a.key' = 'sealed'", PLAIN));
    for file in
        ["volume = 1", "[volume]\nname = 'a'", "volume = [1]", "[[volume]]", "[[volume]]\nname = 1"]
    {
        assert!(matches!(read(file, PLAIN), Err(ConfigError::WrongType { .. })), "{file}");
    }
    let a = volume("a", &[]);
    for (file, words) in [
        ("[[volume]]\nname = 'a'\n[[volume]]\nname = 'a'", ""),
        ("[[volume]]\nname = 'a'\nkey = 'ephemeral'", a.as_str()),
        ("", &format!("{a} ravelin.volume.a.key=ephemeral")),
    ] {
        let result = read(file, &format!("{PLAIN} {words}"));
        assert!(matches!(result, Err(ConfigError::RepeatedKey { .. })), "{result:?}");
    }
    let many =
        |count: usize| -> String { (0..count).map(|n| volume(&format!("v{n}"), &[])).collect() };
    assert_eq!(words(&many(16)).unwrap().volumes.len(), 16);
    assert!(invalid(words(&many(17))).contains("more than 16"));
    assert!(
        !words(&many(1)).unwrap().volumes.iter().any(|volume| volume.name == VolumeName::root())
    );
}

#[test]
fn a_file_alone_may_wait_for_the_command_line() {
    let volume = "[[volume]]\nname = 'data'\nmount = '/data'\n";
    for file in [
        owners(&[ED25519]),
        "root.mode = 'encrypted'".to_owned(),
        // The volume with an owner may be on the command line.
        format!(
            "{}root = {{ mode = 'plain', device = 'serial:x', fstype = 'ext4' }}\ninsecure = true",
            owners(&[ED25519])
        ),
        format!("{}network.gateway = '10.0.0.1'", owners(&[ED25519])),
        volume.to_owned(),
    ] {
        assert_eq!(check_file(file.as_bytes()), Ok(()), "{file}");
    }
    for file in [
        owners(&[RSA]),
        "network.link = 'eth0'".to_owned(),
        format!("{volume}key = 'none'"),
        format!("{volume}key = 'sealed'\nsealed.guest_svn = -1"),
        "unlock.port = 0".to_owned(),
    ] {
        let checked = check_file(file.as_bytes());
        assert!(matches!(checked, Err(ConfigError::InvalidValue { .. })), "{file}: {checked:?}");
    }
}

/// The page's example of an encrypted root is one.
#[test]
fn the_example_of_the_page_is_read() {
    let page = include_str!("../../../docs/configuration.md");
    let (_, rest) = page.split_once("```toml\n[root]").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let config = read(&format!("[root]{example}"), "").unwrap();
    assert_eq!((config.unlock.unwrap().owners.len(), config.volumes.len()), (2, 1));
}
