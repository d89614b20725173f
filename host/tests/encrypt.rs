//! `ravelin image encrypt` and `decrypt`: what they make, find and refuse, and what
//! they leave behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Ran, names, ravelin, run, squashfs, tool};
use serde_json::Value;

/// Argon2id at a price that tests can pay.
const CHEAP: [&str; 4] = ["--argon2-memory", "64K", "--argon2-passes", "1"];
/// The file system's size. It is not a whole number of blocks.
const SOURCE_BYTES: u64 = 200_000;
/// Where the data of a bare disk's first sector is: behind header, superblock, the
/// journal of a 17 MiB disk and the metadata of the first area.
const FIRST_DATA: u64 = (32_768 + 8 + 264 + 256) * 512;

fn source() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("source"), squashfs(SOURCE_BYTES)).unwrap();
    directory
}

fn encrypt(directory: &Path, more: &[&str]) -> Ran {
    run(directory, &[&["image", "encrypt", "--from", "source", "-o", "root.img"], more].concat())
}

fn decrypt(directory: &Path, more: &[&str]) -> Ran {
    let arguments = ["image", "decrypt", "root.img.toml", "-o", "clear", "--json"];
    run(directory, &[&arguments, more].concat())
}

/// The volume holds the source and zeros.
fn is_source(directory: &Path, clear: &str) -> bool {
    let source = squashfs(SOURCE_BYTES);
    let clear = fs::read(directory.join(clear)).unwrap();
    let (found, rest) = clear.split_at(usize::try_from(SOURCE_BYTES).unwrap());
    source.starts_with(found) && rest.iter().all(|byte| *byte == 0)
}

