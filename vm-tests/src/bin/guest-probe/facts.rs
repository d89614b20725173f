//! What a real init finds when it starts.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use devicemapper::{DM, DevId, DmFlags, DmOptions};
use sha2::{Digest, Sha256};

use crate::say;

const MEMORY: [&str; 5] = ["MemTotal", "MemFree", "Shmem", "Unevictable", "Cached"];
const DIRECTORIES: [&str; 9] =
    ["/", "/etc", "/var", "/home", "/root", "/tmp", "/srv", "/usr", "/run"];

pub(crate) fn say_all() {
    say("uptime", first_word(&text("/proc/uptime")));
    say("kernel", &text("/proc/sys/kernel/osrelease"));
    say("cmdline", &text("/proc/cmdline"));
    for argument in env::args() {
        say("argument", &argument);
    }
    for (name, value) in env::vars() {
        say("environment", &format!("{name}={value}"));
    }
    for line in text("/proc/self/mountinfo").lines() {
        say("mount", line);
    }
    kernel();
    memory();
    process();
    devices();
    network();
    identity();
    for directory in DIRECTORIES {
        writable(directory);
    }
}

const SYSCTLS: [&str; 7] = [
    "kernel.kptr_restrict",
    "kernel.dmesg_restrict",
    "kernel.kexec_load_disabled",
    "kernel.unprivileged_bpf_disabled",
    "net.core.bpf_jit_harden",
    "kernel.sysrq",
    "kernel.modules_disabled",
];

/// What the kernel still allows, and what is behind the names of the console.
fn kernel() {
    for name in SYSCTLS {
        let value = text(&format!("/proc/sys/{}", name.replace('.', "/")));
        say(&format!("sysctl.{name}"), &value);
    }
    say("lockdown", &text("/sys/kernel/security/lockdown"));
    for line in text("/proc/keys").lines() {
        say("key", line);
    }
    for node in ["/dev/console", "/dev/ttyS0"] {
        let number = fs::metadata(node).map_or(0, |node| node.rdev());
        let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
        say(&format!("node.{node}"), &number);
    }
}

fn memory() {
    for line in text("/proc/meminfo").lines() {
        if let Some((name, value)) = line.split_once(':')
            && MEMORY.contains(&name)
        {
            say(&format!("memory.{name}"), first_word(value));
        }
    }
}

/// This process and its relatives.
fn process() {
    say("pid", &std::process::id().to_string());
    say("cwd", &link("/proc/self/cwd"));
    for line in descriptors() {
        say("fd", &line);
    }
    for line in text("/proc/self/status").lines() {
        if let Some((name, value)) = line.split_once(':')
            && ["SigBlk", "SigIgn", "Umask", "CapEff", "NoNewPrivs", "Seccomp"].contains(&name)
        {
            say(&format!("status.{name}"), value.trim());
        }
    }
    for line in processes() {
        say("process", &line);
    }
}

/// This process's open files.
pub(crate) fn descriptors() -> Vec<String> {
    let mut open = Vec::new();
    for name in names("/proc/self/fd") {
        // The directory that is being read has a descriptor too: gone by now.
        if let Ok(target) = fs::read_link(format!("/proc/self/fd/{name}")) {
            open.push(format!("{name} {}", target.display()));
        }
    }
    open
}

/// All processes but the kernel's own.
pub(crate) fn processes() -> Vec<String> {
    let mut found = Vec::new();
    for pid in names("/proc").into_iter().filter(|name| name.parse::<u32>().is_ok()) {
        let stat = text(&format!("/proc/{pid}/stat"));
        // Kernel threads are children of process 2; the rest is userspace.
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut fields = after_name.split(' ');
        let (state, parent) = (fields.next().unwrap_or("?"), fields.next().unwrap_or("?"));
        if parent != "2" && pid != "2" {
            found.push(format!("{pid} {state} parent {parent}"));
        }
    }
    found
}

/// Block devices, and the device-mapper tables as the kernel has them.
fn devices() {
    for name in names("/sys/block") {
        let read_only = text(&format!("/sys/block/{name}/ro"));
        let sectors = text(&format!("/sys/block/{name}/size"));
        say("block", &format!("{name} sectors={} ro={}", sectors.trim(), read_only.trim()));
    }
    match device_mapper() {
        Ok(lines) => lines.iter().for_each(|(key, line)| say(key, line)),
        Err(error) => say("dm.error", &error),
    }
}

