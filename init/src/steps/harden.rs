//! What the machine gives up: settings of the kernel by which a booted system would be
//! easier to attack or to look into, from the inside or by the host.
//!
//! It is given up before a disk is opened, so that PID 1 has it too while it holds keys.
//! What this kernel does not have is not there to be given up; what cannot be set ends the
//! boot.

use std::path::Path;

use protocol::config::{Config, Hardening};
use protocol::layout;
use protocol::receipt::{Event, Receipt};

use super::kind;
use super::mounts;
use crate::failure::{self, Failure};
use crate::platform::Platform;

/// One setting of the kernel.
struct Row {
    class: Hardening,
    /// Below `/proc/sys`.
    path: &'static str,
    value: &'static str,
    #[cfg(test)]
    reason: &'static str,
}

macro_rules! table {
    ($($class:ident $path:literal = $value:literal: $reason:literal;)+) => {
        /// All settings, in the order in which they are made.
        const TABLE: &[Row] = &[$(Row {
            class: Hardening::$class,
            path: $path,
            value: $value,
            #[cfg(test)]
            reason: $reason,
        }),+];
    };
}

table! {
    Pointers "kernel/kptr_restrict" = "2": "No kernel address in what any program reads of the kernel: one is the first step of many exploits.";
    Pointers "kernel/dmesg_restrict" = "1": "The kernel's log, with addresses and what drivers say of the host's devices, is for root.";
    Kexec "kernel/kexec_load_disabled" = "1": "Nobody starts another kernel, which nothing has measured. Cannot be taken back until the next boot.";
    Bpf "kernel/unprivileged_bpf_disabled" = "1": "Only root loads BPF programs: the verifier is a large surface. Cannot be taken back until the next boot.";
    Bpf "net/core/bpf_jit_harden" = "2": "Constants in BPF programs are blinded, so that none becomes code of an attacker's choice.";
    Sysrq "kernel/sysrq" = "0": "The host can send a break and a key to the serial console, and the kernel would print registers and memory, kill processes or restart.";
    Modules "kernel/modules_disabled" = "1": "No kernel module is loaded any more, signed or not. Cannot be taken back until the next boot.";
}

/// Where the kernel tells how far it is locked down.
const SECURITYFS: &str = "/sys/kernel/security";

/// Makes the settings that the configuration names; what the log says, with how far the
/// kernel is locked down (kernel_lockdown(7)).
///
/// # Errors
/// If one cannot be made.
pub fn give_up(
    platform: &impl Platform,
    config: &Config,
    receipt: &mut Receipt,
) -> Result<String, Failure> {
    for row in TABLE.iter().filter(|row| config.harden.contains(&row.class)) {
        let path = Path::new(layout::PROC).join("sys").join(row.path);
        if kind(platform, &path)?.is_some() {
            platform.write(&path, row.value.as_bytes()).map_err(failure::path("setting", &path))?;
        }
    }
    let classes: Vec<&str> = config.harden.iter().map(|class| class.as_str()).collect();
    let classes = if classes.is_empty() { "nothing".to_owned() } else { classes.join(" ") };
    let lockdown = lockdown(platform)?;
    let said = format!("gave up {classes}; lockdown {lockdown}");
    receipt.push(&Event::Harden { classes, lockdown });
    Ok(said)
}

/// The word in brackets of the kernel's list.
fn lockdown(platform: &impl Platform) -> Result<String, Failure> {
    mounts::mount_in_sysfs(platform, "securityfs", SECURITYFS)?;
    let path = Path::new(SECURITYFS).join("lockdown");
    if kind(platform, &path)?.is_none() {
        return Ok("unknown to this kernel".to_owned());
    }
    let text = platform.read(&path, 4096).map_err(failure::path("reading", &path))?;
    let text = String::from_utf8_lossy(&text);
    let state = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    Ok(state.map_or("none", |(state, _)| state).to_owned())
}

/// The null device in the place of every node of the console, and in the place of PID 1's
/// own descriptors, which the real init would inherit. The kernel's messages, and with
/// them PID 1's, still get there.
///
/// # Errors
/// If a node cannot be covered.
pub(super) fn close_console(platform: &impl Platform) -> Result<(), Failure> {
    let active = Path::new("/sys/class/tty/console/active");
    let names = platform.read(active, 4096).map_err(failure::path("reading", active))?;
    let names = String::from_utf8_lossy(&names);
    for name in names.split_whitespace().chain(["console"]) {
        let node = Path::new(layout::DEV).join(name);
        if kind(platform, &node)?.is_some() {
            platform
                .bind_mount(Path::new(layout::NULL), &node)
                .map_err(failure::path("covering", &node))?;
        }
    }
    platform.close_standard_streams().map_err(failure::path("closing", layout::CONSOLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `RAVELIN_BLESS=1` writes the table into the page.
    #[test]
    fn the_page_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/initramfs.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (head, rest) = page.split_once("| class |").unwrap();
        let (_, tail) = rest.split_once("\n\n").unwrap();
        let mut table = String::from("| class | setting | value | reason |\n|---|---|---|---|\n");
        for Row { class, path, value, reason } in TABLE {
            let name = path.replace('/', ".");
            table.push_str(&format!("| `{class}` | `{name}` | {value} | {reason} |\n"));
        }
        let fresh = format!("{head}{table}\n{tail}");
        if std::env::var_os("RAVELIN_BLESS").is_some() {
            std::fs::write(path, &fresh).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), fresh, "run with RAVELIN_BLESS=1");
    }
}
