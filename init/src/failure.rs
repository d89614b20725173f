//! Everything that can go wrong, each with a code and a hint.
//!
//! The code is what tests and operators match on; it never changes its
//! meaning. Messages may quote what a host wrote (device names, serials), always
//! escaped; they never contain a secret, because the host reads the console.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use protocol::config::ConfigError;
use protocol::load_order::LoadOrderError;

/// The steps of the boot, by the name that the console shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Mounting the kernel's file systems.
    Mounts,
    /// Reading the measured configuration.
    Configuration,
    /// Loading kernel modules.
    Modules,
    /// Finding the disks.
    Disks,
    /// Opening and mounting the root.
    Root,
    /// Adding the writable layer.
    Writable,
    /// Making host keys and machine id.
    Identity,
    /// Becoming the real init.
    HandOver,
}

impl Step {
    /// The step's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Step::Mounts => "mounts",
            Step::Configuration => "configuration",
            Step::Modules => "modules",
            Step::Disks => "disks",
            Step::Root => "root",
            Step::Writable => "writable",
            Step::Identity => "identity",
            Step::HandOver => "hand-over",
        }
    }
}

/// Why PID 1 does not boot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A mount failed.
    #[error("mounting {what} ({fstype}) on {}", target.display())]
    Mount {
        /// Device or name.
        what: String,
        /// File-system type.
        fstype: String,
        /// Where to.
        target: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another system call on a path failed.
    #[error("{action} {}", path.display())]
    Path {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The measured configuration was refused.
    #[error("the measured configuration is refused")]
    Configuration(#[source] ConfigError),
    /// The load order was refused.
    #[error("the module load order {} is refused", protocol::layout::LOAD_ORDER)]
    LoadOrder(#[source] LoadOrderError),
    /// The modules are for another kernel.
    #[error("the modules in the initramfs are for kernel {modules}, this is kernel {running}")]
    OtherKernel {
        /// What the load order says.
        modules: String,
        /// What the kernel says.
        running: String,
    },
    /// A required module was refused by the kernel.
    #[error("loading the kernel module {}", path.display())]
    Module {
        /// The module.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A disk did not appear in time.
    #[error("no device for {wanted} within {deadline}; seen: {seen}")]
    DiskMissing {
        /// Keys and selectors.
        wanted: String,
        /// How long was waited.
        deadline: String,
        /// What was there instead.
        seen: String,
    },
    /// Two disks answer to one selector.
    #[error("{wanted} fits more than one device: {first} and {second}")]
    DiskAmbiguous {
        /// Key and selector.
        wanted: String,
        /// One device.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// A disk is smaller than the configuration says.
    #[error("{} has {bytes} bytes, but {key} needs {needed}", device.display())]
    DiskTooSmall {
        /// The device.
        device: PathBuf,
        /// Its size.
        bytes: u64,
        /// Which setting.
        key: &'static str,
        /// The size that the configuration implies.
        needed: u64,
    },
    /// The dm-verity settings make no table.
    #[error("the dm-verity settings are refused")]
    VerityTable(#[source] Box<dyn Error + Send + Sync>),
    /// The kernel refused the dm-verity device.
    #[error("setting up the dm-verity device")]
    VeritySetup(#[source] io::Error),
    /// A block that PID 1 met is not what the root hash says.
    #[error("the root does not match the root hash")]
    VerityMismatch(#[source] Box<Failure>),
    /// There is no real init.
    #[error("looking up the real init {} in the root", path.display())]
    InitMissing {
        /// Key `root.init`.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The real init cannot be executed.
    #[error("the real init {} {why}", path.display())]
    InitNotExecutable {
        /// Key `root.init`.
        path: PathBuf,
        /// What it is.
        why: &'static str,
    },
    /// A directory that should become writable is not there, or is none.
    #[error("{} is to become writable, but the root has {what} there", path.display())]
    NotADirectory {
        /// The directory.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// The random generator was not ready in time.
    #[error("the kernel's random generator is not ready within {deadline}")]
    EntropyDeadline {
        /// How long was waited.
        deadline: String,
    },
    /// A host key could not be made.
    #[error("making the SSH host key {kind}")]
    HostKey {
        /// Which kind.
        kind: &'static str,
        /// What the library said.
        source: ssh_key::Error,
    },
    /// The switch to the real root failed.
    #[error("becoming {}", program.display())]
    HandOver {
        /// The real init.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Failure {
    /// The code that names this failure on the console.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Failure::Mount { .. } => "mount",
            Failure::Path { .. } => "path",
            Failure::Configuration(error) => configuration_code(error),
            Failure::LoadOrder(_) => "load-order",
            Failure::OtherKernel { .. } => "other-kernel",
            Failure::Module { .. } => "module",
            Failure::DiskMissing { .. } => "disk-missing",
            Failure::DiskAmbiguous { .. } => "disk-ambiguous",
            Failure::DiskTooSmall { .. } => "disk-too-small",
            Failure::VerityTable(_) => "verity-table",
            Failure::VeritySetup(_) => "verity-setup",
            Failure::VerityMismatch(_) => "verity-mismatch",
            Failure::InitMissing { .. } => "init-missing",
            Failure::InitNotExecutable { .. } => "init-not-executable",
            Failure::NotADirectory { .. } => "not-a-directory",
            Failure::EntropyDeadline { .. } => "entropy-deadline",
            Failure::HostKey { .. } => "host-key",
            Failure::HandOver { .. } => "hand-over",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Failure::Mount { .. } => {
                "check that the kernel has this file system, built in or in the modules archive"
            }
            Failure::Path { .. } => "the initramfs or the root lacks what PID 1 expects here",
            Failure::Configuration(_) => {
                "correct /etc/ravelin.toml in the initramfs or the ravelin.* words of the kernel \
                 command line, and measure again"
            }
            Failure::LoadOrder(_) => {
                "build the modules archive again with `ravelin image initramfs`"
            }
            Failure::OtherKernel { .. } => {
                "build the modules archive from /lib/modules of the kernel that is booted"
            }
            Failure::Module { .. } => {
                "the module does not fit this kernel, or its signature is required and missing"
            }
            Failure::DiskMissing { .. } => {
                "attach the disk to the VM, or correct the selector; `ravelin inspect` shows an \
                 image's partitions"
            }
            Failure::DiskAmbiguous { .. } => {
                "attach the disk once; serials and labels must be unique"
            }
            Failure::DiskTooSmall { .. } => {
                "the disk was cut short, swapped for another, or belongs to another command line"
            }
            Failure::VerityTable(_) => "take the ravelin.verity.* words from the image's sidecar",
            Failure::VeritySetup(_) => {
                "check that the kernel has dm-verity and the hash, built in or as modules"
            }
            Failure::VerityMismatch(_) => {
                "the disk was changed, or is not the image of this root hash; `ravelin image \
                 verify` names the first bad block"
            }
            Failure::InitMissing { .. } | Failure::InitNotExecutable { .. } => {
                "set ravelin.root.init to the init of this root"
            }
            Failure::NotADirectory { .. } => {
                "make it a directory in the image, or take it out of writable.directories"
            }
            Failure::EntropyDeadline { .. } => {
                "use a CPU with RDRAND (random.trust_cpu=on), or raise deadline.entropy"
            }
            Failure::HostKey { .. } => "report this; it should not happen",
            Failure::HandOver { .. } => {
                "check that the real init runs on this kernel (interpreter, architecture)"
            }
        }
    }

    /// The chain of causes, outermost first, each on one line.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut lines = vec![one_line(self)];
        let mut cause = self.source();
        while let Some(error) = cause {
            lines.push(one_line(error));
            cause = error.source();
        }
        lines
    }
}

/// A system call on a path, as a [`Failure::Path`].
pub fn path(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Failure {
    let path = path.into();
    move |source| Failure::Path { action, path, source }
}

const fn configuration_code(error: &ConfigError) -> &'static str {
    match error {
        ConfigError::UnknownKey { .. } => "configuration-unknown-key",
        ConfigError::RepeatedKey { .. } => "configuration-repeated-key",
        ConfigError::MissingKey { .. } => "configuration-missing-key",
        ConfigError::InvalidValue { .. } | ConfigError::WrongType { .. } => {
            "configuration-invalid-value"
        }
        ConfigError::NotInThisMode { .. } | ConfigError::Conflict(_) => "configuration-conflict",
        ConfigError::TooLarge => "configuration-too-large",
        ConfigError::Syntax { .. } => "configuration-syntax",
        ConfigError::Cmdline(_) => "configuration-command-line",
        _ => "configuration",
    }
}

/// Control characters would let a quoted name forge console lines.
fn one_line(error: &dyn Error) -> String {
    error.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_one_line_each_and_cannot_be_forged() {
        let failure = Failure::VerityMismatch(Box::new(Failure::Path {
            action: "reading",
            path: "/dev/x\nravelin: ok".into(),
            source: io::Error::from_raw_os_error(5),
        }));
        let causes = failure.causes();
        assert_eq!(causes.len(), 3);
        assert!(causes.iter().all(|line| !line.contains('\n')), "{causes:?}");
        assert!(causes[2].contains("os error 5"));
        assert_eq!(failure.code(), "verity-mismatch");
    }
}
