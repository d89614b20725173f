//! The machine that the numbers come from, as far as they depend on it.

use std::fmt;
use std::fs;
use std::process::Command;
use std::thread;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    /// Whether the processor has instructions for SHA-256.
    sha_instructions: bool,
    cores: usize,
    virtual_machine: bool,
    kernel: String,
    rustc: String,
    qemu: String,
    veritysetup: String,
}

impl Machine {
    /// What cannot be found out is unknown.
    pub(crate) fn look() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let value = |key: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.trim().to_owned())
        };
        let flags = value("flags").unwrap_or_default();
        let has = |flag: &str| flags.split(' ').any(|word| word == flag);
        let model = ["cpu family", "model", "stepping"]
            .map(|key| value(&format!("{key}\t")).unwrap_or_else(|| "?".to_owned()));
        let [family, model, stepping] = model;
        let name = value("model name").unwrap_or_else(|| "unknown".to_owned());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor: format!("{name} (family {family}, model {model}, stepping {stepping})"),
            sha_instructions: has("sha_ni"),
            cores: thread::available_parallelism().map_or(0, usize::from),
            virtual_machine: has("hypervisor"),
            kernel: version(&kernel),
            rustc: version_of("rustc"),
            qemu: version_of("qemu-system-x86_64"),
            veritysetup: version_of("veritysetup"),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, {} cores{}{}; Linux {}, rustc {}, QEMU {} (TCG), veritysetup {}.",
            self.processor,
            self.cores,
            if self.sha_instructions { " with SHA instructions" } else { "" },
            if self.virtual_machine { ", itself a virtual machine" } else { "" },
            self.kernel,
            self.rustc,
            self.qemu,
            self.veritysetup,
        )
    }
}

fn version_of(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    version(&String::from_utf8_lossy(&output.map(|output| output.stdout).unwrap_or_default()))
}

/// The first word that begins with a digit, up to what a distribution adds.
fn version(text: &str) -> String {
    let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let end = |c: char| !c.is_ascii_digit() && c != '.';
    let number = word.and_then(|word| word.split(end).next());
    number.unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version("rustc 1.95.0 (59807616e 2026-04-14)\n"), "1.95.0");
        assert_eq!(version("QEMU emulator version 10.0.2 (Debian 1:10.0.2)"), "10.0.2");
        assert_eq!(version("6.12.95+deb12-cloud-amd64\n"), "6.12.95");
        assert_eq!(version("veritysetup 2.6.1 flags: UDEV"), "2.6.1");
        assert_eq!(version(""), "unknown");
    }
}
