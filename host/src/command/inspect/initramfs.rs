//! What is in an initramfs.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::BufReader;

use image_builder::initramfs::{
    Entry, Kind, Limits, Reader, check_hook, check_static_executable, unpacked,
};
use protocol::config;
use protocol::hooks::{self, Stage};
use protocol::layout;
use protocol::load_order::{self, LoadOrder};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Findings;
use crate::terminal::{Text, causes, printable};

/// Largest PID 1 that is looked into.
const INIT_MAX: usize = 64 << 20;
/// [`layout::HOOKS`] as [`path`] gives it, and what is below it.
const HOOKS: &str = "etc/ravelin/hooks/";
/// Longest symbolic link target.
const LINK_MAX: usize = 4095;
/// More is not shown: a screen, a JSON document and memory have an end.
const LIMITS: Limits = Limits { entries: 100_000, bytes: 4 << 30 };
/// All names together.
const NAMES_MAX: usize = 16 << 20;

/// An initramfs.
#[derive(Debug, Default, Serialize)]
pub(super) struct Initramfs {
    archives: u32,
    compressed: bool,
    entries: Vec<Item>,
    /// `/etc/ravelin.toml`, as the kernel unpacks it.
    configuration: Option<String>,
    /// The kernel that the modules are for, and the modules in order.
    modules: Option<Modules>,
    /// The hooks, in the order in which they run.
    hooks: Vec<Hook>,
    /// The paths of the regular files.
    #[serde(skip)]
    files: HashSet<String>,
}

#[derive(Debug, Serialize)]
struct Item {
    archive: u32,
    path: String,
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    bytes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
}

#[derive(Debug, Serialize)]
struct Hook {
    stage: &'static str,
    name: String,
    bytes: u32,
    sha256: String,
    /// The interpreter of a script.
    interpreter: Option<String>,
}

/// A load order for JSON.
#[derive(Debug, Serialize)]
pub(super) struct Modules {
    kernel: String,
    modules: Vec<Module>,
}

#[derive(Debug, Serialize)]
struct Module {
    wave: u16,
    required: bool,
    path: String,
}

impl From<LoadOrder> for Modules {
    fn from(order: LoadOrder) -> Self {
        let modules = order.modules.into_iter();
        let modules = modules
            .map(|module| Module {
                wave: module.wave,
                required: module.required,
                path: module.path,
            })
            .collect();
        Self { kernel: order.kernel, modules }
    }
}

