//! `ravelin launch --print`: three forms of one VM, and the launch digest of each is that of
//! `ravelin measure`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "../../attestation/tests/measurement_common/mod.rs"]
mod measurement_common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use attestation::measurement::{
    CpuType, DirectBoot, GuestFeatures, Launch, VcpuCount, VmmKind, prepare,
};
use common::{run, tool};
use measurement_common::Random;
use measurement_common::ovmf::Ovmf;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Value, json};

const DISK: &str = "-a, b'c\"$(x)`<&>%h;\\=ü.img";

/// A VM with every setting, in files with hostile names.
fn vm(directory: &Path, network: &str) {
    fs::write(directory.join("ovmf &.fd"), Ovmf::default().image()).unwrap();
    fs::write(directory.join("vm linuz"), Random(2).bytes(70_000)).unwrap();
    fs::write(directory.join("init'rd"), Random(3).bytes(30_001)).unwrap();
    let text = format!(
        "format = 1\nfirmware = \"ovmf &.fd\"\nkernel = \"vm linuz\"\ninitrd = \"init'rd\"\n\
         cmdline = \"console=ttyS0 a=\\\"b c\\\" x=<&>'$HOME;%h\"\nvcpus = 3\n\
         cpu = \"EPYC-Milan\"\nmemory = \"1G\"\n\
         [[disks]]\nfile = '''{DISK}'''\nserial = \"ravelin-root\"\n\
         [[disks]]\nfile = \"data\"\nserial = \"data\"\nread_only = false\n\
         [network]\n{network}\n[sev]\nhost_data = \"{}\"\n",
        "0f".repeat(32)
    );
    fs::write(directory.join("vm.toml"), text).unwrap();
}

const PORTS: &str = "ssh_port = 2222\nattest_port = 4777\nunlock_port = 4778\n\
                     forward = [{ protocol = \"udp\", host_address = \"0.0.0.0\", host_port = 53, guest_port = 53 }]";
const TAP: &str = "tap = \"tap0\"\nmac = \"52:54:00:00:00:01\"";
const BRIDGE: &str = "bridge = \"br0\"\nmac = \"52:54:00:00:00:01\"";

/// A key of the tests, for ID blocks.
fn key(directory: &Path, name: &str, byte: u8) {
    let key = p384::SecretKey::from_slice(&[byte; 48]).unwrap();
    let pem = p384::pkcs8::EncodePrivateKey::to_pkcs8_pem(&key, Default::default()).unwrap();
    fs::write(directory.join(name), pem.as_bytes()).unwrap();
}

/// Puts an ID block with an author key into the description.
fn sign(directory: &Path) {
    key(directory, "id.pem", 7);
    key(directory, "author.pem", 8);
    let arguments = ["id-block", "--id-key", "id.pem", "--author-key", "author.pem", "--write"];
    run(directory, &arguments).ok();
}

