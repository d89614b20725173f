//! What the rules find, and what they leave of it.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::*;
use crate::disk::BuildError;
use crate::disk::tree::{Entry, Kind, Meta, Note, Sink, Time, TreeError};

/// What comes out of the cleaner.
#[derive(Default)]
struct Out {
    members: Vec<(String, String)>,
    found: Vec<String>,
}

impl Sink for Out {
    fn add(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), BuildError> {
        let mut text = Vec::new();
        content.read_to_end(&mut text).unwrap();
        if let Kind::File { size } = entry.kind {
            assert_eq!(size, text.len() as u64);
        }
        let path = String::from_utf8(entry.path).unwrap();
        self.members.push((path, String::from_utf8_lossy(&text).into_owned()));
        Ok(())
    }

    fn note(&mut self, note: Note) {
        self.found.push(note.to_string());
    }
}

fn entry(path: &str, kind: Kind) -> Entry {
    let meta = Meta { mode: 0o644, uid: 0, gid: 0, mtime: Time::default() };
    Entry { path: path.into(), kind, meta, xattrs: vec![] }
}

fn file(path: &str, content: &[u8]) -> (Entry, Vec<u8>) {
    (entry(path, Kind::File { size: content.len() as u64 }), content.to_vec())
}

fn link(path: &str, target: &str) -> (Entry, Vec<u8>) {
    (entry(path, Kind::HardLink { target: target.into() }), vec![])
}

fn run(clean: Option<Clean>, members: Vec<(Entry, Vec<u8>)>) -> Result<Out, BuildError> {
    let mut cleaner = match clean {
        Some(clean) => Cleaner::new(Out::default(), clean),
        None => Cleaner::auditor(Out::default()),
    };
    for (entry, content) in members {
        cleaner.add(entry, &mut &content[..])?;
    }
    Ok(cleaner.into_inner())
}

fn audit(path: &str, content: &[u8]) -> Vec<String> {
    run(None, vec![file(path, content)]).unwrap().found
}

