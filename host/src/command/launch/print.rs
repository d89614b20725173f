//! What `ravelin launch --print` shows.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::{Remedy, Result};
use crate::qemu::{Command, Protection, Request, domain, unit};
use crate::terminal::{Terminal, Text};
use crate::vm::VmFile;

/// As what the VM is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// QEMU's command line
    Qemu,
    /// A libvirt domain
    Libvirt,
    /// A systemd service
    Systemd,
}

#[derive(Serialize)]
struct Printed {
    protection: &'static str,
    program: String,
    arguments: Vec<String>,
    shell: String,
}

#[derive(Serialize)]
struct Definition {
    name: String,
    text: String,
}

pub(super) fn run(format: Format, file: &VmFile, request: &Request, terminal: &Terminal) -> Result {
    let name = name(file.path());
    let help = "`ravelin launch --print` shows the QEMU command instead";
    let (kind, text) = match format {
        Format::Qemu => return command(&Command::new(file, request)?, request, terminal),
        Format::Libvirt => ("launch-libvirt", domain(file, request, &name).remedy(help)?),
        Format::Systemd => ("launch-systemd", unit(file, request, &name).remedy(help)?),
    };
    let definition = Definition { name, text };
    if terminal.json() {
        terminal.result(kind, &definition, &Text::new())?;
    } else {
        terminal.output(definition.text.as_bytes())?;
    }
    Ok(Exit::Success)
}

/// A name for the VM: that of its description, or of the directory of a `vm.toml`.
fn name(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_error| path.to_owned());
    let stem = path.file_stem().filter(|stem| *stem != "vm");
    let name = stem.or_else(|| path.parent()?.file_name()).unwrap_or_default();
    let name: String = name
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "vm".to_owned() } else { name.to_owned() }
}

fn command(command: &Command, request: &Request, terminal: &Terminal) -> Result {
    if terminal.json() {
        let printed = Printed {
            protection: match request.protection {
                Protection::SevSnp { .. } => "sev-snp",
                Protection::Simulated => "none",
            },
            program: command.program.to_string_lossy().into_owned(),
            arguments: command.arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect(),
            shell: one_line(command)?,
        };
        terminal.result("launch", &printed, &Text::new())?;
        return Ok(Exit::Success);
    }
    // One option a line, its value beside it.
    let mut text = quote(&command.program)?;
    let mut after_option = false;
    for argument in &command.arguments {
        let option = argument.as_bytes().starts_with(b"-");
        text.extend_from_slice(if after_option && !option { b" " } else { b" \\\n  " });
        text.extend_from_slice(&quote(argument)?);
        after_option = option;
    }
    text.push(b'\n');
    terminal.output(&text)?;
    Ok(Exit::Success)
}

/// The command for a POSIX shell, in one line.
pub(super) fn one_line(command: &Command) -> Result<String> {
    let mut words = Vec::new();
    for word in std::iter::once(&command.program).chain(&command.arguments) {
        words.push(String::from_utf8_lossy(&quote(word)?).into_owned());
    }
    Ok(words.join(" "))
}

fn quote(word: &OsString) -> Result<Vec<u8>> {
    Ok(shlex::bytes::try_quote(word.as_bytes())?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (path, expected) in [
            ("/vms/web/vm.toml", "web"),
            ("/vms/web.toml", "web"),
            ("/vms/a b/é.toml", "vm"),
            ("/vms/my shop/vm.toml", "my-shop"),
            ("/vm.toml", "vm"),
            ("/vms/.x/vm.toml", "x"),
        ] {
            assert_eq!(name(Path::new(path)), expected, "{path}");
        }
    }
}
