//! The VM as a systemd service that runs QEMU (systemd.service(5), systemd.exec(5)).
//!
//! QEMU is not trusted more than it must be: a user of its own that exists while it
//! runs, the two devices, the VM's files, and no more.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{Command, Protection, Request};
use crate::vm::{Link, VmError, VmFile};

/// Why there is no unit for a VM.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// The description lacks a setting.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// A simulated secure processor lives only with `ravelin launch`.
    #[error("a simulated VM is no service: nothing in it would be protected")]
    Simulated,
    /// The bridge helper is set-user-ID, which a confined service cannot start.
    #[error(
        "network.bridge needs QEMU's set-user-ID helper, which a confined service may not start; \
         add a tap device to the bridge for the group kvm, and name it as network.tap"
    )]
    Bridge,
    /// The service has directories for temporary files of its own.
    #[error("{}: a confined service does not see /tmp and /var/tmp; move the file", .0.display())]
    Temporary(PathBuf),
    /// A text that a unit cannot hold.
    #[error("'{}' cannot be written into a unit: it is not UTF-8", .0.to_string_lossy())]
    Text(OsString),
    /// A program whose name systemd would take for something else.
    #[error("'{}' is no program for a unit: name it by its absolute path", .0.to_string_lossy())]
    Program(OsString),
    /// The path of the console's log cannot be made absolute.
    #[error("{}: its absolute path cannot be found", .path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// What PrivateTmp= hides.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// The unit that runs `file`, called `name`.
///
/// # Errors
/// If the description lacks a setting, or asks for what a confined service cannot do.
pub fn unit(file: &VmFile, request: &Request, name: &str) -> Result<String, UnitError> {
    if request.protection == Protection::Simulated {
        return Err(UnitError::Simulated);
    }
    let link = file.vm().network.as_ref().map(|network| network.link());
    if let Some(Link::Bridge(_)) = link {
        return Err(UnitError::Bridge);
    }
    let log = request.console_log.map(|path| {
        std::path::absolute(path).map_err(|source| UnitError::Log { path: path.to_owned(), source })
    });
    let log = log.transpose()?;
    let command = Command::new(file, &Request { console_log: log.as_deref(), ..request.clone() })?;
    let files = Command::files(file, request.protection)?;
    let mut paths = files.iter().map(|(_, path, _)| path.as_path()).chain(log.as_deref());
    if let Some(path) = paths.find(|path| TEMPORARY.iter().any(|place| path.starts_with(place))) {
        return Err(UnitError::Temporary(path.to_owned()));
    }

    let mut unit = format!(
        "# {name}.service, made by `ravelin launch --print systemd`.\n\
         # The service's user is made when it starts and is in the group kvm. Let that group read\n\
         # the firmware, the kernel, the initramfs and the disks, write to those that the VM writes\n\
         # to, and open /dev/sev (a udev rule: KERNEL==\"sev\", GROUP=\"kvm\", MODE=\"0660\").\n\
         [Unit]\n\
         Description=Confidential VM {name}\n\
         Documentation=man:ravelin-launch(1)\n\
         Wants=network-online.target\n\
         After=network-online.target\n"
    );
    let mounts = files.iter().map(|(_, path, _)| quoted(path.as_os_str()));
    let _ =
        writeln!(unit, "RequiresMountsFor={}", mounts.collect::<Result<Vec<_>, _>>()?.join(" "));
    unit.push_str(
        "StartLimitIntervalSec=300\n\
         StartLimitBurst=5\n\
         \n\
         [Service]\n\
         Type=exec\n",
    );
    let _ = write!(unit, "ExecStart={}", program(&command.program)?);
    // One option a line, its value beside it.
    let mut after_option = false;
    for argument in &command.arguments {
        let option = argument.as_encoded_bytes().starts_with(b"-");
        unit.push_str(if after_option && !option { " " } else { " \\\n    " });
        unit.push_str(&argument_of_exec(argument)?);
        after_option = option;
    }
    unit.push('\n');
    unit.push_str(
        "# QEMU ends when the guest powers off, reboots or panics; it is started anew. A guest\n\
         # with an encrypted root then waits for its key.\n\
         Restart=always\n\
         RestartSec=10\n\
         TimeoutStopSec=10\n\
         DynamicUser=yes\n\
         SupplementaryGroups=kvm\n\
         UMask=0077\n\
         NoNewPrivileges=yes\n\
         CapabilityBoundingSet=\n\
         DevicePolicy=closed\n\
         DeviceAllow=/dev/kvm rw\n\
         DeviceAllow=/dev/sev rw\n",
    );
    if let Some(Link::Tap(_)) = link {
        unit.push_str("DeviceAllow=/dev/net/tun rw\n");
    }
    unit.push_str("ProtectSystem=strict\n");
    let mut writable: Vec<PathBuf> =
        files.into_iter().filter(|(.., written)| *written).map(|(_, path, _)| path).collect();
    writable.extend(log.as_deref().and_then(Path::parent).map(Path::to_owned));
    for path in writable {
        let _ = writeln!(unit, "ReadWritePaths={}", quoted(path.as_os_str())?);
    }
    unit.push_str(
        "ProtectHome=read-only\n\
         PrivateTmp=yes\n\
         ProtectClock=yes\n\
         ProtectControlGroups=yes\n\
         ProtectHostname=yes\n\
         ProtectKernelLogs=yes\n\
         ProtectKernelModules=yes\n\
         ProtectKernelTunables=yes\n\
         ProtectProc=invisible\n\
         LockPersonality=yes\n\
         RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n\
         RestrictNamespaces=yes\n\
         RestrictRealtime=yes\n\
         SystemCallArchitectures=native\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
    );
    Ok(unit)
}

