//! `ravelin launch`: what is printed is what is run, and it ends as it says.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{ravelin, run, tool};
use serde_json::Value;

const VM: &str = r#"format = 1
firmware = "OVMF.fd"
kernel = "vmlinuz"
initrd = "initramfs.cpio"
cmdline = "console=ttyS0 panic=-1 a=\"b c\" d=$(touch pwned);e='f' ravelin.root.init=/sbin/init"
memory = "128M"

[[disks]]
file = "-a, b'c\"$(touch pwned)`touch pwned`\\=ü:é.img"
serial = "ravelin-root"

[[disks]]
file = "data"
serial = "data"
read_only = false
"#;

/// A directory with a VM of empty files.
fn vm(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("vm.toml"), text).unwrap();
    for name in ["OVMF.fd", "vmlinuz", "initramfs.cpio", "data"] {
        fs::write(directory.path().join(name), [0; 4096]).unwrap();
    }
    fs::write(directory.path().join("vmlinuz"), bzimage()).unwrap();
    let disk = "-a, b'c\"$(touch pwned)`touch pwned`\\=ü:é.img";
    fs::write(directory.path().join(disk), [0; 4096]).unwrap();
    directory
}

/// As much of a kernel as QEMU looks at before it runs it: a boot sector, the
/// signature, boot protocol 2.12 (Linux `Documentation/arch/x86/boot.rst`).
fn bzimage() -> Vec<u8> {
    let mut image = vec![0; 64 << 10];
    image[0x1f1] = 1;
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&[0x0c, 0x02]);
    image[0x22c..0x230].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    image
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_printed_command_is_the_golden_one() {
    let directory = vm(VM);
    let base = directory.path().canonicalize().unwrap();
    let ran = run(directory.path(), &["launch", "--print", "-q"]).ok();
    let expected = "\
qemu-system-x86_64 \\
  -no-user-config \\
  -nodefaults \\
  -nographic \\
  -no-reboot \\
  -machine 'q35,vmport=off,sata=off,smbus=off,i8042=off,hpet=off,accel=kvm,smm=off,confidential-guest-support=sev0,memory-backend=ram0' \\
  -cpu EPYC-v4 \\
  -smp 1 \\
  -m 128M \\
  -object 'memory-backend-memfd,id=ram0,size=128M,share=true,prealloc=false' \\
  -object 'sev-snp-guest,id=sev0,policy=0x30000,cbitpos=CBIT,reduced-phys-bits=1,kernel-hashes=on' \\
  -bios DIR/OVMF.fd \\
  -global 'ICH9-LPC.disable_s3=1' \\
  -global 'ICH9-LPC.disable_s4=1' \\
  -global 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off' \\
  -kernel DIR/vmlinuz \\
  -initrd DIR/initramfs.cpio \\
  -append 'console=ttyS0 panic=-1 a=\"b c\" d=$(touch pwned);e='\"'f' ravelin.root.init=/sbin/init\" \\
";
    let cbit = regex_cbit(&ran.stdout);
    let got = ran.stdout.replace(base.to_str().unwrap(), "DIR").replace(&cbit, "cbitpos=CBIT");
    assert!(got.starts_with(expected), "{got}\n{expected}");
    assert!(got.ends_with("  -monitor none\n"), "{got}");
    assert_eq!(got.matches(",,").count(), 1, "the comma in the file name is doubled: {got}");
    assert!(!got.contains("virtio-rng"), "{got}");
}

/// `cbitpos=…` as printed; 51, or what the processor of this machine says.
fn regex_cbit(text: &str) -> String {
    let start = text.find("cbitpos=").unwrap();
    text[start..].split(',').next().unwrap().to_owned()
}

