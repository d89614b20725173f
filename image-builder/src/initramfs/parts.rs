//! The three archives of an initramfs, and the initramfs made of them. What is
//! where in it is [`protocol::layout`]'s business.

use std::io;

use protocol::layout;
use thiserror::Error;

use super::archive::{Archive, ArchiveError};
use super::compression::{Compression, compress};
use super::executable::{ExecutableError, check_static_executable};
use crate::modules::Closure;

/// Why an archive of the initramfs could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PartError {
    /// PID 1 would not start.
    #[error("this cannot be PID 1")]
    Init(#[from] ExecutableError),
    /// The configuration is too large for PID 1 to read.
    #[error("the configuration is {bytes} bytes long; PID 1 reads at most {limit}")]
    ConfigurationTooLarge {
        /// Its size.
        bytes: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The configuration is not TOML.
    #[error("the configuration is not TOML")]
    Configuration(#[from] toml::de::Error),
    /// An entry cannot be in an archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Why an initramfs could not be put together.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// The zstd library failed.
    #[error("the initramfs cannot be compressed")]
    Compress(#[source] io::Error),
}

/// The base archive: PID 1, the directories that it mounts on, and the console
/// that the kernel opens for it.
///
/// # Errors
/// When `init` is not a static x86-64 executable.
pub fn base(init: &[u8]) -> Result<Archive, PartError> {
    check_static_executable(init)?;
    let mut archive = Archive::new();
    for directory in layout::MOUNT_POINTS {
        archive.directory(directory, 0o755)?;
    }
    archive.character_device(layout::CONSOLE, 0o600, layout::CONSOLE_DEVICE)?;
    archive.character_device(layout::NULL, 0o666, layout::NULL_DEVICE)?;
    archive.file(layout::INIT, 0o755, init.to_vec())?;
    Ok(archive)
}

/// The modules archive: the modules' files, decompressed, and the load order.
///
/// # Errors
/// When a module's path or size does not fit into an archive.
pub fn modules(closure: &Closure) -> Result<Archive, PartError> {
    let mut archive = Archive::new();
    for module in &closure.files {
        archive.file(&module.path, 0o644, module.content.clone())?;
    }
    archive.file(layout::LOAD_ORDER, 0o644, closure.order.to_string().into_bytes())?;
    Ok(archive)
}

/// The configuration archive. That the text is TOML is checked here; that PID 1
/// will accept it is checked by [`protocol::config`], which knows the command
/// line too.
///
/// # Errors
/// When `toml` is not TOML, or larger than PID 1 reads.
pub fn configuration(toml: &str) -> Result<Archive, PartError> {
    let limit = protocol::config::FILE_MAX;
    if toml.len() > limit {
        return Err(PartError::ConfigurationTooLarge { bytes: toml.len(), limit });
    }
    toml::from_str::<toml::Table>(toml)?;
    let mut archive = Archive::new();
    archive.file(layout::CONFIGURATION, 0o644, toml.as_bytes().to_vec())?;
    Ok(archive)
}

/// An initramfs: the archives in the order given, compressed as a whole.
///
/// # Errors
/// When the zstd library fails.
pub fn assemble<'a>(
    archives: impl IntoIterator<Item = &'a Archive>,
    compression: Compression,
) -> Result<Vec<u8>, AssembleError> {
    let mut plain = Vec::new();
    for archive in archives {
        plain.extend(archive.to_bytes());
    }
    compress(plain, compression).map_err(AssembleError::Compress)
}
