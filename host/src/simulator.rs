//! The simulated secure processor beside a simulated VM.
//!
//! It is another program, `ravelin-simulator`: nothing of it is linked into this
//! one, which only starts it, hands its additions to QEMU and ends it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;
use tempfile::TempDir;

use crate::qemu;
use crate::vm::{VmError, VmFile};

/// The program's name.
const PROGRAM: &str = "ravelin-simulator";
/// Names the program, where it is not beside this one.
const VARIABLE: &str = "RAVELIN_SIMULATOR";
/// More than its one line.
const LINE_LIMIT: u64 = 1 << 20;

/// Why there is no simulated secure processor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SimulatorError {
    /// The VM description lacks something.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// No directory for the socket and the initramfs.
    #[error("making a temporary directory for the simulator")]
    Directory(#[source] io::Error),
    /// The program cannot be started.
    #[error("{program} cannot be started")]
    Start {
        /// The program.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It ended instead of serving.
    #[error("{program} does not serve; its own message is above")]
    Ended {
        /// The program.
        program: String,
    },
    /// It said something else than expected.
    #[error("{program} is of another version than this ravelin")]
    Answer {
        /// The program.
        program: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// A simulator that serves. Dropping it ends it.
pub(crate) struct Running {
    child: Child,
    /// Holds its socket and the initramfs.
    _directory: TempDir,
    /// What QEMU gets.
    pub(crate) parts: qemu::Simulator,
    /// The root certificate of its reports.
    pub(crate) root: PathBuf,
}

#[derive(Deserialize)]
struct Line {
    root: PathBuf,
    initrd: PathBuf,
    cmdline_suffix: String,
    qemu: Vec<String>,
}

impl Running {
    /// Starts `program`, by default the one beside this program or in `PATH`,
    /// for the VM that `file` describes, and waits until it serves.
    pub(crate) fn start(
        program: Option<&OsStr>,
        file: &VmFile,
        more: &[OsString],
    ) -> Result<Self, SimulatorError> {
        let program = program.map_or_else(usual_program, OsStr::to_owned);
        let shown = program.to_string_lossy().into_owned();
        // The socket lets whoever reaches it ask for reports.
        let directory = tempfile::Builder::new()
            .prefix("ravelin-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(SimulatorError::Directory)?;
        let mut command = Command::new(&program);
        command.args(["serve", "--with-parent", "--directory"]).arg(directory.path());
        command.arg("--initramfs").arg(file.initrd()?);
        command.arg("--firmware").arg(file.firmware()?);
        let sev = &file.vm().sev;
        command.arg("--policy").arg(sev.policy.to_string());
        command.arg("--guest-features").arg(format!("{:#x}", sev.guest_features.bits()));
        if let Some(data) = sev.host_data {
            command.arg("--host-data").arg(hex::encode(data.0));
        }
        if let (Some(block), Some(auth)) = (&sev.id_block, &sev.id_auth) {
            command.arg("--id-block").arg(block.to_base64());
            command.arg("--id-auth").arg(auth.to_base64());
            command.arg("--author-key").arg(sev.author_key_enabled().to_string());
        }
        if let Some(modules) = &file.vm().simulation.kernel_modules {
            command.arg("--kernel-modules").arg(file.resolve(modules));
        }
        let mut child = command
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| SimulatorError::Start { program: shown.clone(), source })?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            let _ended = BufReader::new(output.take(LINE_LIMIT)).read_line(&mut line);
        }
        // Ends the program when something below fails.
        let mut running = Self {
            child,
            _directory: directory,
            parts: qemu::Simulator {
                initrd: PathBuf::new(),
                cmdline_suffix: String::new(),
                arguments: Vec::new(),
            },
            root: PathBuf::new(),
        };
        if line.is_empty() {
            return Err(SimulatorError::Ended { program: shown });
        }
        let line: Line = serde_json::from_str(&line)
            .map_err(|source| SimulatorError::Answer { program: shown, source })?;
        running.parts = qemu::Simulator {
            initrd: line.initrd,
            cmdline_suffix: line.cmdline_suffix,
            arguments: line.qemu.into_iter().map(OsString::from).collect(),
        };
        running.root = line.root;
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _has_ended = self.child.kill();
        let _has_ended = self.child.wait();
    }
}

/// What the environment names, else what is beside this program, else the name.
fn usual_program() -> OsString {
    if let Some(program) = env::var_os(VARIABLE).filter(|program| !program.is_empty()) {
        return program;
    }
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join(PROGRAM)));
    match beside.filter(|path: &PathBuf| Path::is_file(path)) {
        Some(path) => path.into(),
        None => PROGRAM.into(),
    }
}
