//! The reference tool reads the headers that Ravelin writes. Without device-mapper
//! it opens keyslots (`--test-passphrase`); volumes are opened in a virtual machine.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{ID, header, secret, spec};
use luks::{Argon2Cost, Cipher, HeaderKey, LUKS2_DATA_OFFSET, NewHeader, SectorSize, VolumeKey};
use rand_core::OsRng;

/// cryptsetup, or a loud note that the test cannot use it.
fn cryptsetup() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join("cryptsetup"))
        .find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: cryptsetup is not installed");
    }
    found
}

fn run(program: &Path, directory: &Path, arguments: &[&str]) -> Output {
    Command::new(program).current_dir(directory).args(arguments).output().unwrap()
}

/// A disk with this header and room behind it.
fn disk(header: Vec<u8>) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut disk = header;
    disk.resize(disk.len() + (2 << 20), 0);
    fs::write(directory.path().join("disk"), disk).unwrap();
    fs::write(directory.path().join("key"), secret().as_bytes()).unwrap();
    fs::write(directory.path().join("wrong"), [0; 32]).unwrap();
    fs::write(directory.path().join("passphrase"), "correct horse").unwrap();
    directory
}

#[test]
fn headers_are_read_and_keyslots_opened() {
    let Some(cryptsetup) = cryptsetup() else { return };
    for cipher in Cipher::ALL {
        let directory = disk(header(cipher));
        let dump = run(&cryptsetup, directory.path(), &["luksDump", "disk"]);
        let text = String::from_utf8_lossy(&dump.stdout).into_owned();
        assert!(dump.status.success(), "{dump:?}");
        assert!(text.contains(&ID.to_string()) && text.contains("pbkdf2"), "{text}");
        let test = |key: &str| {
            let arguments =
                ["open", "--test-passphrase", "--batch-mode", "--key-file", key, "disk"];
            run(&cryptsetup, directory.path(), &arguments).status.code()
        };
        assert_eq!((test("key"), test("wrong")), (Some(0), Some(2)), "{cipher}");

        // The very key that the specification and the secret make.
        let arguments = [
            "luksDump",
            "--batch-mode",
            "--dump-volume-key",
            "--volume-key-file",
            "volume-key",
            "--key-file",
            "key",
            "disk",
        ];
        let dumped = run(&cryptsetup, directory.path(), &arguments);
        assert!(dumped.status.success(), "{dumped:?}");
        let spec = spec(cipher, SectorSize::B4096, LUKS2_DATA_OFFSET);
        let found = fs::read(directory.path().join("volume-key")).unwrap();
        assert!(found == VolumeKey::derive(&secret(), &spec).as_bytes(), "{cipher}");
    }
}

#[test]
fn a_passphrase_opens_by_argon2id() {
    let Some(cryptsetup) = cryptsetup() else { return };
    let spec = spec(Cipher::AesXtsHmacSha256, SectorSize::B4096, LUKS2_DATA_OFFSET);
    let key = VolumeKey::derive(&secret(), &spec);
    let cost = Argon2Cost::new(4096, 4, 3).unwrap();
    let unlock = HeaderKey::Passphrase { passphrase: b"correct horse", cost };
    let bytes = NewHeader { spec: &spec, key: &key, unlock }.to_bytes(&mut OsRng).unwrap();
    let directory = disk(bytes);
    let test = |key: &str| {
        let arguments = ["open", "--test-passphrase", "--batch-mode", "--key-file", key, "disk"];
        run(&cryptsetup, directory.path(), &arguments).status.code()
    };
    assert_eq!((test("passphrase"), test("wrong")), (Some(0), Some(2)));
}