/// The printed text, given to a shell with a program that writes its arguments
/// down, gives exactly the arguments of the JSON form.
#[test]
fn a_shell_reads_back_the_same_arguments() {
    let directory = vm(VM);
    let recorder = directory.path().join("record er.sh");
    fs::write(&recorder, "#!/bin/sh\nfor a; do printf '%s\\0' \"$a\"; done > arguments\n").unwrap();
    fs::set_permissions(&recorder, fs::Permissions::from_mode(0o755)).unwrap();
    for mode in [&["--simulate"][..], &[]] {
        let print = |option: &str| {
            let program = ["launch", option, "--qemu", recorder.to_str().unwrap()];
            let extra = ["--", "-extra", "with space", ""];
            let all = [&["--quiet"], &program[..], &["--print"], mode, &extra].concat();
            run(directory.path(), &all[..]).ok()
        };
        let json = print("--json").json();
        let expected = strings(&json["arguments"]);
        assert_eq!(expected[expected.len() - 3..], ["-extra", "with space", ""]);
        for text in [print("--color=never").stdout, json["shell"].as_str().unwrap().to_owned()] {
            let status = Command::new("sh")
                .current_dir(directory.path())
                .args(["-c", &text])
                .stdin(Stdio::null())
                .status()
                .unwrap();
            assert!(status.success(), "{text}");
            let got = fs::read_to_string(directory.path().join("arguments")).unwrap();
            let got: Vec<&str> = got.split_terminator('\0').collect();
            assert_eq!(got, expected);
        }
    }
    assert!(!directory.path().join("pwned").exists());
}

