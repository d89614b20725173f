//! The QEMU command of a VM: a pure function from the description to a program
//! and its arguments, so that what is printed is what is run.
//!
//! The same devices in both modes: what a simulation boots differs from the
//! real VM in processor, firmware and protection only. There is no virtio-rng
//! device: entropy that the host brings is not wanted. Nor is there anything that
//! the VM does not need: each device is a driver of the guest's that the host can
//! talk to, and most have code in the ACPI tables, which the guest runs unmeasured.

mod libvirt;
mod option;
mod platform;
mod run;
mod systemd;

use std::ffi::{OsStr, OsString};
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use attestation::measurement::CpuType;
use base64ct::{Base64, Encoding};

use crate::vm::{Link, Network, Protocol, Sev, VmError, VmFile};

pub use libvirt::{DomainError, domain};
pub use option::Options;
pub use platform::{PlatformError, SnpHost, cbitpos_of_this_cpu};
pub use run::{Ended, RunError, run};
pub use systemd::{UnitError, unit};

/// Where the page-table encryption bit is on every EPYC so far, for a command
/// that is printed on another machine.
pub const USUAL_CBITPOS: u8 = 51;

/// How many bits of a guest's physical addresses the encryption bit costs: one, on
/// every processor. CPUID 8000_001Fh has what the host loses, which is more.
const REDUCED_PHYS_BITS: &str = "1";

/// Devices of q35 that the VM does not need: VMware's port, a SATA controller, the
/// SMBus, a keyboard controller, the HPET.
const ABSENT: [&str; 5] = ["vmport", "sata", "smbus", "i8042", "hpet"];

/// No sleep states and no hot-plugging of PCI devices by ACPI: the guest does neither,
/// and both are code in the host's tables.
const CHIPSET: [(&str, &str); 3] =
    [("disable_s3", "1"), ("disable_s4", "1"), ("acpi-pci-hotplug-with-bridge-support", "off")];

/// How the VM is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// By SEV-SNP.
    SevSnp {
        /// The page-table bit that marks encrypted memory.
        cbitpos: u8,
    },
    /// Not at all: QEMU's own processor emulation, its default firmware.
    Simulated,
}

/// What the description leaves open.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The emulator.
    pub program: &'a OsStr,
    /// How the VM is protected.
    pub protection: Protection,
    /// What a simulated secure processor adds.
    pub simulator: Option<&'a Simulator>,
    /// A file that gets a copy of the serial console.
    pub console_log: Option<&'a Path>,
    /// The port of the guest's responder, to which `attest_port` leads.
    pub responder_port: u16,
    /// The port on which the guest waits for keys, to which `unlock_port` leads.
    pub unlock_port: u16,
    /// Arguments that the user adds, after all others.
    pub extra: &'a [OsString],
}

/// What a simulated secure processor, another program, asks of the VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulator {
    /// The initramfs with the simulator's archive behind it.
    pub initrd: PathBuf,
    /// What is appended to the command line, as it stands.
    pub cmdline_suffix: String,
    /// More arguments.
    pub arguments: Vec<OsString>,
}

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Command {
    /// The QEMU command that runs `file`.
    ///
    /// # Errors
    /// If the description lacks a setting that the VM needs.
    pub fn new(file: &VmFile, request: &Request) -> Result<Self, VmError> {
        let vm = file.vm();
        let mut line = Line::default();
        line.flag("-no-user-config").flag("-nodefaults").flag("-nographic").flag("-no-reboot");
        let memory = format!("{}M", vm.memory.mib());
        let machine =
            ABSENT.iter().fold(Options::new("q35"), |machine, device| machine.set(device, "off"));
        match request.protection {
            Protection::SevSnp { cbitpos } => {
                let machine = machine
                    .set("accel", "kvm")
                    // SNP has none; QEMU would switch it off by itself.
                    .set("smm", "off")
                    .set("confidential-guest-support", "sev0")
                    .set("memory-backend", "ram0");
                line.option("-machine", machine)
                    .option("-cpu", file.measured_cpu()?)
                    .option("-smp", vm.vcpus.count().to_string())
                    .option("-m", &memory)
                    .option(
                        "-object",
                        Options::new("memory-backend-memfd")
                            .set("id", "ram0")
                            .set("size", &memory)
                            .set("share", "true")
                            .set("prealloc", "false"),
                    )
                    .option("-object", snp_guest(&vm.sev, cbitpos))
                    .option("-bios", file.firmware()?);
            }
            Protection::Simulated => {
                line.option("-machine", machine.set("accel", "tcg"))
                    .option("-cpu", emulated(vm.cpu.name()))
                    .option("-smp", vm.vcpus.count().to_string())
                    .option("-m", &memory);
            }
        }
        for (property, value) in CHIPSET {
            line.option("-global", format!("ICH9-LPC.{property}={value}"));
        }
        let (mut initrd, mut cmdline) = (file.initrd()?, file.cmdline()?.as_str().to_owned());
        if let Some(simulator) = request.simulator {
            initrd.clone_from(&simulator.initrd);
            cmdline.push_str(&simulator.cmdline_suffix);
        }
        line.option("-kernel", file.kernel()?).option("-initrd", initrd).option("-append", cmdline);
        for (index, disk) in vm.disks.iter().enumerate() {
            let node = format!("disk{index}");
            let read_only = if disk.read_only { "on" } else { "off" };
            line.option(
                "-blockdev",
                Options::new("driver=raw")
                    .set("node-name", &node)
                    .set("read-only", read_only)
                    .set("file.driver", "file")
                    .set("file.filename", file.resolve(&disk.file)),
            )
            .option(
                "-device",
                Options::new("virtio-blk-pci")
                    .set("drive", &node)
                    .set("serial", disk.serial.as_str())
                    .set("disable-legacy", "on")
                    .set("iommu_platform", "true"),
            );
        }
        if let Some(network) = &vm.network {
            let mut card = Options::new("virtio-net-pci").set("netdev", "net0");
            if let Some(mac) = network.mac {
                card = card.set("mac", mac.to_string());
            }
            line.option("-netdev", backend(network, request)).option(
                "-device",
                card.set("disable-legacy", "on").set("iommu_platform", "true").set("romfile", ""),
            );
        }
        let mut console = Options::new("stdio").set("id", "console").set("signal", "on");
        if let Some(log) = request.console_log {
            console = console.set("logfile", log);
        }
        line.option("-chardev", console)
            .option("-serial", "chardev:console")
            .option("-monitor", "none");
        line.0.extend(request.simulator.iter().flat_map(|simulator| simulator.arguments.clone()));
        line.0.extend(request.extra.iter().cloned());
        Ok(Self { program: request.program.to_owned(), arguments: line.0 })
    }

    /// The files that QEMU will open for `file`: the name of the setting, the
    /// path, whether it is written to.
    ///
    /// # Errors
    /// If the description lacks a setting that the VM needs.
    pub fn files(
        file: &VmFile,
        protection: Protection,
    ) -> Result<Vec<(&'static str, PathBuf, bool)>, VmError> {
        let mut files = Vec::new();
        if let Protection::SevSnp { .. } = protection {
            files.push(("firmware", file.firmware()?, false));
        }
        files.push(("kernel", file.kernel()?, false));
        files.push(("initrd", file.initrd()?, false));
        for disk in &file.vm().disks {
            files.push(("disk", file.resolve(&disk.file), !disk.read_only));
        }
        Ok(files)
    }
}

