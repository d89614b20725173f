//! Reading a `vm.toml`: strict, bounded, every error with its line.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use attestation::measurement::CpuType;

use super::{FORMAT, Protocol, Vm, VmError};

/// No description comes near this size.
const LIMIT: u64 = 1 << 20;

/// A `vm.toml` that was read: its content and where it is.
#[derive(Debug, Clone)]
pub struct VmFile {
    path: PathBuf,
    directory: PathBuf,
    vm: Vm,
}

impl VmFile {
    /// Reads and checks a description.
    ///
    /// # Errors
    /// If the file cannot be read or is not a valid description.
    pub fn read(path: &Path) -> Result<Self, VmError> {
        Self::parse(path, &text(path)?)
    }

    /// Checks the text of a description that is, or will be, at `path`.
    ///
    /// # Errors
    /// If it is not a valid description.
    pub fn parse(path: &Path, text: &str) -> Result<Self, VmError> {
        let syntax = |message: &str, span: Option<std::ops::Range<usize>>| {
            let (line, column) = position(text, span.map_or(0, |span| span.start));
            VmError::Syntax { path: path.to_owned(), line, column, message: one_line(message) }
        };
        let document = toml_edit::Document::parse(text)
            .map_err(|error| syntax(error.message(), error.span()))?;
        match document.get("format").map(toml_edit::Item::as_integer) {
            None => return Err(VmError::NoFormat { path: path.to_owned() }),
            Some(Some(found)) if found != FORMAT => {
                return Err(VmError::Format { path: path.to_owned(), found });
            }
            // Another type than a number gets its message below.
            Some(_) => {}
        }
        let vm: Vm = toml::from_str(text).map_err(|error| syntax(error.message(), error.span()))?;
        if let Some((key, message)) = contradiction(&vm) {
            let span = key.iter().try_fold(document.as_item(), |item, step| match step {
                Step::Key(key) => item.get(key),
                Step::Index(index) => item.get(*index),
            });
            return Err(syntax(&message, span.and_then(toml_edit::Item::span)));
        }
        let directory =
            directory_of(path).map_err(|source| VmError::Read { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), directory, vm })
    }

    /// The file, as named by the user.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content.
    #[must_use]
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// The absolute path of a file that the description names.
    #[must_use]
    pub fn resolve(&self, file: &Path) -> PathBuf {
        self.directory.join(file)
    }

    /// The firmware's absolute path.
    ///
    /// # Errors
    /// If the description names none.
    pub fn firmware(&self) -> Result<PathBuf, VmError> {
        self.required(self.vm.firmware.as_deref(), "firmware", "firmware = \"OVMF.fd\"")
    }

    /// The kernel's absolute path.
    ///
    /// # Errors
    /// If the description names none.
    pub fn kernel(&self) -> Result<PathBuf, VmError> {
        let example = "kernel = \"vmlinuz\" (ravelin image initramfs --kernel --vm does it)";
        self.required(self.vm.kernel.as_deref(), "kernel", example)
    }

    /// The initramfs's absolute path.
    ///
    /// # Errors
    /// If the description names none.
    pub fn initrd(&self) -> Result<PathBuf, VmError> {
        let example = "initrd = \"initramfs.cpio.zst\" (ravelin image initramfs --vm does it)";
        self.required(self.vm.initrd.as_deref(), "initrd", example)
    }

    /// The kernel command line.
    ///
    /// # Errors
    /// If the description has none.
    pub fn cmdline(&self) -> Result<&super::Cmdline, VmError> {
        self.vm.cmdline.as_ref().ok_or_else(|| VmError::Missing {
            path: self.path.clone(),
            key: "cmdline",
            example: "cmdline = \"console=ttyS0 …\" (ravelin image verity --vm does it)",
        })
    }

    /// The vCPU model of a protected VM, as QEMU writes it: one whose signature, which
    /// is measured, does not depend on the server.
    ///
    /// # Errors
    /// If it is another.
    pub fn measured_cpu(&self) -> Result<&'static str, VmError> {
        let cpu = self.vm.cpu.name();
        match cpu.parse() {
            Ok(CpuType::Model(model)) => Ok(model.name()),
            Ok(CpuType::Signature(_)) | Err(_) => {
                Err(VmError::Cpu { path: self.path.clone(), cpu: cpu.to_owned() })
            }
        }
    }

    fn required(
        &self,
        file: Option<&Path>,
        key: &'static str,
        example: &'static str,
    ) -> Result<PathBuf, VmError> {
        file.map(|file| self.resolve(file)).ok_or_else(|| VmError::Missing {
            path: self.path.clone(),
            key,
            example,
        })
    }
}

