//! Lines in the kernel's log, which the console shows.

use std::fs::OpenOptions;
use std::io::Write;

pub(crate) fn info(line: &str) {
    write(6, line);
}

pub(crate) fn error(line: &str) {
    write(3, line);
}

/// Opened for each line: there are few, and `/dev` comes and moves.
fn write(level: u8, line: &str) {
    let record = format!("<{level}>ravelin-sim: {line}\n");
    let kmsg = OpenOptions::new().write(true).open("/dev/kmsg");
    let _nowhere_else = kmsg.and_then(|mut kmsg| kmsg.write_all(record.as_bytes()));
}
