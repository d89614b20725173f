//! What a declaration may say, and what becomes of a tree by it.

use std::fs;
use std::io::Read;

use super::*;
use crate::disk::BuildError;
use crate::disk::tree::{Entry, Kind, Meta, Note, Sink, Time, TreeError};

/// Path, `MODE UID:GID` and content of what comes out.
#[derive(Default)]
struct Out(Vec<(String, String, String)>);

impl Sink for Out {
    fn add(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), BuildError> {
        let mut text = String::new();
        content.read_to_string(&mut text).unwrap();
        if let Kind::File { size } = entry.kind {
            assert_eq!(size, text.len() as u64);
        }
        let Meta { mode, uid, gid, .. } = entry.meta;
        let kind = if entry.kind == Kind::Directory { "d" } else { "" };
        let meta = format!("{kind}{mode:o} {uid}:{gid}");
        self.0.push((String::from_utf8(entry.path).unwrap(), meta, text));
        Ok(())
    }

    fn note(&mut self, _: Note) {}
}

fn read(text: &str) -> Result<Customization, CustomizeError> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("beside"), "from beside").unwrap();
    let path = directory.path().join("customize.toml");
    fs::write(&path, text).unwrap();
    Customization::read(&path)
}

fn member(path: &str, kind: Kind) -> (Entry, String) {
    let meta = Meta { mode: 0o640, uid: 5, gid: 6, mtime: Time::new(9, 0) };
    (Entry { path: path.into(), kind, meta, xattrs: vec![] }, String::new())
}

fn file(path: &str, content: &str) -> (Entry, String) {
    let (entry, _) = member(path, Kind::File { size: content.len() as u64 });
    (entry, content.to_owned())
}

fn dir(path: &str) -> (Entry, String) {
    member(path, Kind::Directory)
}

fn symlink(path: &str, target: &str) -> (Entry, String) {
    member(path, Kind::Symlink { target: target.into() })
}

fn apply(text: &str, members: Vec<(Entry, String)>) -> Result<Out, BuildError> {
    let mut customizer = Customizer::new(Out::default(), read(text).unwrap());
    for (entry, content) in members {
        customizer.add(entry, &mut content.as_bytes())?;
    }
    customizer.finish()
}

