//! What a virtual machine has written to its serial console.

use std::fs;
use std::path::Path;

/// The end of a log that a failing test shows.
const SHOWN_LINES: usize = 100;

/// The console's lines, without carriage returns, terminal control and kernel
/// time stamps.
#[derive(Debug, Clone)]
pub struct Console {
    lines: Vec<Line>,
}

#[derive(Debug, Clone)]
struct Line {
    /// The kernel's time stamp, in seconds, where the line has one.
    time: Option<f64>,
    text: String,
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
        // The firmware clears the screen and goes on in the same line.
        let text = String::from_utf8_lossy(bytes).replace('\x1b', "\n\x1b");
        let lines = text
            .split(['\n', '\r'])
            .map(|line| Line::parse(without_control(line)))
            .filter(|line| !line.text.is_empty())
            .collect();
        Self { lines }
    }

    /// All lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| line.text.as_str())
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

    /// When the kernel logged the first line that has `part` in it, in seconds
    /// since its start.
    #[must_use]
    pub fn time_of(&self, part: &str) -> Option<f64> {
        self.lines.iter().find(|line| line.text.contains(part))?.time
    }

    /// The refusals of PID 1, as `step=… code=…`.
    #[must_use]
    pub fn refusals(&self) -> Vec<&str> {
        self.values("ravelin: FAILED ")
    }
}

/// From the start of userspace on, and not more than anybody reads.
impl std::fmt::Display for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = self.lines.iter().rposition(|line| line.text.starts_with("Run /"));
        let last = self.lines.len().saturating_sub(SHOWN_LINES);
        let start = start.unwrap_or(last).max(last);
        if start > 0 {
            writeln!(f, "  | … {start} lines")?;
        }
        self.lines().skip(start).try_for_each(|line| writeln!(f, "  | {line}"))
    }
}

impl Line {
    /// `[    3.141592] text` is a time and a text.
    fn parse(line: &str) -> Self {
        let line = line.trim_end();
        let stamp = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
        match stamp.map(|(time, text)| (time.trim_start().parse(), text)) {
            Some((Ok(time), text)) => Self { time: Some(time), text: text.to_owned() },
            _ => Self { time: None, text: line.to_owned() },
        }
    }
}

/// Takes off a control sequence that the line begins with: `ESC c`, or `ESC [`
/// up to a letter.
fn without_control(line: &str) -> &str {
    let Some(sequence) = line.strip_prefix('\x1b') else { return line };
    match sequence.strip_prefix('[') {
        Some(rest) => {
            rest.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, text)| text)
        }
        None => sequence.get(1..).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[u8] =
        b"\x1bc\x1b[?7l\x1b[2JBooting\x1bc\x1b[2J[    0.000000] Linux version 6.12\r\n\
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
        assert!(!console.contains("\r") && !console.contains("\x1b"));
        assert_eq!(console.lines().take(2).collect::<Vec<_>>(), ["Booting", "Linux version 6.12"]);
        assert_eq!(console.time_of("Linux"), Some(0.0));
        assert_eq!(console.time_of("FAILED"), Some(3.5));
        assert_eq!(console.time_of("PROBE"), None);
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
