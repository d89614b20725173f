//! What a virtual machine has written to its serial console.

use std::fs;
use std::path::Path;

/// The console's lines, without carriage returns and kernel time stamps.
#[derive(Debug, Clone)]
pub struct Console {
    lines: Vec<String>,
}

impl Console {
    /// Reads a console log; one that is not there yet is empty.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        Self::parse(&fs::read(path).unwrap_or_default())
    }

    /// Splits a console log.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let lines = text
            .split(['\n', '\r'])
            .map(|line| without_time_stamp(line.trim_end()).to_owned())
            .filter(|line| !line.is_empty())
            .collect();
        Self { lines }
    }

    /// All lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Whether a line has this in it.
    #[must_use]
    pub fn contains(&self, part: &str) -> bool {
        self.lines().any(|line| line.contains(part))
    }

    /// What comes after `prefix` in all lines that begin with it.
    #[must_use]
    pub fn values(&self, prefix: &str) -> Vec<&str> {
        self.lines().filter_map(|line| line.strip_prefix(prefix)).collect()
    }

    /// What the guest probe said about `key`, in its order.
    #[must_use]
    pub fn probes(&self, key: &str) -> Vec<&str> {
        self.values(&format!("PROBE {key}="))
    }

    /// The one thing that the guest probe said about `key`.
    ///
    /// # Panics
    /// If it said nothing, or more than one thing.
    #[must_use]
    #[track_caller]
    pub fn probe(&self, key: &str) -> &str {
        match self.probes(key).as_slice() {
            [value] => value,
            [] => panic!("the probe said nothing about {key}:\n{self}"),
            _ => panic!("the probe said more than one thing about {key}:\n{self}"),
        }
    }

    /// The refusals of PID 1, as `step=… code=…`.
    #[must_use]
    pub fn refusals(&self) -> Vec<&str> {
        self.values("ravelin: FAILED ")
    }
}

impl std::fmt::Display for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in self.lines() {
            writeln!(f, "  | {line}")?;
        }
        Ok(())
    }
}

/// `[    3.141592] text` is `text`.
fn without_time_stamp(line: &str) -> &str {
    let stamp = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match stamp {
        Some((time, rest)) if time.trim_start().parse::<f64>().is_ok() => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[u8] = b"[    0.000000] Linux version 6.12\r\n\
        [    3.500000] ravelin: FAILED step=root code=verity-mismatch\r\n\
        [    3.500001] ravelin:   cause: the root does not match the root hash\r\r\n\
        PROBE fd=0 /dev/console\r\nPROBE fd=1 /dev/console\r\nPROBE fdx=1\nPROBE uptime=4.5\n\
        [note] no stamp\n";

    #[test]
    fn stamps_and_line_ends_are_taken_off() {
        let console = Console::parse(LOG);
        assert_eq!(console.refusals(), ["step=root code=verity-mismatch"]);
        assert!(console.lines().any(|line| line == "[note] no stamp"));
        assert!(console.contains("Linux version"));
        assert!(!console.contains("\r"));
    }

    #[test]
    fn the_probe_is_heard_by_key() {
        let console = Console::parse(LOG);
        assert_eq!(console.probes("fd"), ["0 /dev/console", "1 /dev/console"]);
        assert_eq!(console.probe("uptime"), "4.5");
    }

    #[test]
    #[should_panic(expected = "more than one thing about fd")]
    fn one_thing_is_one_thing() {
        let _ = Console::parse(LOG).probe("fd");
    }
}
