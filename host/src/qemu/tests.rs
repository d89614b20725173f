//! Golden commands.

use attestation::id_block::{IdAuth, IdBlock, PrivateKey};
use attestation::measurement::LaunchDigest;

use super::*;
use crate::vm::VmFile;

const VM: &str = r#"
format = 1
firmware = "OVMF,1.fd"
kernel = "vmlinuz"
initrd = "initramfs.cpio.zst"
cmdline = "console=ttyS0 quiet"
vcpus = 2
memory = "1G"

[[disks]]
file = "a,b 'c.img"
serial = "ravelin-root"

[[disks]]
file = "/data"
serial = "data"
read_only = false

[network]
ssh_port = 2222
attest_port = 4700
unlock_port = 4701
forward = [{ host_port = 8080, guest_port = 80 }, { protocol = "udp", host_address = "0.0.0.0", host_port = 53, guest_port = 53 }]
"#;

/// The command line of a description, or why there is none.
fn launched(text: &str, protection: Protection) -> Result<Vec<String>, String> {
    let file = VmFile::parse(Path::new("/vms/vm.toml"), text).unwrap();
    let extra = ["-d".into(), "guest errors".into()];
    let request = Request {
        program: "qemu".as_ref(),
        protection,
        simulator: None,
        console_log: None,
        responder_port: 4777,
        unlock_port: 4778,
        extra: &extra,
    };
    let command = Command::new(&file, &request).map_err(|error| error.to_string())?;
    Ok(command.arguments.into_iter().map(|argument| argument.into_string().unwrap()).collect())
}

fn arguments(text: &str, protection: Protection) -> Vec<String> {
    launched(text, protection).unwrap()
}

const DEVICES: [&str; 28] = [
    "-global",
    "ICH9-LPC.disable_s3=1",
    "-global",
    "ICH9-LPC.disable_s4=1",
    "-global",
    "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
    "-kernel",
    "/vms/vmlinuz",
    "-initrd",
    "/vms/initramfs.cpio.zst",
    "-append",
    "console=ttyS0 quiet",
    "-blockdev",
    "driver=raw,node-name=disk0,read-only=on,file.driver=file,file.filename=/vms/a,,b 'c.img",
    "-device",
    "virtio-blk-pci,drive=disk0,serial=ravelin-root,disable-legacy=on,iommu_platform=true",
    "-blockdev",
    "driver=raw,node-name=disk1,read-only=off,file.driver=file,file.filename=/data",
    "-device",
    "virtio-blk-pci,drive=disk1,serial=data,disable-legacy=on,iommu_platform=true",
    "-netdev",
    "user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:4700-:4777,\
     hostfwd=tcp:127.0.0.1:4701-:4778,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:0.0.0.0:53-:53",
    "-device",
    "virtio-net-pci,netdev=net0,disable-legacy=on,iommu_platform=true,romfile=",
    "-chardev",
    "stdio,id=console,signal=on",
    "-serial",
    "chardev:console",
];
const END: [&str; 4] = ["-monitor", "none", "-d", "guest errors"];

#[test]
fn an_snp_guest() {
    let head = [
        "-no-user-config",
        "-nodefaults",
        "-nographic",
        "-no-reboot",
        "-machine",
        "q35,vmport=off,sata=off,smbus=off,i8042=off,hpet=off,accel=kvm,smm=off,\
         confidential-guest-support=sev0,memory-backend=ram0",
        "-cpu",
        "EPYC-v4",
        "-smp",
        "2",
        "-m",
        "1024M",
        "-object",
        "memory-backend-memfd,id=ram0,size=1024M,share=true,prealloc=false",
        "-object",
        "sev-snp-guest,id=sev0,policy=0x30000,cbitpos=51,reduced-phys-bits=1,kernel-hashes=on",
        "-bios",
        "/vms/OVMF,1.fd",
    ];
    let expected = [&head[..], &DEVICES, &END].concat();
    assert_eq!(arguments(VM, Protection::SevSnp { cbitpos: 51 }), expected);
}

#[test]
fn a_simulation() {
    let head = [
        "-no-user-config",
        "-nodefaults",
        "-nographic",
        "-no-reboot",
        "-machine",
        "q35,vmport=off,sata=off,smbus=off,i8042=off,hpet=off,accel=tcg",
        "-cpu",
        "max,vendor=AuthenticAMD,family=23,model=1,stepping=2",
        "-smp",
        "2",
        "-m",
        "1024M",
    ];
    let expected = [&head[..], &DEVICES, &END].concat();
    assert_eq!(arguments(VM, Protection::Simulated), expected);
}

#[test]
fn no_network_table_no_network() {
    let text = VM.split("[network]").next().unwrap();
    let arguments = arguments(text, Protection::Simulated).join(" ");
    assert!(!arguments.contains("netdev") && !arguments.contains("virtio-net"), "{arguments}");
}

#[test]
fn a_card_on_the_hosts_network() {
    let base = VM.split("[network]").next().unwrap();
    let card = |network: &str| {
        let text = format!("{base}[network]\nmac = \"52:54:00:00:00:01\"\n{network}\n");
        let arguments = arguments(&text, Protection::Simulated);
        let at = arguments.iter().position(|argument| argument == "-netdev").unwrap();
        arguments[at + 1..at + 4].join(" ")
    };
    let device = "-device virtio-net-pci,netdev=net0,mac=52:54:00:00:00:01,disable-legacy=on,\
                  iommu_platform=true,romfile=";
    assert_eq!(card("bridge = \"br0\""), format!("bridge,id=net0,br=br0 {device}"));
    let tap = format!("tap,id=net0,ifname=tap0,script=no,downscript=no {device}");
    assert_eq!(card("tap = \"tap0\""), tap);
}

