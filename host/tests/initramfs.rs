//! `ravelin image initramfs`, and `ravelin inspect` on what it makes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::{names, run, static_executable, tool};

/// A directory with a PID 1 and a configuration.
fn inputs() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("init"), static_executable()).unwrap();
    fs::write(directory.path().join("ravelin.toml"), "on_failure = \"halt\"\n").unwrap();
    directory
}

const BASE: [&str; 4] = ["image", "initramfs", "--init", "init"];

fn image(directory: &tempfile::TempDir, more: &[&str]) -> common::Ran {
    run(directory.path(), &[&BASE[..], more].concat())
}

#[test]
fn parts_are_one_initramfs_when_concatenated() {
    let inputs = inputs();
    let whole = ["-o", "whole.cpio", "--config", "ravelin.toml", "--json"];
    let ran = image(&inputs, &whole).ok();
    assert!(ran.stderr.contains("no --kernel-modules"), "{}", ran.stderr);
    let json = ran.json();
    assert_eq!(json["kind"], "image-initramfs");
    assert_eq!(json["compression"], "none");
    assert_eq!(json["parts"][1]["part"], "config");
    image(&inputs, &["-o", "base.cpio", "--part", "base"]).ok();
    image(&inputs, &["-o", "config.cpio", "--part", "config", "--config", "ravelin.toml"]).ok();
    let read = |name: &str| fs::read(inputs.path().join(name)).unwrap();
    let whole = read("whole.cpio");
    assert_eq!(whole, [read("base.cpio"), read("config.cpio")].concat());
    assert_eq!(json["bytes"], whole.len());

    let ran = run(inputs.path(), &["inspect", "--json", "whole.cpio"]).ok();
    let inspected = ran.json();
    assert_eq!(inspected["type"], "initramfs");
    assert_eq!(inspected["archives"], 2);
    assert_eq!(inspected["sha256"], json["sha256"]);
    assert_eq!(inspected["configuration"], "on_failure = \"halt\"\n");
    assert_eq!(inspected["findings"].as_array().unwrap().len(), 0);
}

#[test]
fn the_name_of_the_output_chooses_the_compression() {
    let inputs = inputs();
    for (arguments, expected) in [
        (&["-o", "a.cpio"][..], "none"),
        (&["-o", "a.cpio.zst"], "zstd:19"),
        (&["-o", "b.cpio.zst", "--compress", "none"], "none"),
        (&["-o", "b.cpio", "--compress", "zstd:3"], "zstd:3"),
    ] {
        let ran = image(&inputs, &[arguments, &["--json"]].concat()).ok();
        assert_eq!(ran.json()["compression"], expected, "{arguments:?}");
        let json = run(inputs.path(), &["inspect", "--json", arguments[1]]).ok().json();
        assert_eq!(json["compressed"], expected != "none");
    }
    image(&inputs, &["-o", "a", "--compress", "gzip"]).code(2);
    // GNU cpio's opinion of it.
    if let (Some(cpio), Some(zstd)) = (tool("cpio"), tool("zstd")) {
        let script = format!("{} -dc a.cpio.zst | {} -t", zstd.display(), cpio.display());
        let output =
            Command::new("sh").args(["-c", &script]).current_dir(inputs.path()).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("init\n"), "{output:?}");
    }
}

#[test]
fn the_vm_description_is_made_and_kept() {
    let inputs = inputs();
    fs::write(inputs.path().join("OVMF.fd"), "").unwrap();
    let vm = ["-o", "sub/../i.cpio", "--vm", "vm.toml", "--firmware", "OVMF.fd"];
    fs::create_dir(inputs.path().join("sub")).unwrap();
    image(&inputs, &vm).ok();
    let path = inputs.path().join("vm.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("initrd = \"i.cpio\"\n"), "{text}");
    assert!(text.contains("firmware = \"OVMF.fd\"\n"), "{text}");
    let edited = text.replace("memory = \"2G\"", "memory = \"3G\" # more");
    fs::write(&path, &edited).unwrap();
    image(&inputs, &["-o", "j.cpio", "--vm", "vm.toml"]).ok();
    let expected = edited.replace("\"i.cpio\"", "\"j.cpio\"");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);

    // A description that cannot be read stops the command before it writes.
    fs::write(&path, "format = 1\nbogus = 2\n").unwrap();
    let ran = image(&inputs, &["-o", "k.cpio", "--vm", "vm.toml"]).code(3);
    assert!(ran.stderr.contains("vm.toml:2:1: unknown field `bogus`"), "{}", ran.stderr);
    assert!(!inputs.path().join("k.cpio").exists());
}

