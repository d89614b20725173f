//! The init of the tests' small roots: prints what it sees, does what the
//! kernel command line asks (`probe.do=ACTION,ACTION…`), and powers off.
//!
//! Every line is `PROBE key=value` on the console. A test reads them from the
//! outside; nothing here judges anything. Started as the real init, it is PID 1
//! after the hand-over, so what it sees is what a system would start with.

mod actions;
mod evidence;
mod facts;
mod hook;
mod volumes;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use rustix::system::{RebootCommand, reboot};

fn main() {
    hook::run_if_hook();
    say("begin", "1");
    facts::say_all();
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    for list in cmdline.split_whitespace().filter_map(|word| word.strip_prefix("probe.do=")) {
        for action in list.split(',') {
            let result = actions::perform(action).unwrap_or_else(|error| format!("error {error}"));
            say(action, &result);
        }
    }
    say("end", "1");
    rustix::fs::sync();
    let _refused = reboot(RebootCommand::PowerOff);
}

/// Whether standard output goes anywhere: else the kernel's log does.
fn has_console() -> bool {
    let target = fs::read_link("/proc/self/fd/1").unwrap_or_default();
    target != Path::new("/dev/null")
}

/// One line of the report; control characters would break it.
fn say(key: &str, value: &str) {
    let line: String =
        value.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = format!("PROBE {key}={line}");
    if has_console() {
        println!("{line}");
    } else if let Ok(mut kmsg) = fs::OpenOptions::new().write(true).open("/dev/kmsg") {
        let _lost = kmsg.write_all(format!("<4>{line}\n").as_bytes());
    }
}
