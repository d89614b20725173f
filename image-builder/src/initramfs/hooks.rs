//! Hooks, and the files that they need, in the configuration archive.
//!
//! PID 1 refuses to boot with a hook that it cannot run; what can be known of that
//! without running it is said here, where the archive is made.

use protocol::{hooks, layout};
use thiserror::Error;

use super::archive::{Archive, ArchiveError};
use super::executable::{ExecutableError, check_static_executable};

/// The longest first line of a script that the kernel reads, in bytes
/// (`BINPRM_BUF_SIZE` of `include/uapi/linux/binfmts.h`).
const SCRIPT_LINE_MAX: usize = 256;

/// What only PID 1, the builder and the kernel put files into.
const RESERVED: [&str; 9] = [
    layout::INIT,
    layout::CONFIGURATION,
    "/etc/ravelin",
    layout::MODULES,
    layout::DEV,
    layout::PROC,
    layout::SYS,
    layout::RUN,
    layout::SYSROOT,
];

/// Why a hook cannot be in the initramfs.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HookError {
    /// A name that PID 1 refuses.
    #[error(
        "{name:?} is no name of a hook: 1 to 64 ASCII letters, digits, -, _ and ., the first \
         one no ."
    )]
    Name {
        /// The name.
        name: String,
    },
    /// An executable that would not start.
    #[error("the program would not start in the initramfs")]
    Program(#[from] ExecutableError),
    /// A script whose first line the kernel does not understand.
    #[error("the first line of the script is not #! and an absolute path, in 256 bytes")]
    Script,
    /// A script whose interpreter is missing.
    #[error(
        "the script needs the interpreter {interpreter}, which is not among the initramfs's files"
    )]
    Interpreter {
        /// Its path.
        interpreter: String,
    },
    /// A file where it would be in the way.
    #[error("{path:?} is not a place for a file of a hook: it is PID 1's or the kernel's")]
    Place {
        /// Its path.
        path: String,
    },
    /// It does not fit into the archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// A hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// When it runs.
    pub stage: hooks::Stage,
    /// Its name, by which the hooks of a stage are ordered.
    pub name: String,
    /// The program.
    pub content: Vec<u8>,
}

/// A file that hooks need, such as an interpreter or data. It is executable if it begins
/// as a program or a script does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraFile {
    /// Its path in the initramfs.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// What a configuration archive has besides the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Additions {
    /// The hooks.
    pub hooks: Vec<Hook>,
    /// What they need.
    pub files: Vec<ExtraFile>,
}

impl Additions {
    /// Adds all to the archive.
    ///
    /// # Errors
    /// The first one that PID 1 could not run, with its path.
    pub fn add_to(&self, archive: &mut Archive) -> Result<(), (String, HookError)> {
        for file in &self.files {
            let failed = |error| (file.path.clone(), error);
            file.add_to(archive).map_err(failed)?;
        }
        for hook in &self.hooks {
            let failed = |error| (hook.path(), error);
            if !hooks::is_name(&hook.name) {
                return Err(failed(HookError::Name { name: hook.name.clone() }));
            }
            let there = |path: &String| self.files.iter().any(|file| file.path == *path);
            let interpreter = check_hook(&hook.content).map_err(failed)?;
            if let Some(interpreter) = interpreter.filter(|path| !there(path)) {
                return Err(failed(HookError::Interpreter { interpreter }));
            }
            archive
                .file(&hook.path(), 0o755, hook.content.clone())
                .map_err(|error| failed(error.into()))?;
        }
        Ok(())
    }
}

impl Hook {
    fn path(&self) -> String {
        format!("{}/{}/{}", layout::HOOKS, self.stage.directory(), self.name)
    }
}

impl ExtraFile {
    fn add_to(&self, archive: &mut Archive) -> Result<(), HookError> {
        let is_in = |place: &&str| {
            let below = self.path.strip_prefix(*place);
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if !self.path.starts_with('/') || RESERVED.iter().any(is_in) {
            return Err(HookError::Place { path: self.path.clone() });
        }
        let is_elf = self.content.starts_with(b"\x7fELF");
        if is_elf {
            check_static_executable(&self.content)?;
        }
        let mode = if is_elf || self.content.starts_with(b"#!") { 0o755 } else { 0o644 };
        archive.file(&self.path, mode, self.content.clone())?;
        Ok(())
    }
}

/// Checks that the kernel can start a hook: it is a static executable, or a script.
/// Returns the interpreter that the script needs.
///
/// # Errors
/// What keeps it from starting.
pub fn check_hook(content: &[u8]) -> Result<Option<String>, HookError> {
    let Some(line) = content.strip_prefix(b"#!") else {
        check_static_executable(content)?;
        return Ok(None);
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = std::str::from_utf8(line).map_err(|_not_utf8| HookError::Script)?;
    let interpreter = text.split([' ', '\t']).find(|word| !word.is_empty()).unwrap_or_default();
    if !interpreter.starts_with('/') || line.len() + 2 > SCRIPT_LINE_MAX {
        return Err(HookError::Script);
    }
    Ok(Some(interpreter.to_owned()))
}