fn refused(text: &str, members: Vec<(Entry, String)>) -> String {
    apply(text, members).map(|out| out.0).unwrap_err().to_string()
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nold:x:1000:1000::/home/old:/bin/sh";
const GROUP: &str = "root:x:0:\nsudo:x:27:old\nold:x:1000:\n";

fn accounts() -> Vec<(Entry, String)> {
    vec![
        dir("etc"),
        file("etc/group", GROUP),
        file("etc/gshadow", "root:*::\nsudo:*::old\n"),
        file("etc/passwd", PASSWD),
        file("etc/shadow", "root:*:1:0:99999:7:::\n"),
        dir("home"),
        dir("root"),
    ]
}

const KEY: &str = "ssh-ed25519 AAAAC3 a@b";

#[test]
fn users_get_their_lines_home_and_keys() {
    let text = format!(
        "[[user]]\nname = \"admin\"\nshell = \"/bin/bash\"\ngroups = [\"sudo\"]\n\
         comment = \"A\"\nauthorized_keys = [\"{KEY}\", \"{KEY}2\"]\n\
         [[user]]\nname = \"root\"\nauthorized_keys = [\"{KEY}\"]\n\
         [[user]]\nname = \"svc\"\nuid = 900\ngid = 27\nhome = \"/srv/svc\"\n"
    );
    let out = apply(&text, accounts()).unwrap().0;
    let of = |path: &str| {
        let mut found = out.iter().filter(|(at, ..)| at == path);
        let (_, meta, text) = found.next().unwrap();
        assert!(found.next().is_none(), "{path} is there twice");
        (meta.as_str(), text.as_str())
    };
    assert_eq!(
        of("etc/passwd"),
        (
            "640 5:6",
            "root:x:0:0:root:/root:/bin/bash\nold:x:1000:1000::/home/old:/bin/sh\n\
             admin:x:1001:1001:A:/home/admin:/bin/bash\nsvc:x:900:27::/srv/svc:/bin/sh\n"
        )
    );
    assert_eq!(of("etc/group").1, "root:x:0:\nsudo:x:27:old,admin\nold:x:1000:\nadmin:x:1001:\n");
    assert_eq!(of("etc/gshadow").1, "root:*::\nsudo:*::old,admin\nadmin:!::\n");
    assert_eq!(of("etc/shadow").1, "root:*:1:0:99999:7:::\nadmin:*:::::::\nsvc:*:::::::\n");
    assert_eq!(of("home/admin").0, "d700 1001:1001");
    assert_eq!(of("home/admin/.ssh").0, "d700 1001:1001");
    assert_eq!(
        of("home/admin/.ssh/authorized_keys"),
        ("600 1001:1001", &*format!("{KEY}\n{KEY}2\n"))
    );
    // What is there stays as it is.
    assert_eq!(of("root").0, "d640 5:6");
    assert_eq!(of("root/.ssh/authorized_keys"), ("600 0:0", &*format!("{KEY}\n")));
    assert_eq!(of("srv/svc").0, "d700 900:27");
    // Every parent that is put in comes before its content.
    let at = |path: &str| out.iter().position(|(found, ..)| found == path).unwrap();
    assert!(at("home/admin") < at("home/admin/.ssh"));
    assert!(at("home/admin/.ssh") < at("home/admin/.ssh/authorized_keys"));
    // The same again, to the byte.
    assert_eq!(apply(&text, accounts()).unwrap().0, out);
}

#[test]
fn a_tree_without_shadow_has_no_password_either() {
    let members = vec![file("etc/passwd", "root::0:0::/:/bin/sh\n"), file("etc/group", "")];
    let out = apply("[[user]]\nname = \"a\"\n", members).unwrap().0;
    let passwd = out.iter().find(|(path, ..)| path == "etc/passwd").unwrap();
    assert_eq!(passwd.2, "root::0:0::/:/bin/sh\na:*:1000:1000::/home/a:/bin/sh\n");
}

#[test]
fn users_that_do_not_fit_are_refused() {
    for (more, said) in [
        ("name = \"old\"\nuid = 7", "is there with uid = 1000"),
        ("name = \"old\"\ngid = 7", "is there with gid = 1000"),
        ("name = \"old\"\nshell = \"/bin/zsh\"", "is there with shell = /bin/sh"),
        ("name = \"new\"\nuid = 1000", "another user has the uid 1000"),
        ("name = \"new\"\ngroups = [\"none\"]", "there is no group `none`"),
    ] {
        let error = refused(&format!("[[user]]\n{more}\n"), accounts());
        assert!(error.contains(said), "{error}");
    }
    let homeless =
        format!("[[user]]\nname = \"old\"\nhome = \"/srv\"\nauthorized_keys = [\"{KEY}\"]\n");
    assert!(refused(&homeless, accounts()).contains("is there with home = /home/old"));
    let user = "[[user]]\nname = \"a\"\n";
    assert!(refused(user, vec![]).contains("users need it"));
    let linked = vec![symlink("etc/passwd", "/usr/etc/passwd")];
    assert!(refused(user, linked).contains("a symbolic link to /usr/etc/passwd"));
    let hard = vec![
        file("etc/passwd", PASSWD),
        member("etc/copy", Kind::HardLink { target: b"etc/passwd".to_vec() }),
    ];
    assert!(refused(user, hard).contains("is a hard link to etc/passwd"));
    assert!(refused(user, vec![file("etc/passwd", ""), file("etc/passwd", "")]).contains("twice"));
}

#[test]
fn files_are_put_in_or_replaced() {
    let text = "hostname = \"web-1.example\"\n\
         [[file]]\npath = \"/etc/motd\"\ncontent = \"hi\"\nmode = 0o600\nuid = 1\ngid = 2\n\
         [[file]]\npath = \"/opt/new/x\"\nsource = \"beside\"\nmode = 0o4755\n";
    let members = || vec![dir("etc"), file("etc/hostname", "old"), file("etc/other", "kept")];
    let expected = [
        ("etc", "d640 5:6", ""),
        ("etc/other", "640 5:6", "kept"),
        ("etc/hostname", "644 0:0", "web-1.example\n"),
        ("etc/motd", "600 1:2", "hi"),
        ("opt/new/x", "4755 0:0", "from beside"),
    ];
    let expected =
        expected.map(|(path, meta, text)| (path.to_owned(), meta.to_owned(), text.to_owned()));
    assert_eq!(apply(text, members()).unwrap().0, expected);
    let twice = vec![file("etc/hostname", "1"), file("etc/hostname", "2")];
    assert!(refused(text, twice).contains("is there twice"));
    let linked = vec![
        file("etc/hostname", "1"),
        member("copy", Kind::HardLink { target: b"etc/hostname".to_vec() }),
    ];
    assert!(refused(text, linked).contains("is a hard link to etc/hostname"));
}

#[test]
fn nothing_is_written_through_a_link() {
    let text = "[[file]]\npath = \"/lib/x/y\"\ncontent = \"\"\n";
    for members in [
        vec![symlink("lib", "usr/lib")],
        vec![dir("lib"), symlink("lib/x", "/etc")],
        vec![dir("lib"), dir("lib/x"), symlink("lib/x/y", "../../etc/passwd")],
    ] {
        let error = refused(text, members);
        assert!(error.contains("the tree has a symbolic link to"), "{error}");
    }
    for kind in [Kind::Directory, Kind::Fifo] {
        assert!(refused(text, vec![member("lib/x/y", kind)]).contains("is declared, but the tree"));
    }
    assert!(refused(text, vec![file("lib/x", "")]).contains("a file below it is declared"));
    let keys = format!("[[user]]\nname = \"root\"\nauthorized_keys = [\"{KEY}\"]\n");
    for link in ["root", "root/.ssh", "root/.ssh/authorized_keys"] {
        let mut members = accounts();
        members.retain(|(entry, _)| entry.path != link.as_bytes());
        members.push(symlink(link, "/etc"));
        let error = refused(&keys, members);
        assert!(error.contains("a symbolic link to /etc"), "{link}: {error}");
    }
}

#[test]
fn a_declaration_is_read_strictly() {
    assert_eq!(read("").unwrap(), Customization::default());
    for (text, said) in [
        ("hostname = 1", "is no customization"),
        ("host = \"a\"", "is no customization"),
        ("[[user]]\nname = \"a\"\nsudo = true", "is no customization"),
        ("[[file]]\npath = \"/a\"\ncontent = \"\"\nowner = 0", "is no customization"),
        ("hostname = \"a b\"", "is no host name"),
        ("hostname = \"-a\"", "is no host name"),
        ("hostname = \"\"", "is no host name"),
        ("[[user]]\nname = \"A\"", "is no name of a user"),
        ("[[user]]\nname = \"a:b\"", "is no name of a user"),
        ("[[user]]\nname = \"a\"\ngroups = [\"b\\n\"]", "is no name of a user"),
        ("[[user]]\nname = \"a\"\nhome = \"/home/../etc\"", "is no absolute path"),
        ("[[user]]\nname = \"a\"\nhome = \"/home/a:x\"", "no colons"),
        ("[[user]]\nname = \"a\"\ncomment = \"a\\nroot::0:0:\"", "no colons"),
        ("[[user]]\nname = \"a\"\nshell = \"sh\"", "is no absolute path"),
        ("[[user]]\nname = \"a\"\nuid = 4294967295", "means no user"),
        ("[[user]]\nname = \"a\"\nauthorized_keys = [\"ssh-ed25519 A\\nx\"]", "no line of"),
        ("[[user]]\nname = \"a\"\nauthorized_keys = [\"hello\"]", "no line of"),
        ("[[user]]\nname = \"a\"\n[[user]]\nname = \"a\"", "is there twice"),
        ("[[file]]\npath = \"a\"\ncontent = \"\"", "is no absolute path"),
        ("[[file]]\npath = \"/a/../b\"\ncontent = \"\"", "is no absolute path"),
        ("[[file]]\npath = \"/\"\ncontent = \"\"", "is no absolute path"),
        ("[[file]]\npath = \"/a\"", "needs either"),
        ("[[file]]\npath = \"/a\"\ncontent = \"\"\nsource = \"b\"", "needs either"),
        ("[[file]]\npath = \"/a\"\nsource = \"../b\"", "is no path beside"),
        ("[[file]]\npath = \"/a\"\nsource = \"/etc/passwd\"", "is no path beside"),
        ("[[file]]\npath = \"/a\"\nsource = \"\"", "is no path beside"),
        ("[[file]]\npath = \"/a\"\nsource = \"missing\"", "cannot be read"),
        ("[[file]]\npath = \"/a\"\ncontent = \"\"\nmode = 0o10000", "is no mode"),
        (
            "[[file]]\npath = \"/a\"\ncontent = \"\"\n[[file]]\npath = \"/a\"\ncontent = \"\"",
            "twice",
        ),
        ("hostname = \"a\"\n[[file]]\npath = \"/etc/hostname\"\ncontent = \"\"", "twice"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn a_declared_file_is_not_one_of_a_user() {
    let text = format!(
        "[[user]]\nname = \"root\"\nauthorized_keys = [\"{KEY}\"]\n\
         [[file]]\npath = \"/root/.ssh/authorized_keys\"\ncontent = \"\"\n"
    );
    let error = refused(&text, accounts());
    assert!(error.contains("is one of a declared user"), "{error}");
    let error = apply(
        "[[user]]\nname = \"a\"\n[[file]]\npath = \"/etc/passwd\"\ncontent = \"\"\n",
        accounts(),
    );
    assert!(matches!(error.map(|out| out.0), Err(BuildError::Tree(TreeError::Customize { .. }))));
}