fn flip(directory: &Path, file: &str, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(directory.join(file)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

#[test]
fn a_disk_its_sidecar_and_its_key() {
    let directory = source();
    let json = encrypt(directory.path(), &["--json"]).ok().json();
    assert_eq!(json["kind"], "image-encrypt");
    assert_eq!(json["key"], "root.img.key");
    assert_eq!(names(directory.path()), ["root.img", "root.img.key", "root.img.toml", "source"]);
    let key = directory.path().join("root.img.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(&key).unwrap().len(), 32);

    let inspected = run(directory.path(), &["inspect", "--json", "root.img"]).ok().json();
    let partition = &inspected["partitions"][0];
    assert_eq!(partition["guid"], json["volume_id"]);
    assert_eq!(partition["luks"]["uuid"], json["volume_id"]);
    assert_eq!(partition["luks"]["sha256"], json["header_sha256"]);
    assert_eq!(partition["luks"]["kdf"], "pbkdf2");
    let sidecar = run(directory.path(), &["inspect", "--json", "root.img.toml"]).ok().json();
    assert_eq!(sidecar["type"], "encrypted-sidecar");
    assert_eq!(sidecar["sidecar"]["volume"]["spec"], json["spec"]);
    run(directory.path(), &["inspect", "root.img.toml"]).ok();

    let json = decrypt(directory.path(), &["--key", "root.img.key"]).ok().json();
    assert_eq!((&json["epoch"], &json["header_is_ours"]), (&Value::from(1), &Value::from(true)));
    assert!(is_source(directory.path(), "clear"));
    let mode = fs::metadata(directory.path().join("clear")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // Made again it is another disk: nothing of the key comes from the source.
    fs::rename(directory.path().join("root.img"), directory.path().join("first.img")).unwrap();
    fs::remove_file(&key).unwrap();
    encrypt(directory.path(), &["--quiet", "--replace"]).ok();
    let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
    assert!(read("root.img") != read("first.img"));
}

#[test]
fn every_cipher_in_both_sector_sizes() {
    for cipher in ["aes-xts-hmac-sha256", "aes-gcm-random", "aegis128-random"] {
        for sector_size in ["512", "4096"] {
            let directory = source();
            let more =
                ["--layout", "bare", "--cipher", cipher, "--sector-size", sector_size, "--json"];
            let json = encrypt(directory.path(), &more).ok().json();
            assert_eq!(json["cipher"], cipher);
            let inspected = run(directory.path(), &["inspect", "--json", "root.img"]).ok().json();
            assert_eq!(inspected["type"], "encrypted");
            assert_eq!(inspected["luks"]["cipher"], cipher);
            decrypt(directory.path(), &["--key", "root.img.key"]).ok();
            assert!(is_source(directory.path(), "clear"));
        }
    }
}

#[test]
fn a_passphrase_from_a_file_or_a_descriptor() {
    let directory = source();
    fs::write(directory.path().join("passphrase"), "correct horse\n").unwrap();
    let more = [&["--layout", "bare", "--passphrase-file", "passphrase", "--json"], &CHEAP[..]];
    let json = encrypt(directory.path(), &more.concat()).ok().json();
    assert_eq!(json["key"], Value::Null);
    let mut with_stdin = ravelin()
        .current_dir(directory.path())
        .args(["image", "decrypt", "root.img.toml", "-o", "clear", "--passphrase-fd", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut with_stdin.stdin.take().unwrap(), b"correct horse").unwrap();
    assert!(with_stdin.wait().unwrap().success());
    assert!(is_source(directory.path(), "clear"));

    if let Some(cryptsetup) = tool("cryptsetup") {
        let mut test = Command::new(cryptsetup);
        test.current_dir(directory.path()).args(["open", "--test-passphrase", "root.img"]);
        let mut test = test.stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut test.stdin.take().unwrap(), b"correct horse\n").unwrap();
        assert!(test.wait().unwrap().success(), "a typed passphrase has no newline either");
    }

    fs::remove_file(directory.path().join("clear")).unwrap();
    fs::write(directory.path().join("other"), "wrong").unwrap();
    let refused = decrypt(directory.path(), &["--passphrase-file", "other"]).code(1);
    assert!(refused.stderr.contains("does not open this volume"), "{}", refused.stderr);
    fs::write(directory.path().join("key"), [0; 32]).unwrap();
    let refused = decrypt(directory.path(), &["--key", "key"]).code(3);
    assert!(refused.stderr.contains("unlocked by a passphrase"), "{}", refused.stderr);
    assert!(!directory.path().join("clear").exists());
}

/// The user hears of a passphrase that can be guessed, and of a key that others can read.
#[test]
fn weak_passphrases_and_open_key_files_are_warned_of() {
    let directory = source();
    let path = directory.path().join("passphrase");
    let with = |passphrase: &str, mode: u32| {
        fs::write(&path, passphrase).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let more =
            [&["--replace", "--layout", "bare", "--passphrase-file", "passphrase"], &CHEAP[..]];
        encrypt(directory.path(), &more.concat()).ok().stderr
    };
    let said = with("correct horse", 0o600);
    assert!(said.contains("the passphrase is weak") && !said.contains("chmod"), "{said}");
    let said = with("correct horse battery staple", 0o640);
    assert!(!said.contains("weak"), "{said}");
    assert!(said.contains("passphrase: other users of this machine can read it (mode 0640)"));
    // One that is not new is not judged.
    let said = decrypt(directory.path(), &["--passphrase-file", "passphrase"]).ok().stderr;
    assert!(said.contains("chmod 600") && !said.contains("weak"), "{said}");
}

/// Attack: the host gives an old copy of the disk back. Closed: the sidecar has the epoch
/// of the last release.
#[test]
fn an_old_state_of_the_disk_is_refused() {
    let directory = source();
    encrypt(directory.path(), &["--layout", "bare"]).ok();
    let sidecar = directory.path().join("root.img.toml");
    let text = fs::read_to_string(&sidecar).unwrap();
    fs::write(&sidecar, text.replace("epoch = 1", "epoch = 2")).unwrap();
    let refused = decrypt(directory.path(), &["--key", "root.img.key"]).code(1);
    assert!(refused.stderr.contains("its epoch is 1, and the sidecar's 2"), "{refused:#?}");
    assert!(refused.stderr.contains("--any-epoch"), "{refused:#?}");
    assert!(!directory.path().join("clear").exists());
    let json = decrypt(directory.path(), &["--key", "root.img.key", "--any-epoch"]).ok().json();
    assert_eq!(json["epoch"], 1);
    assert!(is_source(directory.path(), "clear"));
}

/// A disk in use is data, and its sidecar's epoch is what an old state of it is noticed by.
#[test]
fn an_encrypted_disk_in_use_is_replaced_only_on_demand() {
    let directory = source();
    encrypt(directory.path(), &["--quiet", "--layout", "bare"]).ok();
    let at = |name: &str| directory.path().join(name);
    let sidecar = fs::read_to_string(at("root.img.toml")).unwrap();
    fs::write(at("root.img.toml"), sidecar.replace("epoch = 1", "epoch = 7")).unwrap();
    let files = ["root.img", "root.img.toml", "root.img.key"];
    let before = files.map(|name| fs::read(at(name)).unwrap());
    let found = names(directory.path());
    let cases: [&[&str]; 6] = [
        &["encrypt", "-o", "root.img", "--new-key", "other.key"],
        &["encrypt", "-o", "root.img", "--new-key", "other.key", "--sidecar", "other.toml"],
        &["encrypt", "-o", "other.img", "--sidecar", "root.img.toml"],
        &["verity", "-o", "root.img"],
        &["verity", "-o", "root.img", "--sidecar", "other.toml"],
        &["verity", "-o", "other.img", "--layout", "bare", "--hash-output", "root.img"],
    ];
    for arguments in cases {
        let all = [&["image"], arguments, &["--from", "source"]].concat();
        let ran = run(directory.path(), &all).code(3);
        assert!(ran.stderr.contains("root.img.toml: this is the sidecar of an enc"), "{ran:#?}");
        assert!(ran.stderr.contains("at epoch 7") && ran.stderr.contains("--replace"), "{ran:#?}");
        assert_eq!(names(directory.path()), found, "{arguments:?}");
        assert!(files.map(|name| fs::read(at(name)).unwrap()) == before, "{arguments:?}");
    }
    let two = ["image", "encrypt", "--from", "source", "-o", "two.img", "--new-key", "two.key"];
    run(directory.path(), &two).ok();
    let two = ["image", "decrypt", "two.img.toml", "--key", "two.key", "-o", "root.img"];
    let ran = run(directory.path(), &two).code(3);
    assert!(ran.stderr.contains("root.img.toml: this is the sidecar of an enc"), "{ran:#?}");
    assert!(files.map(|name| fs::read(at(name)).unwrap()) == before);
    // A verified image is made again from its source, and replaced without a word.
    for _ in 0..2 {
        let verity = ["image", "verity", "--from", "source", "-o", "public.img"];
        run(directory.path(), &verity).ok();
    }
    // The key of the old disk stays even then.
    let ran = encrypt(directory.path(), &["--replace"]).code(3);
    assert!(ran.stderr.contains("root.img.key: exists"), "{}", ran.stderr);
    encrypt(directory.path(), &["--replace", "--new-key", "other.key"]).ok();
    assert!(fs::read_to_string(at("root.img.toml")).unwrap().contains("epoch = 1\n"));
    decrypt(directory.path(), &["--key", "other.key"]).ok();
    assert_eq!(fs::read(at("root.img.key")).unwrap(), before[2]);
    run(directory.path(), &["image", "verity", "--from", "source", "-o", "root.img", "--replace"])
        .ok();
}

/// Without the tool, the remedy is one that the command has.
#[test]
fn a_missing_tool_is_replaced_by_what_the_command_takes() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("rootfs")).unwrap();
    let said = |arguments: &[&str]| {
        let mut command = ravelin();
        command.current_dir(directory.path()).env("RAVELIN_MKE2FS", "absent/mke2fs");
        command.args(["image"]).args(arguments).args(["--from", "rootfs", "-o", "root.img"]);
        let ran = Ran::from(command.output().unwrap()).code(3);
        assert!(ran.stderr.contains("RAVELIN_MKE2FS"), "{}", ran.stderr);
        ran.stderr
    };
    let encrypt = said(&["encrypt"]);
    assert!(encrypt.contains("finished image of a file system as --from"), "{encrypt}");
    assert!(!encrypt.contains("squashfs"), "{encrypt}");
    let verity = said(&["verity", "--fs", "ext4"]);
    assert!(verity.contains("--fs squashfs"), "{verity}");
}

/// By the header alone: with the key file, bare and in a partition; a refused header
/// and a wrong key are answers.
#[test]
fn a_disk_without_its_sidecar() {
    let directory = source();
    let path = directory.path();
    fs::write(path.join("other"), [1; 32]).unwrap();
    let decrypt = |more: &[&str]| {
        let arguments = ["image", "decrypt", "--disk", "root.img", "-o", "clear", "--json"];
        run(path, &[&arguments, more].concat())
    };
    for layout in ["bare", "gpt"] {
        let made = encrypt(path, &["--layout", layout, "--json"]).ok().json();
        fs::remove_file(path.join("root.img.toml")).unwrap();
        let choices = match layout {
            "bare" => vec![vec![]],
            _ => {
                let refused = decrypt(&["--key", "root.img.key"]).code(3);
                assert!(refused.stderr.contains("--partition"), "{}", refused.stderr);
                decrypt(&["--key", "root.img.key", "--partition", "2"]).code(3);
                vec![
                    vec!["--partition", "1"],
                    vec!["--partition", made["volume_id"].as_str().unwrap()],
                ]
            }
        };
        for choice in &choices {
            let json = decrypt(&[&["--key", "root.img.key"], &choice[..]].concat()).ok().json();
            assert_eq!(json["uuid"], made["volume_id"]);
            assert_eq!(json["header_sha256"], made["header_sha256"]);
            assert_eq!((&json["journal_bytes"], &json["epoch"]), (&Value::from(0), &Value::Null));
            let clear = path.join("clear");
            // The tail, which no sidecar said to leave out.
            let bytes = fs::metadata(&clear).unwrap().len();
            assert_eq!(json["bytes"], bytes);
            let output = OpenOptions::new().write(true).open(&clear).unwrap();
            output.set_len(bytes - (16 << 10)).unwrap();
            assert!(is_source(path, "clear"));
            fs::remove_file(clear).unwrap();
            let refused = decrypt(&[&["--key", "other"], &choice[..]].concat()).code(1);
            assert!(refused.stderr.contains("keyslot"), "{}", refused.stderr);
        }
        let header = if layout == "bare" { 0 } else { 1 << 20 };
        flip(path, "root.img", header + 500);
        let refused = decrypt(&[&["--key", "root.img.key"], &choices[0][..]].concat()).code(1);
        assert!(refused.stderr.contains("header is refused"), "{}", refused.stderr);
        assert!(!path.join("clear").exists());
        fs::remove_file(path.join("root.img.key")).unwrap();
    }
    run(path, &["image", "decrypt", "-o", "clear", "--key", "other"]).code(2);
}

#[test]
fn changed_disks_are_refused_where_they_were_changed() {
    let directory = source();
    encrypt(directory.path(), &["--layout", "bare", "--quiet"]).ok();
    let refused = |expected: &str| {
        let ran = decrypt(directory.path(), &["--key", "root.img.key"]).code(1);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        assert!(!directory.path().join("clear").exists());
    };
    for (offset, expected) in [
        (FIRST_DATA, "sector 0 of the volume"),
        (FIRST_DATA + 4096 * 5 + 77, "sector 40 of the volume"),
        ((16 << 20) + 24, "superblock is not the one of this volume: flags"),
    ] {
        flip(directory.path(), "root.img", offset);
        refused(expected);
        flip(directory.path(), "root.img", offset);
    }
    fs::copy(directory.path().join("root.img.key"), directory.path().join("key")).unwrap();
    flip(directory.path(), "root.img.key", 31);
    refused("does not open this volume");
    fs::copy(directory.path().join("key"), directory.path().join("root.img.key")).unwrap();

    // What is not read does not matter, and is said.
    flip(directory.path(), "root.img", 5000);
    let json = decrypt(directory.path(), &["--key", "root.img.key"]).ok().json();
    assert_eq!(json["header_is_ours"], false);
    let found = run(directory.path(), &["inspect", "--json", "root.img"]).code(1).json();
    assert!(found["findings"][0].as_str().unwrap().contains("checksum"), "{found}");
}

/// The specification is what the key is derived from: no field of the sidecar can
/// say something else without being noticed.
#[test]
fn an_altered_sidecar_is_refused() {
    let directory = source();
    encrypt(directory.path(), &["--quiet"]).ok();
    let path = directory.path().join("root.img.toml");
    let good = fs::read_to_string(&path).unwrap();
    let refused = |from: &str, to: &str, expected: &str| {
        let altered = good.replacen(from, to, 1);
        assert_ne!(altered, good, "{from}");
        fs::write(&path, altered).unwrap();
        let ran = decrypt(directory.path(), &["--key", "root.img.key"]).code(3);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        run(directory.path(), &["inspect", "root.img.toml"]).code(3);
    };
    refused("cipher = \"aes-xts-hmac-sha256\"", "cipher = \"aes-gcm-random\"", "volume.cipher");
    refused("spec = \"72766f6c756d65", "spec = \"72766f6c756d66", "specification is refused");
    refused("sector_size = 4096", "sector_size = 512", "volume.sector_size");
    refused("format = 1", "format = 2", "format 2");
    refused("file = \"root.img\"", "file = \"../root.img\"", "not the plain name");
    refused("offset = 1048576", "offset = 2097152", "disk.partition");
    refused("[volume]", "[volume]\nmore = 1", "unknown field");
    // A consistent one of another volume is another key.
    let other = source();
    encrypt(other.path(), &["--quiet"]).ok();
    fs::copy(other.path().join("root.img.toml"), &path).unwrap();
    let ran = decrypt(directory.path(), &["--key", "root.img.key"]).code(1);
    assert!(ran.stderr.contains("does not open this volume"), "{}", ran.stderr);
}

#[test]
fn refused_commands_leave_nothing() {
    let directory = source();
    let refused = |more: &[&str], code: i32, expected: &str| {
        let ran = encrypt(directory.path(), more).code(code);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        assert_eq!(names(directory.path()), ["key", "source"]);
    };
    fs::write(directory.path().join("key"), [1; 31]).unwrap();
    refused(&["--key", "key"], 3, "a key has 32 bytes");
    refused(&["--new-key", "key"], 3, "a key file is never replaced");
    refused(&["--new-key", "key"], 3, "help: name another place with --new-key");
    refused(&["--key", "key", "--passphrase-file", "key"], 2, "cannot be used with");
    refused(&["--passphrase-fd", "0", "--argon2-memory", "8G"], 2, "out of bounds");
    refused(&["--passphrase-fd", "0", "--argon2-passes", "33"], 2, "out of bounds");
    refused(&["--size", "64K"], 3, "more than the 65536");
    refused(&["--size", "1000001"], 3, "multiple of 4096");
    refused(&["--cipher", "aes-xts-plain64"], 2, "is no cipher");
    refused(&["--sector-size", "1024"], 2, "512 and 4096 are");
    refused(&["--sidecar", "root.img"], 2, "are the same file");
    fs::write(directory.path().join("key"), "").unwrap();
    refused(&["--passphrase-file", "key"], 3, "the passphrase is empty");
}

/// What the VM has to be told is printed, and is put into its description in place of
/// what another image had there.
#[test]
fn the_vm_is_told_of_its_encrypted_root() {
    let directory = source();
    let vm = "format = 1\ncmdline = \"quiet ravelin.root.mode=verity ravelin.verity.salt=- \
              ravelin.encrypted.format=luks2\"\n";
    fs::write(directory.path().join("vm.toml"), vm).unwrap();
    let json = encrypt(directory.path(), &["--json", "--vm", "vm.toml"]).ok().json();
    let guid = json["volume_id"].as_str().unwrap();
    let words = format!(
        "ravelin.root.mode=encrypted ravelin.root.device=partuuid:{guid} \
         ravelin.root.fstype=squashfs"
    );
    assert_eq!(json["cmdline"], words);
    assert_eq!(json["vm"], "vm.toml");
    assert_eq!(json["vm_cmdline"], format!("quiet {words}"));
    let text = fs::read_to_string(directory.path().join("vm.toml")).unwrap();
    assert!(text.contains(&words) && text.contains("root.img"), "{text}");

    assert!(text.contains("read_only = false") && !text.contains("unlock_port"), "{text}");

    // A new description leads `ravelin unlock` to the VM, and `launch` forwards to there.
    fs::remove_file(directory.path().join("root.img.key")).unwrap();
    encrypt(directory.path(), &["--quiet", "--replace", "--vm", "new.toml"]).ok();
    let text = fs::read_to_string(directory.path().join("new.toml")).unwrap();
    assert!(text.contains("\nunlock_port = 4778\n"), "{text}");
    assert!(text.contains("read_only = false"), "{text}");

    fs::remove_file(directory.path().join("root.img.key")).unwrap();
    let bare = ["--json", "--replace", "--layout", "bare", "--data-serial", "mine"];
    let json = encrypt(directory.path(), &bare).ok().json();
    let bare = "ravelin.root.mode=encrypted ravelin.root.device=serial:mine \
                ravelin.root.fstype=squashfs";
    assert_eq!((&json["cmdline"], &json["vm"]), (&Value::from(bare), &Value::Null));
}

/// Of an image that is no ext4 host keys are not taken out, and only one of the options
/// is given.
#[test]
fn host_keys_are_kept_or_left_out() {
    let directory = source();
    let refused = encrypt(directory.path(), &["--new-host-keys"]).code(3);
    assert!(refused.stderr.contains("not of a file system that is squashfs"), "{refused:#?}");
    encrypt(directory.path(), &["--new-host-keys", "--keep-host-keys"]).code(2);
    assert_eq!(names(directory.path()), ["source"]);
    encrypt(directory.path(), &["--keep-host-keys", "--quiet"]).ok();
}

/// While a passphrase is asked for, the terminal is silent; a signal that ends the program
/// makes it heard again, and so does an answer.
#[test]
fn the_terminal_is_heard_again() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, tcgetattr};
    let Some(setsid) = tool("setsid") else { return };
    let directory = source();
    let too_long = format!("{}\n", "x".repeat(600));
    for (typed, code) in [("\x03", 130), (too_long.as_str(), 3)] {
        let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&pty).unwrap();
        unlockpt(&pty).unwrap();
        let name = ptsname(&pty, vec![]).unwrap().into_string().unwrap();
        let terminal = || OpenOptions::new().read(true).write(true).open(&name).unwrap();
        let echoes = || tcgetattr(terminal()).unwrap().local_modes.contains(LocalModes::ECHO);
        assert!(echoes());
        let mut asking = Command::new(&setsid);
        asking.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_ravelin"), "image", "encrypt"]);
        asking.args(["--from", "source", "-o", "root.img", "--passphrase"]);
        asking.current_dir(directory.path());
        asking.stdin(terminal()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut asking = asking.spawn().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while echoes() {
            assert!(std::time::Instant::now() < deadline, "it does not ask");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        rustix::io::write(&pty, typed.as_bytes()).unwrap();
        assert_eq!(asking.wait().unwrap().code(), Some(code));
        assert!(echoes(), "{typed:?}");
        assert_eq!(names(directory.path()), ["source"]);
    }
}

/// One file in two places: what is written would replace the only key, or the disk.
#[test]
fn no_output_takes_the_place_of_what_is_read_or_of_another() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(at("root")).unwrap();
    fs::write(at("root/file"), "x").unwrap();
    fs::write(at("team.key"), [7; 32]).unwrap();
    let from = at("root");
    let refused = |arguments: &[&str]| {
        let output = ravelin().args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("are the same file"), "{text}");
    };
    let (disk, key, new) = (at("d.img"), at("team.key"), at("d.img.toml"));
    refused(&["image", "encrypt", "--from", &from, "--output", &disk, "--new-key", &disk]);
    refused(&["image", "encrypt", "--from", &from, "--output", &disk, "--new-key", &new]);
    refused(&["image", "encrypt", "--from", &from, "--output", &key, "--key", &key]);
    let hard = at("hard.key");
    fs::hard_link(&key, &hard).unwrap();
    refused(&["image", "decrypt", "--disk", &disk, "--key", &key, "--output", &hard]);
    refused(&["image", "decrypt", "--disk", &disk, "--key", &key, "--output", &disk]);
    assert_eq!(fs::read(&key).unwrap(), [7; 32]);
    assert!(!std::path::Path::new(&disk).exists());
}