/// The first word of ExecStart. `@`, `-`, `:`, `+` and `!` before it have a meaning, quoted or
/// not; a name without a directory is looked for in systemd's own path.
fn program(program: &OsStr) -> Result<String, UnitError> {
    let refuse = || UnitError::Program(program.to_owned());
    let text = program.to_str().ok_or_else(refuse)?;
    let bare = !text.contains('/') && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !bare && !text.starts_with('/') {
        return Err(refuse());
    }
    argument_of_exec(program)
}

/// An argument of ExecStart: as [`quoted`], and `$` is not expanded.
fn argument_of_exec(argument: &OsStr) -> Result<String, UnitError> {
    Ok(quoted(argument)?.replace('$', "$$"))
}

/// A word without specifiers, where it needs to be in double quotes (systemd.syntax(7),
/// "Quoting").
fn quoted(word: &OsStr) -> Result<String, UnitError> {
    let text = word.to_str().ok_or_else(|| UnitError::Text(word.to_owned()))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            // Line ends above all: they would end the setting.
            c if c.is_control() => {
                let mut utf8 = [0; 4];
                for byte in c.encode_utf8(&mut utf8).bytes() {
                    let _ = write!(quoted, "\\x{byte:02x}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn words() {
        let word = |text: &str| argument_of_exec(text.as_ref()).unwrap();
        assert_eq!(word("a b"), "\"a b\"");
        assert_eq!(word(""), "\"\"");
        assert_eq!(word("-object"), "-object");
        assert_eq!(word("id=a,size=1M"), "id=a,size=1M");
        assert_eq!(word("é"), "\"é\"");
        assert_eq!(word("a\"b\\c'"), "\"a\\\"b\\\\c'\"");
        assert_eq!(word("100%h $HOME ${X}"), "\"100%%h $$HOME $${X}\"");
        assert_eq!(word("a\nExecStartPost=b"), "\"a\\x0aExecStartPost=b\"");
        assert_eq!(word(";"), "\";\"");
        assert_eq!(quoted("/a$b".as_ref()).unwrap(), "\"/a$b\"");
        assert!(matches!(quoted(OsStr::from_bytes(b"\xff")), Err(UnitError::Text(_))));
    }

    #[test]
    fn programs() {
        assert_eq!(program("/opt/q emu".as_ref()).unwrap(), "\"/opt/q emu\"");
        assert_eq!(program("qemu-system-x86_64".as_ref()).unwrap(), "qemu-system-x86_64");
        for bad in ["-qemu", "!qemu", "+/bin/qemu", "./qemu", "bin/qemu", ""] {
            assert!(matches!(program(bad.as_ref()), Err(UnitError::Program(_))), "{bad}");
        }
    }
}
