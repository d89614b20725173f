//! The boot log: `/dev/kmsg`, from where the kernel puts it on the console.
//!
//! One write is one record. The kernel's own `quiet` and `loglevel=` decide
//! what the console shows; a failure block is written to the console directly
//! where they would hide it.

use std::cell::OnceCell;
use std::fs::{File, OpenOptions};
use std::io::Write as _;

use crate::platform::Level;

/// The kernel cuts longer records (`PRINTKRB_RECORD_MAX`, 1024 with the prefix).
const LINE_MAX: usize = 900;

/// Writes one record.
pub(super) fn line(kmsg: &OnceCell<File>, level: Level, line: &str) {
    if kmsg.get().is_none()
        && let Ok(file) = OpenOptions::new().write(true).open("/dev/kmsg")
    {
        let _unset = kmsg.set(file);
    }
    let end = line.floor_char_boundary(LINE_MAX);
    let line = line.get(..end).unwrap_or(line);
    let number = match level {
        Level::Info => 6,
        Level::Error => 3,
    };
    let written = kmsg
        .get()
        .is_some_and(|mut file| file.write_all(format!("<{number}>{line}\n").as_bytes()).is_ok());
    if !written || (level == Level::Error && !console_shows(number)) {
        // The kernel opened the console as PID 1's standard error.
        let _lost = writeln!(std::io::stderr(), "{line}");
    }
}

/// Whether the console shows records of this level.
fn console_shows(level: u32) -> bool {
    std::fs::read_to_string("/proc/sys/kernel/printk")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<u32>().ok())
        .is_some_and(|shown_below| level < shown_below)
}
