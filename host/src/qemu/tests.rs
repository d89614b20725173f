//! Golden commands.

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
forward = [{ host_port = 8080, guest_port = 80 }, { protocol = "udp", host_address = "0.0.0.0", host_port = 53, guest_port = 53 }]
"#;

fn arguments(text: &str, protection: Protection) -> Vec<String> {
    let file = VmFile::parse(Path::new("/vms/vm.toml"), text).unwrap();
    let extra = ["-d".into(), "guest errors".into()];
    let request =
        Request { program: "qemu".as_ref(), protection, console_log: None, extra: &extra };
    let command = Command::new(&file, &request).unwrap();
    command.arguments.into_iter().map(|argument| argument.into_string().unwrap()).collect()
}

const DEVICES: [&str; 22] = [
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
    "user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:8080-:80,\
     hostfwd=udp:0.0.0.0:53-:53",
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
        "q35,accel=kvm,vmport=off,confidential-guest-support=sev0,memory-backend=ram0",
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
        "q35,accel=tcg,vmport=off",
        "-cpu",
        "max",
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
fn a_real_launch_needs_a_firmware_and_a_simulation_does_not() {
    let text = VM.replace("firmware", "# firmware");
    let file = VmFile::parse(Path::new("/vms/vm.toml"), &text).unwrap();
    let new = |protection| {
        let request =
            Request { program: "qemu".as_ref(), protection, console_log: None, extra: &[] };
        Command::new(&file, &request).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(new(Protection::Simulated), Ok(()));
    assert_eq!(
        new(Protection::SevSnp { cbitpos: 51 }).unwrap_err(),
        "/vms/vm.toml: `firmware` is not set; add firmware = \"OVMF.fd\""
    );
}
