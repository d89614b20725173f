//! Container images that other programs made: umoci writes the layers, skopeo the other forms,
//! and what umoci unpacks is what the image has to hold.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod disk_common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use disk_common::{
    assert_same, build_disk, extract_partition, is_root, look, odd_tree, options, oracle, run,
    xattr,
};
use image_builder::disk::{BuildError, Note, Options, Preparation, Source};
use protocol::config::FsType;

/// An image of two layers by umoci, and what it unpacks.
struct Image {
    directory: tempfile::TempDir,
    skopeo: PathBuf,
}

impl Image {
    /// Nothing if a tool is missing, or without root, as who umoci keeps no owners.
    fn new() -> Option<Image> {
        let (umoci, skopeo) = (oracle("umoci", "umoci")?, oracle("skopeo", "skopeo")?);
        if !is_root("unpacking a container image with its owners and devices") {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let image = Image { directory, skopeo };
        let umoci = |arguments: &[&str]| {
            run(Command::new(&umoci).current_dir(image.directory.path()).args(arguments))
        };
        umoci(&["init", "--layout", "oci"]);
        umoci(&["new", "--image", "oci:new"]);
        umoci(&["unpack", "--image", "oci:new", "bundle"]);
        let root = image.path("bundle/rootfs");
        first(&root);
        umoci(&["repack", "--image", "oci:one", "bundle"]);
        fs::remove_dir_all(image.path("bundle")).unwrap();
        umoci(&["unpack", "--image", "oci:one", "bundle"]);
        second(&root);
        umoci(&["repack", "--image", "oci:two", "bundle"]);
        fs::remove_dir_all(image.path("bundle")).unwrap();
        umoci(&["unpack", "--image", "oci:two", "bundle"]);
        Some(image)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn skopeo(&self, arguments: &[&str]) {
        let mut skopeo = Command::new(&self.skopeo);
        run(skopeo.current_dir(self.directory.path()).arg("copy").args(arguments));
    }

    /// The root hash of the image that a source becomes.
    fn root_hash(&self, source: &Path, image: Option<&str>) -> String {
        let into = tempfile::tempdir_in(self.directory.path()).unwrap();
        let preparation = Preparation { image: image.map(str::to_owned), ..Preparation::default() };
        let options = Options { preparation, ..options(FsType::Erofs) };
        let source = Source::detect(source).unwrap();
        let built = build_disk(source, &options, into.path()).unwrap();
        assert!(built.notes.list.contains(&Note::NoInit) || image.is_none());
        built.sidecar.verity.root_hash.to_string()
    }
}

/// The tree of the lower layer.
fn first(root: &Path) {
    odd_tree(root, FsType::Erofs);
    let at = |name: &str| root.join(name);
    // umoci takes these for whiteouts, or cannot pack them.
    for name in ["a/.wh.whiteout", "whiteout", "large device", "etc/bits"] {
        let _ = fs::remove_file(at(name));
    }
    for directory in ["gone", "gone/deep", "opaque", "opaque/deep", "becomes-file", "merged"] {
        fs::create_dir(at(directory)).unwrap();
    }
    for file in ["gone/deep/x", "opaque/deep/x", "opaque/x", "becomes-file/x", "becomes-directory"]
    {
        fs::write(at(file), file).unwrap();
    }
    fs::write(at("linked-later"), "linked later").unwrap();
    fs::write(at("linked-1"), "linked").unwrap();
    fs::hard_link(at("linked-1"), at("linked-2")).unwrap();
    symlink("merged", at("link-to-merged")).unwrap();
}

/// What the upper layer changes.
fn second(root: &Path) {
    let at = |name: &str| root.join(name);
    fs::remove_dir_all(at("gone")).unwrap();
    fs::remove_dir_all(at("opaque")).unwrap();
    fs::create_dir(at("opaque")).unwrap();
    fs::write(at("opaque/new"), "new").unwrap();
    fs::remove_dir_all(at("becomes-file")).unwrap();
    fs::write(at("becomes-file"), "file").unwrap();
    fs::remove_file(at("becomes-directory")).unwrap();
    fs::create_dir(at("becomes-directory")).unwrap();
    fs::write(at("becomes-directory/x"), "x").unwrap();
    fs::hard_link(at("linked-later"), at("merged/another-name")).unwrap();
    fs::remove_file(at("linked-2")).unwrap();
    fs::write(at("linked-2"), "no more").unwrap();
    fs::remove_file(at("etc/one")).unwrap();
    fs::set_permissions(at("merged"), fs::Permissions::from_mode(0o2770)).unwrap();
    xattr(&at("merged"), "user.added", b"later");
    fs::remove_file(at("link-to-merged")).unwrap();
    symlink("elsewhere", at("link-to-merged")).unwrap();
}

#[test]
fn every_form_of_an_image_is_the_tree_that_umoci_unpacks() {
    let Some(image) = Image::new() else { return };
    let root = image.path("bundle/rootfs");
    let expected = look(&root);
    // It is the tree that was meant.
    assert!(!root.join("gone").exists() && root.join("opaque/new").exists());
    assert!(expected.len() > 60);
    let root_hash = image.root_hash(&root, None);

    // The file system's own tool takes the same out of it as is in the unpacked tree.
    let into = image.path("into");
    fs::create_dir(&into).unwrap();
    let preparation = Preparation { image: Some("two".to_owned()), ..Preparation::default() };
    let options = Options { preparation, ..options(FsType::Erofs) };
    let source = Source::detect(&image.path("oci")).unwrap();
    let built = build_disk(source, &options, &into).unwrap();
    if let Some(fsck) = oracle("fsck.erofs", "erofs-utils") {
        let partition = extract_partition(&built, &into);
        let out = image.path("out");
        let extract = format!("--extract={}", out.display());
        run(Command::new(fsck).args(["--preserve", "--xattrs"]).arg(extract).arg(&partition));
        let (mut found, mut expected) = (look(&out), expected);
        for seen in found.iter_mut().chain(&mut expected) {
            // As in disk_trees.rs.
            seen.xattrs.retain(|(name, value)| name != b"security.capability" && !value.is_empty());
        }
        assert_same(&found, &expected);
    }

    // And in every form it is the same image, to the bit.
    assert_eq!(image.root_hash(&image.path("oci"), Some("two")), root_hash);
    for (name, arguments) in [
        ("podman.tar", &["oci:oci:two", "oci-archive:podman.tar:app:2"][..]),
        ("docker.tar", &["oci:oci:two", "docker-archive:docker.tar:app:2"]),
        ("zstd", &["--dest-compress-format", "zstd", "oci:oci:two", "oci:zstd:two"]),
        ("v2s2.tar", &["--format", "v2s2", "oci:oci:two", "oci-archive:v2s2.tar"]),
    ] {
        image.skopeo(arguments);
        assert_eq!(image.root_hash(&image.path(name), None), root_hash, "{name}");
    }
    // A tar of the layout, as `tar` packs it, also compressed and from a pipe.
    let tar = |arguments: &[&str]| {
        run(Command::new("tar").current_dir(image.directory.path()).args(arguments))
    };
    tar(&["-C", "zstd", "-cf", "layout.tar", "."]);
    assert_eq!(image.root_hash(&image.path("layout.tar"), Some("two")), root_hash);
    tar(&["-C", "zstd", "-czf", "layout.tar.gz", "."]);
    assert_eq!(image.root_hash(&image.path("layout.tar.gz"), None), root_hash);
    // As docker since 25: both forms in one, with layers that are not compressed.
    docker_25(&image);
    assert_eq!(image.root_hash(&image.path("docker25.tar"), Some("app:2")), root_hash);

    let options = Options {
        preparation: Preparation { image: Some("three".to_owned()), ..Preparation::default() },
        ..options
    };
    let source = Source::detect(&image.path("oci")).unwrap();
    let error = build_disk(source, &options, &into).unwrap_err();
    assert!(matches!(error, BuildError::Tree(_)), "{error:?}");
    assert!(error.to_string().contains("has no image `three`; it has new, one, two"), "{error}");
}

/// Packs what skopeo wrote for docker as `docker save` of version 25 does: an image layout with
/// a `manifest.json` beside its index.
fn docker_25(image: &Image) {
    let sha256 = |path: &Path| {
        run(Command::new("sha256sum").arg(path)).split_whitespace().next().unwrap().to_owned()
    };
    let (old, new) = (image.path("docker-old"), image.path("docker-new"));
    fs::create_dir(&old).unwrap();
    run(Command::new("tar").arg("-C").arg(&old).arg("-xf").arg(image.path("docker.tar")));
    let blobs = new.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(old.join("manifest.json")).unwrap()).unwrap();
    let add = |name: &str, media_type: &str| {
        let path = old.join(name);
        let digest = sha256(&path);
        let size = path.metadata().unwrap().len();
        fs::copy(&path, blobs.join(&digest)).unwrap();
        let digest = format!("sha256:{digest}");
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": size})
    };
    let config =
        add(manifest[0]["Config"].as_str().unwrap(), "application/vnd.oci.image.config.v1+json");
    let layers: Vec<serde_json::Value> = manifest[0]["Layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| add(layer.as_str().unwrap(), "application/vnd.oci.image.layer.v1.tar"))
        .collect();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let text = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
    });
    fs::write(old.join("new.json"), text.to_string()).unwrap();
    let mut descriptor = add("new.json", media_type);
    descriptor["annotations"] = serde_json::json!({
        "io.containerd.image.name": "docker.io/library/app:2",
        "org.opencontainers.image.ref.name": "2",
    });
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [descriptor]});
    fs::write(new.join("index.json"), index.to_string()).unwrap();
    fs::write(new.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(new.join("manifest.json"), "not looked at where there is an index").unwrap();
    let names = ["blobs", "index.json", "manifest.json", "oci-layout"];
    run(Command::new("tar")
        .arg("-C")
        .arg(&new)
        .arg("-cf")
        .arg(image.path("docker25.tar"))
        .args(names));
}
