//! One good configuration, then every way to spoil it.

use super::*;

pub(super) fn every_key_is_checked(table: &[Key], checked: &[&str]) {
    let all: Vec<&str> = table.iter().map(|key| key.name).collect();
    assert_eq!(checked, all);
}

const ROOTHASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn good_cmdline() -> String {
    format!(
        "console=ttyS0 quiet ravelin.root.mode=verity \
         ravelin.root.device=partuuid:00112233-4455-6677-8899-aabbccddeeff \
         ravelin.root.fstype=erofs ravelin.verity.hash_device=serial:ravelin-hash \
         ravelin.verity.roothash={ROOTHASH} ravelin.verity.salt=- ravelin.verity.data_blocks=77"
    )
}

fn read(file: Option<&str>, cmdline: &str) -> Result<Config, ConfigError> {
    parse(file.map(str::as_bytes), &CommandLine::parse(cmdline.as_bytes())?)
}

#[test]
fn defaults_are_those_of_the_table() {
    let config = read(None, &good_cmdline()).unwrap();
    assert_eq!(config.on_failure, OnFailure::PowerOff);
    assert_eq!(config.disks_deadline.to_string(), "30s");
    assert_eq!(config.root.init.as_path().to_str(), Some("/sbin/init"));
    assert_eq!(config.host_keys, [HostKeyKind::Ed25519]);
    assert_eq!(config.machine_id, MachineId::Fresh);
    let Protection::Verity(verity) = &config.root.protection else { panic!("verity") };
    assert_eq!(verity.on_corruption, OnCorruption::Panic);
    assert_eq!((verity.data_block_size, verity.hash_block_size), (4096, 4096));
    assert_eq!((verity.data_blocks, verity.hash_start_block), (77, 1));
    assert_eq!(verity.root_hash[..3], [0x00, 0x11, 0x22]);
    let Writable::Directories { list, explicit: false, size } = &config.writable else {
        panic!("directories")
    };
    assert_eq!(list.len(), 6);
    assert_eq!(size.to_string(), "50%");
}

#[test]
fn all_settings_have_one_digest() {
    let digest = |file: &str, more: &str| {
        read(Some(file), &format!("{}{more}", good_cmdline())).unwrap().settings
    };
    let one = digest("writable.directories = ['/etc', '/var']", "");
    // Wherever a setting is written.
    assert_eq!(digest("", " ravelin.writable.directories=/etc,/var"), one);
    assert_eq!(digest("", " quiet ravelin.writable.directories=/etc,/var x=y"), one);
    for other in ["", " ravelin.writable.directories=/var,/etc", " ravelin.machine_id=keep"] {
        assert_ne!(digest("", other), one, "{other}");
    }
}

#[test]
fn file_and_command_line_are_one_key_space() {
    let file = format!(
        r#"
        on_failure = "reboot"
        ssh.host_keys = ["ed25519", "ecdsa-p256"]
        [deadline]
        disks = "5s"
        [root]
        mode = "verity"
        device = "serial:ravelin-root"
        fstype = "ext4"
        init = "/lib/systemd/systemd"
        [verity]
        hash_device = "serial:ravelin-hash"
        roothash = "{ROOTHASH}"
        salt = "-"
        data_blocks = 77
        ignore_zero_blocks = true
        [writable]
        directories = ["/etc", "/var=25%", "/home=1G"]
        "#
    );
    let config = read(Some(&file), "quiet ravelin.writable.size=100M").unwrap();
    assert_eq!(config.on_failure, OnFailure::Reboot);
    assert_eq!(config.host_keys.len(), 2);
    let Writable::Directories { list, explicit: true, size } = config.writable else {
        panic!("directories")
    };
    assert_eq!(size, MemorySize::Bytes(100 << 20));
    assert_eq!(list[1].size, Some(MemorySize::Percent(25)));
    assert_eq!(list[2].size, Some(MemorySize::Bytes(1 << 30)));
}

/// The refusal of the good command line with `extra` appended.
fn refused(extra: &str) -> ConfigError {
    read(None, &format!("{} {extra}", good_cmdline())).unwrap_err()
}

/// The refusal of the good command line with `from` replaced by `to`.
fn refused_instead(from: &str, to: &str) -> ConfigError {
    let line = good_cmdline();
    assert!(line.contains(from), "{from}");
    read(None, &line.replace(from, to)).unwrap_err()
}

