//! The closure of modules, on module directories made for each case.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod initramfs_support;

use std::path::Path;

use image_builder::modules::{Closure, ModuleError, ModuleTree, Note, Request, Set};
use initramfs_support::{KERNEL, Random, Tree, compressed, module, mutated};
use protocol::config::FsType;
use protocol::load_order::LoadOrder;

fn closure(tree: &Tree, requests: &[Request]) -> Result<Closure, ModuleError> {
    ModuleTree::open(&tree.path()).unwrap().closure(requests)
}

/// The load order in short: wave, `!` for required or `?`, file name.
fn order(closure: &Closure) -> Vec<String> {
    // What was computed is what PID 1 reads.
    assert_eq!(LoadOrder::parse(&closure.order.to_string()).as_ref(), Ok(&closure.order));
    assert_eq!(closure.order.modules.len(), closure.files.len());
    let short = |(module, file): (&protocol::load_order::Module, &_)| {
        let image_builder::modules::ModuleFile { path, content } = file;
        assert_eq!(*path, module.path);
        assert!(content.starts_with(b"\x7fELF"), "{path} is decompressed");
        let name = path.strip_prefix(&format!("/lib/modules/{KERNEL}/kernel/")).unwrap();
        format!("{}{}{name}", module.wave, if module.required { '!' } else { '?' })
    };
    closure.order.modules.iter().zip(&closure.files).map(short).collect()
}

fn verity() -> Tree {
    Tree::new()
        .module("drivers/md/dm-mod.ko.xz", &["depends="])
        .module("drivers/md/dm-bufio.ko.zst", &["depends=dm-mod"])
        .module("drivers/md/dm-verity.ko.gz", &["depends=dm-mod,dm-bufio,reed_solomon"])
        .module("lib/reed_solomon.ko", &["depends="])
        .module("drivers/block/virtio_blk.ko.xz", &["depends="])
        .module("drivers/net/unrelated.ko.xz", &["depends=dm-mod"])
}

#[test]
fn dependencies_come_in_earlier_waves_whatever_the_compression() {
    let requests = [Request::required("dm_verity"), Request::required("virtio-blk")];
    let expected = [
        "0!drivers/block/virtio_blk.ko",
        "0!drivers/md/dm-mod.ko",
        "0!lib/reed_solomon.ko",
        "1!drivers/md/dm-bufio.ko",
        "2!drivers/md/dm-verity.ko",
    ];
    let found = closure(&verity(), &requests).unwrap();
    assert_eq!(order(&found), expected);
    assert!(found.notes.is_empty() && found.built_in.is_empty());
    let [first, second] = requests;
    assert_eq!(closure(&verity(), &[second, first]).unwrap(), found);
    let twice = ["a", "b"].map(|who| Request::optional("absent").wanted_by(who));
    let [first, second] = twice.clone();
    let found = closure(&verity(), &twice).unwrap();
    assert_eq!(closure(&verity(), &[second, first]).unwrap(), found);
}

#[test]
fn dash_and_underscore_are_the_same_name() {
    for name in ["dm-bufio", "dm_bufio"] {
        let found = closure(&verity(), &[Request::required(name)]).unwrap();
        assert_eq!(order(&found), ["0!drivers/md/dm-mod.ko", "1!drivers/md/dm-bufio.ko"]);
    }
    let tree = Tree::new().built_in(&["fs/some-thing"]);
    assert!(closure(&tree, &[Request::required("some_thing")]).unwrap().files.is_empty());
}

#[test]
fn what_is_built_in_needs_no_file() {
    let tree = Tree::new()
        .built_in(&["drivers/md/dm-mod", "fs/ext4/ext4"])
        .module("dm-verity.ko", &["depends=dm-mod"]);
    let requests = [Request::required("dm_verity"), Request::required("ext4")];
    let found = closure(&tree, &requests).unwrap();
    assert_eq!(order(&found), ["0!dm-verity.ko"]);
    assert_eq!(found.built_in.iter().collect::<Vec<_>>(), ["dm_mod", "ext4"]);
}

#[test]
fn a_missing_module_is_named_with_who_needs_it_and_its_option() {
    let error = closure(&verity(), &Set::Overlay.requests()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "kernel 6.12.0-test has no module overlay, which the set overlay needs: it is option \
         CONFIG_OVERLAY_FS (writes go to an overlay in memory); use a kernel that has it as =m or \
         =y, such as Debian's linux-image-amd64 or one built with ravelin.config"
    );
    let tree = Tree::new().module("dm-verity.ko", &["depends=dm-bufio"]);
    let error = closure(&tree, &Set::Verity.requests()).unwrap_err().to_string();
    assert!(error.contains("no module dm_bufio, which module dm_verity needs"), "{error}");
    assert!(error.contains("CONFIG_DM_BUFIO"), "{error}");
    let error = closure(&tree, &[Request::required("sound")]).unwrap_err().to_string();
    assert!(error.contains("has no module sound, which the list of modules needs;"), "{error}");
}

