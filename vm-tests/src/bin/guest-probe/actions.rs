//! What a test can ask for on the kernel command line: `probe.do=KIND:PATH`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::evidence;
use crate::facts::short;
use crate::volumes;

/// Performs one action; the result is what the report says of it.
pub(crate) fn perform(action: &str) -> io::Result<String> {
    let (kind, path) = action.split_once(':').unwrap_or((action, ""));
    match kind {
        // Reads all of a file, through whatever protects it.
        "read" => read(path),
        // Says all of a file.
        "hex" => fs::read(path).map(hex::encode),
        // Writes a file and reads it back.
        "write" => write(path),
        // Writes until there is no more room.
        "fill" => fill(path),
        // Writes over the start of something that is there, such as a disk.
        "overwrite" => overwrite(path),
        "list" => list(path),
        // Asks the secure processor, by configfs or by the device: 64 bytes like
        // the one given.
        "tsm" => evidence::tsm(byte(path)?),
        "sev" => evidence::device(byte(path)?),
        "sev-key" => evidence::key(byte(path)?),
        // Encrypted volumes; the fields are told there.
        "open" => volumes::open(path),
        "close" => volumes::close(path),
        "mount" => volumes::mount(path),
        "unmount" => volumes::unmount(path),
        "scan" => volumes::scan(path),
        "block" => volumes::block(path),
        "put" => volumes::put(path),
        "digests" => volumes::digests(path),
        "churn" => volumes::churn(path),
        // Does what the lines on a disk say.
        "script" => volumes::script(path),
        // Ends as PID 1 must not: a kernel panic.
        "exit" => std::process::exit(0),
        "hang" => loop {
            thread::sleep(Duration::from_secs(3600));
        },
        _ => Err(io::Error::new(ErrorKind::InvalidInput, "unknown action")),
    }
    .or_else(|error| Ok(short(&error)))
}

/// Two hexadecimal digits.
fn byte(text: &str) -> io::Result<u8> {
    u8::from_str_radix(text, 16).map_err(|_no_digits| ErrorKind::InvalidInput.into())
}

fn read(path: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(format!("{} bytes sha256={}", bytes.len(), hex::encode(Sha256::digest(&bytes))))
}

fn write(path: &str) -> io::Result<String> {
    fs::write(path, b"written by the probe")?;
    read(path)
}

fn overwrite(path: &str) -> io::Result<String> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(&[0xa5; 4096])?;
    file.sync_all()?;
    Ok("overwritten".to_owned())
}

fn fill(path: &str) -> io::Result<String> {
    let block = [0x5a; 1 << 16];
    let mut file = File::create(path)?;
    let mut written: u64 = 0;
    let error = loop {
        match file.write(&block) {
            Ok(bytes) => written = written.saturating_add(u64::try_from(bytes).unwrap_or(0)),
            Err(error) => break error,
        }
    };
    drop(file);
    fs::remove_file(path)?;
    Ok(format!("{written} bytes, then {}", short(&error)))
}

fn list(path: &str) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(" "))
}
