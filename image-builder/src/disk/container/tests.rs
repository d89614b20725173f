//! Layers and documents that no honest tool writes, and what becomes of them.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::*;
use crate::progress::Silent;

/// What a sink gets: paths with the kind, the mode, and what follows from the kind.
#[derive(Default)]
struct List(Vec<String>);

impl Sink for List {
    fn add(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), BuildError> {
        let path = entry.path.escape_ascii().to_string();
        let mut text = String::new();
        let rest = match &entry.kind {
            Kind::File { size } => {
                content.read_to_string(&mut text).unwrap();
                assert_eq!(text.len() as u64, *size);
                text
            }
            Kind::Symlink { target } => format!("-> {}", target.escape_ascii()),
            Kind::HardLink { target } => format!("= {}", target.escape_ascii()),
            Kind::Directory => "/".to_owned(),
            Kind::CharacterDevice(_) | Kind::BlockDevice(_) => "device".to_owned(),
            Kind::Fifo => "pipe".to_owned(),
        };
        self.0.push(format!("{path} {rest}"));
        Ok(())
    }

    fn note(&mut self, _: Note) {}
}

fn header(path: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    // Not through `set_path`, which refuses what a hostile tar holds.
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(7);
    header.set_size(size);
    header.set_cksum();
    header
}