/// Each wrong use, the start of its message, and nothing is left behind.
#[test]
fn errors_name_the_input_and_leave_nothing() {
    let inputs = inputs();
    let write = |name: &str, content: &[u8]| fs::write(inputs.path().join(name), content).unwrap();
    write("bad.toml", b"on_failure = \"shell\"\n");
    write("unknown.toml", b"[root]\ncolour = 1\n");
    write("huge.toml", &[b'#'; 70_000]);
    write("script", b"#!/bin/sh\n");
    fs::create_dir(inputs.path().join("empty")).unwrap();
    let before = names(inputs.path());
    let cases: &[(&[&str], i32, &str)] = &[
        (&["-o", "o", "--config", "bad.toml"], 3, "bad.toml: key 'on_failure' in the conf"),
        (&["-o", "o", "--config", "unknown.toml"], 3, "unknown.toml: unknown key 'root.colour'"),
        (&["-o", "o", "--config", "huge.toml"], 3, "huge.toml: the configuration file is longer"),
        (&["-o", "o", "--config", "absent"], 3, "absent: cannot be read: No such file"),
        (&["-o", "o", "--init", "script"], 3, "script: this cannot be PID 1: it is a script"),
        (&["-o", "o", "--init", "absent"], 3, "absent: No such file"),
        (&["-o", "o", "--kernel-modules", "empty"], 3, "empty: is no kernel's module directory"),
        (&["-o", "absent/o"], 3, "absent/o: the directory of the output cannot be used"),
        (&["-o", "empty"], 3, "empty: exists and is not a regular file"),
        (&["-o", "o", "--part", "modules"], 2, "--part modules has nothing to be made of"),
        (&["-o", "o", "--part", "base", "--config", "bad.toml"], 2, "--config FILE has no use"),
        (&["-o", "o", "--part", "base", "--vm", "vm.toml"], 2, "the argument '--part <PART>'"),
        (&["-o", "bad.toml", "--config", "bad.toml"], 2, "bad.toml: --config and --output are the"),
        (&["-o", "bad.toml", "--vm", "./bad.toml"], 2, "bad.toml: --vm and --output are the same"),
        (&["-o", "script", "--init", "script"], 2, "script: --init and --output are the same"),
        (&["-o", "script", "--hook", "pre-root=script"], 2, "script: --hook and --output are the"),
        (&["-o", "o", "--set", "ext9"], 2, "invalid value 'ext9' for '--set <SET>'"),
        (&["-o", "o", "--kernel", "k"], 2, "the following required arguments"),
    ];
    for (arguments, code, message) in cases {
        // `--init` twice is an error of its own.
        let base = if arguments.contains(&"--init") { &BASE[..2] } else { &BASE };
        let ran = run(inputs.path(), &[base, arguments].concat()).code(*code);
        let line = ran.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(line.starts_with(&format!("error: {message}")), "{arguments:?}: {}", ran.stderr);
        assert_eq!(names(inputs.path()), before, "{arguments:?}");
    }
}

/// Without `RAVELIN_INIT` at build time there is no PID 1 inside; with it there
/// is. Both are right, and the program says which.
#[test]
fn without_a_pid_1_the_way_to_one_is_named() {
    let inputs = inputs();
    let ran = run(inputs.path(), &["image", "initramfs", "-o", "o.cpio"]);
    if ran.code == Some(0) {
        let json = run(inputs.path(), &["inspect", "--json", "o.cpio"]).ok().json();
        let entries = json["entries"].as_array().unwrap();
        assert!(entries.iter().any(|entry| entry["path"] == "init"));
    } else {
        let ran = ran.code(3);
        assert!(ran.stderr.contains("cargo xtask build"), "{}", ran.stderr);
        assert!(!inputs.path().join("o.cpio").exists());
    }
}