#[test]
fn unknown_and_repeated_keys_are_refused() {
    let error = refused("ravelin.verity.fec=1");
    assert!(matches!(&error, ConfigError::UnknownKey { key, .. } if key == "verity.fec"));
    assert!(error.to_string().contains("verity.roothash"), "{error}");
    // The same key twice on one line: the second could be an attacker's.
    assert!(matches!(
        refused(&format!("ravelin.verity.roothash={ROOTHASH}")),
        ConfigError::RepeatedKey { .. }
    ));
    // In both places, even with the same value.
    assert!(matches!(
        read(Some("root.mode = 'verity'"), &good_cmdline()),
        Err(ConfigError::RepeatedKey { .. })
    ));
    assert!(matches!(
        read(Some("insecure = false\ninsecure = false"), &good_cmdline()),
        Err(ConfigError::Syntax { .. })
    ));
    assert!(matches!(
        read(Some("[root]\nunknown = 1"), &good_cmdline()),
        Err(ConfigError::UnknownKey { .. })
    ));
    assert!(matches!(
        read(Some("[unknown.deep.table]\nx = 1"), &good_cmdline()),
        Err(ConfigError::UnknownKey { .. })
    ));
    // A table where a value is expected, and the other way round.
    assert!(matches!(
        read(Some("[on_failure]\nx = 1"), &good_cmdline()),
        Err(ConfigError::WrongType { .. })
    ));
    assert!(matches!(
        read(Some("writable = 1"), &good_cmdline()),
        Err(ConfigError::UnknownKey { .. })
    ));
}

#[test]
fn every_required_key_is_required() {
    for key in [
        "root.mode",
        "root.device",
        "root.fstype",
        "verity.hash_device",
        "verity.roothash",
        "verity.salt",
        "verity.data_blocks",
    ] {
        let line: Vec<String> = good_cmdline()
            .split(' ')
            .filter(|word| !word.starts_with(&format!("ravelin.{key}=")))
            .map(str::to_owned)
            .collect();
        match read(None, &line.join(" ")) {
            Err(ConfigError::MissingKey { key: missing, .. }) => assert_eq!(missing, key),
            other => panic!("{key}: {other:?}"),
        }
    }
}

#[test]
fn values_are_checked() {
    let bad = [
        "ravelin.on_failure=shell",
        "ravelin.deadline.disks=forever",
        "ravelin.deadline.entropy=0s",
        "ravelin.root.init=sbin/init",
        "ravelin.root.init=/sbin/../init",
        "ravelin.root.init=/sbin//init",
        "ravelin.root.init=/",
        "ravelin.verity.algorithm=sha1",
        "ravelin.verity.data_block_size=8192",
        "ravelin.verity.hash_block_size=0",
        "ravelin.verity.hash_start_block=-1",
        "ravelin.verity.on_corruption=ignore",
        "ravelin.verity.ignore_zero_blocks=yes",
        "ravelin.writable.mode=everything",
        "ravelin.writable.size=0",
        "ravelin.writable.directories=",
        "ravelin.writable.directories=/etc,/etc",
        "ravelin.writable.directories=/etc,/etc/ssh",
        "ravelin.writable.directories=/etc,/proc",
        "ravelin.writable.directories=/etc,/run/x",
        "ravelin.writable.directories=/etc,/var=0",
        "ravelin.writable.directories=/etc,/a:b",
        "ravelin.ssh.host_keys=rsa",
        "ravelin.ssh.host_keys=ed25519,ed25519",
        "ravelin.machine_id=random",
        "ravelin.insecure=1",
    ];
    for extra in bad {
        let error = refused(extra);
        let ConfigError::InvalidValue { key, allowed, .. } = &error else {
            panic!("{extra}: {error:?}")
        };
        // The message names the key, the value and what is allowed.
        let (name, value) = extra.strip_prefix("ravelin.").unwrap().split_once('=').unwrap();
        assert_eq!(key, name);
        let message = error.to_string();
        assert!(message.contains(name) && message.contains(value) && message.contains(allowed));
    }
    for device in [
        "/dev/vda",
        "serial:",
        "serial:123456789012345678901",
        "partuuid:1",
        "partlabel:",
        "path:/etc/passwd",
        "path:/dev/../etc",
        "path:/dev",
        "label:x",
        "partuuid:00112233445566778899aabbccddeeff",
    ] {
        let error = refused_instead("partuuid:00112233-4455-6677-8899-aabbccddeeff", device);
        assert!(
            matches!(&error, ConfigError::InvalidValue { key, .. } if key == "root.device"),
            "{error:?}"
        );
    }
    let error = refused_instead(ROOTHASH, &ROOTHASH[2..]);
    assert!(matches!(error, ConfigError::Conflict(_)), "{error:?}");
    let error = refused_instead(ROOTHASH, "xyz");
    assert!(matches!(error, ConfigError::InvalidValue { .. }), "{error:?}");
    let error = refused_instead("salt=-", &format!("salt={}", "00".repeat(257)));
    assert!(matches!(error, ConfigError::InvalidValue { .. }), "{error:?}");
    let error = refused_instead("data_blocks=77", "data_blocks=0");
    assert!(matches!(error, ConfigError::Conflict(_)), "{error:?}");
}

