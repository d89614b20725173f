//! Texts, executables and kernels.

use image_builder::disk::{EncryptedSidecar, Layout, Sidecar};
use image_builder::initramfs::check_static_executable;
use protocol::config;
use protocol::load_order::{self, LoadOrder};
use serde::Serialize;

use super::{Content, Findings, Input, quote};
use crate::bzimage;
use crate::failure::{Failure, Result};
use crate::terminal::{Text, causes, printable, size};
use crate::vm::{Vm, VmFile};

/// Largest text that is read.
const TEXT_MAX: usize = 1 << 20;
/// Largest executable that is looked into.
const EXECUTABLE_MAX: usize = 64 << 20;

/// A `vm.toml`.
#[derive(Debug, Serialize)]
pub(super) struct VmDescription {
    cmdline: Option<String>,
    kernel: Option<String>,
    initrd: Option<String>,
    firmware: Option<String>,
    vcpus: u16,
    cpu: String,
    memory_mib: u64,
    disks: Vec<Disk>,
    policy: String,
    guest_features: String,
    host_data: Option<String>,
    id_key_digest: Option<String>,
    author_key_digest: Option<String>,
}

#[derive(Debug, Serialize)]
struct Disk {
    file: String,
    serial: String,
    read_only: bool,
}

/// The sidecar of an image.
#[derive(Debug, Serialize)]
pub(super) struct SidecarContent {
    sidecar: Sidecar,
}

/// The sidecar of an encrypted disk.
#[derive(Debug, Serialize)]
pub(super) struct EncryptedSidecarContent {
    sidecar: EncryptedSidecar,
}

/// A `ravelin.toml`.
#[derive(Debug, Serialize)]
pub(super) struct Configuration {
    text: String,
}

/// An ELF file.
#[derive(Debug, Serialize)]
pub(super) struct Executable {
    #[serde(rename = "static")]
    is_static: bool,
    #[serde(skip)]
    why_not: Option<String>,
}

/// A bzImage.
#[derive(Debug, Serialize)]
pub(super) struct Kernel {
    version: Option<String>,
}

/// One of the text formats, or an error that says what the file could have
/// been.
pub(super) fn text(input: &Input, findings: &mut Findings) -> Result<Content> {
    let unknown = |why: &str| {
        Failure::new(format!("{}: {why}", input.path.display()))
            .help("`ravelin inspect --help` lists what it knows")
    };
    let bytes = input.read_at(0, TEXT_MAX + 1)?;
    if bytes.is_empty() {
        return Err(unknown("is empty"));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) if text.len() <= TEXT_MAX => text,
        _ => return Err(unknown("is no file that Ravelin knows")),
    };
    if text.starts_with(load_order::HEADER) {
        return match LoadOrder::parse(&text) {
            Ok(order) => Ok(Content::LoadOrder(order.into())),
            Err(error) => Err(unknown(&format!("is a load order, but {error}"))),
        };
    }
    let document = toml_edit::Document::parse(text.as_str());
    let has = |key: &str| document.as_ref().is_ok_and(|document| document.get(key).is_some());
    if EncryptedSidecar::claims(&text) {
        let sidecar = EncryptedSidecar::parse(&text).map_err(|error| unknown(&causes(&error)))?;
        return Ok(Content::EncryptedSidecar(EncryptedSidecarContent { sidecar }));
    }
    if has("format") && has("layout") {
        let sidecar = Sidecar::parse(&text).map_err(|error| unknown(&causes(&error)))?;
        return Ok(Content::Sidecar(SidecarContent { sidecar }));
    }
    if has("format") {
        return Ok(Content::Vm(VmDescription::new(VmFile::parse(input.path, &text)?.vm())));
    }
    let keys = config::KEYS.iter().filter_map(|key| key.name.split('.').next());
    let known = keys.chain(["volume"]);
    if document.is_ok() && known.into_iter().any(has) {
        if let Err(error) = config::check_file(text.as_bytes()) {
            findings.error(&error);
        }
        return Ok(Content::Configuration(Configuration { text }));
    }
    Err(unknown("is no file that Ravelin knows"))
}

impl VmDescription {
    fn new(vm: &Vm) -> Self {
        let path = |path: &Option<std::path::PathBuf>| {
            path.as_ref().map(|path| printable(&path.to_string_lossy()))
        };
        Self {
            cmdline: vm.cmdline.as_ref().map(ToString::to_string),
            kernel: path(&vm.kernel),
            initrd: path(&vm.initrd),
            firmware: path(&vm.firmware),
            vcpus: vm.vcpus.count(),
            cpu: vm.cpu.name().to_owned(),
            memory_mib: vm.memory.mib(),
            disks: vm
                .disks
                .iter()
                .map(|disk| Disk {
                    file: printable(&disk.file.to_string_lossy()),
                    serial: disk.serial.as_str().to_owned(),
                    read_only: disk.read_only,
                })
                .collect(),
            policy: vm.sev.policy.to_string(),
            guest_features: vm.sev.guest_features.to_string(),
            host_data: vm.sev.host_data.map(|data| data.to_string()),
            id_key_digest: vm.sev.id_auth.map(|auth| auth.id_key_digest().to_string()),
            author_key_digest: vm
                .sev
                .id_auth
                .filter(|_| vm.sev.author_key_enabled())
                .and_then(|auth| auth.author_key_digest())
                .map(|digest| digest.to_string()),
        }
    }

