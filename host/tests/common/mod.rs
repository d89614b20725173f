//! Runs the real program.

#![allow(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The program, without the user's own settings for terminals.
pub(crate) fn ravelin() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin"));
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env("COLUMNS", "100");
    command.stdin(Stdio::null());
    command
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }

    /// Succeeded, or the test fails and shows why.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }

    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs `ravelin ARGUMENTS` in `directory`.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Ran {
    ravelin().current_dir(directory).args(arguments).output().unwrap().into()
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// An image of a squashfs of `bytes` bytes: a superblock that says so (kernel,
/// `fs/squashfs/squashfs_fs.h`), then a pattern. Enough for a tree, and no tool is
/// needed.
pub(crate) fn squashfs(bytes: u64) -> Vec<u8> {
    let mut image = vec![0; usize::try_from(bytes).unwrap().next_multiple_of(4096)];
    for (index, byte) in image.iter_mut().enumerate().skip(96) {
        *byte = u8::try_from(index * 7 % 251).unwrap();
    }
    let mut put = |offset: usize, value: &[u8]| {
        image.iter_mut().skip(offset).zip(value).for_each(|(to, from)| *to = *from);
    };
    put(0, b"hsqs");
    put(4, &1_u32.to_le_bytes()); // inodes
    put(12, &131_072_u32.to_le_bytes()); // block size
    put(16, &0_u32.to_le_bytes());
    put(20, &1_u16.to_le_bytes()); // compression
    put(22, &17_u16.to_le_bytes()); // log2 of the block size
    put(24, &0_u16.to_le_bytes());
    put(26, &1_u16.to_le_bytes());
    put(28, &4_u16.to_le_bytes()); // version 4.0
    put(30, &0_u16.to_le_bytes());
    put(32, &0_u64.to_le_bytes());
    put(40, &bytes.to_le_bytes());
    for table in [48, 56, 64, 72, 80, 88] {
        put(table, &96_u64.to_le_bytes());
    }
    image
}

/// Where a program is, or a loud note that the test cannot use it.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: {name} is not installed");
    }
    found
}

/// The smallest static x86-64 ELF executable that is not refused: its header,
/// one executable segment, and `hlt`.
pub(crate) fn static_executable() -> Vec<u8> {
    let mut elf = Vec::new();
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend(2_u16.to_le_bytes()); // ET_EXEC
    elf.extend(62_u16.to_le_bytes()); // EM_X86_64
    elf.extend(1_u32.to_le_bytes());
    elf.extend(0x40_0078_u64.to_le_bytes()); // entry
    elf.extend(64_u64.to_le_bytes()); // program headers
    elf.extend(0_u64.to_le_bytes());
    elf.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1_u32.to_le_bytes()); // PT_LOAD
    elf.extend(5_u32.to_le_bytes()); // R-X
    for word in [0_u64, 0x40_0000, 0x40_0000, 121, 121, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.push(0xf4);
    elf
}

/// A command line to read in an assertion.
pub(crate) fn shown(arguments: &[impl AsRef<OsStr>]) -> String {
    arguments.iter().map(|a| a.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The codes of all findings of a verdict.
pub(crate) fn codes(json: &Value) -> Vec<String> {
    let checks = json["checks"].as_array().unwrap().iter();
    let failed = checks.filter(|check| check["outcome"] == "failed");
    failed
        .flat_map(|check| check["findings"].as_array().unwrap())
        .map(|finding| finding["code"].as_str().unwrap().to_owned())
        .collect()
}
