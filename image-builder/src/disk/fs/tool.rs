//! Finding, asking and running a file system's tool.
//!
//! A tool runs with an environment of its own making (no locale, no time zone,
//! no variable that changes its output), its input from us or a file, its words
//! kept for the error. It dies with the builder: `mkfs.erofs` loops for ever when
//! its input ends inside of a member, so where there is `setpriv` (util-linux)
//! the tool gets a parent-death signal.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use thiserror::Error;

use crate::disk::tree::Note;

/// How much of a tool's words is kept, from the end.
const WORDS: usize = 4096;
/// Where tools are besides PATH: a user's PATH on Debian lacks these.
const SYSTEM: &[&str] = &["/usr/sbin", "/sbin", "/usr/local/sbin"];
/// What of our environment a tool sees.
const INHERITED: &[&str] = &["PATH", "LD_LIBRARY_PATH", "TMPDIR"];

/// Paths of tools; those that are `None` are looked for on PATH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tools {
    /// `mkfs.erofs` of erofs-utils.
    pub mkfs_erofs: Option<PathBuf>,
    /// `mksquashfs` of squashfs-tools.
    pub mksquashfs: Option<PathBuf>,
    /// `mke2fs` of e2fsprogs.
    pub mke2fs: Option<PathBuf>,
    /// `debugfs` of e2fsprogs.
    pub debugfs: Option<PathBuf>,
    /// `depmod` of kmod.
    pub depmod: Option<PathBuf>,
}

impl Tools {
    /// The tools that `RAVELIN_MKFS_EROFS`, `RAVELIN_MKSQUASHFS`, `RAVELIN_MKE2FS`,
    /// `RAVELIN_DEBUGFS` and `RAVELIN_DEPMOD` name.
    #[must_use]
    pub fn from_environment() -> Tools {
        let path = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Tools {
            mkfs_erofs: path("RAVELIN_MKFS_EROFS"),
            mksquashfs: path("RAVELIN_MKSQUASHFS"),
            mke2fs: path("RAVELIN_MKE2FS"),
            debugfs: path("RAVELIN_DEBUGFS"),
            depmod: path("RAVELIN_DEPMOD"),
        }
    }
}

/// A tool as it is asked for.
pub(super) struct Wanted {
    pub(super) name: &'static str,
    pub(super) variable: &'static str,
    /// The package, the least version, and what serves instead.
    pub(super) remedy: &'static str,
}

/// Why a tool did not make a file system.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ToolError {
    /// It is not there.
    #[error(
        "{tool}{} was not found; install {remedy}, or name it with {variable}",
        .given.as_ref().map(|p| format!(" ({})", p.display())).unwrap_or_default()
    )]
    Missing {
        /// The tool's name.
        tool: &'static str,
        /// The path that was given, if one was.
        given: Option<PathBuf>,
        /// The environment variable.
        variable: &'static str,
        /// What to install.
        remedy: &'static str,
    },
    /// It is there, but cannot do what is needed.
    #[error("{}: {lacks}; install {remedy}, or name another program with {variable}", .path.display())]
    Unfit {
        /// The tool.
        path: PathBuf,
        /// What is missing, and which version it is.
        lacks: String,
        /// The environment variable.
        variable: &'static str,
        /// What to install.
        remedy: &'static str,
    },
    /// It could not be started.
    #[error("{}: cannot be started", .path.display())]
    Start {
        /// The tool.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It could not be waited for.
    #[error("{}: its end cannot be seen", .path.display())]
    Wait {
        /// The tool.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It failed.
    #[error(
        "{} failed ({status}){}{words}", .path.display(),
        if .words.is_empty() { " and said nothing" } else { ":\n" }
    )]
    Failed {
        /// The tool.
        path: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The last it said.
        words: String,
    },
}

/// A tool that was found.
pub(super) struct Tool {
    wanted: &'static Wanted,
    pub(super) path: PathBuf,
}

impl Tool {
    /// The tool at `given`, or on PATH.
    pub(super) fn find(
        wanted: &'static Wanted,
        given: Option<&PathBuf>,
    ) -> Result<Tool, ToolError> {
        let path = match given {
            Some(path) => is_executable(path).then(|| path.clone()),
            None => on_path(wanted.name),
        };
        path.map(|path| Tool { wanted, path }).ok_or_else(|| ToolError::Missing {
            tool: wanted.name,
            given: given.cloned(),
            variable: wanted.variable,
            remedy: wanted.remedy,
        })
    }

    /// What the tool prints, on either stream, whatever its status.
    pub(super) fn ask(&self, args: &[&str]) -> Result<String, ToolError> {
        let mut command = Command::new(&self.path);
        command.args(args).stdin(Stdio::null());
        environment(&mut command, &[]);
        let output = command
            .output()
            .map_err(|source| ToolError::Start { path: self.path.clone(), source })?;
        let both = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&both).into_owned())
    }

    pub(super) fn unfit(&self, lacks: String) -> ToolError {
        ToolError::Unfit {
            path: self.path.clone(),
            lacks,
            variable: self.wanted.variable,
            remedy: self.wanted.remedy,
        }
    }

    /// Starts it; without an `input` file, the caller writes its input.
    pub(super) fn start(
        &self,
        args: &[OsString],
        variables: &[(&str, String)],
        input: Option<File>,
    ) -> Result<Running, ToolError> {
        let failed = |source| ToolError::Start { path: self.path.clone(), source };
        let mut command = match on_path("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(&self.path);
                command
            }
            None => Command::new(&self.path),
        };
        command.args(args).stdout(Stdio::null()).stderr(Stdio::piped());
        command.stdin(input.map_or_else(Stdio::piped, Stdio::from));
        environment(&mut command, variables);
        let mut child = command.spawn().map_err(failed)?;
        let stdin = child.stdin.take().map(|pipe| BufWriter::with_capacity(1 << 18, pipe));
        let words = child.stderr.take().map(|pipe| std::thread::spawn(move || last(pipe)));
        let (name, path) = (self.wanted.name, self.path.clone());
        Ok(Running { name, path, child: Some(child), stdin, words })
    }
}