#[test]
fn a_real_launch_needs_a_firmware_and_a_simulation_does_not() {
    let text = VM.replace("firmware", "# firmware");
    assert!(launched(&text, Protection::Simulated).is_ok());
    assert_eq!(
        launched(&text, Protection::SevSnp { cbitpos: 51 }).unwrap_err(),
        "/vms/vm.toml: `firmware` is not set; add firmware = \"OVMF.fd\""
    );
}

#[test]
fn the_model_is_one_whose_measurement_is_known() {
    let run = |cpu: &str, protection| {
        let text = VM.replace("vcpus = 2", &format!("vcpus = 2\ncpu = \"{cpu}\""));
        let arguments = launched(&text, protection)?;
        let at = arguments.iter().position(|argument| argument == "-cpu").unwrap();
        Ok::<_, String>(arguments[at + 1].clone())
    };
    let real = Protection::SevSnp { cbitpos: 51 };
    assert_eq!(run("epyc-milan-v2", real).unwrap(), "EPYC-Milan-v2", "as QEMU writes it");
    for cpu in ["host", "max", "qemu64", "0x00800f12", "8392466"] {
        let error = run(cpu, real).unwrap_err();
        assert!(error.contains("of which the measurement is not known"), "{cpu}: {error}");
        assert!(run(cpu, Protection::Simulated).is_ok(), "{cpu}");
    }
}

/// An ID block that a key of the tests signed, for the policy 0x30000.
fn id_block(author: bool) -> (IdBlock, IdAuth) {
    let key = |byte| {
        let key = p384::SecretKey::from_slice(&[byte; 48]).unwrap();
        let pem = p384::pkcs8::EncodePrivateKey::to_pkcs8_pem(&key, Default::default()).unwrap();
        PrivateKey::from_pem(pem.as_bytes()).unwrap()
    };
    let block = IdBlock {
        launch_digest: LaunchDigest::new([0xa1; 48]),
        family_id: [1; 16],
        image_id: [2; 16],
        guest_svn: 3,
        policy: 0x3_0000,
    };
    let author = author.then(|| key(8));
    (block, IdAuth::sign(&block, &key(7), author.as_ref()))
}

#[test]
fn what_the_secure_processor_is_told() {
    let object = |text: &str| {
        let arguments = arguments(text, Protection::SevSnp { cbitpos: 51 });
        arguments.into_iter().find(|argument| argument.starts_with("sev-snp-guest")).unwrap()
    };
    let data = "0f".repeat(32);
    for author in [false, true] {
        let (block, auth) = id_block(author);
        let (block, auth) = (block.to_base64(), auth.to_base64());
        let sev = format!(
            "[sev]\nhost_data = \"{data}\"\nid_block = \"{block}\"\nid_auth = \"{auth}\"\n"
        );
        let enabled = if author { ",author-key-enabled=on" } else { "" };
        let start = "sev-snp-guest,id=sev0,policy=0x30000,cbitpos=51,reduced-phys-bits=1";
        let data = "Dw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8=";
        assert_eq!(
            object(&format!("{VM}{sev}")),
            format!(
                "{start},kernel-hashes=on,host-data={data},id-block={block},id-auth={auth}{enabled}"
            )
        );
        let off = format!("{VM}{sev}author_key = false\n");
        assert!(!object(&off).contains("author-key-enabled"), "the owner's word counts");
    }
}

#[test]
fn what_the_secure_processor_would_refuse_is_refused_first() {
    let (block, auth) = id_block(false);
    let (block, auth) = (block.to_base64(), auth.to_base64());
    let other = IdBlock { guest_svn: 4, ..id_block(false).0 }.to_base64();
    let cases = [
        (format!("id_block = \"{block}\""), "an id_block needs its id_auth"),
        (format!("id_auth = \"{auth}\""), "an id_auth needs its id_block"),
        (
            format!("policy = 0x20000\nid_block = \"{block}\"\nid_auth = \"{auth}\""),
            "the ID block is for policy 0x30000 and the VM has 0x20000",
        ),
        (
            format!("id_block = \"{other}\"\nid_auth = \"{auth}\""),
            "the ID block is not signed by the ID key",
        ),
        (
            format!("author_key = true\nid_block = \"{block}\"\nid_auth = \"{auth}\""),
            "author_key is on, and id_auth has no author key's signature",
        ),
        ("id_block = \"AAAA\"".to_owned(), "base64 of 96 bytes"),
        ("host_data = \"00\"".to_owned(), "64"),
        ("guest_features = -1".to_owned(), "guest features"),
    ];
    for (sev, expected) in cases {
        let text = format!("{VM}[sev]\n{sev}\n");
        let error = VmFile::parse(Path::new("/vms/vm.toml"), &text).unwrap_err().to_string();
        assert!(error.contains(expected), "{sev}: {error}");
        assert!(error.starts_with("/vms/vm.toml:2"), "a line is named: {error}");
    }
}
