//! Running other programs, with errors that show the command.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// How much of a failed program's log is shown.
const LOG_TAIL_LINES: usize = 40;

/// Runs with the terminal as it is; a failure is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {}", shown(command)))?;
    check(command, status)
}

/// Runs and returns what was printed.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start {}", shown(command)))?;
    check(command, output.status)?;
    String::from_utf8(output.stdout)
        .with_context(|| format!("read what {} printed", shown(command)))
}

/// Runs silently, with all output in `log`; a failure shows the end of it.
pub(crate) fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
    let both = file.try_clone().context("share the log file")?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(both)
        .status()
        .with_context(|| format!("start {}", shown(command)))?;
    if !status.success() {
        show_end(log);
    }
    check(command, status)
}

/// The same, and calls `line` with each line of the standard output.
pub(crate) fn watched(command: &mut Command, log: &Path, mut line: impl FnMut(&str)) -> Result<()> {
    let mut file = File::create(log).with_context(|| format!("create {}", log.display()))?;
    let errors = file.try_clone().context("share the log file")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .with_context(|| format!("start {}", shown(command)))?;
    for read in child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let read = read.with_context(|| format!("read what {} prints", shown(command)))?;
        writeln!(file, "{read}").with_context(|| format!("write {}", log.display()))?;
        line(&read);
    }
    let status = child.wait().with_context(|| format!("wait for {}", shown(command)))?;
    if !status.success() {
        show_end(log);
    }
    check(command, status)
}

fn show_end(log: &Path) {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(LOG_TAIL_LINES)) {
        eprintln!("  | {line}");
    }
}

/// What is printed while things are built goes to standard error: standard
/// output is for the result alone.
pub(crate) fn keeping_stdout_clean<T>(action: impl FnOnce() -> Result<T>) -> Result<T> {
    let stdout = rustix::io::dup(io::stdout()).context("keep standard output")?;
    rustix::stdio::dup2_stdout(io::stderr()).context("redirect standard output")?;
    let result = action();
    rustix::stdio::dup2_stdout(stdout).context("restore standard output")?;
    result
}

/// `program`, through sudo when this process is not root.
pub(crate) fn as_root(program: &str) -> Result<Command> {
    if rustix::process::geteuid().is_root() {
        return Ok(Command::new(program));
    }
    let sudo = Command::new("sudo").arg("--version").stdout(Stdio::null()).status();
    if !sudo.is_ok_and(|status| status.success()) {
        bail!("{program} has to run as root: install sudo, or run this command as root once");
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}

/// The command as one would type it; not quoted.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!("{}: {status}", shown(command))
}