fn file(path: &str, content: &str) -> Vec<u8> {
    let mut out = header(path, EntryType::Regular, content.len() as u64).as_bytes().to_vec();
    out.extend(content.as_bytes());
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn dir(path: &str) -> Vec<u8> {
    header(path, EntryType::Directory, 0).as_bytes().to_vec()
}

fn link(path: &str, kind: EntryType, target: &str) -> Vec<u8> {
    let mut header = header(path, kind, 0);
    header.set_link_name_literal(target).unwrap();
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn symlink(path: &str, target: &str) -> Vec<u8> {
    link(path, EntryType::Symlink, target)
}

fn hard(path: &str, target: &str) -> Vec<u8> {
    link(path, EntryType::Link, target)
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut out = members.concat();
    out.resize(out.len() + 1024, 0);
    out
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A blob of an image layout, and its descriptor.
fn blob(media_type: &str, bytes: &[u8]) -> (Vec<u8>, String) {
    let digest = sha256(bytes);
    let descriptor = format!(
        r#"{{"mediaType":"{media_type}","digest":"sha256:{digest}","size":{}}}"#,
        bytes.len()
    );
    let mut member =
        header(&format!("blobs/sha256/{digest}"), EntryType::Regular, bytes.len() as u64)
            .as_bytes()
            .to_vec();
    member.extend(bytes);
    member.resize(member.len().next_multiple_of(512), 0);
    (member, descriptor)
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The blobs of an image, and the descriptor of its manifest.
fn image(layers: &[Vec<u8>], architecture: &str) -> (Vec<Vec<u8>>, String) {
    let (mut members, mut descriptors, mut diff_ids) = (vec![], vec![], vec![]);
    for layer in layers {
        let (member, descriptor) = blob(LAYER, layer);
        if !members.contains(&member) {
            members.push(member);
        }
        descriptors.push(descriptor);
        diff_ids.push(format!(r#""sha256:{}""#, sha256(layer)));
    }
    let config = format!(
        r#"{{"os":"linux","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let (member, config) = blob(CONFIG, config.as_bytes());
    members.push(member);
    let manifest =
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#, descriptors.join(","));
    let (member, manifest) = blob(MANIFEST, manifest.as_bytes());
    members.push(member);
    (members, manifest)
}

fn index(manifests: &[String]) -> Vec<u8> {
    file("index.json", &format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, manifests.join(",")))
}

fn layout(layers: &[Vec<u8>]) -> Vec<u8> {
    let (mut members, manifest) = image(layers, "amd64");
    members.insert(0, file("oci-layout", LAYOUT));
    members.push(index(&[manifest]));
    archive(&members)
}

fn list_of(tar: Vec<u8>, image: Option<&str>) -> Result<Vec<String>, BuildError> {
    let scratch = std::env::temp_dir().join("scratch");
    let opening = Opening { image, scratch: &scratch, progress: &Silent };
    let tree = super::tar("test", Reader::Stream(Box::new(io::Cursor::new(tar))), &opening)?;
    Ok(tree.stream(|_| Ok(List::default()))?.0)
}

/// What layers of these members become.
fn merged(layers: &[&[Vec<u8>]]) -> Result<Vec<String>, BuildError> {
    list_of(layout(&layers.iter().map(|layer| archive(layer)).collect::<Vec<_>>()), None)
}

fn refused(layers: &[&[Vec<u8>]]) -> String {
    text(merged(layers))
}

/// Why an archive of these members is refused.
fn text_of(members: &[Vec<u8>]) -> String {
    text(list_of(archive(members), None))
}

fn text(outcome: Result<Vec<String>, BuildError>) -> String {
    let error = outcome.unwrap_err();
    let mut text = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[test]
fn whiteouts_hide_what_is_below_and_nothing_beside_them() {
    let below: &[Vec<u8>] = &[
        dir("d/"),
        file("d/a", "1"),
        file("d/b", "1"),
        dir("e/"),
        dir("e/sub/"),
        file("e/sub/x", "1"),
        file("e.txt", "1"),
        file("f", "1"),
    ];
    // Wherever a whiteout stands in its layer.
    let early: &[Vec<u8>] = &[
        file("d/.wh.a", ""),
        file("d/a", "2"),
        file("d/.wh.b", ""),
        file("e/.wh..wh..opq", ""),
        file("e/new", "2"),
        file(".wh.f", ""),
        file(".wh.never-there", ""),
        file("no/such/.wh.place", ""),
    ];
    let mut late = early.to_vec();
    late.reverse();
    let expected = ["d /", "d/a 2", "e /", "e/new 2", "e.txt 1"];
    assert_eq!(merged(&[below, early]).unwrap(), expected);
    assert_eq!(merged(&[below, &late]).unwrap(), expected);
    // A hidden directory of which the same layer has something new.
    let again: &[Vec<u8>] = &[file("e/sub/y", "2"), file("e/.wh.sub", "")];
    assert_eq!(
        merged(&[below, again]).unwrap(),
        ["d /", "d/a 1", "d/b 1", "e /", "e/sub /", "e/sub/y 2", "e.txt 1", "f 1"]
    );
    // All of the root.
    let all: &[Vec<u8>] = &[file(".wh..wh..opq", ""), file("g", "2")];
    assert_eq!(merged(&[below, all]).unwrap(), ["g 2"]);
    assert_eq!(merged(&[below, all, early]).unwrap(), ["d /", "d/a 2", "e /", "e/new 2", "g 2"]);
}

#[test]
fn a_whiteout_of_nothing_nameable_is_refused() {
    for name in [".wh.", ".wh..", ".wh...", "d/.wh..", "d/.wh.", "d/.wh..wh.x"] {
        let error = refused(&[&[file(name, "")]]);
        assert!(error.contains("hides a name that no file has"), "{name}: {error}");
    }
    let error = refused(&[&[file(".wh.d/x", "")]]);
    assert!(error.contains("lies below a name that begins with .wh."), "{error}");
    // What aufs kept for itself is passed over.
    assert!(
        merged(&[&[file(".wh..wh.plnk/1.2", ""), file(".wh..wh.aufs", "")]]).unwrap().is_empty()
    );
}

#[test]
fn a_name_of_another_kind_replaces_all_of_the_old_one() {
    let below: &[Vec<u8>] = &[dir("d/"), file("d/a", "1"), file("f", "1"), symlink("s", "d")];
    let above: &[Vec<u8>] = &[file("d", "2"), dir("f/"), file("f/in", "2"), file("s", "2")];
    assert_eq!(merged(&[below, above]).unwrap(), ["d 2", "f /", "f/in 2", "s 2"]);
    // As umoci writes it, with the old directory's files hidden below the new file.
    let above: &[Vec<u8>] = &[file("d", "2"), file("d/.wh.a", "")];
    assert_eq!(merged(&[below, above]).unwrap(), ["d 2", "f 1", "s -> d"]);
    // A directory over a directory keeps what is in it.
    assert_eq!(merged(&[below, &[dir("d/")]]).unwrap(), ["d /", "d/a 1", "f 1", "s -> d"]);
    // Of one layer, the last member of a name counts.
    assert_eq!(merged(&[&[file("a", "1"), file("a", "2")]]).unwrap(), ["a 2"]);
}

#[test]
fn hard_links_reach_into_lower_layers_and_follow_their_file() {
    let below: &[Vec<u8>] = &[dir("d/"), file("d/a", "1"), symlink("l", "d")];
    let above: &[Vec<u8>] = &[hard("b", "d/a"), hard("c", "./l/a"), file("d/a", "2")];
    assert_eq!(merged(&[below, above]).unwrap(), ["b 1", "c = b", "d /", "d/a 2", "l -> d"]);
    assert_eq!(merged(&[below, &[hard("d/a", "d/a")]]).unwrap(), ["d /", "d/a 1", "l -> d"]);
    assert_eq!(merged(&[below, &[hard("d", "d/a")]]).unwrap(), ["d 1", "l -> d"]);
    assert_eq!(merged(&[below, &[hard("s", "l")]]).unwrap(), ["d /", "d/a 1", "l -> d", "s = l"]);
    for target in ["d", "nothing", "d/a/b", "../etc/passwd"] {
        let error = refused(&[below, &[hard("b", target)]]);
        assert!(
            error.contains("is a hard link") || error.contains("not a directory"),
            "{target}: {error}"
        );
    }
    // What a whiteout hides cannot be linked to any more.
    let error = refused(&[below, &[file("d/.wh.a", "")], &[hard("b", "d/a")]]);
    assert!(error.contains("is a hard link to d/a"), "{error}");
}

/// As a container runtime does it: inside of the root, wherever the link points.
#[test]
fn links_on_the_way_are_followed_inside_of_the_root() {
    let links: &[Vec<u8>] = &[
        dir("usr/"),
        dir("usr/lib/"),
        symlink("lib", "usr/lib"),
        symlink("out", "../../../../etc"),
        symlink("absolute", "/etc"),
        symlink("chain", "absolute"),
    ];
    for way in ["lib", "out", "absolute", "chain", "usr/../lib"] {
        if way.contains("..") {
            let error = refused(&[links, &[file(&format!("{way}/x"), "2")]]);
            assert!(error.contains("leads out of the tree"), "{error}");
            continue;
        }
        let list = merged(&[links, &[file(&format!("{way}/x"), "2")]]).unwrap();
        let place = if way == "lib" { "usr/lib/x 2" } else { "etc/x 2" };
        assert!(list.contains(&place.to_owned()), "{way}: {list:?}");
        assert!(list.iter().all(|line| !line.contains("..") || line.starts_with("out -> ")));
    }
    let list = merged(&[links, &[file("lib/x", "2")], &[file("lib/.wh.x", "")]]).unwrap();
    assert!(!list.iter().any(|line| line.ends_with("x 2")), "{list:?}");
    for (target, said) in [("loop", "leads to itself"), ("loop/x", "leads to itself")] {
        let error = refused(&[&[symlink("loop", target), file("loop/x", "2")]]);
        assert!(error.contains(said), "{error}");
    }
    let error = refused(&[&[file("f", "1"), symlink("s", "f"), file("s/x", "2")]]);
    assert!(error.contains("lies below f, which is not a directory"), "{error}");
    let error = refused(&[&[file("f", "1")], &[file("f/x", "2")]]);
    assert!(error.contains("lies below f, which is not a directory"), "{error}");
}

#[test]
fn a_layer_that_is_no_tree_is_refused_by_name() {
    for (member, said) in [
        (file("../x", ""), "leads out of the tree"),
        (file("d/../../x", ""), "leads out of the tree"),
        (hard("x", "../y"), "leads out of the tree"),
        (symlink("s", ""), "a path may have"),
        (header("x", EntryType::new(b'V'), 0).as_bytes().to_vec(), "of a kind that is no file"),
    ] {
        let error = refused(&[&[member]]);
        assert!(error.contains(said), "{error}");
    }
    // A path from the root is one of the tree.
    assert_eq!(merged(&[&[file("/etc/x", "1")]]).unwrap(), ["etc /", "etc/x 1"]);
}

#[test]
fn a_layer_may_end_without_its_end_marker() {
    let list = list_of(layout(&[file("a", "1"), Vec::new(), file("b", "2")]), None).unwrap();
    assert_eq!(list, ["a 1", "b 2"]);
    let mut cut = file("a", "1");
    cut.truncate(512);
    assert!(text(list_of(layout(&[cut]), None)).contains("cut off"));
}

#[test]
fn a_million_empty_files_fit_and_more_are_refused() {
    let mut members = Merged::new(LIMITS);
    members.next_layer();
    for number in 0..1_000_000_u32 {
        let entry = Entry {
            path: format!("d{}/f{number}", number % 1000).into_bytes(),
            kind: Kind::File { size: 0 },
            ..Entry::implied_directory(Vec::new())
        };
        assert!(members.apply(entry, merged::Stored::default()).is_ok());
    }
    assert_eq!(members.members().count(), 1_001_000);

    for limits in
        [merged::Limits { members: 10, bytes: 1 << 20 }, merged::Limits { members: 100, bytes: 60 }]
    {
        let mut few = Merged::new(limits);
        few.next_layer();
        let mut add = |number: u32| {
            let path = format!("d/name-{number}").into_bytes();
            few.apply(Entry { path, ..Entry::implied_directory(vec![]) }, merged::Stored::default())
        };
        let refused = (0..20).find_map(|number| add(number).err());
        assert!(matches!(refused, Some(merged::Refused::TooMany)));
    }
}

/// A name of two letters below a link may be a path of kilobytes, and a link is work.
#[test]
fn what_links_lead_to_counts() {
    let entry = |path: &str, kind| Entry {
        path: path.as_bytes().to_vec(),
        kind,
        ..Entry::implied_directory(Vec::new())
    };
    let link = |target: &str| Kind::Symlink { target: target.as_bytes().to_vec() };
    let long = ["d".repeat(250).as_str(); 12].join("/");
    let around = "d/../".repeat(200);
    for (target, names) in [(&long, "s/f"), (&long, "s/.wh.f"), (&around, "s/f")] {
        let mut members = Merged::new(merged::Limits { members: 10_000, bytes: 100_000 });
        members.next_layer();
        assert!(members.apply(entry("s", link(target)), merged::Stored::default()).is_ok());
        let applied = (0..2000).take_while(|number| {
            let member = entry(&format!("{names}{number}"), Kind::File { size: 0 });
            members.apply(member, merged::Stored::default()).is_ok()
        });
        let applied = applied.count();
        assert!((10..100).contains(&applied), "{names}: {applied}");
    }
}

/// The same file over and over is one file, and counts each time.
#[test]
fn whiteouts_of_whole_layers_again_and_again_end_soon() {
    let mut members = Merged::new(LIMITS);
    members.next_layer();
    for number in 0..20_000_u32 {
        let entry = |path: String, kind| Entry {
            path: path.into_bytes(),
            kind,
            ..Entry::implied_directory(Vec::new())
        };
        let file = entry(format!("d/f{number}"), Kind::File { size: 0 });
        let whiteout = entry("d/.wh..wh..opq".to_owned(), Kind::File { size: 0 });
        for entry in [file, whiteout] {
            assert!(members.apply(entry, merged::Stored::default()).is_ok());
        }
    }
    assert_eq!(members.members().count(), 20_001);
}

/// A layout of one good image, with one of its parts changed.
fn changed(change: impl Fn(&mut String)) -> String {
    let (members, manifest) = image(&[archive(&[file("a", "1")])], "amd64");
    let mut index = format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#);
    change(&mut index);
    let index = file("index.json", &index);
    let all = [vec![file("oci-layout", LAYOUT)], members, vec![index]].concat();
    text(list_of(archive(&all), None))
}

#[test]
fn documents_that_lie_are_refused() {
    let error = changed(|index| *index = index.replace(r#""size":"#, r#""size":1"#));
    assert!(error.contains("its descriptor says"), "{error}");
    let error = changed(|index| *index = index.replace("sha256:", "sha256:../"));
    assert!(error.contains("a digest that is neither"), "{error}");
    let error =
        changed(|index| *index = index.replace("\"schemaVersion\":2", "\"schemaVersion\":1"));
    assert!(error.contains("schema version 1"), "{error}");
    let error = changed(|index| *index = index.replace(":2", r#":2,"mediaType":"text/html""#));
    assert!(error.contains("text/html"), "{error}");
    let error = changed(|index| *index = index.replace(MANIFEST, "application/x-signature"));
    assert!(error.contains("has no image for linux/amd64"), "{error}");
    let nested = format!("{{\"manifests\":[{{\"annotations\":{}", "[".repeat(100_000));
    let error = changed(|index| index.clone_from(&nested));
    assert!(error.contains("index.json is no document"), "{error}");
    let error = changed(|index| *index = " ".repeat(5 << 20));
    assert!(error.contains("a document of a container image has at most 4194304"), "{error}");
    let error = changed(|index| index.truncate(40));
    assert!(error.contains("index.json is no document"), "{error}");
}

#[test]
fn blobs_that_are_not_what_their_digest_says_are_refused() {
    let layer = archive(&[file("a", "1")]);
    let whole = layout(std::slice::from_ref(&layer));
    // Everything is covered: a change of any part is noticed, if it is one of content.
    let mut content = 0;
    for at in (0..whole.len()).step_by(97) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        match list_of(damaged, None) {
            Ok(list) => assert_eq!(list, ["a 1"]),
            Err(error) => content += usize::from(error.to_string().contains("digest says")),
        }
    }
    assert!(content > 5, "{content}");
    let (members, manifest) = image(&[layer], "amd64");
    let without = |left_out: usize| {
        let members =
            members.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, m)| m.clone());
        let first = [file("oci-layout", LAYOUT), index(std::slice::from_ref(&manifest))];
        text(list_of(archive(&first.into_iter().chain(members).collect::<Vec<_>>()), None))
    };
    for left_out in 0..members.len() {
        assert!(without(left_out).contains("the container image has no blobs/sha256/"));
    }
}

#[test]
fn an_image_is_chosen_by_platform_and_name() {
    let layers = |text: &str| [archive(&[file("a", text)])];
    let (amd, amd_manifest) = image(&layers("amd64"), "amd64");
    let (arm, arm_manifest) = image(&layers("arm64"), "arm64");
    let (other, other_manifest) = image(&layers("other"), "amd64");
    let with = |manifest: &String, more: &str| manifest.replacen('{', &format!("{{{more},"), 1);
    let platform = |architecture: &str| {
        format!(r#""platform":{{"os":"linux","architecture":"{architecture}"}}"#)
    };
    let named =
        |name: &str| format!(r#""annotations":{{"org.opencontainers.image.ref.name":"{name}"}}"#);
    let make = |manifests: &[String]| {
        let first = [file("oci-layout", LAYOUT), index(manifests)];
        archive(&first.into_iter().chain([&amd[..], &arm, &other].concat()).collect::<Vec<_>>())
    };
    let both = make(&[
        with(&arm_manifest, &platform("arm64")),
        with(&amd_manifest, &platform("amd64")),
        with(&amd_manifest, r#""platform":{"os":"unknown","architecture":"unknown"}"#),
    ]);
    assert_eq!(list_of(both.clone(), None).unwrap(), ["a amd64"]);
    let error = text(list_of(make(&[with(&arm_manifest, &platform("arm64"))]), None));
    assert!(error.contains("has no image for linux/amd64, but for linux/arm64"), "{error}");
    // Without a platform, the configuration tells.
    let error = text(list_of(make(std::slice::from_ref(&arm_manifest)), None));
    assert!(error.contains("but for linux/arm64"), "{error}");

    let two = make(&[with(&amd_manifest, &named("one:1")), with(&other_manifest, &named("two"))]);
    let error = text(list_of(two.clone(), None));
    assert!(error.contains("several images: ") && error.contains("one:1"), "{error}");
    assert!(error.contains("--image"), "{error}");
    assert_eq!(list_of(two.clone(), Some("one:1")).unwrap(), ["a amd64"]);
    assert_eq!(list_of(two.clone(), Some("two")).unwrap(), ["a other"]);
    let error = text(list_of(two, Some("three")));
    assert!(error.contains("has no image `three`; it has one:1, two"), "{error}");
    // One image under two names.
    let twice = make(&[with(&amd_manifest, &named("x")), with(&amd_manifest, &named("y"))]);
    assert_eq!(list_of(twice, None).unwrap(), ["a amd64"]);

    // Below an index, and below an index that names itself in a circle (which no digest allows,
    // so: too deep).
    let (nested, nested_index) = blob(
        "application/vnd.oci.image.index.v1+json",
        format!(r#"{{"schemaVersion":2,"manifests":[{amd_manifest}]}}"#).as_bytes(),
    );
    let first = [file("oci-layout", LAYOUT), index(&[nested_index]), nested];
    let tar = archive(&first.into_iter().chain(amd.clone()).collect::<Vec<_>>());
    assert_eq!(list_of(tar, None).unwrap(), ["a amd64"]);
    let mut deep = amd_manifest;
    let mut members = amd;
    for _ in 0..6 {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{deep}]}}"#);
        let (member, descriptor) = blob("application/vnd.oci.image.index.v1+json", text.as_bytes());
        members.push(member);
        deep = descriptor;
    }
    members.extend([file("oci-layout", LAYOUT), index(&[deep])]);
    let error = text(list_of(archive(&members), None));
    assert!(error.contains("below more than 4 others"), "{error}");
    // One that names another very often.
    for (inner, manifest, said) in [
        (vec![], String::new(), "is one of more than 1024 indexes"),
        (other, other_manifest, "is one of more than 1024 images"),
    ] {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#);
        let index_type = "application/vnd.oci.image.index.v1+json";
        let (member, descriptor) = blob(index_type, text.as_bytes());
        let many = if inner.is_empty() { descriptor } else { manifest };
        let mut members = inner;
        members.extend([file("oci-layout", LAYOUT), index(&vec![many; 2000]), member]);
        let error = text_of(&members);
        assert!(error.contains(said), "{error}");
    }
    let plain = archive(&[file("etc", "1")]);
    let error = text(list_of(plain, Some("x")));
    assert!(error.contains("is no container image"), "{error}");
}

/// As `docker save` wrote it before version 25: layers in directories, some of them links to
/// others.
#[test]
fn an_old_docker_archive_has_its_layers_in_order() {
    let layers = [archive(&[file("a", "1"), file("b", "1")]), archive(&[file(".wh.b", "")])];
    let [first, second] = &layers;
    let diff = |layer| format!(r#""sha256:{}""#, sha256(layer));
    let config = format!(
        r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":[{},{},{}]}}}}"#,
        diff(first),
        diff(second),
        diff(first)
    );
    let name = sha256(config.as_bytes());
    let id = |c: &str| c.repeat(64);
    let content = |path: &str, content: &[u8]| {
        let mut out = header(path, EntryType::Regular, content.len() as u64).as_bytes().to_vec();
        out.extend(content);
        out.resize(out.len().next_multiple_of(512), 0);
        out
    };
    let make = |config_name: &str, link_target: &str| {
        let manifest = format!(
            r#"[{{"Config":"{config_name}.json","RepoTags":["app:1"],"Layers":["{}/layer.tar","{}/layer.tar","{}/layer.tar"]}}]"#,
            id("1"),
            id("2"),
            id("3")
        );
        archive(&[
            dir(&format!("{}/", id("1"))),
            content(&format!("{}/layer.tar", id("1")), first),
            content(&format!("{}/layer.tar", id("2")), second),
            symlink(&format!("{}/layer.tar", id("3")), link_target),
            file(&format!("{config_name}.json"), &config),
            file("manifest.json", &manifest),
        ])
    };
    let good = make(&name, &format!("../{}/layer.tar", id("1")));
    assert_eq!(list_of(good, None).unwrap(), ["a 1", "b 1"]);
    assert_eq!(
        list_of(make(&name, "../x"), Some("app:1")).unwrap_err().to_string(),
        format!(
            "test: the container image has no {}/layer.tar; save it again, or copy it with skopeo",
            id("3")
        )
    );
    let short = |target: &str| {
        let manifest = format!(
            r#"[{{"Config":"{name}.json","RepoTags":null,"Layers":["x/layer.tar","y/layer.tar","z/layer.tar"]}}]"#
        );
        archive(&[
            file(&format!("{name}.json"), &config),
            content("x/layer.tar", first),
            content("y/layer.tar", second),
            symlink("z/layer.tar", target),
            file("manifest.json", &manifest),
        ])
    };
    assert_eq!(list_of(short("../x/layer.tar"), None).unwrap(), ["a 1", "b 1"]);
    for (target, said) in [
        ("../../etc/passwd", "out of the archive"),
        ("layer.tar", "in a loop"),
        ("../y/layer.tar", "not what its digest says"),
        ("../w/layer.tar", "has no z/layer.tar"),
    ] {
        let error = text(list_of(short(target), None));
        assert!(error.contains(said), "{target}: {error}");
    }
    // The configuration is called by its digest.
    let other = "0".repeat(64);
    assert!(text(list_of(make(&other, "x"), None)).contains("not what its digest says"));
}