/// The text of the file, if it is small and UTF-8.
pub(super) fn text(path: &Path) -> Result<String, VmError> {
    let failed = |source: io::Error| VmError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LIMIT {
        return Err(VmError::TooLarge { path: path.to_owned(), limit: LIMIT });
    }
    String::from_utf8(bytes).map_err(|error| VmError::NotUtf8 {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}

/// The absolute directory that a file is in.
pub(super) fn directory_of(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    Ok(absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned))
}

/// Line and column, from 1, of a byte offset.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}

/// A parser's message may have several lines; an error has one.
pub(crate) fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

enum Step {
    Key(&'static str),
    Index(usize),
}

/// What no single value can show: two things that exclude each other.
fn contradiction(vm: &Vm) -> Option<(Vec<Step>, String)> {
    for (key, file) in [("firmware", &vm.firmware), ("kernel", &vm.kernel), ("initrd", &vm.initrd)]
    {
        if let Some(message) = file.as_deref().and_then(bad_path) {
            return Some((vec![Step::Key(key)], message));
        }
    }
    let mut serials = HashSet::new();
    for (index, disk) in vm.disks.iter().enumerate() {
        let at = |key| vec![Step::Key("disks"), Step::Index(index), Step::Key(key)];
        if let Some(message) = bad_path(&disk.file) {
            return Some((at("file"), message));
        }
        if !serials.insert(&disk.serial) {
            let serial = disk.serial.as_str();
            let message = format!(
                "two disks have the serial \"{serial}\"; the guest could not tell them apart"
            );
            return Some((at("serial"), message));
        }
    }
    if let Some(message) = vm.attest.policy.as_deref().and_then(bad_path) {
        return Some((vec![Step::Key("attest"), Step::Key("policy")], message));
    }
    if let Some((key, message)) = vm.sev.contradiction() {
        return Some((vec![Step::Key("sev"), Step::Key(key)], message));
    }
    let network = vm.network.as_ref()?;
    if let Some((key, message)) = network.link_contradiction() {
        return Some((vec![Step::Key("network"), Step::Key(key)], message));
    }
    let mut taken: Vec<(Protocol, Ipv4Addr, u16)> = Vec::new();
    let named = network.named();
    for (index, (key, port)) in named.iter().enumerate() {
        let Some(port) = port else { continue };
        let new = (Protocol::Tcp, Ipv4Addr::LOCALHOST, port.get());
        if taken.contains(&new) {
            let before = named.iter().take(index).find(|(_, before)| *before == Some(*port));
            let other = before.map_or("forwarded", |(other, _)| other);
            let message = format!("{key} {port} is the {other} too");
            return Some((vec![Step::Key("network"), Step::Key(key)], message));
        }
        taken.push(new);
    }
    for (index, forward) in network.forward.iter().enumerate() {
        let new = (forward.protocol, forward.host_address, forward.host_port.get());
        if taken.contains(&new) {
            let (protocol, address, port) = new;
            let message = format!("{} {address}:{port} is forwarded twice", protocol.name());
            let at = vec![Step::Key("network"), Step::Key("forward"), Step::Index(index)];
            return Some((at, message));
        }
        taken.push(new);
    }
    None
}

/// Control characters in a name would reach terminals and logs.
fn bad_path(file: &Path) -> Option<String> {
    if file.as_os_str().is_empty() {
        return Some("the file name is empty".to_owned());
    }
    let text = file.to_string_lossy();
    text.chars()
        .any(char::is_control)
        .then(|| format!("the file name \"{}\" has control characters", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
format = 1
firmware = "OVMF.fd"
kernel = "/boot/vmlinuz"
initrd = "initramfs.cpio.zst"
cmdline = "console=ttyS0"
vcpus = 4
cpu = "EPYC-Milan"
memory = "4G"

[[disks]]
file = "root, 1.img"
serial = "ravelin-root"

[[disks]]
file = "data.img"
serial = "data"
read_only = false

[network]
ssh_port = 2222
attest_port = 4777

[[network.forward]]
host_port = 8080
guest_port = 80

[sev]
policy = 0x30000
cbitpos = 51

[attest]
address = "vm:4777"
policy = "policy.toml"
"#;

    fn parse(text: &str) -> Result<VmFile, VmError> {
        VmFile::parse(Path::new("/vms/vm.toml"), text)
    }

    #[test]
    fn all_keys() {
        let file = parse(GOOD).unwrap();
        assert_eq!(file.kernel().unwrap(), Path::new("/boot/vmlinuz"));
        assert_eq!(file.initrd().unwrap(), Path::new("/vms/initramfs.cpio.zst"));
        let vm = file.vm();
        assert_eq!(vm.vcpus.count(), 4);
        assert_eq!(vm.memory.mib(), 4096);
        assert!(vm.disks[0].read_only && !vm.disks[1].read_only);
        let forward = vm.network.as_ref().unwrap().forward[0];
        assert_eq!((forward.protocol, forward.host_address), (Protocol::Tcp, Ipv4Addr::LOCALHOST));
        assert_eq!(vm.sev.cbitpos, Some(51));
    }

    #[test]
    fn defaults() {
        let file = parse("format = 1").unwrap();
        let vm = file.vm();
        assert_eq!((vm.vcpus.count(), vm.cpu.name(), vm.memory.mib()), (1, "EPYC-v4", 2048));
        assert_eq!(vm.sev.policy.bits(), 0x30000);
        assert!(vm.network.is_none() && vm.disks.is_empty());
        let error = file.kernel().unwrap_err().to_string();
        assert!(error.starts_with("/vms/vm.toml: `kernel` is not set; add kernel = \"vmlinuz\""));
    }

    /// Each mutation of the good file, with the start of its exact error.
    #[test]
    fn every_error_names_line_and_key() {
        let cases = [
            ("vcpus = 4", "vcpu = 4", "/vms/vm.toml:7:1: unknown field `vcpu`, expected one of"),
            ("vcpus = 4", "vcpus = 0", "/vms/vm.toml:7:9: vcpus is from 1 to 512, not 0"),
            ("vcpus = 4", "vcpus = 4\nvcpus = 5", "/vms/vm.toml:8:1: duplicate key"),
            ("vcpus = 4", "vcpus = ", "/vms/vm.toml:7:9: "),
            ("memory = \"4G\"", "memory = 4", "/vms/vm.toml:9:10: invalid type: integer `4`"),
            ("memory = \"4G\"", "memory = \"4\"", "/vms/vm.toml:9:10: memory is a whole number"),
            ("\"data\"", "\"da ta\"", "/vms/vm.toml:17:10: a disk's serial is"),
            ("\"data\"", "\"ravelin-root\"", "/vms/vm.toml:17:10: two disks have the serial"),
            ("serial = \"data\"", "", "/vms/vm.toml:15:1: missing field `serial`"),
            (
                "\"data.img\"",
                "\"\\u001b[0m\"",
                "/vms/vm.toml:16:8: the file name \"\\u{1b}[0m\" has",
            ),
            ("= \"data.img\"", "= \"\"", "/vms/vm.toml:16:8: the file name is empty"),
            ("_only = false", "_only = false\nx = 1", "/vms/vm.toml:19:1: unknown field `x`"),
            ("t_port = 4777", "t_port = 2222", "/vms/vm.toml:22:15: attest_port 2222 is the ssh"),
            (
                "t_port = 4777",
                "t_port = 4777\nunlock_port = 4777",
                "/vms/vm.toml:23:15: unlock_port 4777 is the attest_port too",
            ),
            ("host_port = 8080", "host_port = 0", "/vms/vm.toml:25:13: invalid value"),
            ("host_port = 8080", "host_port = 2222", "/vms/vm.toml:24:1: tcp 127.0.0.1:2222 is"),
            ("host_port = 8080", "host_port = 4777", "/vms/vm.toml:24:1: tcp 127.0.0.1:4777 is"),
            (
                "ssh_port = 2222",
                "bridge = \"br0\"",
                "/vms/vm.toml:22:15: attest_port is for the user network; with a bridge the VM has",
            ),
            (
                "ssh_port = 2222\nattest_port = 4777",
                "mac = \"53:54:00:12:34:56\"",
                "/vms/vm.toml:21:7: a mac is six pairs of digits of one card",
            ),
            ("0x30000", "0x10000", "/vms/vm.toml:29:10: policy 0x10000 is refused"),
            ("= 51", "= 5", "/vms/vm.toml:30:11: cbitpos is from 32 to 63, not 5"),
            ("\"vm:4777\"", "\"vm\"", "/vms/vm.toml:33:11: \"vm\" is no address"),
            ("\"policy.toml\"", "\"\"", "/vms/vm.toml:34:10: the file name is empty"),
            ("policy = \"p", "trust_root = \"p", "/vms/vm.toml:34:1: unknown field `trust_root`"),
            ("format = 1", "format = 2", "/vms/vm.toml: format 2 is unknown to this ravelin"),
            ("format = 1", "format = \"1\"", "/vms/vm.toml:2:10: invalid type: string"),
            ("format = 1", "", "/vms/vm.toml: no `format`"),
            (
                "console=ttyS0",
                "ravelin.insecure=true ravelin.insecure=true",
                "/vms/vm.toml:6:11: 'ravelin.insecure' is on the kernel command line twice",
            ),
        ];
        for (from, to, expected) in cases {
            assert_eq!(GOOD.matches(from).count(), 1, "{from} is there once");
            let error = parse(&GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{to:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_card_is_on_one_network() {
        let vm = |network: &str| parse(&format!("format = 1\n[network]\n{network}\n"));
        let link = |network: &str| {
            vm(network).map(|file| {
                let network = file.vm().network.clone().unwrap();
                match network.link() {
                    super::super::Link::User => "user".to_owned(),
                    super::super::Link::Bridge(name) => format!("bridge {}", name.as_str()),
                    super::super::Link::Tap(name) => format!("tap {}", name.as_str()),
                }
            })
        };
        let mac = "mac = \"52:54:00:12:34:56\"";
        assert_eq!(link("ssh_port = 1").unwrap(), "user");
        assert_eq!(link(&format!("bridge = \"br0\"\n{mac}")).unwrap(), "bridge br0");
        assert_eq!(link(&format!("tap = \"tap0\"\n{mac}")).unwrap(), "tap tap0");
        for (network, expected) in [
            ("bridge = \"br0\"".to_owned(), "/vms/vm.toml:3:10: a bridge needs a mac"),
            (format!("tap = \"t\"\nbridge = \"b\"\n{mac}"), "/vms/vm.toml:3:7: a card is on"),
            (
                format!("tap = \"t\"\n{mac}\nforward = [{{ host_port = 1, guest_port = 2 }}]"),
                "/vms/vm.toml:5:11: forward is for the user network; with a tap",
            ),
        ] {
            let error = vm(&network).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn what_is_not_a_description_is_refused_without_reading_it_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vm.toml");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        assert!(matches!(VmFile::read(&path), Err(VmError::TooLarge { .. })));
        std::fs::write(&path, b"format = 1 # \xff").unwrap();
        assert!(matches!(VmFile::read(&path), Err(VmError::NotUtf8 { offset: 13, .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(VmFile::read(&path), Err(VmError::Read { .. })));
    }
}