    pub(super) fn describe(&self, text: &mut Text) {
        let missing = || "not set".to_owned();
        text.heading("measured at launch")
            .field("firmware", self.firmware.clone().unwrap_or_else(missing))
            .field("kernel", self.kernel.clone().unwrap_or_else(missing))
            .field("initrd", self.initrd.clone().unwrap_or_else(missing))
            .field("vCPUs", format!("{} of type {}", self.vcpus, self.cpu))
            .field("guest features", &self.guest_features)
            // One word a line, for people; the file has the exact string.
            .field(
                "command line",
                self.cmdline.as_ref().map_or_else(missing, |line| line.replace(' ', "\n")),
            );
        text.heading("not measured").field("memory", format!("{} MiB", self.memory_mib));
        for Disk { file, serial, read_only } in &self.disks {
            let how = if *read_only { "read-only" } else { "writable" };
            text.field("disk", format!("{file}, serial {serial}, {how}"));
        }
        text.heading("in the attestation report").field("policy", &self.policy);
        for (label, value) in [
            ("host data", &self.host_data),
            ("ID key", &self.id_key_digest),
            ("author key", &self.author_key_digest),
        ] {
            if let Some(value) = value {
                text.field(label, value);
            }
        }
    }
}

impl SidecarContent {
    pub(super) fn describe(&self, text: &mut Text) {
        let Sidecar { cmdline, seed, file_system, verity, layout, .. } = &self.sidecar;
        match layout {
            Layout::Disk(disk) => {
                let name = printable(&disk.file);
                text.field("disk", format!("{name}, {}", size(disk.size)));
            }
            Layout::Files(files) => {
                for (label, file) in [("root", &files.data), ("hash tree", &files.hash)] {
                    let (name, serial) = (printable(&file.file), &file.serial);
                    text.field(label, format!("{name}, serial {serial}, {}", size(file.size)));
                }
            }
        }
        let (blocks, block_size) = (verity.data_blocks, verity.data_block_size);
        text.field("file system", format!("{}, {}", file_system.kind, size(file_system.size)))
            .field("data", format!("{blocks} blocks of {block_size} bytes, {}", verity.algorithm))
            .field("root hash", verity.root_hash)
            .field("salt", &verity.salt)
            .field("seed", seed)
            .field("command line", cmdline.replace(' ', "\n"));
    }
}

impl EncryptedSidecarContent {
    pub(super) fn describe(&self, text: &mut Text) {
        let EncryptedSidecar { spec, header_sha256, epoch, file_system, disk } = &self.sidecar;
        let params = spec.layout().params();
        let unlocked = match spec.stretch() {
            None => "a key file".to_owned(),
            Some(stretch) => {
                let (cost, memory) = (stretch.cost(), u64::from(stretch.cost().memory_kib()) << 10);
                let passes = cost.passes();
                format!("a passphrase, Argon2id with {} and {passes} passes", size(memory))
            }
        };
        text.field("disk", format!("{}, {}", printable(&disk.file), size(disk.size)));
        if let Some(partition) = &disk.partition {
            text.field("PARTUUID", partition.guid);
        }
        text.field("file system", format!("{}, {}", file_system.kind, size(file_system.size)))
            .field("room for it", size(spec.tail_offset()))
            .field("cipher", format!("{}, sectors of {} bytes", params.cipher, params.sector_size))
            .field("unlocked by", unlocked)
            .field("volume ID", spec.volume_id())
            .field("header SHA-256", hex::encode(header_sha256))
            .field("least epoch", epoch.0)
            .field("specification", hex::encode(spec.encode()));
    }
}

impl Configuration {
    pub(super) fn describe(&self, text: &mut Text) {
        text.line("");
        quote(text, &self.text);
    }
}

impl Executable {
    pub(super) fn read(input: &Input) -> Result<Self> {
        let bytes = input.read_at(0, EXECUTABLE_MAX)?;
        let why_not = check_static_executable(&bytes).err().map(|error| error.to_string());
        Ok(Self { is_static: why_not.is_none(), why_not })
    }

    pub(super) fn describe(&self, text: &mut Text) {
        match &self.why_not {
            None => text.field("as PID 1", "possible: static, for x86-64"),
            Some(why) => text.field("as PID 1", format!("not possible: {}", printable(why))),
        };
    }
}

impl Kernel {
    pub(super) fn read(head: &[u8]) -> Self {
        Self { version: bzimage::version(head).as_deref().map(printable) }
    }

    pub(super) fn describe(&self, text: &mut Text) {
        text.field("version", self.version.as_deref().unwrap_or("unknown"));
    }
}