#[test]
fn an_optional_module_may_be_missing() {
    let tree = Tree::new().module("a.ko", &["depends="]);
    let requests = [Request::optional("a"), Request::optional("b")];
    let found = closure(&tree, &requests).unwrap();
    assert_eq!(order(&found), ["0?a.ko"]);
    let note = Note::Skipped { module: "b".into(), wanted_by: "the list of modules".into() };
    assert_eq!(found.notes, [note]);
}

#[test]
fn what_a_required_module_depends_on_is_required() {
    let tree = Tree::new()
        .module("base.ko", &["depends="])
        .module("deep.ko", &["depends=base"])
        .module("needed.ko", &["depends=deep"])
        .module("wished.ko", &["depends=deep,other"])
        .module("other.ko", &["depends="]);
    let requests = [Request::optional("wished"), Request::required("needed")];
    let found = closure(&tree, &requests).unwrap();
    assert_eq!(
        order(&found),
        ["0!base.ko", "0?other.ko", "1!deep.ko", "2!needed.ko", "2?wished.ko"]
    );
}

#[test]
fn soft_dependencies_are_taken_along_before_and_after() {
    let tree = Tree::new()
        .module("fs.ko", &["depends=", "softdep=pre: helper absent", "softdep=post: later"])
        .module("helper.ko", &["depends=helpers-own"])
        .module("helpers-own.ko", &["depends="])
        .module("later.ko", &["depends="]);
    let found = closure(&tree, &[Request::required("fs")]).unwrap();
    assert_eq!(order(&found), ["0?helpers-own.ko", "1?helper.ko", "2!fs.ko", "3?later.ko"]);
    let note = Note::Skipped { module: "absent".into(), wanted_by: "module fs".into() };
    assert_eq!(found.notes, [note]);
}

#[test]
fn soft_dependencies_may_be_aliases() {
    let tree = Tree::new()
        .module("fs.ko", &["depends=lib", "softdep=pre: crypto-crc32c"])
        .module("lib.ko", &["depends=", "softdep=pre: crc32c", "softdep=pre: xxhash64"])
        .module("arch/x86/crypto/crc32c-intel.ko.xz", &["alias=crypto-crc32c", "alias=crc32c"])
        .module("drivers/dev.ko.xz", &["alias=crc32c"]);
    tree.file(
        "modules.builtin.modinfo",
        b"xxhash.license=GPL\0xxhash.alias=xxhash64\0xxhash.alias=crypto-xxhash64\0",
    );
    let found = closure(&tree, &[Request::required("fs")]).unwrap();
    assert_eq!(order(&found), ["0?arch/x86/crypto/crc32c-intel.ko", "1!lib.ko", "2!fs.ko"]);
    assert_eq!(found.built_in.iter().collect::<Vec<_>>(), ["xxhash64"]);
    assert!(found.notes.is_empty(), "{:?}", found.notes);
}

#[test]
fn an_algorithm_is_built_in_or_a_module() {
    let request = [Request::algorithm("sha256")];
    let fast = |tree: Tree| tree.module("arch/x86/sha256-ssse3.ko", &["alias=crypto-sha256"]);
    let generic = |tree: Tree| tree.module("crypto/sha256_generic.ko", &["alias=crypto-sha256"]);

    // Built in, and a kernel that lists the aliases of what is built in.
    let tree = fast(Tree::new());
    tree.file("modules.builtin.modinfo", b"sha256.alias=crypto-sha256\0");
    assert_eq!(order(&closure(&tree, &request).unwrap()), ["0?arch/x86/sha256-ssse3.ko"]);
    // Built in, and a kernel that does not.
    let tree = Tree::new().built_in(&["crypto/sha256_generic"]);
    assert!(order(&closure(&tree, &request).unwrap()).is_empty());
    // The portable one is needed where it is a module; the fast one may fail.
    let tree = fast(generic(Tree::new()));
    let expected = ["0?arch/x86/sha256-ssse3.ko", "0!crypto/sha256_generic.ko"];
    assert_eq!(order(&closure(&tree, &request).unwrap()), expected);
    // The only one is needed.
    assert_eq!(
        order(&closure(&fast(Tree::new()), &request).unwrap()),
        ["0!arch/x86/sha256-ssse3.ko"]
    );
    // None.
    let error = closure(&Tree::new(), &request).unwrap_err();
    assert!(matches!(error, ModuleError::MissingAlgorithm { .. }), "{error:?}");
    assert!(error.to_string().contains("CONFIG_CRYPTO_SHA256"), "{error}");
}

