//! Everything that can go wrong, each with a [code](crate::codes).
//!
//! Messages may quote what a host wrote (device names, serials), always
//! escaped; they never contain a secret, because the host reads the console.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use protocol::config::{ConfigError, OnFailure};
use protocol::hooks::Stage;
use protocol::load_order::LoadOrderError;
use protocol::text::printable;
use rustix::io::Errno;

use crate::codes::{self, Code};
use crate::reports::ReportError;
use crate::volume::OpenError;

/// The steps of the boot, by the name that the console shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Mounting the kernel's file systems.
    Mounts,
    /// Reading the measured configuration.
    Configuration,
    /// Loading kernel modules.
    Modules,
    /// Giving up what the machine does not need.
    Harden,
    /// Finding the disks.
    Disks,
    /// Running the hooks of a stage, whose name it has.
    Hooks(Stage),
    /// Bringing up the network.
    Network,
    /// Getting keys from their owners and opening the volumes with them.
    Unlock,
    /// Opening and mounting the root.
    Root,
    /// Adding the writable layer.
    Writable,
    /// Opening and mounting the volumes beside the root.
    Volumes,
    /// Making host keys and machine id.
    Identity,
    /// Asking the secure processor for a report.
    Evidence,
    /// Becoming the real init.
    HandOver,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Step; 16] = [
        Step::Mounts,
        Step::Configuration,
        Step::Modules,
        Step::Harden,
        Step::Disks,
        Step::Hooks(Stage::PreRoot),
        Step::Network,
        Step::Unlock,
        Step::Root,
        Step::Hooks(Stage::PostRoot),
        Step::Writable,
        Step::Volumes,
        Step::Identity,
        Step::Evidence,
        Step::Hooks(Stage::PreHandOver),
        Step::HandOver,
    ];

    /// The step's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Step::Mounts => "mounts",
            Step::Configuration => "configuration",
            Step::Modules => "modules",
            Step::Harden => "harden",
            Step::Disks => "disks",
            Step::Hooks(stage) => stage.as_str(),
            Step::Network => "network",
            Step::Unlock => "unlock",
            Step::Root => "root",
            Step::Writable => "writable",
            Step::Volumes => "volumes",
            Step::Identity => "identity",
            Step::Evidence => "evidence",
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
    /// Two volumes are on one device.
    #[error("{first} and {second} are both {}", device.display())]
    DiskShared {
        /// One key.
        first: String,
        /// The other.
        second: String,
        /// The device.
        device: PathBuf,
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
    /// The disk answered with an error where PID 1 read.
    #[error("the root's disk answers with an error")]
    DiskError(#[source] Box<Failure>),
    /// An encrypted disk answered with an error where PID 1 read.
    #[error("an encrypted volume gives an error instead of what is on it")]
    DiskNotAuthentic(#[source] Box<Failure>),
    /// The network did not come up.
    #[error("bringing up the network")]
    Network(#[source] Box<dyn Error + Send + Sync>),
    /// The network did not go down.
    #[error("taking down the network")]
    NetworkDown(#[source] io::Error),
    /// Owners cannot be served.
    #[error("serving the owners of the keys")]
    OwnerServer(#[source] Box<dyn Error + Send + Sync>),
    /// No release opened the volumes in time.
    #[error("no release opened the volumes within {deadline}")]
    UnlockDeadline {
        /// How long was waited.
        deadline: String,
    },
    /// A volume was not opened, and no other release would change that.
    #[error("the volume {name}")]
    Volume {
        /// Which one.
        name: String,
        /// Why.
        source: OpenError,
    },
    /// The root's own file-system check did not end well.
    #[error("checking {} by the root's own program", device.display())]
    Fsck {
        /// What was checked.
        device: PathBuf,
        /// What happened.
        source: ProgramError,
    },
    /// The root's own program made no file system.
    #[error("making a file system on {} by the root's own program", device.display())]
    Mkfs {
        /// Where to.
        device: PathBuf,
        /// What happened.
        source: ProgramError,
    },
    /// What is among the hooks cannot be run.
    #[error("the hook {} {why}", path.display())]
    HookRefused {
        /// What it is about.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A hook failed.
    #[error("running the hooks of {stage}")]
    Hook {
        /// Where the boot was.
        stage: Stage,
        /// What happened.
        source: ProgramError,
    },
    /// A hook did not end in time.
    #[error("the hook {} did not end within {deadline}", path.display())]
    HookDeadline {
        /// The hook.
        path: PathBuf,
        /// How long was waited.
        deadline: String,
    },
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
    /// The root has no directory to move one of the kernel's file systems to.
    #[error("the root has no directory {}", path.display())]
    RootIncomplete {
        /// The directory.
        path: PathBuf,
    },
    /// There is no directory where the root has to have one.
    #[error("{} has to be a directory of the root, but there is {what}", path.display())]
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
    /// A host key of the root cannot be bound.
    #[error("the SSH host key {} {why}", path.display())]
    HostKeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no report, or not the one that was asked for.
    #[error("asking for the attestation report")]
    Report(#[source] ReportError),
    /// The responder could not be started.
    #[error("starting the attestation responder")]
    Responder(#[source] Box<dyn Error + Send + Sync>),
    /// The switch to the real root failed.
    #[error("becoming {}", program.display())]
    HandOver {
        /// The real init.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Why a program of the root, or a hook, was of no use.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there.
    #[error("the root has no program {name} in {places}")]
    Missing {
        /// Its name.
        name: String,
        /// Where it was looked for.
        places: String,
    },
    /// It said so itself.
    #[error("{} ended with status {status}", program.display())]
    Status {
        /// The program.
        program: PathBuf,
        /// Its exit status.
        status: i32,
    },
    /// It did not run to its end.
    #[error("running {}", program.display())]
    System {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel's file systems that it needs are not there.
    #[error(transparent)]
    Around(Box<Failure>),
}

impl Failure {
    /// The code that names this failure on the console, with its hint.
    #[must_use]
    pub const fn code(&self) -> &'static Code {
        match self {
            Failure::Mount { .. } => &codes::MOUNT,
            Failure::Path { .. } => &codes::PATH,
            Failure::Configuration(error) => configuration_code(error),
            Failure::LoadOrder(_) => &codes::LOAD_ORDER,
            Failure::OtherKernel { .. } => &codes::OTHER_KERNEL,
            Failure::Module { .. } => &codes::MODULE,
            Failure::DiskMissing { .. } => &codes::DISK_MISSING,
            Failure::DiskAmbiguous { .. } => &codes::DISK_AMBIGUOUS,
            Failure::DiskShared { .. } => &codes::DISK_SHARED,
            Failure::DiskTooSmall { .. } => &codes::DISK_TOO_SMALL,
            Failure::VerityTable(_) => &codes::VERITY_TABLE,
            Failure::VeritySetup(_) => &codes::VERITY_SETUP,
            Failure::VerityMismatch(_) => &codes::VERITY_MISMATCH,
            Failure::DiskError(_) => &codes::DISK_ERROR,
            Failure::DiskNotAuthentic(_) => &codes::DISK_NOT_AUTHENTIC,
            Failure::Network(_) => &codes::NETWORK,
            Failure::NetworkDown(_) => &codes::NETWORK_DOWN,
            Failure::OwnerServer(_) => &codes::OWNER_SERVER,
            Failure::UnlockDeadline { .. } => &codes::UNLOCK_DEADLINE,
            Failure::Volume { source, .. } => volume_code(source),
            Failure::Fsck { .. } => &codes::FSCK,
            Failure::Mkfs { .. } => &codes::MKFS,
            Failure::HookRefused { .. } => &codes::HOOK_REFUSED,
            Failure::Hook { .. } => &codes::HOOK,
            Failure::HookDeadline { .. } => &codes::HOOK_DEADLINE,
            Failure::InitMissing { .. } => &codes::INIT_MISSING,
            Failure::InitNotExecutable { .. } => &codes::INIT_NOT_EXECUTABLE,
            Failure::RootIncomplete { .. } => &codes::ROOT_INCOMPLETE,
            Failure::NotADirectory { .. } => &codes::NOT_A_DIRECTORY,
            Failure::EntropyDeadline { .. } => &codes::ENTROPY_DEADLINE,
            Failure::HostKey { .. } => &codes::HOST_KEY,
            Failure::HostKeyFile { .. } => &codes::HOST_KEY_FILE,
            Failure::Report(error) => report_code(error),
            Failure::Responder(_) => &codes::RESPONDER,
            Failure::HandOver { .. } => &codes::HAND_OVER,
        }
    }

    /// Whether a device's error is at the bottom of it: EIO, or EILSEQ, by which
    /// dm-crypt says that a block is not authentic.
    #[must_use]
    pub fn is_io_error(&self) -> bool {
        let mut innermost: &dyn Error = self;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        let error = innermost.downcast_ref::<io::Error>();
        let errors = [Errno::IO, Errno::ILSEQ].map(Errno::raw_os_error);
        error.and_then(io::Error::raw_os_error).is_some_and(|errno| errors.contains(&errno))
    }

    /// The chain of causes, outermost first, each on one line.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        causes(self)
    }
}

/// The chain of causes of any error, outermost first, each on one line.
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut lines = vec![printable(&error.to_string())];
    let mut cause = error.source();
    while let Some(error) = cause {
        lines.push(printable(&error.to_string()));
        cause = error.source();
    }
    lines
}

/// A system call on a path, as a [`Failure::Path`].
pub fn path(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Failure {
    let path = path.into();
    move |source| Failure::Path { action, path, source }
}

const fn configuration_code(error: &ConfigError) -> &'static Code {
    match error {
        ConfigError::UnknownKey { .. } => &codes::CONFIGURATION_UNKNOWN_KEY,
        ConfigError::RepeatedKey { .. } => &codes::CONFIGURATION_REPEATED_KEY,
        ConfigError::MissingKey { .. } => &codes::CONFIGURATION_MISSING_KEY,
        ConfigError::NotInThisMode { .. } | ConfigError::Conflict(_) => {
            &codes::CONFIGURATION_CONFLICT
        }
        ConfigError::TooLarge => &codes::CONFIGURATION_TOO_LARGE,
        ConfigError::Syntax { .. } => &codes::CONFIGURATION_SYNTAX,
        ConfigError::Cmdline(_) => &codes::CONFIGURATION_COMMAND_LINE,
        ConfigError::InvalidValue { .. } | ConfigError::WrongType { .. } => {
            &codes::CONFIGURATION_INVALID_VALUE
        }
    }
}

const fn report_code(error: &ReportError) -> &'static Code {
    match error {
        ReportError::NoSource { .. } => &codes::REPORT_NO_SOURCE,
        ReportError::Deadline { .. } => &codes::REPORT_DEADLINE,
        ReportError::Provider { .. }
        | ReportError::Io { .. }
        | ReportError::Device(_)
        | ReportError::DerivedKey(_) => &codes::REPORT_REFUSED,
        ReportError::Length { .. }
        | ReportError::Version { .. }
        | ReportError::OtherData
        | ReportError::OtherGuest => &codes::REPORT_MISMATCH,
    }
}

const fn volume_code(error: &OpenError) -> &'static Code {
    match error {
        OpenError::Spec(_) => &codes::VOLUME_SPEC,
        OpenError::Layout { .. } | OpenError::DiskSize { .. } => &codes::VOLUME_SIZE,
        OpenError::Blank { .. } => &codes::VOLUME_BLANK,
        OpenError::Superblock { .. } => &codes::VOLUME_SUPERBLOCK,
        OpenError::TableDiffers { .. } => &codes::VOLUME_TABLE,
        OpenError::Key { .. } | OpenError::Tail { .. } => &codes::VOLUME_KEY,
        OpenError::RolledBack { .. } => &codes::VOLUME_ROLLED_BACK,
        OpenError::LastEpoch(_) | OpenError::EpochLost { .. } => &codes::VOLUME_EPOCH,
        OpenError::NoEpochs { .. }
        | OpenError::HeaderDigest { .. }
        | OpenError::Header { .. }
        | OpenError::Unlock(_)
        | OpenError::ProvisionLuks => &codes::VOLUME_HEADER,
        OpenError::DerivedKey(_) => &codes::VOLUME_DERIVED_KEY,
        OpenError::Seal { .. } => &codes::VOLUME_FORMAT,
        OpenError::Random(_) | OpenError::System { .. } => &codes::VOLUME_SYSTEM,
    }
}

/// The lines that the console shows of a failure.
#[must_use]
pub fn block(step: Step, code: &Code, causes: &[String], how: OnFailure) -> Vec<String> {
    let mut lines = vec![format!("ravelin: FAILED step={} code={}", step.as_str(), code.name)];
    lines.extend(causes.iter().map(|cause| format!("ravelin:   cause: {cause}")));
    lines.push(format!("ravelin:   hint: {}", code.hint));
    lines.push(format!("ravelin:   then: {how}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_one_line_each_and_cannot_be_forged() {
        let failure = Failure::VerityMismatch(Box::new(Failure::Path {
            action: "reading",
            path: "/dev/x\nravelin: ok\u{202e}ko".into(),
            source: io::Error::from_raw_os_error(5),
        }));
        let causes = failure.causes();
        assert_eq!(causes.len(), 3);
        assert!(causes.iter().all(|line| line.is_ascii() && !line.contains('\n')), "{causes:?}");
        assert!(causes[2].contains("os error 5"));
        assert_eq!(failure.code().name, "verity-mismatch");
    }
}