fn device_mapper() -> Result<Vec<(&'static str, String)>, String> {
    let dm = DM::new().map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    for (name, _, _) in dm.list_devices().map_err(|error| error.to_string())? {
        let id = DevId::Name(&name);
        let name = String::from_utf8_lossy(name.as_bytes());
        let table = DmOptions::default().set_flags(DmFlags::DM_STATUS_TABLE);
        let (info, table) = dm.table_status(&id, table).map_err(|error| error.to_string())?;
        let uuid = info.uuid().map(ToString::to_string).unwrap_or_default();
        let read_only = info.flags().contains(DmFlags::DM_READONLY);
        lines.push(("dm.device", format!("{name} uuid={uuid} ro={}", u8::from(read_only))));
        for (start, length, target, parameters) in table {
            lines.push(("dm.table", format!("{name}: {start} {length} {target} {parameters}")));
        }
        let (_, status) =
            dm.table_status(&id, DmOptions::default()).map_err(|error| error.to_string())?;
        for (_, _, target, parameters) in status {
            lines.push(("dm.status", format!("{name}: {target} {parameters}")));
        }
    }
    Ok(lines)
}

/// Links, addresses and routes: the loopback's own are left out.
fn network() {
    for name in names("/sys/class/net") {
        let of = |what: &str| text(&format!("/sys/class/net/{name}/{what}"));
        let (flags, state, mtu) = (of("flags"), of("operstate"), of("mtu"));
        let line = format!("{name} flags={} {} mtu={}", flags.trim(), state.trim(), mtu.trim());
        say("net.link", &line);
    }
    for line in text("/proc/net/route").lines().skip(1) {
        say("net.route", line);
    }
    for file in ["/proc/net/if_inet6", "/proc/net/ipv6_route"] {
        for line in text(file).lines().filter(|line| !line.trim_end().ends_with(" lo")) {
            say("net.inet6", line);
        }
    }
    let trie = text("/proc/net/fib_trie");
    for line in trie.lines().filter(|line| line.contains("|-- ") && !line.contains("|-- 127.")) {
        say("net.inet4", line.trim());
    }
    for name in names("/proc/sys/net/ipv6/conf") {
        let value = text(&format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"));
        say("net.disable_ipv6", &format!("{name} {}", value.trim()));
    }
}

fn identity() {
    say("machine_id", &file("/etc/machine-id"));
    say("dbus_machine_id", &file("/var/lib/dbus/machine-id"));
    for name in names("/etc/ssh") {
        say("ssh", &format!("{name} {}", file(&format!("/etc/ssh/{name}"))));
    }
    // Public by design; the private half stays where it is.
    for name in names("/etc/ssh").into_iter().filter(|name| name.ends_with(".pub")) {
        say("ssh.public", text(&format!("/etc/ssh/{name}")).trim());
    }
}

/// Tries to make a file, and takes it away again.
fn writable(directory: &str) {
    let path = Path::new(directory).join(".probe");
    let result = match fs::write(&path, b"probe") {
        Ok(()) => fs::remove_file(&path).map_or_else(|error| short(&error), |()| "yes".to_owned()),
        Err(error) => short(&error),
    };
    say(&format!("writable.{directory}"), &result);
}

/// Kind, mode, owner, size and digest of a file.
fn file(path: &str) -> String {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return short(&error),
    };
    let content = fs::read(path).unwrap_or_default();
    format!(
        "mode={:o} owner={}:{} size={} sha256={}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.size(),
        hex::encode(Sha256::digest(content))
    )
}

/// `NotFound` and the like, with the number; an error of the probe's own in its words.
pub(crate) fn short(error: &io::Error) -> String {
    if let Some(own) = error.get_ref() {
        return own.to_string();
    }
    format!("{:?} {}", error.kind(), error.raw_os_error().unwrap_or_default())
}

fn text(path: &str) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn link(path: &str) -> String {
    fs::read_link(path).map_or_else(|error| short(&error), |target| target.display().to_string())
}

fn names(directory: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}