/// Attack: entropy that the host supplies, and knows, before keys are made.
/// Observed: no way of asking for virtio_rng brings it into the initramfs.
#[test]
fn virtio_rng_is_never_taken() {
    let rng = |tree: Tree| tree.module("virtio-rng.ko", &["depends="]);
    for request in [Request::required("virtio-rng"), Request::optional("virtio_rng")] {
        let error = closure(&rng(Tree::new()), &[request]).unwrap_err();
        assert!(matches!(error, ModuleError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("its entropy comes from the host"), "{error}");
    }
    let tree = rng(Tree::new()).module("a.ko", &["depends=virtio-rng"]);
    let error = closure(&tree, &[Request::required("a")]).unwrap_err();
    assert!(matches!(error, ModuleError::Refused { .. }), "{error:?}");
    let tree = rng(Tree::new()).module("a.ko", &["softdep=pre: virtio-rng post: virtio_rng"]);
    let found = closure(&tree, &[Request::required("a")]).unwrap();
    assert_eq!(order(&found), ["0!a.ko"]);
    let note = Note::Skipped { module: "virtio_rng".into(), wanted_by: "module a".into() };
    assert_eq!(found.notes, [note]);
    let tree = Tree::new().built_in(&["drivers/char/hw_random/virtio-rng"]);
    let found = closure(&tree, &[]).unwrap();
    assert!(matches!(found.notes[..], [Note::RefusedBuiltIn { module: "virtio_rng", .. }]));
}

#[test]
fn circles_are_refused_and_named() {
    let tree = Tree::new()
        .module("a.ko", &["depends=b"])
        .module("b.ko", &["depends=c"])
        .module("c.ko", &["depends=b"]);
    let error = closure(&tree, &[Request::required("a")]).unwrap_err();
    assert_eq!(error.to_string(), "modules depend on each other in a circle: b → c → b");
    let tree =
        Tree::new().module("a.ko", &["softdep=post: b"]).module("b.ko", &["softdep=post: a"]);
    let error = closure(&tree, &[Request::required("a")]).unwrap_err();
    assert!(matches!(error, ModuleError::Cycle { .. }), "{error:?}");
}

#[test]
fn a_module_of_another_kernel_is_refused() {
    let tree = Tree::new();
    tree.file("kernel/a.ko", &module(&["depends=", "vermagic=6.12.0-other SMP "]));
    let error = closure(&tree, &[Request::required("a")]).unwrap_err();
    assert!(
        matches!(&error, ModuleError::WrongKernel { found, .. } if found == "6.12.0-other"),
        "{error:?}"
    );
}

#[test]
fn what_is_no_module_is_refused() {
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("a.ko", b"hello".to_vec(), "ELF"),
        ("a.ko.xz", compressed("a.xz", b"hello"), "ELF"),
        ("a.ko", module(&["depends="]), "no vermagic"),
        ("a.ko", initramfs_support::static_executable(b""), "not a relocatable"),
    ];
    for (name, content, reason) in cases {
        let tree = Tree::new();
        tree.file(&format!("kernel/{name}"), &content);
        let error = closure(&tree, &[Request::required("a")]).unwrap_err();
        assert!(matches!(&error, ModuleError::NotAModule { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn two_files_of_one_module_are_refused_unless_one_is_an_update() {
    let tree = Tree::new().module("a/x-y.ko", &["depends="]).module("b/x_y.ko.xz", &["depends="]);
    let error = closure(&tree, &[Request::required("x-y")]).unwrap_err();
    assert!(matches!(error, ModuleError::Ambiguous { .. }), "{error:?}");
    let update = module(&["depends=", &format!("vermagic={KERNEL} ")]);
    tree.file("updates/dkms/x-y.ko", &update);
    let found = closure(&tree, &[Request::required("x-y")]).unwrap();
    let path = &found.files.first().unwrap().path;
    assert_eq!(*path, format!("/lib/modules/{KERNEL}/updates/dkms/x-y.ko"));
}

#[test]
fn what_is_no_module_directory_is_refused() {
    let tree = Tree::new();
    let not_a_tree = |path: &Path| {
        let error = ModuleTree::open(path).unwrap_err();
        assert!(matches!(error, ModuleError::NotATree { .. }), "{error:?}");
        assert!(error.to_string().contains("give the directory lib/modules/VERSION"), "{error}");
    };
    not_a_tree(&tree.system().join("lib"));
    not_a_tree(Path::new("/"));
    let error = ModuleTree::open(&tree.system().join("absent")).unwrap_err();
    assert!(matches!(error, ModuleError::Io { .. }), "{error:?}");
}

#[test]
fn the_kernel_of_a_system_is_found() {
    let tree = Tree::new();
    assert_eq!(ModuleTree::find(tree.system(), None).unwrap().kernel(), KERNEL);
    assert_eq!(ModuleTree::find(tree.system(), Some(KERNEL)).unwrap().kernel(), KERNEL);
    let version = |wanted| {
        let error = ModuleTree::find(tree.system(), wanted).unwrap_err();
        assert!(matches!(error, ModuleError::Version { .. }), "{error:?}");
        error.to_string()
    };
    let text = version(Some("6.1"));
    assert!(
        text.ends_with("has no modules of kernel 6.1; there are those of: 6.12.0-test"),
        "{text}"
    );
    tree.file("../6.1/modules.builtin", b"");
    assert!(version(None).ends_with("there are those of: 6.1, 6.12.0-test"));
    assert_eq!(ModuleTree::find(tree.system(), Some("6.1")).unwrap().kernel(), "6.1");
    let error = ModuleTree::find(&tree.path(), None).unwrap_err();
    assert!(matches!(error, ModuleError::NotATree { .. }), "{error:?}");
}

/// Debian 13 and later put modules into usr/lib; an unpacked package may have
/// an empty lib/modules beside it.
#[test]
fn the_kernel_of_a_system_is_found_below_usr() {
    let tree = Tree::new();
    let system = tempfile::tempdir().unwrap();
    let find = || ModuleTree::find(system.path(), None);
    std::fs::create_dir_all(system.path().join("lib/modules")).unwrap();
    let error = find().unwrap_err().to_string();
    assert!(error.ends_with("there are those of: no kernel at all"), "{error}");
    std::fs::create_dir_all(system.path().join("usr")).unwrap();
    std::os::unix::fs::symlink(tree.system().join("lib"), system.path().join("usr/lib")).unwrap();
    assert_eq!(find().unwrap().kernel(), KERNEL);
}

#[test]
fn links_to_directories_are_not_followed() {
    let tree = verity();
    std::os::unix::fs::symlink("/", tree.path().join("build")).unwrap();
    std::os::unix::fs::symlink("kernel", tree.path().join("source")).unwrap();
    assert_eq!(closure(&tree, &[Request::required("virtio_blk")]).unwrap().files.len(), 1);
}

#[test]
fn more_modules_than_a_load_order_holds_are_refused() {
    let mut tree = Tree::new();
    let mut names = Vec::new();
    for n in 0..513 {
        tree = tree.module(&format!("m{n}.ko"), &["depends="]);
        names.push(Request::required(format!("m{n}")));
    }
    let error = closure(&tree, &names).unwrap_err();
    assert!(matches!(error, ModuleError::LoadOrder(_)), "{error:?}");
    assert_eq!(closure(&tree, &names[..512]).unwrap().files.len(), 512);
}

#[test]
fn the_sets_of_an_image_are_solved_together() {
    let tree = verity()
        .built_in(&["drivers/virtio/virtio_pci", "crypto/sha256_generic", "fs/ext4/ext4"])
        .module("fs/overlay.ko", &["depends="]);
    let sets = Set::for_root(FsType::Ext4, Some(protocol::config::VerityAlgorithm::Sha256), true);
    let requests: Vec<Request> = sets.into_iter().flat_map(Set::requests).collect();
    let found = closure(&tree, &requests).unwrap();
    assert_eq!(found.files.len(), 6);
    assert_eq!(found.built_in.iter().collect::<Vec<_>>(), ["ext4", "sha256", "virtio_pci"]);
}

#[test]
fn no_change_of_a_module_makes_the_builder_panic() {
    let good = module(&["depends=", "alias=x", &format!("vermagic={KERNEL} SMP")]);
    let mut random = Random(4);
    let (mut refused, mut read) = (0, 0);
    let tree = Tree::new();
    for _ in 0..3000 {
        tree.file("kernel/a.ko", &mutated(&good, &mut random));
        match closure(&tree, &[Request::required("a")]) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 500 && read > 100, "{refused} refused, {read} read");
}