impl Initramfs {
    /// Reads all archives; what is wrong with them goes to `findings`.
    pub(super) fn read(file: File, findings: &mut Findings) -> Self {
        let mut reader = Reader::with_limits(BufReader::new(file), LIMITS);
        let mut found = Self::default();
        let mut unpacked = BTreeMap::new();
        let mut names = 0;
        loop {
            let entry = match reader.next_entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    findings.error(&error);
                    break;
                }
            };
            found.compressed |= reader.is_compressed();
            names += entry.name.len();
            if names > NAMES_MAX {
                findings.add("the names of its entries take more than 16 MiB; stopped here");
                break;
            }
            let wanted = match entry.kind() {
                Kind::Symlink => LINK_MAX,
                Kind::File => wanted(&entry),
                Kind::Directory | Kind::CharacterDevice | Kind::BlockDevice => 0,
                Kind::Fifo | Kind::Socket | Kind::Unknown | _ => 0,
            };
            let content = if wanted == 0 { Ok(None) } else { reader.content(wanted) };
            match content {
                Ok(content) => found.add(&entry, content, &mut unpacked, findings),
                Err(error) => {
                    findings.error(&error);
                    break;
                }
            }
        }
        found.archives = reader.archives();
        found.judge(&mut unpacked, findings);
        found
    }

    fn add(
        &mut self,
        entry: &Entry,
        content: Option<Vec<u8>>,
        unpacked: &mut BTreeMap<String, Vec<u8>>,
        findings: &mut Findings,
    ) {
        let path = path(entry);
        if path.split('/').any(|part| part == "..") {
            findings.add(format!("{path}: a name with `..`"));
        }
        if entry.kind() == Kind::File && !self.files.insert(path.clone()) {
            findings.add(format!("{path}: twice; the kernel takes the later one"));
        }
        let target = content
            .as_deref()
            .filter(|_| entry.kind() == Kind::Symlink)
            .map(|target| printable(&String::from_utf8_lossy(target)));
        let (major, minor) = entry.device;
        self.entries.push(Item {
            archive: entry.archive,
            kind: kind(entry.kind()),
            mode: format!("{:04o}", entry.permissions()),
            uid: entry.uid,
            gid: entry.gid,
            bytes: entry.size,
            target,
            device: matches!(entry.kind(), Kind::CharacterDevice | Kind::BlockDevice)
                .then(|| format!("{major}:{minor}")),
            path: path.clone(),
        });
        if entry.kind() == Kind::File
            && let Some(content) = content
        {
            if path.starts_with(HOOKS) {
                self.add_hook(entry, &path, &content, findings);
            } else {
                unpacked.insert(path, content);
            }
        } else if path.starts_with(HOOKS) && entry.kind() != Kind::Directory {
            findings.add(format!("{path}: not a hook that PID 1 runs"));
        }
    }

    fn add_hook(&mut self, entry: &Entry, path: &str, content: &[u8], findings: &mut Findings) {
        let absolute = format!("/{path}");
        let Some((stage, name)) = hooks::of_path(&absolute) else {
            findings.add(format!("{path}: not a hook that PID 1 runs"));
            return;
        };
        if entry.permissions() & 0o111 == 0 {
            findings.add(format!("{path}: not executable"));
        }
        // Whether it is there is known at the end.
        let interpreter = check_hook(content).unwrap_or_else(|error| {
            findings.add(format!("{path}: {}", causes(&error)));
            None
        });
        // As the kernel unpacks it: the later one of a path.
        self.hooks.retain(|hook| hook.stage != stage.as_str() || hook.name != name);
        self.hooks.push(Hook {
            stage: stage.as_str(),
            name: name.to_owned(),
            bytes: entry.size,
            sha256: hex::encode(Sha256::digest(content)),
            interpreter: interpreter.map(|text| printable(&text)),
        });
    }

    /// Looks into the files that PID 1 reads.
    fn judge(&mut self, unpacked: &mut BTreeMap<String, Vec<u8>>, findings: &mut Findings) {
        let mut take = |path: &str| unpacked.remove(path.trim_start_matches('/'));
        if let Some(init) = take(layout::INIT)
            && let Err(error) = check_static_executable(&init)
        {
            findings.add(format!("{}: {}", layout::INIT, causes(&error)));
        }
        let order = |hook: &Hook| (hook.stage.parse::<Stage>().ok(), hook.name.clone());
        self.hooks.sort_by_key(order);
        for Hook { stage, name, interpreter, .. } in &self.hooks {
            if let Some(path) = interpreter
                && !self.files.contains(path.trim_start_matches('/'))
            {
                findings.add(format!("hook {name} of {stage}: its interpreter {path} is missing"));
            }
        }
        if let Some(toml) = take(layout::CONFIGURATION) {
            if let Err(error) = config::check_file(&toml) {
                findings.error(&error);
            }
            self.configuration = Some(String::from_utf8_lossy(&toml).into_owned());
        }
        let Some(order) = take(layout::LOAD_ORDER) else { return };
        match LoadOrder::parse(&String::from_utf8_lossy(&order)) {
            Ok(order) => {
                for module in &order.modules {
                    let path = printable(&module.path);
                    if !self.files.contains(path.trim_start_matches('/')) {
                        findings.add(format!("{path}: in the load order, but not in the archive"));
                    }
                }
                self.modules = Some(order.into());
            }
            Err(error) => findings.error(&error),
        }
    }

    /// Whether the kernel finds an `/init` in it.
    pub(super) fn has_pid_1(&self) -> bool {
        self.files.contains(layout::INIT.trim_start_matches('/'))
    }

    /// `/etc/ravelin.toml`.
    pub(super) fn into_configuration(self) -> Option<Vec<u8>> {
        self.configuration.map(String::into_bytes)
    }

    /// For people.
    pub(super) fn describe(&self, text: &mut Text) {
        text.field("archives", self.archives);
        text.field("compression", if self.compressed { "zstd" } else { "none" });
        let mut archive = None;
        for item in &self.entries {
            if archive != Some(item.archive) {
                archive = Some(item.archive);
                text.heading(&format!("archive {}", item.archive));
            }
            let Item { kind, mode, uid, gid, bytes, path, .. } = item;
            let kind = short(kind);
            let mut line = format!("  {kind} {mode} {uid:>4}:{gid:<4} {bytes:>9}  /{path}");
            if let Some(target) = &item.target {
                line.push_str(&format!(" -> {target}"));
            }
            if let Some(device) = &item.device {
                line.push_str(&format!(" ({device})"));
            }
            text.line(line);
        }
        if let Some(modules) = &self.modules {
            modules.describe(text);
        }
        if !self.hooks.is_empty() {
            text.heading("hooks, in the order of running");
            for Hook { stage, name, bytes, sha256, .. } in &self.hooks {
                text.line(format!("  {stage:<12} {bytes:>9}  {name}  sha256 {sha256}"));
            }
        }
        if let Some(configuration) = &self.configuration {
            text.heading(&format!("measured configuration ({})", layout::CONFIGURATION));
            super::quote(text, configuration);
        }
    }
}

impl Modules {
    /// For people.
    pub(super) fn describe(&self, text: &mut Text) {
        text.heading(&format!("modules, in the order of loading, for kernel {}", self.kernel));
        for module in &self.modules {
            let wave = module.wave;
            let required = if module.required { "required" } else { "optional" };
            text.line(format!("  {wave:>2} {required} {}", printable(&module.path)));
        }
    }
}

/// How much of a file is read.
fn wanted(entry: &Entry) -> usize {
    let path = format!("/{}", path(entry));
    match path.as_str() {
        layout::INIT => INIT_MAX,
        layout::CONFIGURATION => config::FILE_MAX,
        layout::LOAD_ORDER => load_order::MAX_BYTES,
        path if path.trim_start_matches('/').starts_with(HOOKS) => INIT_MAX,
        _ => 0,
    }
}

/// The name as the kernel unpacks it, without the leading slash, printable.
fn path(entry: &Entry) -> String {
    unpacked(&entry.display_name()).to_owned()
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
        Kind::CharacterDevice => "character-device",
        Kind::BlockDevice => "block-device",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
        Kind::Unknown | _ => "unknown",
    }
}

/// The letter of `ls -l`.
fn short(kind: &str) -> char {
    match kind {
        "file" => '-',
        "directory" => 'd',
        "symlink" => 'l',
        "character-device" => 'c',
        "block-device" => 'b',
        "fifo" => 'p',
        "socket" => 's',
        _ => '?',
    }
}
