//! The VM as a libvirt domain (libvirt, "Domain XML format"; sev-snp since 10.5).
//!
//! The same description, the same measured files, command line, vCPUs and model as
//! [`Command`](super::Command). libvirt makes QEMU's command line from it and adds what it
//! always has (PCI root ports, q35's own devices), none of which is measured.

use std::io;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::{Forwarded, Protection, REDUCED_PHYS_BITS, Request, forwards};
use crate::vm::{Disk, Link, Network, Sev, Vm, VmError, VmFile};

type Xml = Writer<Vec<u8>>;

/// Why there is no domain for a VM.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// The description lacks a setting.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// libvirt starts protected VMs only, here.
    #[error("a simulated VM has no libvirt domain: nothing in it would be protected")]
    Simulated,
    /// QEMU's arguments have no place in a domain.
    #[error("arguments for QEMU cannot be put into a libvirt domain")]
    Arguments,
    /// A file's name that XML cannot hold.
    #[error("'{}' cannot be named in XML: it is not UTF-8 or has characters that XML has not", .0.display())]
    Path(PathBuf),
    /// The text could not be put together.
    #[error("the domain could not be written")]
    Write(#[from] io::Error),
}

/// The domain that runs `file`, named `name`.
///
/// # Errors
/// If the description lacks a setting, or asks for what a domain cannot say.
pub fn domain(file: &VmFile, request: &Request, name: &str) -> Result<String, DomainError> {
    let Protection::SevSnp { cbitpos } = request.protection else {
        return Err(DomainError::Simulated);
    };
    if !request.extra.is_empty() {
        return Err(DomainError::Arguments);
    }
    let measured = Measured {
        firmware: text(&file.firmware()?)?,
        kernel: text(&file.kernel()?)?,
        initrd: text(&file.initrd()?)?,
        cmdline: file.cmdline()?.as_str(),
        cpu: file.measured_cpu()?,
    };
    let paths = Paths::of(file, request)?;
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.create_element("domain").with_attribute(("type", "kvm")).write_inner_content(|xml| {
        head(xml, file.vm(), &measured, name)?;
        devices(xml, file.vm(), request, &paths)?;
        launch_security(xml, &file.vm().sev, cbitpos)
    })?;
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(|error| io::Error::other(error).into())
}

/// What is measured, but for the number of vCPUs.
struct Measured<'a> {
    firmware: String,
    kernel: String,
    initrd: String,
    cmdline: &'a str,
    cpu: &'a str,
}

/// The files that are not.
struct Paths {
    disks: Vec<String>,
    console_log: Option<String>,
    emulator: Option<String>,
}

impl Paths {
    fn of(file: &VmFile, request: &Request) -> Result<Self, DomainError> {
        let disks = file.vm().disks.iter().map(|disk| text(&file.resolve(&disk.file)));
        let log = request.console_log.map(std::path::absolute).transpose()?;
        // By its bare name libvirt finds QEMU itself.
        let emulator = Path::new(request.program);
        let emulator = emulator.components().nth(1).is_some().then(|| emulator.canonicalize());
        Ok(Self {
            disks: disks.collect::<Result<_, _>>()?,
            console_log: log.as_deref().map(text).transpose()?,
            emulator: emulator.transpose()?.as_deref().map(text).transpose()?,
        })
    }
}

fn text(path: &Path) -> Result<String, DomainError> {
    let refuse = || DomainError::Path(path.to_owned());
    let text = path.to_str().ok_or_else(refuse)?;
    // XML 1.0, section 2.2, production Char.
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return Err(refuse());
    }
    Ok(text.to_owned())
}