fn arguments(directory: &Path) -> Vec<String> {
    let json = run(directory, &["launch", "--print", "--json"]).ok().json();
    let list = json["arguments"].as_array().unwrap();
    list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// What is measured of a launch.
#[derive(Debug, PartialEq, Eq)]
struct Measured {
    firmware: String,
    kernel: String,
    initrd: String,
    cmdline: String,
    vcpus: u32,
    cpu: String,
}

impl Measured {
    fn of_qemu(arguments: &[String]) -> Self {
        let value = |option: &str| {
            let at = arguments.iter().position(|argument| argument == option).unwrap();
            assert_eq!(arguments.iter().filter(|a| *a == option).count(), 1, "{option} once");
            arguments[at + 1].clone()
        };
        Self {
            firmware: value("-bios"),
            kernel: value("-kernel"),
            initrd: value("-initrd"),
            cmdline: value("-append"),
            vcpus: value("-smp").parse().unwrap(),
            cpu: value("-cpu"),
        }
    }

    fn of_domain(xml: &str) -> Self {
        let text = |path: &str| element(xml, path).unwrap();
        Self {
            firmware: text("domain/os/loader"),
            kernel: text("domain/os/kernel"),
            initrd: text("domain/os/initrd"),
            cmdline: text("domain/os/cmdline"),
            vcpus: text("domain/vcpu").parse().unwrap(),
            cpu: text("domain/cpu/model"),
        }
    }

    fn digest(&self) -> String {
        let boot = DirectBoot {
            kernel: &mut File::open(&self.kernel).unwrap(),
            initrd: Some(&mut File::open(&self.initrd).unwrap()),
            cmdline: self.cmdline.as_bytes(),
        };
        let (firmware, hashes) = prepare(File::open(&self.firmware).unwrap(), Some(boot)).unwrap();
        let launch = Launch::new(&firmware, hashes.as_ref(), VmmKind::Qemu).unwrap();
        let cpu: CpuType = self.cpu.parse().unwrap();
        let vcpus = VcpuCount::try_from(self.vcpus).unwrap();
        launch.digest(vcpus, cpu.signature(), GuestFeatures::default()).to_string()
    }
}

/// The text of the first element at a path of names.
fn element(xml: &str, path: &str) -> Option<String> {
    let (mut reader, mut at, mut text) = (Reader::from_str(xml), Vec::new(), None::<String>);
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                at.push(start.name().as_ref().to_owned());
                if at.join("/") == path {
                    text = Some(String::new());
                }
            }
            Event::Text(part) => {
                if let Some(text) = &mut text {
                    text.push_str(&part);
                }
            }
            Event::GeneralRef(name) => {
                if let Some(text) = &mut text {
                    text.push_str(quick_xml::escape::resolve_xml_entity(&name).unwrap());
                }
            }
            Event::End(_) if text.is_some() => return text,
            Event::End(_) => drop(at.pop()),
            Event::Eof => return None,
            Event::Empty(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
}

fn libvirt(directory: &Path) -> String {
    run(directory, &["launch", "--print", "libvirt"]).ok().stdout
}

/// One source: what QEMU and libvirt are told is what `measure` measures.
#[test]
fn what_is_launched_is_what_is_measured() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory, PORTS);
    let measured = run(directory, &["measure", "--json"]).ok().json();
    let command = Measured::of_qemu(&arguments(directory));
    assert_eq!(measured["measurement"].as_str().unwrap(), command.digest());
    assert_eq!(Measured::of_domain(&libvirt(directory)), command);

    // Hashes are on in each, or none of it would count.
    assert!(arguments(directory).iter().any(|a| a.contains(",kernel-hashes=on")));
    assert!(libvirt(directory).contains("kernelHashes=\"yes\""));
    sign(directory);
    let block = arguments(directory).into_iter().find(|a| a.starts_with("sev-snp-guest")).unwrap();
    for (option, name) in
        [("id-block", "idBlock"), ("id-auth", "idAuth"), ("host-data", "hostData")]
    {
        let value = element(&libvirt(directory), &format!("domain/launchSecurity/{name}")).unwrap();
        assert!(block.contains(&format!(",{option}={value}")), "{name}");
    }
    assert!(block.ends_with(",author-key-enabled=on"), "{block}");
    assert!(libvirt(directory).contains("authorKey=\"yes\""));
}