#[test]
fn every_rule_has_its_row_and_is_in_the_page() {
    const START: &str = "<!-- the rules of image-builder/src/disk/clean/rules.rs -->\n";
    const END: &str = "<!-- end of the rules -->\n";
    let mut table = "| rule | what | why | `image verity` |\n|---|---|---|---|\n".to_owned();
    for (at, rule) in RULES.iter().enumerate() {
        assert_eq!(rule.id as usize, at, "{}", rule.name);
        let Rule { name, what, why, action, .. } = rule;
        table += &format!("| `{name}` | {what} | {why} | {} |\n", action.as_str());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/import.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(START).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    if std::env::var_os("RAVELIN_BLESS").is_some() {
        fs::write(&path, [before, START, &table, END, after].concat()).unwrap();
    } else {
        assert!(
            found == table,
            "make docs/import.md again: RAVELIN_BLESS=1 cargo test -p image-builder"
        );
    }
}

#[test]
fn what_is_one_machines_own_is_left_out() {
    let members = || {
        vec![
            file("boot/loader/random-seed", b"seed"),
            file("etc/cloud/cloud.cfg.d/99-installer.cfg", b"datasource:"),
            file("etc/machine-id", b"0123456789abcdef0123456789abcdef\n"),
            file("etc/ssh/ssh_host_rsa_key", b"key"),
            file("etc/ssh/ssh_host_rsa_key.pub", b"key"),
            file("etc/ssh/sshd_config", b"UsePAM yes\n"),
            file("home/a/.bash_history", b"ls\n"),
            file("home/a/.ssh/authorized_keys", b"ssh-ed25519 AAAA\n"),
            (entry("var/lib/cloud", Kind::Directory), vec![]),
            (
                entry("var/lib/cloud/instance", Kind::Symlink { target: b"instances/1".into() }),
                vec![],
            ),
            (entry("var/lib/cloud/instances", Kind::Directory), vec![]),
            file("var/lib/cloud/instances/user-data.txt", b"password"),
            file("var/lib/dbus/machine-id", b"0123456789abcdef0123456789abcdef\n"),
            file("var/lib/systemd/credential.secret", b"secret"),
            file("var/lib/systemd/random-seed", b"seed"),
        ]
    };
    let out = run(Some(Clean::public_image()), members()).unwrap();
    let names = |out: &Out| out.members.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(
        names(&out),
        ["etc/machine-id", "etc/ssh/sshd_config", "home/a/.ssh/authorized_keys", "var/lib/cloud"]
    );
    assert_eq!(out.members[0].1, "");
    assert_eq!(
        out.found,
        [
            "boot/loader/random-seed: random-seed, left out",
            "etc/cloud/cloud.cfg.d/99-installer.cfg: cloud-init, left out",
            "etc/machine-id: machine-id, emptied",
            "etc/ssh/ssh_host_rsa_key: host key left out",
            "etc/ssh/ssh_host_rsa_key.pub: host key left out",
            "home/a/.bash_history: history, left out",
            "var/lib/cloud/instance: cloud-init, left out",
            "var/lib/cloud/instances: cloud-init, left out",
            "var/lib/dbus/machine-id: dbus-machine-id, left out",
            "var/lib/systemd/credential.secret: credential-secret, left out",
            "var/lib/systemd/random-seed: random-seed, left out",
        ]
    );
    let asked = Clean::public_image().with(RuleId::AuthorizedKeys, true);
    assert!(!names(&run(Some(asked), members()).unwrap()).join(" ").contains("authorized_keys"));
    // Kept and told, all of it.
    let kept = run(Some(Clean::NOTHING), members()).unwrap();
    assert_eq!(kept.members.len(), members().len());
    assert_eq!(kept.found.len(), 11);
    assert!(kept.found.iter().all(|found| found.ends_with(", kept")), "{:?}", kept.found);
}

#[test]
fn what_is_no_machines_own_is_no_finding() {
    for (path, content) in [
        ("etc/machine-id", &b""[..]),
        ("etc/machine-id", b"uninitialized\n"),
        ("etc/ssh/ssh_host_keys_are_made", b"x"),
        ("usr/share/random-seed", b"x"),
        ("root/.env.example", b"x"),
        ("var/lib/clouds", b"x"),
        ("etc/fstab", b"# UUID=1 / ext4\n\nproc /proc proc defaults 0 0\n/dev/vdb /data ext4\n"),
        ("etc/shadow", b"root:*:1::::::\nuser:!:1::::::\n"),
        ("etc/passwd", b"root:x:0:0::/root:/bin/sh\n"),
        (
            "etc/cloud/cloud.cfg",
            b"#password: abc\nchpasswd: {expire: false}\nlock_passwd: true\npassword:\n",
        ),
        ("etc/pam.conf", b"password=required\nauth password=$PASSWORD\n"),
        ("usr/lib/x.py", b"password=\"hunter2hunter2\"\n"),
        ("usr/lib/key.py", b"HEAD = '-----BEGIN RSA PRIVATE KEY-----'\n"),
        ("etc/head", b"-----BEGIN PRIVATE KEY-----\n(the key goes here)\n"),
        ("etc/cert.pem", b"-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\n"),
        ("etc/x", b"xAKIAABCDEFGHIJKLMNOP AKIAABCDEFGHIJ ghp_short\n"),
        ("etc/certificate.der", &[0x30, 4, 2, 1, 2, 0]),
    ] {
        assert_eq!(audit(path, content), [""; 0], "{path}");
    }
}

#[test]
fn secrets_are_found_by_their_form_and_never_shown() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC";
    for (path, content, found) in [
        (
            "srv/key.pem",
            format!("x\n-----BEGIN PRIVATE KEY-----\n{body}\n"),
            "srv/key.pem:2: private-key, kept",
        ),
        (
            "a",
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\r\n{body}\r\n"),
            "a:1: private-key, kept",
        ),
        (
            "a",
            format!("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{body}"),
            "a:1: private-key, kept",
        ),
        ("srv/.env", "A=1".to_owned(), "srv/.env: dotenv, kept"),
        ("srv/.env.production", "A=1".to_owned(), "srv/.env.production: dotenv, kept"),
        (
            "root/.aws/credentials",
            "[default]".to_owned(),
            "root/.aws/credentials: credential-file, kept",
        ),
        (
            "usr/x",
            "key: AKIAABCDEFGHIJKLMNOP\n".to_owned(),
            "usr/x:1: token (an AWS access key), kept",
        ),
        ("usr/x", format!("\nghp_{}", "a1".repeat(18)), "usr/x:2: token (a GitHub token), kept"),
        (
            "usr/x",
            format!("github_pat_{}", "a_1".repeat(10)),
            "usr/x:1: token (a GitHub token), kept",
        ),
        (
            "usr/x",
            "url=https://x:glpat-abcdefghij0123456789@y".to_owned(),
            "usr/x:1: token (a GitLab token), kept",
        ),
        (
            "usr/x",
            "xoxb-12345678901-abcdefghijkl".to_owned(),
            "usr/x:1: token (a Slack token), kept",
        ),
        (
            "etc/app.conf",
            "db_password = \"hunter2hunter2\"\n".to_owned(),
            "etc/app.conf:1: password (a password), kept",
        ),
        ("opt/a", "export API_KEY=abcdef123456".to_owned(), "opt/a:1: password (an API key), kept"),
        (
            "etc/shadow",
            "root:*:1:\nuser::1:\n".to_owned(),
            "etc/shadow:2: no-password (user), kept",
        ),
        (
            "etc/cloud/cloud.cfg.d/x.cfg",
            "users:\n  - passwd: $6$abc\n".to_owned(),
            "etc/cloud/cloud.cfg.d/x.cfg:2: cloud-password (passwd), kept",
        ),
    ] {
        assert_eq!(audit(path, content.as_bytes()), [found]);
    }
    // PKCS#8 of RFC 8410 (section 10.3), PKCS#1's head, and SEC 1.
    let ed25519 = hex::decode(
        "302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842",
    )
    .unwrap();
    assert_eq!(audit("k", &ed25519), ["k: private-key (DER), kept"]);
    let mut rsa = vec![0x30, 0x81, 69, 2, 1, 0, 2, 64];
    rsa.extend([7; 64]);
    assert_eq!(audit("k", &rsa), ["k: private-key (DER), kept"]);
    let ec = [&[0x30, 37, 2, 1, 1, 4, 32][..], &[9; 32]].concat();
    assert_eq!(audit("k", &ec), ["k: private-key (DER), kept"]);
    for end in 0..ed25519.len() {
        assert_eq!(audit("k", &ed25519[..end]), [""; 0]);
    }
}

