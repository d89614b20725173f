//! Why a configuration was refused. Every message names the key, the value
//! and what is allowed, because the only place to read it is a console.

use super::settings::Source;
use crate::cmdline::CmdlineError;

/// Largest `/etc/ravelin.toml` that is read, in bytes.
pub const FILE_MAX: usize = 64 << 10;

/// Why a configuration was refused. Exhaustive, because PID 1 has a code for
/// each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is longer than [`FILE_MAX`].
    #[error("the configuration file is longer than {FILE_MAX} bytes")]
    TooLarge,
    /// The file is not TOML, or has a key twice.
    #[error("the configuration file is not TOML at byte {offset}: {message}")]
    Syntax {
        /// Byte offset in the file.
        offset: usize,
        /// What the TOML parser says.
        message: String,
    },
    /// The command line itself was refused.
    #[error(transparent)]
    Cmdline(#[from] CmdlineError),
    /// A key that is not in the table.
    #[error("unknown key '{key}' {source_}; known keys: {known}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it stands.
        source_: Source,
        /// All the keys there are.
        known: String,
    },
    /// A key that is given twice.
    #[error("key '{key}' is given {first} and again {second}; give it once")]
    RepeatedKey {
        /// The key.
        key: String,
        /// Where it was first.
        first: Source,
        /// Where it is again.
        second: Source,
    },
    /// A value of a wrong TOML type.
    #[error("key '{key}' {source_} is {found}; allowed: {allowed}")]
    WrongType {
        /// The key.
        key: String,
        /// Where it stands.
        source_: Source,
        /// What it is.
        found: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// A value that is not allowed.
    #[error("key '{key}' {source_} has the value '{value}' ({reason}); allowed: {allowed}")]
    InvalidValue {
        /// The key.
        key: String,
        /// Where it stands.
        source_: Source,
        /// The value, escaped and cut for a console line.
        value: String,
        /// What is wrong with it.
        reason: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A key without which there is no boot.
    #[error("key '{key}' is missing; allowed: {allowed}")]
    MissingKey {
        /// The key.
        key: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A key without a meaning beside the others.
    #[error("key '{key}' {source_} has no meaning {where_}; remove it")]
    NotInThisMode {
        /// The key.
        key: String,
        /// Where it stands.
        source_: Source,
        /// Where: "with root.mode=plain".
        where_: String,
    },
    /// Settings that contradict each other.
    #[error("{0}")]
    Conflict(&'static str),
}