/// The guest's launch parameters. What is optional is left out, so that the
/// command works with every QEMU that has SNP.
fn snp_guest(sev: &Sev, cbitpos: u8) -> Options {
    let mut options = Options::new("sev-snp-guest")
        .set("id", "sev0")
        .set("policy", sev.policy.to_string())
        .set("cbitpos", cbitpos.to_string())
        .set("reduced-phys-bits", REDUCED_PHYS_BITS)
        .set("kernel-hashes", "on");
    if let Some(data) = sev.host_data {
        options = options.set("host-data", Base64::encode_string(&data.0));
    }
    if let (Some(block), Some(auth)) = (&sev.id_block, &sev.id_auth) {
        options = options.set("id-block", block.to_base64()).set("id-auth", auth.to_base64());
        if sev.author_key_enabled() {
            options = options.set("author-key-enabled", "on");
        }
    }
    options
}

/// All that QEMU's emulation can do, with the family, model and stepping of the
/// model: these are what is measured of it. The EPYC models themselves lack
/// features under emulation without which Linux does not boot.
fn emulated(model: &str) -> String {
    match model.parse::<CpuType>() {
        Ok(cpu) => {
            let (family, model, stepping) = cpu.signature().family_model_stepping();
            format!("max,vendor=AuthenticAMD,family={family},model={model},stepping={stepping}")
        }
        Err(_not_of_epyc) => "max".to_owned(),
    }
}

fn backend(network: &Network, request: &Request) -> Options {
    match network.link() {
        Link::User => forwards(network, request).iter().fold(
            Options::new("user").set("id", "net0"),
            |options, Forwarded { protocol, address, from, to }| {
                options.set("hostfwd", format!("{}:{address}:{from}-:{to}", protocol.name()))
            },
        ),
        Link::Bridge(name) => Options::new("bridge").set("id", "net0").set("br", name.as_str()),
        // The device is the administrator's; QEMU is not to change it.
        Link::Tap(name) => Options::new("tap")
            .set("id", "net0")
            .set("ifname", name.as_str())
            .set("script", "no")
            .set("downscript", "no"),
    }
}

/// One port of the host that leads to one of the guest.
struct Forwarded {
    protocol: Protocol,
    address: Ipv4Addr,
    from: NonZeroU16,
    to: u16,
}

/// All forwarded ports, the named ones first.
fn forwards(network: &Network, request: &Request) -> Vec<Forwarded> {
    let named = [
        (network.ssh_port, 22),
        (network.attest_port, request.responder_port),
        (network.unlock_port, request.unlock_port),
    ];
    let named = named.into_iter().filter_map(|(from, to)| {
        let (protocol, address) = (Protocol::Tcp, Ipv4Addr::LOCALHOST);
        Some(Forwarded { protocol, address, from: from?, to })
    });
    let more = network.forward.iter().map(|forward| Forwarded {
        protocol: forward.protocol,
        address: forward.host_address,
        from: forward.host_port,
        to: forward.guest_port.get(),
    });
    named.chain(more).collect()
}

#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn flag(&mut self, flag: &str) -> &mut Self {
        self.0.push(flag.into());
        self
    }

    fn option(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.0.push(name.into());
        self.0.push(value.into());
        self
    }
}

#[cfg(test)]
mod tests;