/// libvirt's own schema, from its package.
#[test]
fn libvirt_takes_the_domain() {
    let Some(share) = std::env::var_os("RAVELIN_TEST_LIBVIRT") else {
        eprintln!("SKIPPED: RAVELIN_TEST_LIBVIRT is unset; `cargo xtask test` sets it");
        return;
    };
    let Some(xmllint) = tool("xmllint") else { return };
    let share = Path::new(&share);
    let validate = |xml: &str| {
        let mut child = Command::new(&xmllint)
            .args(["--noout", "--relaxng"])
            .arg(share.join("schemas/domain.rng"))
            .arg("-")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(xml.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for network in [PORTS, TAP, BRIDGE, ""] {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        vm(directory, network);
        sign(directory);
        let more = ["--console-log", "a<b.log", "--qemu", "/bin/true"];
        let arguments = [&["launch", "--print", "libvirt"][..], &more].concat();
        for xml in [libvirt(directory), run(directory, &arguments).ok().stdout] {
            let (valid, message) = validate(&xml);
            assert!(valid, "{message}{xml}");
        }
    }
    // The schema does refuse something.
    let directory = tempfile::tempdir().unwrap();
    vm(directory.path(), PORTS);
    let wrong = libvirt(directory.path()).replace("kernelHashes", "kernelhashes");
    assert!(!validate(&wrong).0);
    // The default vCPU type is one that libvirt knows.
    assert!(share.join("cpu_map/x86_EPYC-v4.xml").exists());
}

/// A confined service does not see /tmp; the project may be there.
fn seen_by_services() -> PathBuf {
    let usual = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let unseen = ["/tmp", "/var/tmp"].iter().any(|hidden| usual.starts_with(hidden));
    if unseen { std::env::home_dir().unwrap() } else { usual }
}

#[test]
fn systemd_takes_the_unit() {
    let Some(analyze) = tool("systemd-analyze") else { return };
    for network in [PORTS, TAP, ""] {
        let directory = tempfile::tempdir_in(seen_by_services()).unwrap();
        let directory = directory.path();
        vm(directory, network);
        let print =
            ["launch", "--print", "systemd", "--qemu", "/bin/true", "--console-log", "a b/c"];
        let unit = run(directory, &print).ok().stdout;
        assert_eq!(unit.contains("/dev/net/tun"), network == TAP, "{unit}");
        assert!(unit.contains("DynamicUser=yes") && unit.contains("NoNewPrivileges=yes"), "{unit}");
        assert!(unit.contains("x=<&>'$$HOME;%%h\" \\\n"), "{unit}");
        let base = directory.canonicalize().unwrap();
        let base = base.display();
        assert!(unit.contains(&format!("ReadWritePaths={base}/data\n")), "{unit}");
        assert!(unit.contains(&format!("ReadWritePaths=\"{base}/a b\"\n")), "{unit}");
        assert_eq!(unit.matches("ReadWritePaths=").count(), 2, "the root is read-only: {unit}");
        let path = directory.join("web.service");
        fs::write(&path, &unit).unwrap();
        let verify = |path: &Path| {
            let mut command = Command::new(&analyze);
            command.args(["verify", "--man=no"]).arg(path).stdin(Stdio::null()).output().unwrap()
        };
        let output = verify(&path);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{stderr}\n{unit}");
        // It does look at the file.
        fs::write(&path, unit.replace("/bin/true", "/bin/absent")).unwrap();
        assert!(!verify(&path).status.success());
    }
}

#[test]
fn what_has_no_form_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory, BRIDGE);
    let refused = |arguments: &[&str]| {
        run(directory, &[&["launch", "--print"], arguments].concat()).code(3).stderr
    };
    assert!(refused(&["systemd"]).contains("network.tap"));
    vm(directory, PORTS);
    let temporary = Path::new("/tmp");
    if directory.starts_with(temporary) {
        assert!(refused(&["systemd"]).contains("does not see /tmp"));
    }
    assert!(refused(&["libvirt", "--simulate"]).contains("nothing in it would be protected"));
    assert!(refused(&["systemd", "--simulate"]).contains("nothing in it would be protected"));
    assert!(refused(&["libvirt", "--", "-m", "4G"]).contains("arguments for QEMU"));
    run(directory, &["launch", "--print", "docker"]).code(2);
    // Plain and named are the same, and JSON has the other forms too.
    let plain = run(directory, &["launch", "--print"]).ok().stdout;
    assert_eq!(plain, run(directory, &["launch", "--print", "qemu"]).ok().stdout);
    let json = run(directory, &["launch", "--print", "libvirt", "--json"]).ok().json();
    assert_eq!(json["kind"], "launch-libvirt");
    assert_eq!(json["text"].as_str().unwrap(), libvirt(directory));
}

