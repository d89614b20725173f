//! What can be wrong with a `vm.toml`.

use std::io;
use std::path::PathBuf;

use image_builder::output::OutputError;

use super::FORMAT;

/// Why a `vm.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VmError {
    /// The file cannot be read.
    #[error("{}: cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is larger than any description is.
    #[error("{}: larger than {limit} bytes; this is no VM description", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The file is not UTF-8.
    #[error("{}: not UTF-8 at byte {offset}", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Where the first bad byte is.
        offset: usize,
    },
    /// Not TOML, an unknown key, or a value that its key does not take.
    #[error("{}:{line}:{column}: {message}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong, and what is allowed.
        message: String,
    },
    /// `format` is absent: some other TOML file.
    #[error(
        "{}: no `format`; a VM description begins with `format = {FORMAT}`",
        .path.display()
    )]
    NoFormat {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later program.
    #[error(
        "{}: format {found} is unknown to this ravelin, which reads format {FORMAT}; use the \
         release that wrote the file",
        .path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: i64,
    },
    /// A setting that the operation needs is absent.
    #[error("{}: `{key}` is not set; add {example}", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// A line that would set it.
        example: &'static str,
    },
    /// A model whose signature is not known, or that is whatever the server's is.
    #[error(
        "{}: `cpu` is \"{cpu}\", of which the measurement is not known; use one of QEMU's EPYC \
         models, such as \"EPYC-v4\"",
        .path.display()
    )]
    Cpu {
        /// The file.
        path: PathBuf,
        /// The model.
        cpu: String,
    },
    /// A path that TOML cannot hold.
    #[error(
        "'{}' cannot be named in a VM description: the name is not UTF-8 or has control \
         characters; rename it",
        .path.display()
    )]
    PathText {
        /// The path.
        path: PathBuf,
    },
    /// A value could not be put in, because the file holds something else in
    /// its place.
    #[error("{}: `{key}` is not {expected}", .path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The file could not be written.
    #[error("the VM description cannot be written")]
    Write(#[from] OutputError),
    /// The content could not be written into the new file.
    #[error("{}: cannot be written", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}