/// All but devices and protection.
fn head(xml: &mut Xml, vm: &Vm, measured: &Measured, name: &str) -> io::Result<()> {
    element(xml, "name", name)?;
    xml.create_element("memory")
        .with_attribute(("unit", "MiB"))
        .write_text_content(BytesText::new(&vm.memory.mib().to_string()))?;
    xml.create_element("memoryBacking").write_inner_content(|xml| {
        empty(xml, "source", &[("type", "memfd")])?;
        empty(xml, "access", &[("mode", "shared")])
    })?;
    element(xml, "vcpu", &vm.vcpus.count().to_string())?;
    xml.create_element("os").write_inner_content(|xml| boot(xml, measured))?;
    xml.create_element("features").write_inner_content(|xml| {
        empty(xml, "acpi", &[])?;
        empty(xml, "apic", &[])?;
        for absent in ["smm", "vmport", "ps2"] {
            empty(xml, absent, &[("state", "off")])?;
        }
        Ok(())
    })?;
    xml.create_element("cpu")
        .with_attributes([("mode", "custom"), ("match", "exact"), ("check", "none")])
        .write_inner_content(|xml| {
            xml.create_element("model")
                .with_attribute(("fallback", "forbid"))
                .write_text_content(BytesText::new(measured.cpu))?;
            Ok(())
        })?;
    xml.create_element("clock")
        .with_attribute(("offset", "utc"))
        .write_inner_content(|xml| empty(xml, "timer", &[("name", "hpet"), ("present", "no")]))?;
    // As -no-reboot: an SNP guest cannot be reset, only started anew.
    for event in ["on_poweroff", "on_reboot", "on_crash"] {
        element(xml, event, "destroy")?;
    }
    xml.create_element("pm").write_inner_content(|xml| {
        empty(xml, "suspend-to-mem", &[("enabled", "no")])?;
        empty(xml, "suspend-to-disk", &[("enabled", "no")])
    })?;
    Ok(())
}

fn boot(xml: &mut Xml, measured: &Measured) -> io::Result<()> {
    xml.create_element("type")
        .with_attributes([("arch", "x86_64"), ("machine", "q35")])
        .write_text_content(BytesText::new("hvm"))?;
    xml.create_element("loader")
        .with_attributes([("readonly", "yes"), ("type", "rom")])
        .write_text_content(BytesText::new(&measured.firmware))?;
    element(xml, "kernel", &measured.kernel)?;
    element(xml, "initrd", &measured.initrd)?;
    element(xml, "cmdline", measured.cmdline)
}

fn devices(xml: &mut Xml, vm: &Vm, request: &Request, paths: &Paths) -> io::Result<()> {
    xml.create_element("devices").write_inner_content(|xml| {
        if let Some(emulator) = &paths.emulator {
            element(xml, "emulator", emulator)?;
        }
        for (index, (disk, path)) in vm.disks.iter().zip(&paths.disks).enumerate() {
            self::disk(xml, disk, path, index)?;
        }
        empty(xml, "controller", &[("type", "usb"), ("model", "none")])?;
        if let Some(network) = &vm.network {
            card(xml, network, request)?;
        }
        console(xml, paths.console_log.as_deref())?;
        empty(xml, "memballoon", &[("model", "none")])
    })?;
    Ok(())
}

fn disk(xml: &mut Xml, disk: &Disk, path: &str, index: usize) -> io::Result<()> {
    xml.create_element("disk")
        .with_attributes([
            ("type", "file"),
            ("device", "disk"),
            ("model", "virtio-non-transitional"),
        ])
        .write_inner_content(|xml| {
            empty(xml, "driver", &[("name", "qemu"), ("type", "raw"), ("iommu", "on")])?;
            empty(xml, "source", &[("file", path)])?;
            empty(xml, "target", &[("dev", &target(index)), ("bus", "virtio")])?;
            element(xml, "serial", disk.serial.as_str())?;
            if disk.read_only {
                empty(xml, "readonly", &[])?;
            }
            Ok(())
        })?;
    Ok(())
}

/// `vda` to `vdz`, then `vdaa`: libvirt orders by it; the guest goes by the serial.
fn target(mut index: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'a' + u8::try_from(index % 26).unwrap_or_default()));
        match (index / 26).checked_sub(1) {
            Some(next) => index = next,
            None => break,
        }
    }
    "vd".chars().chain(letters.into_iter().rev()).collect()
}