/// Every property of every object and device is one that this QEMU has: asked of
/// QEMU itself, instance properties such as cbitpos included.
#[test]
fn qemu_has_every_property() {
    if tool("qemu-system-x86_64").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory, PORTS);
    sign(directory);
    let arguments = arguments(directory);
    let mut qemu = Qmp::start();
    let machine = qemu.machine("q35");
    let mut seen = BTreeSet::new();
    for pair in arguments.windows(2) {
        let (option, value) = (pair[0].as_str(), pair[1].as_str());
        let (ask, kind, properties) = match option {
            "-object" => {
                ("qom-list-properties", value.split(',').next().unwrap().to_owned(), value)
            }
            "-device" => {
                ("device-list-properties", value.split(',').next().unwrap().to_owned(), value)
            }
            "-machine" => ("qom-list-properties", machine.clone(), value),
            "-global" => {
                let (kind, property) = value.split_once('.').unwrap();
                let known = qemu.properties("device-list-properties", kind);
                assert!(known.contains(property.split('=').next().unwrap()), "{value}");
                continue;
            }
            _ => continue,
        };
        let known = qemu.properties(ask, &kind);
        for property in properties.split(',').skip(1) {
            let name = property.split('=').next().unwrap();
            // The id of an object, and the accelerator, are options of their own.
            let own = name == "id" || (option == "-machine" && name == "accel");
            assert!(own || known.contains(name), "{kind} has no {name}: {known:?}");
        }
        seen.insert(kind);
    }
    for kind in ["sev-snp-guest", "memory-backend-memfd", "virtio-blk-pci", "virtio-net-pci"] {
        assert!(seen.contains(kind), "{kind} in {seen:?}");
    }
}

/// The real command with emulation instead of KVM and without SNP: QEMU builds the whole
/// machine from it, and waits.
#[test]
fn qemu_builds_the_machine() {
    if tool("qemu-system-x86_64").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    vm(directory, "");
    fs::write(directory.join(DISK), [0; 4096]).unwrap();
    fs::write(directory.join("data"), [0; 4096]).unwrap();
    let mut emulated = Vec::new();
    let all = arguments(directory);
    let mut pairs = all.iter();
    while let Some(argument) = pairs.next() {
        match argument.as_str() {
            // They need a kernel and a firmware that QEMU would load.
            "-kernel" | "-initrd" | "-append" | "-bios" => drop(pairs.next()),
            "-chardev" | "-serial" => drop(pairs.next()),
            "-object" => {
                let object = pairs.next().unwrap();
                if !object.starts_with("sev-snp-guest") {
                    emulated.extend(["-object".to_owned(), object.clone()]);
                }
            }
            "-machine" => {
                let machine = pairs.next().unwrap().replace("accel=kvm", "accel=tcg");
                let machine = machine.replace(",confidential-guest-support=sev0", "");
                emulated.extend(["-machine".to_owned(), machine]);
            }
            other => emulated.push(other.to_owned()),
        }
    }
    let mut qemu = Qmp::start_with(&emulated);
    let json = qemu.ask(json!({ "execute": "query-block" }));
    let devices: Vec<_> = json["return"].as_array().unwrap().iter().collect();
    assert_eq!(devices.len(), 2, "two disks and no other drive: {json}");
    let json = qemu.ask(json!({ "execute": "query-status" }));
    assert_eq!(json["return"]["running"], false, "{json}");
}

/// A QEMU that is stopped and answers questions; ended when dropped.
struct Qmp {
    child: std::process::Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Qmp {
    fn start() -> Self {
        Self::start_with(&["-machine".into(), "none".into(), "-nodefaults".into()])
    }

    fn start_with(arguments: &[String]) -> Self {
        let mut child = Command::new("qemu-system-x86_64")
            .args(arguments)
            .args(["-display", "none", "-S", "-qmp", "stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What of the model the emulation has not.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut qemu = Self { child, answers };
        qemu.line(); // the greeting
        qemu.ask(json!({ "execute": "qmp_capabilities" }));
        qemu
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn ask(&mut self, question: Value) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{question}").unwrap();
        loop {
            let answer = self.line();
            if answer.get("event").is_none() {
                assert!(answer.get("error").is_none(), "{question}: {answer}");
                return answer;
            }
        }
    }

    fn properties(&mut self, ask: &str, kind: &str) -> BTreeSet<String> {
        let question = json!({ "execute": ask, "arguments": { "typename": kind } });
        let answer = self.ask(question);
        let list = answer["return"].as_array().unwrap();
        list.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The type behind a machine's alias.
    fn machine(&mut self, alias: &str) -> String {
        let answer = self.ask(json!({ "execute": "query-machines" }));
        let machines = answer["return"].as_array().unwrap();
        let machine = machines.iter().find(|machine| machine["alias"] == alias).unwrap();
        format!("{}-machine", machine["name"].as_str().unwrap())
    }
}

impl Drop for Qmp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