/// A tool at work. Dropped before it has finished, it is killed.
pub(super) struct Running {
    name: &'static str,
    path: PathBuf,
    child: Option<Child>,
    stdin: Option<BufWriter<ChildStdin>>,
    words: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    /// Ends its input and waits for it. What it said although it succeeded is
    /// for the user.
    pub(super) fn finish(mut self) -> Result<Option<Note>, ToolError> {
        // Without the buffer's rest, if the tool has stopped reading.
        drop(self.stdin.take().map(BufWriter::into_parts));
        let Some(mut child) = self.child.take() else { return Ok(None) };
        let status =
            child.wait().map_err(|source| ToolError::Wait { path: self.path.clone(), source })?;
        let words = self.words.take().and_then(|words| words.join().ok()).unwrap_or_default();
        let text = readable(&words);
        if !status.success() {
            return Err(ToolError::Failed { path: self.path.clone(), status, words: text });
        }
        Ok((!text.is_empty()).then_some(Note::Tool { tool: self.name, text }))
    }
}

impl Write for Running {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.flush()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The build has failed already and says why. Killed before its input
            // ends, so that it never takes half a tree for a whole one.
            let _ = child.kill();
            let _ = child.wait();
        }
        drop(self.stdin.take().map(BufWriter::into_parts));
    }
}

fn environment(command: &mut Command, variables: &[(&str, String)]) {
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(variables.iter().map(|(name, value)| (name, value)));
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .chain(SYSTEM.iter().map(PathBuf::from))
        .map(|directory| directory.join(OsStr::new(name)))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// The last of what comes out of a pipe.
fn last(mut pipe: impl Read) -> Vec<u8> {
    let (mut tail, mut buffer) = (Vec::new(), [0; WORDS]);
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return tail,
            Ok(count) => tail.extend(buffer.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return tail,
        }
        tail.drain(..tail.len().saturating_sub(WORDS));
    }
}

/// A tool may repeat names from the tree: nothing of them steers a terminal.
fn readable(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let plain: String =
        text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    let lines = plain.lines().map(str::trim).filter(|line| !line.is_empty());
    // mke2fs greets on its error stream.
    lines.filter(|line| !line.starts_with("mke2fs 1.")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    static SHELL: Wanted = Wanted { name: "sh", variable: "RAVELIN_SH", remedy: "dash" };

    fn shell(script: &str) -> Running {
        let tool = Tool::find(&SHELL, None).unwrap();
        tool.start(&["-c".into(), script.into()], &[("SET", "1".into())], None).unwrap()
    }

    #[test]
    fn success_failure_and_words() {
        assert_eq!(shell("cat >/dev/null").finish().unwrap(), None);
        let said = shell("printf 'a\\033\\nb\\n' >&2").finish().unwrap();
        assert_eq!(said, Some(Note::Tool { tool: "sh", text: "a\nb".into() }));
        let error = shell("echo no space >&2; exit 3").finish().unwrap_err().to_string();
        assert!(error.ends_with("failed (exit status: 3):\nno space"), "{error}");
        let error = shell("exit 1").finish().unwrap_err().to_string();
        assert!(error.ends_with("and said nothing"), "{error}");
        let flood = shell("yes 0123456789 | head -c 1000000 >&2; echo end >&2; false");
        let error = flood.finish().unwrap_err().to_string();
        assert!(error.len() < 2 * WORDS && error.ends_with("end"), "{error}");
    }

    #[test]
    fn the_environment_is_ours() {
        let said = shell("echo $SET $LC_ALL $TZ ${HOME-unset} ${CARGO-unset} >&2").finish();
        let text = "1 C UTC unset unset".to_owned();
        assert_eq!(said.unwrap(), Some(Note::Tool { tool: "sh", text }));
    }

    #[test]
    fn a_tool_that_stops_reading_ends_the_feeding_and_says_why() {
        let mut running = shell("exec <&-; echo enough >&2; exit 9");
        let error = loop {
            if let Err(error) = running.write_all(&[0; 1 << 16]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(running.finish().unwrap_err().to_string().ends_with("enough"));
    }

    #[test]
    fn a_dropped_tool_is_dead() {
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("mark");
        let script = format!("cat >/dev/null; touch {}", mark.display());
        drop(shell(&script));
        assert!(!mark.exists(), "it was not to see the end of its input");
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let given = PathBuf::from("/nonexistent/sh");
        let error = Tool::find(&SHELL, Some(&given)).err().unwrap().to_string();
        assert_eq!(
            error,
            "sh (/nonexistent/sh) was not found; install dash, or name it with RAVELIN_SH"
        );
    }
}
