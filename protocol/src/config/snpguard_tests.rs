//! SNPGuard's command line.

use super::*;
use crate::cmdline::CmdlineError;

const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

const FILE: &str = "compat.snpguard_cmdline = true
    root.fstype = 'ext4'
    verity.salt = '0011'
    verity.data_blocks = 16";

/// As its Makefile makes it.
fn words() -> String {
    format!(
        "console=ttyS0 earlyprintk=serial root=/dev/sda boot=verity verity_disk=/dev/sdb \
         verity_roothash={HASH}"
    )
}

fn parsed(file: &str, words: &str) -> Result<Config, ConfigError> {
    parse(Some(file.as_bytes()), &CommandLine::parse(words.as_bytes()).unwrap())
}

#[test]
fn the_words_are_settings_of_ours() {
    let ours = FILE.replace("compat.snpguard_cmdline = true", "");
    let same = format!(
        "ravelin.root.mode=verity ravelin.root.device=path:/dev/sda \
         ravelin.verity.hash_device=path:/dev/sdb ravelin.verity.roothash={HASH}"
    );
    let ours = parsed(&ours, &same).unwrap();
    let theirs = parsed(FILE, &words()).unwrap();
    // But for the setting that says what the words mean.
    assert_eq!(theirs, Config { settings: theirs.settings, ..ours });

    let file = "compat.snpguard_cmdline = true\nroot.fstype = 'ext4'\nencrypted.format = 'luks2'\n\
                unlock.owners = ['ssh-ed25519 \
                AAAAC3NzaC1lZDI1NTE5AAAAIDttIbL2sYDdyQqrCRRrMCpOdUXGFKe4OKRxGsM7oyLD']";
    let config = parsed(file, "root=/dev/sda boot=encrypted").unwrap();
    assert_eq!(config.root.protection.mode(), RootMode::Encrypted);

    let file = "compat.snpguard_cmdline = true\nroot.fstype = 'ext4'";
    let normal = "root=/dev/sda boot=normal";
    assert!(matches!(parsed(file, normal), Err(ConfigError::Conflict(_))));
    let config = parsed(&format!("{file}\ninsecure = true"), normal).unwrap();
    assert_eq!(config.root.protection, Protection::InsecurePlain);
}

#[test]
fn they_mean_nothing_where_the_file_does_not_say_so() {
    for off in ["", "compat.snpguard_cmdline = false\n"] {
        let file = FILE.replace("compat.snpguard_cmdline = true", off);
        let missing = parsed(&file, &words()).unwrap_err();
        assert!(matches!(&missing, ConfigError::MissingKey { key, .. } if key == "root.mode"));
    }
    // The command line does not say what it means itself.
    let file = FILE.replace("compat.snpguard_cmdline = true", "");
    let words = format!("{} ravelin.compat.snpguard_cmdline=true", words());
    let refused = parsed(&file, &words).unwrap_err();
    assert!(matches!(refused, ConfigError::Conflict(text) if text.contains("file only")));
}

/// Where SNPGuard takes the last word, or goes on without one.
#[test]
fn they_are_read_strictly() {
    let with = |more: &str| parsed(FILE, &format!("{} {more}", words())).unwrap_err();
    for (more, key) in [
        ("boot=normal", "root.mode"),
        ("root=/dev/sda", "root.device"),
        ("verity_disk=/dev/sdc", "verity.hash_device"),
        ("verity_roothash=00", "verity.roothash"),
        ("ravelin.root.mode=verity", "root.mode"),
    ] {
        let error = with(more);
        assert!(
            matches!(&error, ConfigError::RepeatedKey { key: repeated, .. } if repeated == key),
            "{more}: {error}"
        );
    }
    assert!(matches!(with("\"boot=verity x\""), ConfigError::Cmdline(CmdlineError::Quoted { .. })));
    assert!(matches!(with("verity_disk"), ConfigError::Cmdline(CmdlineError::NoValue { .. })));
    let instead = |from: &str, to: &str| parsed(FILE, &words().replace(from, to)).unwrap_err();
    for (from, to, key) in [
        ("boot=verity", "boot=Verity", "boot"),
        ("boot=verity", "boot=", "boot"),
        ("root=/dev/sda", "root=UUID=1234", "root.device"),
        ("root=/dev/sda", "root=sda", "root.device"),
        ("verity_disk=/dev/sdb", "verity_disk=/dev/../sdb", "verity.hash_device"),
        (HASH, "0x00", "verity.roothash"),
    ] {
        let error = instead(from, to);
        assert!(
            matches!(&error, ConfigError::InvalidValue { key: invalid, .. } if invalid == key),
            "{to}: {error}"
        );
    }
    for (word, key) in [
        ("boot=verity", "root.mode"),
        ("root=/dev/sda", "root.device"),
        ("verity_disk=/dev/sdb", "verity.hash_device"),
    ] {
        let error = instead(word, "");
        assert!(matches!(&error, ConfigError::MissingKey { key: missing, .. } if missing == key));
    }
    // Of the real init, not of the kernel's parameters.
    let error = parsed(FILE, &format!("-- {}", words())).unwrap_err();
    assert!(matches!(error, ConfigError::MissingKey { .. }));
    // A verity disk has no meaning without verity.
    let error = instead("boot=verity", "boot=encrypted");
    assert!(matches!(error, ConfigError::NotInThisMode { .. }), "{error}");
}
