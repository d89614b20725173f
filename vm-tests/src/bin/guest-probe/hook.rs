//! The probe as a hook of the initramfs: what it does is in its file's name. What it
//! prints goes into PID 1's log.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::facts;

/// Does it, if the probe was started as a hook.
pub(crate) fn run_if_hook() {
    let mut arguments = env::args();
    let program = arguments.next().unwrap_or_default();
    if program == DAEMON {
        return daemon();
    }
    if !program.starts_with("/etc/ravelin/hooks/") {
        return;
    }
    let name = program.rsplit('/').next().unwrap_or_default();
    match name.rsplit('-').next().unwrap_or_default() {
        "tell" => tell(),
        "fail" => {
            println!("\x1b[2Jno {}", "x".repeat(1000));
            std::process::exit(3);
        }
        "hang" => {
            println!("waiting");
            let _never = io::stdout().flush();
            thread::sleep(Duration::from_secs(3600));
        }
        "daemon" => start_daemon(),
        other => println!("unknown: {other}"),
    }
    std::process::exit(0);
}

/// What a hook sees.
fn tell() {
    for argument in env::args() {
        println!("argument {argument}");
    }
    let mut variables: Vec<String> =
        env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    variables.sort();
    variables.iter().for_each(|variable| println!("variable {variable}"));
    for line in facts::descriptors() {
        println!("fd {line}");
    }
    let mut input = Vec::new();
    let read = io::stdin().read_to_end(&mut input);
    println!("stdin {:?}", read.ok());
    println!("cwd {}", env::current_dir().unwrap_or_default().display());
    for line in facts::processes() {
        println!("process {line}");
    }
    // Owned or possessed by this process, with the keys of PID 1's thread if these could
    // be reached.
    for line in fs::read_to_string("/proc/keys").unwrap_or_default().lines() {
        println!("key {line}");
    }
    for path in ["/sysroot/sbin/init", "/sysroot/etc/ssh/ssh_host_ed25519_key.pub"] {
        println!("there {path} {}", fs::exists(path).unwrap_or(false));
    }
}

const DAEMON: &str = "probe-daemon";

/// Leaves a process behind, of another session, that holds the hook's output open.
fn start_daemon() {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("/proc/self/exe");
    command.arg0(DAEMON).stdin(Stdio::piped()).stdout(Stdio::piped());
    match command.spawn() {
        Ok(mut child) => {
            let mut line = [0; 64];
            let length = child.stdout.as_mut().map_or(0, |out| out.read(&mut line).unwrap_or(0));
            let line = String::from_utf8_lossy(line.get(..length).unwrap_or_default()).into_owned();
            println!("left {} behind: {}", child.id(), line.trim());
        }
        Err(error) => println!("no daemon: {error}"),
    }
}

fn daemon() {
    let session = rustix::process::setsid();
    println!("daemon in a session of its own: {}", session.is_ok());
    let _told = io::stdout().flush();
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