/// With the modules of the kernel that the project tests with.
#[test]
fn a_real_kernel() {
    let Some(kernel) = std::env::var_os("RAVELIN_TEST_KERNEL").map(PathBuf::from) else {
        eprintln!("SKIPPED: RAVELIN_TEST_KERNEL is unset; `cargo xtask test` sets it");
        return;
    };
    let modules = fs::read_dir(kernel.join("lib/modules")).unwrap().next().unwrap().unwrap();
    let release = modules.file_name().into_string().unwrap();
    let modules = modules.path().into_os_string().into_string().unwrap();
    let image_file = kernel.join(format!("boot/vmlinuz-{release}")).into_os_string();
    let image_file = image_file.into_string().unwrap();
    let inputs = inputs();
    let arguments = [
        "-o",
        "i.cpio.zst",
        "-m",
        &modules,
        "--compress",
        "zstd:3",
        "--vm",
        "vm.toml",
        "--kernel",
        &image_file,
        "--json",
    ];
    let json = image(&inputs, &arguments).ok().json();
    assert_eq!(json["kernel_release"], release.as_str());
    let has = |list: &serde_json::Value, name: &str| {
        list.as_array().unwrap().iter().any(|m| m["path"].as_str().unwrap().ends_with(name))
    };
    assert!(has(&json["modules"], "/dm-verity.ko") && has(&json["modules"], "/erofs.ko"), "{json}");
    let inspected = run(inputs.path(), &["inspect", "--json", "i.cpio.zst"]).ok().json();
    assert_eq!(inspected["modules"]["modules"], json["modules"]);

    // The description says ext4 and sha512 now: so do the modules.
    let vm = fs::read_to_string(inputs.path().join("vm.toml")).unwrap();
    let roothash = "00".repeat(64);
    let cmdline = format!(
        "console=ttyS0 ravelin.root.mode=verity ravelin.root.device=serial:a \
         ravelin.root.fstype=ext4 ravelin.verity.hash_device=serial:b \
         ravelin.verity.roothash={roothash} ravelin.verity.salt=- \
         ravelin.verity.data_blocks=7 ravelin.verity.algorithm=sha512"
    );
    let vm = vm.replace("memory =", &format!("cmdline = \"{cmdline}\"\nmemory ="));
    fs::write(inputs.path().join("vm.toml"), vm).unwrap();
    let json = image(&inputs, &arguments).ok().json();
    assert!(has(&json["modules"], "/ext4.ko") || json["built_in"].to_string().contains("ext4"));
    assert!(!has(&json["modules"], "/erofs.ko"), "{json}");

    // A configuration that PID 1 would refuse together with that line.
    fs::write(inputs.path().join("twice.toml"), "root.fstype = \"erofs\"\n").unwrap();
    let ran = image(&inputs, &[&arguments[..], &["--config", "twice.toml"]].concat()).code(3);
    assert!(ran.stderr.contains("key 'root.fstype' is given"), "{}", ran.stderr);

    // Another kernel's image.
    let mut other = fs::read(&image_file).unwrap();
    let at = other.windows(release.len()).position(|w| w == release.as_bytes()).unwrap();
    other[at] = b'9';
    fs::write(inputs.path().join("vmlinuz"), other).unwrap();
    let mut arguments = arguments;
    arguments[9] = "vmlinuz";
    let ran = image(&inputs, &arguments).code(3);
    assert!(ran.stderr.contains("vmlinuz is kernel 9"), "{}", ran.stderr);
}

