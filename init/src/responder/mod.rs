//! The attestation responder: what stays behind of PID 1 and answers a nonce
//! with a fresh report (`protocol::responder`).
//!
//! Two processes, which PID 1 starts before the hand-over from a sealed copy of
//! its own program, so that neither has anything of PID 1's memory:
//!
//! - the *reporter* ([`reporter`]) is root and holds the source of reports. It
//!   takes 32 bytes, a nonce, and answers with evidence;
//! - the *network side* ([`network`]) has nobody's user and nothing but its
//!   sockets, and speaks with whoever connects.
//!
//! **Threat.** The network side reads bytes of anyone who reaches its port. If
//! it is taken over, the attacker can ask for reports, which anyone may, and
//! answer falsely, which the host may anyway: REPORT_DATA is made by the
//! reporter over host keys that it has from PID 1, so no report over other keys
//! or for another role can be had. Neither process has a path of the initramfs
//! or of the root, a capability, or a system call beyond its list.
//!
//! Both end when the other does, when the system is shut down (SIGTERM), and
//! never before for a stranger's sake.

mod confine;
mod connection;
mod launch;
pub(crate) mod listen;
mod network;
mod reporter;
mod role;
mod seccomp;

use std::ffi::OsStr;
use std::io;

pub use launch::{Setup, start};
pub use role::run;

/// Which of the two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Holds the source of reports.
    Reporter,
    /// Holds the sockets.
    Network,
}

impl Role {
    /// The name that it is started by, and that `ps` shows. No `@` at its
    /// beginning: systemd's shutdown would spare it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reporter => "ravelin-reporter",
            Self::Network => "ravelin-responder",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &OsStr) -> Option<Self> {
        [Self::Reporter, Self::Network].into_iter().find(|role| name == role.name())
    }
}

/// Why the responder was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A system call of PID 1's failed.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The process said why it cannot serve.
    #[error("{} cannot serve: {message}", role.name())]
    Refused {
        /// Which one.
        role: Role,
        /// Its own words.
        message: String,
    },
    /// The process ended without a word.
    #[error("{} ended before it was ready", role.name())]
    Ended {
        /// Which one.
        role: Role,
    },
    /// The process said nothing in time.
    #[error("{} was not ready within {} s", role.name(), launch::READY_WITHIN.as_secs())]
    Silent {
        /// Which one.
        role: Role,
    },
}

/// Why a process cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoleError {
    /// A system call failed.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Not started by PID 1.
    #[error("descriptor {number} is not {wanted}")]
    Descriptor {
        /// Which descriptor.
        number: u8,
        /// What it has to be.
        wanted: &'static str,
    },
    /// The empty root is not that.
    #[error("the directory to be confined to is not an empty one of root's")]
    NotEmpty,
    /// A capability or the user is still there.
    #[error("privileges are still there after they were given up")]
    StillPrivileged,
    /// PID 1's message is not what it should be.
    #[error("PID 1's message to the reporter is malformed")]
    Facts,
    /// The system-call filter.
    #[error("the system-call filter: {0}")]
    Filter(#[from] seccompiler::Error),
}