#[test]
fn privileged_programs_and_keys_are_information() {
    let mut su = file("usr/bin/su", b"#!");
    su.0.meta.mode = 0o6755;
    let mut ping = file("usr/bin/ping", b"#!");
    ping.0.xattrs.push(("security.capability".to_owned(), vec![1]));
    let keys = file("root/.ssh/authorized_keys", b"ssh-ed25519 AAAA\n");
    let members = || vec![su.clone(), ping.clone(), keys.clone()];
    assert_eq!(
        run(None, members()).unwrap().found,
        [
            "usr/bin/su: privileged (set-user-ID 0, set-group-ID 0), kept",
            "usr/bin/ping: privileged (capabilities), kept",
            "root/.ssh/authorized_keys: authorized-keys, kept",
        ]
    );
    assert!(run(Some(Clean::public_image()), members()).unwrap().found.is_empty());
}

#[test]
fn fstab_keeps_every_other_byte() {
    let text = b"# / was on /dev/sda1\nUUID=1 / ext4 errors=remount-ro 0 1\n\n\
        UUID=2\t/boot/efi/\tvfat umask=0077 0 1\n/swap.img none swap sw 0 0\n\
        \x09tmpfs /tmp tmpfs nosuid 0 0\nLABEL=B /boot ext4 ro 0 2\n/dev/vdb /data\xff ext4 a 0 0";
    let expected =
        b"# / was on /dev/sda1\n# left out by ravelin: UUID=1 / ext4 errors=remount-ro 0 1\n\n\
        # left out by ravelin: UUID=2\t/boot/efi/\tvfat umask=0077 0 1\n\
        # left out by ravelin: /swap.img none swap sw 0 0\n\
        \x09tmpfs /tmp tmpfs nosuid 0 0\n# left out by ravelin: LABEL=B /boot ext4 ro 0 2\n\
        /dev/vdb /data\xff ext4 a 0 0";
    assert_eq!(fstab::without_old(text), expected);
    assert_eq!(fstab::old(text), [2, 4, 5, 7]);
    assert_eq!(fstab::without_old(expected), expected);
    let out = run(Some(Clean::another_disk()), vec![file("etc/fstab", text)]).unwrap();
    assert_eq!(out.members[0].1, String::from_utf8_lossy(expected));
    assert_eq!(out.found[0], "etc/fstab:2: fstab, rewritten");
    assert_eq!(out.found.len(), 4);
    let huge = file("etc/fstab", &vec![b'#'; 300 << 10]);
    assert!(run(Some(Clean::NOTHING), vec![huge]).is_err());
}

#[test]
fn nothing_links_to_what_is_left_out() {
    let key = || file("etc/ssh/ssh_host_rsa_key", b"key");
    let clean = Some(Clean::public_image());
    let error = |members| match run(clean, members) {
        Err(BuildError::Tree(error)) => error,
        other => panic!("{:?}", other.map(|out| out.members)),
    };
    let linked = error(vec![key(), link("copy", "etc/ssh/ssh_host_rsa_key")]);
    assert!(matches!(linked, TreeError::LeftOutLink { .. }));
    let below = error(vec![key(), file("etc/ssh/ssh_host_rsa_key/x", b"")]);
    assert!(matches!(below, TreeError::NotADirectory { .. }));
    assert!(matches!(error(vec![key(), key()]), TreeError::Repeated { .. }));
    // The other way round only the name is left out; and an id is emptied under its own name.
    let out = run(
        clean,
        vec![
            file("id", b"0123456789abcdef0123456789abcdef\n"),
            link("etc/ssh/ssh_host_rsa_key", "id"),
            link("etc/machine-id", "id"),
        ],
    );
    let members = out.unwrap().members;
    assert_eq!(members.len(), 2);
    assert_eq!(members[1], ("etc/machine-id".to_owned(), String::new()));
}
