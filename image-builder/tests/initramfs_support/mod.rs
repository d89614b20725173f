//! What the tests of initramfs and modules share: tiny ELF files, module
//! directories, and the reference tools.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unreachable_pub, reason = "a module of a test is no library")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The release of the synthetic kernel.
pub const KERNEL: &str = "6.12.0-test";

/// A static x86-64 executable of one segment, whose code is `exit(0)`, followed
/// by `payload`.
pub fn static_executable(payload: &[u8]) -> Vec<u8> {
    executable(&[(1, 5, &[])], payload)
}

/// An executable with the given program headers: type, flags and, for what is
/// not a load segment, content.
pub fn executable(segments: &[(u32, u32, &[u8])], payload: &[u8]) -> Vec<u8> {
    // mov $60, %eax; xor %edi, %edi; syscall
    const CODE: [u8; 9] = [0xB8, 60, 0, 0, 0, 0x31, 0xFF, 0x0F, 0x05];
    const BASE: u64 = 0x40_0000;
    let code = 64 + 56 * segments.len() as u64;
    let mut tail = CODE.to_vec();
    tail.extend(payload);
    let load_bytes = code + tail.len() as u64;
    let mut file = elf_header(2, 62, BASE + code, 64, 0, segments.len(), 0, 0);
    for (kind, flags, content) in segments {
        let (offset, address, bytes) = if *kind == 1 {
            (0, BASE, load_bytes)
        } else {
            let offset = code + tail.len() as u64;
            tail.extend(*content);
            (offset, BASE + offset, content.len() as u64)
        };
        file.extend(kind.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for number in [offset, address, address, bytes, bytes, 4096] {
            file.extend(number.to_le_bytes());
        }
    }
    file.extend(tail);
    file
}

/// A kernel module with the given `.modinfo` fields.
pub fn module(fields: &[&str]) -> Vec<u8> {
    let names = b"\0.modinfo\0.shstrtab\0";
    let mut modinfo = Vec::new();
    for field in fields {
        modinfo.extend(field.as_bytes());
        modinfo.push(0);
    }
    let names_at = 64 + modinfo.len() as u64;
    let headers_at = (names_at + names.len() as u64).next_multiple_of(8);
    let mut file = elf_header(1, 62, 0, 0, headers_at, 0, 3, 2);
    file.extend(&modinfo);
    file.extend(names);
    file.resize(usize::try_from(headers_at).unwrap(), 0);
    file.extend([0; 64]);
    for (name, kind, offset, bytes) in
        [(1_u32, 1_u32, 64, modinfo.len() as u64), (10, 3, names_at, names.len() as u64)]
    {
        file.extend(name.to_le_bytes());
        file.extend(kind.to_le_bytes());
        for number in [0, 0, offset, bytes, 0, 1, 0_u64] {
            file.extend(number.to_le_bytes());
        }
    }
    file
}

#[allow(clippy::too_many_arguments, reason = "they are the fields of the header")]
fn elf_header(
    kind: u16,
    machine: u16,
    entry: u64,
    segments_at: u64,
    sections_at: u64,
    segments: usize,
    sections: u16,
    names: u16,
) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(kind.to_le_bytes());
    file.extend(machine.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for number in [entry, segments_at, sections_at] {
        file.extend(number.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    let segments = u16::try_from(segments).unwrap();
    for number in [64, 56, segments, 64, sections, names] {
        file.extend(number.to_le_bytes());
    }
    assert_eq!(file.len(), 64);
    file
}

/// A module directory that is made file by file.
pub struct Tree {
    directory: tempfile::TempDir,
    built_in: String,
}

impl Tree {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tree = Self { directory, built_in: String::new() };
        fs::create_dir_all(tree.path()).unwrap();
        tree.built_in(&[])
    }

    /// `lib/modules/VERSION`.
    pub fn path(&self) -> PathBuf {
        self.system().join("lib/modules").join(KERNEL)
    }

    /// The directory with `lib/modules` in it.
    pub fn system(&self) -> &Path {
        self.directory.path()
    }

    /// Adds modules that are built in (`fs/ext4/ext4`).
    pub fn built_in(mut self, modules: &[&str]) -> Self {
        for module in modules {
            self.built_in += &format!("kernel/{module}.ko\n");
        }
        self.file("modules.builtin", self.built_in.as_bytes());
        self
    }

    /// Adds a module; `path` is below `kernel/` and says how it is compressed.
    pub fn module(self, path: &str, fields: &[&str]) -> Self {
        let vermagic = format!("vermagic={KERNEL} SMP preempt mod_unload ");
        let fields: Vec<&str> = fields.iter().copied().chain([vermagic.as_str()]).collect();
        let content = compressed(path, &module(&fields));
        self.file(&format!("kernel/{path}"), &content);
        self
    }

    /// Writes any file of the tree.
    pub fn file(&self, path: &str, content: &[u8]) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

pub fn compressed(path: &str, content: &[u8]) -> Vec<u8> {
    match path.rsplit('.').next() {
        Some("xz") => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Some("zst") => zstd::encode_all(content, 3).unwrap(),
        Some("gz") => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        _ => content.to_vec(),
    }
}

/// Whether the reference tools can be asked. Without them the test fails,
/// unless the user said that it may be skipped.
pub fn has_oracle(tools: &[(&str, &str)]) -> bool {
    for (tool, package) in tools {
        if Command::new(tool).arg("--version").output().is_err() {
            assert!(
                std::env::var_os("RAVELIN_SKIP_ORACLE").is_some_and(|value| value == "1"),
                "{tool} is not installed; `apt-get install {package}` (or `cargo xtask setup`) \
                 installs it, RAVELIN_SKIP_ORACLE=1 skips this comparison"
            );
            skipped(&format!("{tool} is not installed and RAVELIN_SKIP_ORACLE=1"));
            return false;
        }
    }
    true
}

/// Says that a test checked nothing, past the capture of a test's output.
pub fn skipped(reason: &str) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    std::io::stderr().write_all(format!("SKIPPED {name}: {reason}\n").as_bytes()).unwrap();
}

/// Runs a tool in a directory with `input` on its standard input; gives what it
/// prints. It must succeed and complain about nothing.
pub fn run(tool: &str, arguments: &[&str], directory: &Path, input: &[u8]) -> String {
    let mut child = Command::new(tool)
        .args(arguments)
        .current_dir(directory)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A tool that stops at the trailer closes the pipe.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{tool}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// A deterministic source of bytes (SplitMix64), so that a failure can be
/// repeated.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

/// `bytes` with one to four changes: a byte, a cut, a copy, a hole.
pub fn mutated(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        let end = at + random.below((bytes.len() - at).min(256));
        match random.below(6) {
            0 | 1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = [0, b'0', b'f', 0xFF][random.below(4)],
            3 => bytes.truncate(at),
            4 => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => drop(bytes.drain(at..end)),
        }
    }
    bytes
}
