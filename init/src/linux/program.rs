//! A program before the hand-over: one of the root, such as its fsck, or a hook of the
//! initramfs.
//!
//! It runs in a process of its own: PID 1's program is started again under the name
//! [`NAME`], enters the root and becomes the program. So nothing runs between fork and
//! exec, and the process has nothing of PID 1's memory, descriptors and environment.
//!
//! It is the first process of a PID namespace: when it ends, the kernel kills all that it
//! has started, whatever sessions and groups these have made (pid_namespaces(7)).

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use protocol::text::printable;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use super::{Linux, signals};
use crate::platform::{Hook, Hooks};

/// What the process is called until it is the program.
pub(super) const NAME: &str = "ravelin-run";

/// As login(1) has it for root.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes of output that are kept.
const MAX_OUTPUT: usize = 16 << 10;
/// Characters of a line of it.
const MAX_LINE: usize = 200;
/// How long what was killed may take to end: a disk that does not answer holds it.
const DYING: Duration = Duration::from_secs(5);
/// The exit status if there was no program to become; as the shell's.
const NOT_EXECUTED: i32 = 127;

/// One run of a program.
pub(super) struct Run<'a> {
    /// Where it is, and what becomes its root.
    pub(super) root: &'a Path,
    /// The program, as seen in the root.
    pub(super) program: &'a Path,
    /// Its arguments, without its name.
    pub(super) arguments: &'a [&'a str],
    /// Its environment, but for `PATH`.
    pub(super) environment: &'a [(&'a str, String)],
    /// The level of what it says, of `/dev/kmsg`.
    pub(super) level: u8,
}

impl Hooks for Linux {
    fn run_hook(&self, hook: &Hook<'_>, until: Duration) -> io::Result<i32> {
        let run = Run {
            root: Path::new("/"),
            program: hook.path,
            arguments: &[hook.stage.as_str()],
            environment: hook.environment,
            level: 6,
        };
        run.to_end(self.start + until)
    }
}

impl Run<'_> {
    /// Runs it; its exit status.
    pub(super) fn to_end(&self, until: Instant) -> io::Result<i32> {
        let (mut output, writer) = io::pipe()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).arg(self.root).arg(self.program).args(self.arguments);
        command.env_clear().env("PATH", PATH).current_dir("/");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = in_a_namespace(&mut command)?;
        // The pipe ends with the program, not with PID 1.
        drop(command);
        let mut text = Vec::new();
        let ended = wait(&child, &mut output, &mut text, until);
        if !matches!(ended, Ok(true)) {
            let _has_ended = child.kill();
            let until = Instant::now() + DYING;
            if !matches!(wait(&child, &mut output, &mut text, until), Ok(true)) {
                self.log(&text);
                return Err(io::Error::new(io::ErrorKind::TimedOut, "a disk keeps it from ending"));
            }
        }
        // Its last process is gone when this is over.
        let status = child.wait()?;
        self.log(&text);
        if !ended? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match status.code() {
            Some(code) => Ok(code),
            None => {
                let signal = status.signal().unwrap_or_default();
                Err(io::Error::other(format!("ended by signal {signal}")))
            }
        }
    }

    fn log(&self, text: &[u8]) {
        let Ok(mut kmsg) = File::options().write(true).open("/dev/kmsg") else { return };
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        let mut say = |line: &str| {
            let line = format!("<{}>ravelin: {name}: {line}\n", self.level);
            let _lost = kmsg.write_all(line.as_bytes());
        };
        for line in String::from_utf8_lossy(text).lines().filter(|line| !line.is_empty()) {
            say(&bounded(line));
        }
        if text.len() == MAX_OUTPUT {
            say("(what it said after this is left out)");
        }
    }
}

/// Starts `command` as the first process of a PID namespace. Only the children of this
/// thread are put there, and only until the namespace is PID 1's own again.
fn in_a_namespace(command: &mut Command) -> io::Result<Child> {
    let own = File::open("/proc/self/ns/pid")?;
    unshare(CloneFlags::CLONE_NEWPID)?;
    let child = command.spawn();
    setns(&own, CloneFlags::CLONE_NEWPID)?;
    child
}

/// Collects output until the process has ended; false if `until` came first.
fn wait(
    child: &Child,
    output: &mut io::PipeReader,
    text: &mut Vec<u8>,
    until: Instant,
) -> io::Result<bool> {
    let process = Pid::from_raw(child.id().cast_signed()).ok_or(io::ErrorKind::NotFound)?;
    let process = rustix::process::pidfd_open(process, PidfdFlags::empty())?;
    let mut is_open = true;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // Also while it prints without an end.
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec::try_from(left).unwrap_or_default();
        let (has_output, has_ended) = {
            let watched = if is_open { PollFlags::IN } else { PollFlags::empty() };
            let mut fds = [PollFd::new(&process, PollFlags::IN), PollFd::new(&*output, watched)];
            // A pipe without writers would be reported again and again.
            let count = if is_open { 2 } else { 1 };
            let fds = fds.get_mut(..count).unwrap_or_default();
            match rustix::event::poll(fds, Some(&timeout)) {
                Ok(0) => return Ok(false),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready = |fd: Option<&PollFd<'_>>| fd.is_some_and(|fd| !fd.revents().is_empty());
            (ready(fds.get(1)), ready(fds.first()))
        };
        if has_output {
            let mut buffer = [0; 4096];
            let length = output.read(&mut buffer)?;
            is_open = length > 0;
            let room = MAX_OUTPUT.saturating_sub(text.len());
            text.extend(buffer.iter().take(length.min(room)));
        } else if has_ended {
            return Ok(true);
        }
    }
}

/// What the log may have of a line: nothing that moves a terminal's cursor, and an end.
fn bounded(line: &str) -> String {
    let start: String = line.chars().take(MAX_LINE).collect();
    printable(&start).chars().take(MAX_LINE).collect()
}

/// The other side: enters the root and becomes the program.
pub(super) fn become_it(arguments: impl Iterator<Item = OsString>) {
    let error = match execute(arguments) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    eprintln!("{NAME}: {error}");
    std::process::exit(NOT_EXECUTED);
}

fn execute(mut arguments: impl Iterator<Item = OsString>) -> io::Result<std::convert::Infallible> {
    let root = arguments.next().ok_or(io::ErrorKind::InvalidInput)?;
    rustix::process::chroot(&root)?;
    rustix::process::chdir("/")?;
    let arguments: Vec<CString> =
        arguments.map(|argument| CString::new(argument.as_bytes())).collect::<Result<_, _>>()?;
    let program = arguments.first().ok_or(io::ErrorKind::InvalidInput)?;
    signals::restore()?;
    Ok(nix::unistd::execv(program, &arguments)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_bounded_and_moves_no_cursor() {
        assert_eq!(bounded("it's \"all\" right"), "it's \"all\" right");
        assert_eq!(bounded("\x1b[2J\rravelin: ok\u{202e}"), "\\u{1b}[2J\\rravelin: ok\\u{202e}");
        let long = bounded(&"\u{1}".repeat(1 << 20));
        assert_eq!(long.len(), MAX_LINE);
    }
}
