//! Errors about files: each names the file and says what helps, as docs/cli.md promises.

mod common;

use std::fs;

use common::run;

#[test]
fn an_error_names_the_file_and_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("bad.toml"), "neither this nor that").unwrap();
    fs::write(at("source"), common::squashfs(8192)).unwrap();
    fs::write(at("disk.key"), [7; 32]).unwrap();
    let digest = "3e".repeat(48);
    // Nobody can make a file there, whoever he is.
    let not_writable =
        ["ssh-config", "web", "--address", "vm:1", "--measurement", &digest, "--output"];
    let cases: &[(&[&str], &str)] = &[
        (&["inspect"], "absent"),
        (&["inspect"], "."),
        (&["image", "audit"], "absent"),
        (&["image", "verify"], "absent.toml"),
        (&["image", "verify"], "absent.img"),
        (&["image", "verify"], "bad.toml"),
        (&["image", "verity", "-o", "root.img", "--from"], "absent"),
        (&["image", "verity", "--from", "source", "-o"], "root.img/"),
        (&["image", "encrypt", "--from", "source", "-o", "disk", "--key"], "absent"),
        (&["image", "encrypt", "--from", "source", "-o", "disk", "--new-key"], "disk.key"),
        (&["image", "decrypt", "--key", "disk.key", "-o", "clear"], "absent.toml"),
        (&["image", "initramfs", "-o", "initrd", "--config"], "absent"),
        (&["policy", "check"], "absent.toml"),
        (&["policy", "check"], "bad.toml"),
        (&["report", "show"], "absent"),
        (&["kernel", "check"], "absent"),
        (&["kernel", "check"], "/etc/passwd"),
        (&["measure", "--vm"], "absent.toml"),
        (&not_writable, "/sys/ssh.conf"),
    ];
    for (arguments, file) in cases {
        let arguments = [*arguments, &[*file]].concat();
        let ran = run(directory.path(), &[&arguments[..], &["--json"]].concat()).code(3);
        let json = ran.json();
        let message = json["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{file}:")), "{arguments:?}: {message}");
        assert!(json["help"].is_string(), "{arguments:?}: {json:#}");
    }
}