fn card(xml: &mut Xml, network: &Network, request: &Request) -> io::Result<()> {
    let kind = match network.link() {
        Link::User => "user",
        Link::Bridge(_) => "bridge",
        Link::Tap(_) => "ethernet",
    };
    xml.create_element("interface").with_attribute(("type", kind)).write_inner_content(|xml| {
        if let Some(mac) = network.mac {
            empty(xml, "mac", &[("address", &mac.to_string())])?;
        }
        match network.link() {
            Link::Bridge(name) => empty(xml, "source", &[("bridge", name.as_str())])?,
            Link::Tap(name) => {
                empty(xml, "target", &[("dev", name.as_str()), ("managed", "no")])?;
            }
            Link::User => {
                // libvirt forwards ports by passt alone.
                empty(xml, "backend", &[("type", "passt")])?;
                for forwarded in forwards(network, request) {
                    port(xml, &forwarded)?;
                }
            }
        }
        empty(xml, "model", &[("type", "virtio-non-transitional")])?;
        empty(xml, "driver", &[("iommu", "on")])?;
        empty(xml, "rom", &[("enabled", "no")])
    })?;
    Ok(())
}

fn port(xml: &mut Xml, forwarded: &Forwarded) -> io::Result<()> {
    let Forwarded { protocol, address, from, to } = forwarded;
    xml.create_element("portForward")
        .with_attributes([("proto", protocol.name()), ("address", &address.to_string())])
        .write_inner_content(|xml| {
            empty(xml, "range", &[("start", &from.to_string()), ("to", &to.to_string())])
        })?;
    Ok(())
}

fn console(xml: &mut Xml, log: Option<&str>) -> io::Result<()> {
    xml.create_element("serial").with_attribute(("type", "pty")).write_inner_content(|xml| {
        if let Some(log) = log {
            empty(xml, "log", &[("file", log), ("append", "off")])?;
        }
        empty(xml, "target", &[("type", "isa-serial"), ("port", "0")])
    })?;
    xml.create_element("console")
        .with_attribute(("type", "pty"))
        .write_inner_content(|xml| empty(xml, "target", &[("type", "serial"), ("port", "0")]))?;
    Ok(())
}

fn launch_security(xml: &mut Xml, sev: &Sev, cbitpos: u8) -> io::Result<()> {
    let mut security = xml
        .create_element("launchSecurity")
        .with_attributes([("type", "sev-snp"), ("kernelHashes", "yes")]);
    let signed = sev.id_block.as_ref().zip(sev.id_auth.as_ref());
    if signed.is_some() && sev.author_key_enabled() {
        security = security.with_attribute(("authorKey", "yes"));
    }
    security.write_inner_content(|xml| {
        element(xml, "cbitpos", &cbitpos.to_string())?;
        element(xml, "reducedPhysBits", REDUCED_PHYS_BITS)?;
        element(xml, "policy", &sev.policy.to_string())?;
        if let Some((block, auth)) = signed {
            element(xml, "idBlock", &block.to_base64())?;
            element(xml, "idAuth", &auth.to_base64())?;
        }
        match sev.host_data {
            Some(data) => element(xml, "hostData", &Base64::encode_string(&data.0)),
            None => Ok(()),
        }
    })?;
    Ok(())
}

fn element(xml: &mut Xml, name: &str, text: &str) -> io::Result<()> {
    xml.create_element(name).write_text_content(BytesText::new(text))?;
    Ok(())
}

fn empty(xml: &mut Xml, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
    xml.create_element(name).with_attributes(attributes.iter().copied()).write_empty()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_lettered_as_libvirt_does() {
        assert_eq!(
            [0, 1, 25, 26, 27, 701, 702].map(target),
            ["vda", "vdb", "vdz", "vdaa", "vdab", "vdzz", "vdaaa"]
        );
    }
}