/// Hooks are in the configuration part, and inspect shows them in the order of running.
#[test]
fn hooks_are_checked_and_listed() {
    let inputs = inputs();
    let write = |name: &str, content: &[u8]| fs::write(inputs.path().join(name), content).unwrap();
    write("20-program", &static_executable());
    write("10-script", b"#! /bin/sh -e\ntrue\n");
    write("30-last", b"#!/bin/sh");
    write("data", b"text");
    let all = [
        "-o",
        "hooks.cpio",
        "--json",
        "--part",
        "config",
        "--hook",
        "pre-handover=30-last",
        "--hook",
        "pre-root=20-program",
        "--hook",
        "pre-root=10-script",
        "--hook-file",
        "/bin/sh=20-program",
        "--hook-file",
        "/usr/share/data=data",
    ];
    let made = image(&inputs, &all).ok().json();
    let names = |json: &serde_json::Value| -> Vec<String> {
        let hooks = json["hooks"].as_array().unwrap().iter();
        hooks.map(|hook| format!("{}/{}", hook["stage"], hook["name"]).replace('"', "")).collect()
    };
    let expected = ["pre-root/10-script", "pre-root/20-program", "pre-handover/30-last"];
    assert_eq!(names(&made), expected);
    let inspected = run(inputs.path(), &["inspect", "--json", "hooks.cpio"]).ok().json();
    assert_eq!(names(&inspected), expected);
    assert_eq!(inspected["hooks"][0]["interpreter"], "/bin/sh");
    assert_eq!(inspected["hooks"][1]["interpreter"], serde_json::Value::Null);
    assert_eq!(inspected["hooks"][1]["sha256"].as_str().unwrap().len(), 64);
    let mode = |path: &str| {
        let entries = inspected["entries"].as_array().unwrap();
        entries.iter().find(|entry| entry["path"] == path).unwrap()["mode"].clone()
    };
    assert_eq!(mode("etc/ravelin/hooks/pre-root.d/10-script"), "0755");
    assert_eq!(mode("bin/sh"), "0755");
    assert_eq!(mode("usr/share/data"), "0644");
    let text = run(inputs.path(), &["inspect", "hooks.cpio"]).ok().stdout;
    assert!(text.contains("hooks, in the order of running"), "{text}");

    // Each is refused for what PID 1 would refuse it for.
    write("bad name", &static_executable());
    write("relative", b"#!bin/sh\n");
    for (arguments, code, message) in [
        (&["--hook", "pre-root=10-script"][..], 3, "needs the interpreter /bin/sh"),
        (&["--hook", "pre-root=data"], 3, "hooks/pre-root.d/data: the program would not start"),
        (&["--hook", "pre-root=bad name"], 3, "is no name of a hook"),
        (&["--hook", "pre-root=relative"], 3, "the first line of the script"),
        (&["--hook", "pre-root=absent"], 3, "absent: No such file"),
        (&["--hook", "pre-root=20-program", "--hook", "pre-root=20-program"], 3, "already in"),
        (&["--hook", "boot=20-program"], 2, "the stages of hooks are"),
        (&["--hook", "20-program"], 2, "STAGE=FILE is meant"),
        (&["--hook-file", "/init=data"], 3, "is not a place for a file of a hook"),
        (&["--hook-file", "/etc/ravelin/x=data"], 3, "is not a place for a file of a hook"),
        (&["--hook-file", "bin/sh=data"], 3, "is not a place for a file of a hook"),
        (&["--part", "base", "--hook", "pre-root=20-program"], 2, "--hook has no use"),
    ] {
        let ran = image(&inputs, &[&["-o", "o"], arguments].concat()).code(code);
        assert!(ran.stderr.contains(message), "{arguments:?}: {}", ran.stderr);
        assert!(!inputs.path().join("o").exists());
    }
}

/// Hooks that an archive of whatever origin has and PID 1 would not run.
#[test]
fn inspect_finds_what_is_no_hook() {
    let inputs = inputs();
    let hooks = inputs.path().join("tree/etc/ravelin/hooks");
    for directory in ["pre-root.d", "pre-boot.d"] {
        fs::create_dir_all(hooks.join(directory)).unwrap();
    }
    fs::write(hooks.join("pre-root.d/dead"), static_executable()).unwrap();
    fs::write(hooks.join("pre-root.d/script"), "#!/bin/sh\n").unwrap();
    fs::write(hooks.join("pre-boot.d/x"), static_executable()).unwrap();
    std::os::unix::fs::symlink("/init", hooks.join("pre-root.d/link")).unwrap();
    let Some(_) = tool("cpio") else { return };
    let script = "cd tree && find . | cpio --create --format=newc --quiet > ../foreign.cpio";
    let made = Command::new("sh").args(["-c", script]).current_dir(inputs.path()).status().unwrap();
    assert!(made.success());
    let ran = run(inputs.path(), &["inspect", "--json", "foreign.cpio"]).code(1);
    let findings = ran.json()["findings"].to_string();
    for expected in [
        "pre-root.d/dead: not executable",
        "pre-boot.d/x: not a hook that PID 1 runs",
        "pre-root.d/link: not a hook that PID 1 runs",
        "hook script of pre-root: its interpreter /bin/sh is missing",
    ] {
        assert!(findings.contains(expected), "{expected}: {findings}");
    }
}