#[test]
fn plain_mode_has_to_be_called_insecure() {
    let plain =
        "ravelin.root.mode=plain ravelin.root.device=path:/dev/vda ravelin.root.fstype=ext4";
    assert!(matches!(read(None, plain), Err(ConfigError::Conflict(_))));
    let config = read(None, &format!("{plain} ravelin.insecure=true")).unwrap();
    assert_eq!(config.root.protection, Protection::InsecurePlain);
    // Settings that would suggest a protection that is not there.
    assert!(matches!(
        read(None, &format!("{plain} ravelin.insecure=true ravelin.verity.roothash={ROOTHASH}")),
        Err(ConfigError::NotInThisMode { key, .. }) if key == "verity.roothash"
    ));
    assert!(matches!(refused("ravelin.insecure=true"), ConfigError::Conflict(_)));
}

#[test]
fn contradictions_are_refused() {
    for extra in [
        "ravelin.writable.mode=none",
        "ravelin.writable.directories=/var",
        "ravelin.writable.directories=/var ravelin.ssh.host_keys=none",
        "ravelin.writable.mode=root ravelin.writable.directories=/etc",
        "ravelin.writable.mode=none ravelin.ssh.host_keys=none ravelin.machine_id=keep \
         ravelin.writable.size=1M",
    ] {
        assert!(matches!(refused(extra), ConfigError::Conflict(_)), "{extra}");
    }
    let nothing = "ravelin.writable.mode=none ravelin.ssh.host_keys=none ravelin.machine_id=keep";
    let config = read(None, &format!("{} {nothing}", good_cmdline())).unwrap();
    assert_eq!(config.writable, Writable::Nothing);
}

#[test]
fn garbage_is_refused_without_being_printed() {
    let huge = vec![b'x'; 1 << 20];
    assert_eq!(parse(Some(&huge), &CommandLine::default()), Err(ConfigError::TooLarge));
    for garbage in
        [&b"\xff\xfe"[..], b"\x1b[2J = 1", b"a = \x00", b"[[[[", b"x = {", b"\"\x07\" = 1"]
    {
        let error = parse(Some(garbage), &CommandLine::default()).unwrap_err();
        assert!(!error.to_string().contains(|c: char| c.is_control()), "{error:?}");
    }
    // Nesting does not exhaust the stack.
    let deep = format!("x = {}", "[".repeat(60_000));
    assert!(parse(Some(deep.as_bytes()), &CommandLine::default()).is_err());
    let deep = format!("[{}]\nx = 1", vec!["a"; 30_000].join("."));
    assert!(parse(Some(deep.as_bytes()), &CommandLine::default()).is_err());
}

#[test]
fn a_file_alone_is_checked_for_what_it_says() {
    assert_eq!(check_file(b""), Ok(()));
    assert_eq!(check_file(b"on_failure = 'halt'\nwritable.size = '10%'"), Ok(()));
    assert!(matches!(check_file(b"on_failure = 'shell'"), Err(ConfigError::InvalidValue { .. })));
    assert!(matches!(check_file(b"machine_id = 'x'"), Err(ConfigError::InvalidValue { .. })));
    assert!(matches!(check_file(b"x = 1"), Err(ConfigError::UnknownKey { .. })));
}

#[test]
fn the_failure_action_survives_another_mistake() {
    let line = CommandLine::parse(b"ravelin.on_failure=halt ravelin.root.mode=nothing").unwrap();
    assert!(parse(None, &line).is_err());
    assert_eq!(on_failure_of_refused(None, &line), OnFailure::Halt);
    assert_eq!(on_failure_of_refused(Some(b"\xff"), &line), OnFailure::PowerOff);
}

/// Random bytes and mutations of a good file never panic.
#[test]
fn mutations_never_panic() {
    let good = format!("root.mode = 'verity'\n[verity]\nroothash = '{ROOTHASH}'\nsalt='-'\n");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..1 + next() % 4 {
            let at = (next() % bytes.len() as u64) as usize;
            bytes[at] = (next() & 0xff) as u8;
        }
        let line = CommandLine::parse(&bytes).unwrap_or_default();
        let _ = parse(Some(&bytes), &line);
        let _ = on_failure_of_refused(Some(&bytes), &line);
    }
}

/// `RAVELIN_BLESS=1` writes the table into the page.
#[test]
fn the_page_has_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (head, _) = page.split_once("| key |").unwrap();
    let fresh = format!("{head}{}", keys::markdown());
    if std::env::var_os("RAVELIN_BLESS").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), fresh, "run with RAVELIN_BLESS=1");
}