/// QEMU takes the command line, opens the disks with their hostile names, and
/// runs (stopped, `-S`) until the time is up.
#[test]
fn qemu_accepts_the_simulation() {
    if tool("qemu-system-x86_64").is_none() {
        return;
    }
    let directory = vm(VM);
    let arguments = ["launch", "--simulate", "--timeout", "2s", "--", "-S"];
    let ran = run(directory.path(), &arguments).code(124);
    assert!(ran.stderr.contains("SIMULATION"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Nothing is protected and nothing is attested"), "{}", ran.stderr);

    let broken = run(directory.path(), &["launch", "--simulate", "--", "-no-such-option"]).code(3);
    assert!(broken.stderr.contains("help: its own message is above"), "{}", broken.stderr);
}

/// Every option of the real command is known to QEMU; it stops only where it
/// needs the hardware.
#[test]
fn qemu_knows_the_options_of_the_real_launch() {
    if tool("qemu-system-x86_64").is_none() || Path::new("/dev/sev").exists() {
        return;
    }
    let directory = vm(VM);
    let text = run(directory.path(), &["launch", "--print", "-q"]).ok().stdout;
    let output = Command::new("sh")
        .args(["-c", &text])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(stderr.contains("KVM") || stderr.contains("sev"), "{stderr}");
    for wrong in ["invalid option", "not found", "Invalid parameter", "expects"] {
        assert!(!stderr.contains(wrong), "{stderr}");
    }
}

#[test]
fn without_snp_the_remedy_is_named() {
    if Path::new("/dev/sev").exists() {
        return;
    }
    let directory = vm(VM);
    let ran = run(directory.path(), &["launch"]).code(3);
    assert!(ran.stderr.contains("this machine cannot start an SEV-SNP guest"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--simulate"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_missing_file_is_found_before_qemu_starts() {
    for (name, setting) in [("vmlinuz", "kernel"), ("initramfs.cpio", "initrd"), ("data", "disk")] {
        let directory = vm(VM);
        let path = directory.path().join(name);
        fs::remove_file(&path).unwrap();
        let arguments = ["launch", "--simulate", "--qemu", "/bin/false"];
        let ran = run(directory.path(), &arguments).code(3);
        let expected = format!("the {setting} {}: No such file", path.display());
        assert!(ran.stderr.contains(&expected), "{}", ran.stderr);
        fs::create_dir(&path).unwrap();
        let ran = run(directory.path(), &arguments).code(3);
        assert!(ran.stderr.contains("directory"), "{}", ran.stderr);
        // It is not needed to print the command.
        run(directory.path(), &["launch", "--simulate", "--print"]).ok();
    }
    // A simulation needs no firmware.
    let directory = vm(VM);
    fs::remove_file(directory.path().join("OVMF.fd")).unwrap();
    run(directory.path(), &["launch", "--simulate", "--qemu", "/bin/true"]).ok();
}

/// QEMU would try to make the device, and fail without saying how it is made.
#[test]
fn an_interface_that_is_not_there_is_found_first() {
    for (key, what, help) in [
        ("tap", "no tap device lo", "ip tuntap add dev lo mode tap"),
        ("bridge", "no bridge lo", "ip link add lo type bridge"),
    ] {
        let network = format!("[network]\n{key} = \"lo\"\nmac = \"52:54:00:00:00:01\"\n");
        let directory = vm(&format!("{VM}{network}"));
        let arguments = ["launch", "--simulate", "--qemu", "/bin/false"];
        let ran = run(directory.path(), &arguments).code(3);
        assert!(ran.stderr.contains(what) && ran.stderr.contains(help), "{}", ran.stderr);
        run(directory.path(), &["launch", "--print"]).ok();
    }
}

#[test]
fn errors_of_the_description_name_file_line_and_key() {
    let directory = vm(&VM.replace("memory =", "memroy ="));
    let ran = run(directory.path(), &["launch", "--print"]).code(3);
    let first = ran.stderr.lines().next().unwrap();
    assert!(first.starts_with("error: vm.toml:6:1: unknown field `memroy`, expected"), "{first}");

    let ran =
        run(directory.path(), &["launch", "--vm", "absent.toml", "--json", "--print"]).code(3);
    assert!(ran.stderr.starts_with("error: absent.toml: cannot be read\n"), "{}", ran.stderr);
    let json = ran.json();
    assert_eq!(json["kind"], "error");
    assert_eq!(json["exit_code"], 3);
    assert!(json["help"].as_str().unwrap().contains("ravelin image"), "{json}");
}

/// `attest_port` leads to the port that the measured configuration says.
#[test]
fn the_responder_is_forwarded_to() {
    let forwarded = |mode: &str| {
        let settings = "ravelin.root.mode=plain ravelin.insecure=true ravelin.root.device=serial:ravelin-root \
                        ravelin.root.fstype=ext4";
        let text = format!("{VM}[network]\nattest_port = 4700\nunlock_port = 4701\n");
        let line = text.lines().find(|line| line.starts_with("cmdline")).unwrap();
        let settings = format!("{settings} {mode}");
        let directory = vm(&text.replace(line, &format!("cmdline = \"{settings}\"")));
        let init = common::static_executable();
        fs::write(directory.path().join("init"), init).unwrap();
        let image = ["image", "initramfs", "--init", "init", "-o", "initramfs.cpio"];
        run(directory.path(), &image).ok();
        run(directory.path(), &["launch", "--simulate", "--print"]).ok()
    };
    let ran = forwarded("ravelin.attest.mode=responder ravelin.attest.port=9000");
    assert!(ran.stdout.contains("hostfwd=tcp:127.0.0.1:4700-:9000"), "{ran:#?}");
    let ran = forwarded("ravelin.attest.mode=responder");
    assert!(ran.stdout.contains("hostfwd=tcp:127.0.0.1:4700-:4777"), "{ran:#?}");
    let ran = forwarded("ravelin.attest.mode=none");
    assert!(ran.stderr.contains("`attest_port` leads nowhere"), "{ran:#?}");
    assert!(ran.stderr.contains("`unlock_port` leads nowhere"), "{ran:#?}");
    assert!(ran.stdout.contains("hostfwd=tcp:127.0.0.1:4701-:4778"), "{ran:#?}");
}

/// What PID 1 would say in the VM is said before it starts, as a warning.
#[test]
fn a_configuration_that_pid_1_refuses_is_a_warning() {
    let directory = vm(VM);
    let init = common::static_executable();
    fs::write(directory.path().join("init"), init).unwrap();
    let image = ["image", "initramfs", "--init", "init", "-o", "initramfs.cpio"];
    run(directory.path(), &image).ok();
    let launch = ["launch", "--simulate", "--no-simulator", "--qemu", "/bin/true"];
    let stderr = run(directory.path(), &launch).ok().stderr;
    assert!(stderr.contains("PID 1 will refuse to boot: key 'root.mode' is missing"), "{stderr}");

    let plain =
        "insecure = true\nroot = { mode = \"plain\", device = \"serial:x\", fstype = \"ext4\" }";
    fs::write(directory.path().join("c.toml"), plain).unwrap();
    run(directory.path(), &[&image[..], &["--config", "c.toml"]].concat()).ok();
    let stderr = run(directory.path(), &launch).ok().stderr;
    assert!(!stderr.contains("PID 1 will refuse"), "{stderr}");
}

/// The simulated secure processor is another program, started with the VM and
/// ended with it; what it adds reaches QEMU, and nothing else changes.
#[test]
fn a_simulator_adds_what_it_says_and_ends_with_the_vm() {
    let directory = vm(VM);
    let script = r#"printf '%s\n' "$@" > simulator-arguments; echo $$ > simulator-pid
        echo '{"root":"/r.pem","initrd":"/i","cmdline_suffix":" more","qemu":["-device","x"]}'
        exec sleep 600"#;
    let simulator = script_in(directory.path(), "simulator.sh", script);
    let qemu = script_in(directory.path(), "qemu.sh", "printf '%s\\n' \"$@\" > qemu-arguments");
    let launch = ["launch", "--simulate", "--qemu", &qemu, "--simulator", &simulator];
    let more = ["--simulator-argument", "--fault=busy@2"];
    let ran = run(directory.path(), &[&launch[..], &more].concat()).ok();
    assert!(ran.stderr.contains("--trust-root /r.pem"), "{}", ran.stderr);

    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let qemu = read("qemu-arguments");
    assert!(qemu.contains("\n-initrd\n/i\n-append\nconsole=ttyS0 panic=-1 "), "{qemu}");
    assert!(qemu.contains(" ravelin.root.init=/sbin/init more\n"), "{qemu}");
    assert!(qemu.ends_with("\n-monitor\nnone\n-device\nx\n"), "{qemu}");
    let arguments = read("simulator-arguments");
    let base = directory.path().canonicalize().unwrap();
    let initramfs = format!("\n--initramfs\n{}/initramfs.cpio\n", base.display());
    assert!(arguments.contains(&initramfs), "{arguments}");
    assert!(arguments.contains(&format!("\n--firmware\n{}/OVMF.fd\n", base.display())));
    assert!(
        arguments.ends_with("\n--policy\n0x30000\n--guest-features\n0x1\n--fault=busy@2\n"),
        "{arguments}"
    );
    let pid = read("simulator-pid");
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "it still runs");
}

#[test]
fn a_simulator_that_does_not_serve_is_an_error() {
    let directory = vm(VM);
    let start = |simulator: &str| {
        let launch = ["launch", "--simulate", "--qemu", "/bin/true", "--simulator", simulator];
        run(directory.path(), &launch).code(3).stderr
    };
    let ended = script_in(directory.path(), "ended.sh", "echo why >&2");
    let stderr = start(&ended);
    assert!(stderr.contains("why\nerror: ") && stderr.contains("does not serve"), "{stderr}");
    let other = script_in(directory.path(), "other.sh", "echo '{}'");
    assert!(start(&other).contains("is of another version than this ravelin"));
    let stderr = start("/absent/ravelin-simulator");
    assert!(stderr.contains("cannot be started") && stderr.contains("--no-simulator"), "{stderr}");
}

#[test]
fn a_running_vm_has_no_json() {
    let directory = vm(VM);
    run(directory.path(), &["launch", "--json", "--simulate"]).code(2);
}

/// A stand-in for QEMU that says how it ended. It stays away for as long as the
/// test wants, unless a signal arrives.
fn stand_in(directory: &Path, script: &str) -> String {
    script_in(directory, "qemu.sh", script)
}

fn script_in(directory: &Path, name: &str, script: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn signals_are_passed_on_and_end_with_their_code() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let directory = vm(VM);
        let qemu = stand_in(
            directory.path(),
            "trap 'echo INT > got; exit 0' INT; trap 'echo TERM > got; exit 0' TERM\n\
             touch ready; while :; do sleep 0.05; done",
        );
        let mut child = ravelin()
            .current_dir(directory.path())
            .args(["launch", "--simulate", "-q", "--qemu", &qemu])
            .spawn()
            .unwrap();
        wait_for(&directory.path().join("ready"));
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let got = fs::read_to_string(directory.path().join("got")).unwrap();
        assert_eq!(got.trim(), signal);
    }
}

#[test]
fn exit_codes_of_qemu_and_time_limits() {
    let directory = vm(VM);
    let launch = |script: &str, more: &[&str]| {
        let qemu = stand_in(directory.path(), script);
        let all = [&["launch", "--simulate", "--qemu", &qemu], more].concat();
        run(directory.path(), &all)
    };
    launch("exit 0", &[]).ok();
    let failed = launch("echo broken >&2; exit 7", &[]).code(3);
    assert!(failed.stderr.contains("broken") && failed.stderr.contains("exit status: 7"));
    let begun = Instant::now();
    // It ignores SIGTERM, so that it is killed after the grace period.
    launch("trap '' TERM; while :; do sleep 0.05; done", &["--timeout", "1s"]).code(124);
    assert!(begun.elapsed() < Duration::from_secs(30));
    launch("exit 0", &["--timeout", "0s"]).code(2);
    let missing = run(directory.path(), &["launch", "--simulate", "--qemu", "./no-qemu"]).code(3);
    assert!(missing.stderr.contains("--qemu"), "{}", missing.stderr);
}

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} never came", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}
