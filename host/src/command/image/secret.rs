//! Passphrases and keys, from wherever the user has them but the command line,
//! which every process of the machine can read.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use luks::{SECRET_SIZE, Secret};
use zeroize::Zeroizing;

use crate::failure::{Failure, Remedy, Result};
use crate::interrupt::Silent;
use crate::terminal::Terminal;

/// cryptsetup takes no more at its prompt.
const MAX_PASSPHRASE: usize = 512;
/// cryptsetup reads no more of a key file.
const MAX_KEY_FILE: usize = 8 << 20;

/// Where a passphrase comes from.
#[derive(Debug, Args)]
#[group(id = "passphrase_source", multiple = false)]
pub(crate) struct PassphraseArguments {
    /// Ask for a passphrase on the terminal
    #[arg(long, help_heading = "Key")]
    passphrase: bool,
    /// Read the passphrase from this file; a newline at its end does not count
    #[arg(long, value_name = "FILE", help_heading = "Key")]
    passphrase_file: Option<PathBuf>,
    /// Read the passphrase from this open file descriptor
    #[arg(long, value_name = "NUMBER", help_heading = "Key")]
    passphrase_fd: Option<u32>,
}

impl PassphraseArguments {
    /// Whether there is to be one.
    pub(crate) fn given(&self) -> bool {
        self.passphrase || self.passphrase_file.is_some() || self.passphrase_fd.is_some()
    }

    /// The file that it is read from.
    pub(super) fn file(&self) -> Option<&Path> {
        self.passphrase_file.as_deref()
    }

    /// The passphrase.
    ///
    /// # Errors
    /// One that cannot be read, is empty or too long.
    pub(crate) fn read(&self, terminal: &Terminal) -> Result<Zeroizing<Vec<u8>>> {
        not_empty(self.given_or(terminal, || prompt("Passphrase: "))?)
    }

    /// A new one, asked for twice; of a weak one the user is warned.
    ///
    /// # Errors
    /// As [`PassphraseArguments::read`]; also one that was not repeated.
    pub(super) fn read_new(&self, terminal: &Terminal) -> Result<Zeroizing<Vec<u8>>> {
        let passphrase = not_empty(self.given_or(terminal, || {
            let passphrase = prompt("Passphrase: ")?;
            if *prompt("The same again: ")? != *passphrase {
                return Err(Failure::new("the two passphrases differ"));
            }
            Ok(passphrase)
        })?)?;
        if is_weak(&passphrase) {
            terminal.warning(
                "the passphrase is weak: whoever has the disk can guess for years. Take six words \
                 of a list at random, or a key file",
            );
        }
        Ok(passphrase)
    }

    fn given_or(
        &self,
        terminal: &Terminal,
        prompt: impl FnOnce() -> Result<Zeroizing<Vec<u8>>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        match (&self.passphrase_file, self.passphrase_fd) {
            (Some(path), _) => from_file(path, terminal),
            (None, Some(number)) => {
                from_file(Path::new(&format!("/proc/self/fd/{number}")), terminal)
            }
            (None, None) => prompt(),
        }
    }
}

/// The secret in a key file.
///
/// # Errors
/// A file that is not exactly a key.
pub(crate) fn key(path: &Path, terminal: &Terminal) -> Result<Secret> {
    let bytes = bounded(path, SECRET_SIZE, terminal)?;
    let bytes: &[u8; SECRET_SIZE] = bytes.as_slice().try_into().map_err(|_other_length| {
        Failure::new(format!("{}: is no key file: a key has {SECRET_SIZE} bytes", path.display()))
    })?;
    Ok(Secret::new(bytes))
}

/// The passphrase in a file; a newline at its end does not count.
///
/// # Errors
/// One that cannot be read, is empty or too long.
pub(crate) fn passphrase_in(path: &Path, terminal: &Terminal) -> Result<Zeroizing<Vec<u8>>> {
    not_empty(from_file(path, terminal)?)
}

fn not_empty(passphrase: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>> {
    if passphrase.is_empty() {
        return Err(Failure::new("the passphrase is empty"));
    }
    Ok(passphrase)
}

/// The content of any key file of cryptsetup's, as it is.
///
/// # Errors
/// An empty file, or one that is larger than cryptsetup would read.
pub(super) fn key_file(path: &Path, terminal: &Terminal) -> Result<Zeroizing<Vec<u8>>> {
    let key = bounded(path, MAX_KEY_FILE, terminal)?;
    if key.is_empty() || key.len() > MAX_KEY_FILE {
        let what = format!("is no key file: one has 1 to {MAX_KEY_FILE} bytes");
        return Err(Failure::new(format!("{}: {what}", path.display())));
    }
    Ok(key)
}

fn from_file(path: &Path, terminal: &Terminal) -> Result<Zeroizing<Vec<u8>>> {
    let mut passphrase = bounded(path, MAX_PASSPHRASE + 1, terminal)?;
    if passphrase.last() == Some(&b'\n') {
        passphrase.pop();
    }
    check_length(passphrase)
}

fn check_length(passphrase: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>> {
    if passphrase.len() > MAX_PASSPHRASE {
        return Err(Failure::new(format!(
            "the passphrase has more than {MAX_PASSPHRASE} bytes, which cryptsetup could not ask for"
        )));
    }
    Ok(passphrase)
}

/// The content of a file, and one byte more than `most` of a longer one. If others can
/// read it too, the user is warned.
fn bounded(path: &Path, most: usize, terminal: &Terminal) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |error| Failure::file(path, error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() && is_others_too(metadata.mode()) {
        terminal.warning(&format!(
            "{}: other users of this machine can read it (mode {:04o}): chmod 600",
            path.display(),
            metadata.mode() & 0o7777
        ));
    }
    // Room for all of it at once: a growing vector leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Whether group or others may do anything with a file of this mode, as ssh(1) asks of a
/// private key.
const fn is_others_too(mode: u32) -> bool {
    mode & 0o077 != 0
}

/// Less than this many bytes are not enough of a passphrase, whatever they are: what a
/// person thinks up has two bits a letter.
const SHORT: usize = 16;
/// A passphrase of fewer different bytes repeats itself.
const FEW: usize = 8;

/// Whether a passphrase is surely too weak for a disk that an attacker has: the cost of
/// Argon2id is worth some 20 bits, no more. One that is not short can be weak all the
/// same.
fn is_weak(passphrase: &[u8]) -> bool {
    let different = (0..=u8::MAX).filter(|byte| passphrase.contains(byte)).count();
    passphrase.len() < SHORT || different < FEW
}

/// Asks on the terminal, which shows nothing of the answer.
///
/// # Errors
/// If there is no terminal, or the answer is too long.
pub(crate) fn prompt(question: &str) -> Result<Zeroizing<Vec<u8>>> {
    let mut terminal = File::options()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .remedy("there is no terminal to ask on; use --passphrase-file or --passphrase-fd")?;
    terminal.write_all(question.as_bytes())?;
    let silent = Silent::new(&terminal)?;
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_PASSPHRASE + 2));
    let limit = MAX_PASSPHRASE as u64 + 2;
    let read = BufReader::with_capacity(1, &terminal).take(limit).read_until(b'\n', &mut line);
    drop(silent);
    read?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    check_length(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal() -> Terminal {
        Terminal::new(false, true, false)
    }

    #[test]
    fn what_others_can_use_is_told_apart() {
        for (mode, others) in
            [(0o100_600, false), (0o100_400, false), (0o100_640, true), (0o100_604, true)]
        {
            assert_eq!(is_others_too(mode), others, "{mode:o}");
        }
    }

    #[test]
    fn a_weak_passphrase_is_short_or_repeats_itself() {
        for weak in ["secret", "correct horse b", "passwordpassword", "1212121212121212121212"] {
            assert!(is_weak(weak.as_bytes()), "{weak}");
        }
        for good in ["correct horse battery", "kV8.mQz0_xW3-pL7"] {
            assert!(!is_weak(good.as_bytes()), "{good}");
        }
    }

    #[test]
    fn one_newline_at_the_end_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        for (content, expected) in [("a b", "a b"), ("a\n", "a"), ("a\n\n", "a\n"), ("\n", "")] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(
                **from_file(&path, &terminal()).unwrap(),
                *expected.as_bytes(),
                "{content:?}"
            );
        }
        std::fs::write(&path, [b'x'; 513]).unwrap();
        assert!(from_file(&path, &terminal()).is_err());
        std::fs::write(&path, [b'x'; 512]).unwrap();
        assert_eq!(from_file(&path, &terminal()).unwrap().len(), 512);
    }

    #[test]
    fn a_key_has_its_length() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        for length in [0, 31, 33, 4096] {
            std::fs::write(&path, vec![7; length]).unwrap();
            assert!(key(&path, &terminal()).is_err(), "{length}");
        }
        std::fs::write(&path, [7; 32]).unwrap();
        assert_eq!(key(&path, &terminal()).unwrap().as_bytes(), &[7; 32]);
    }
}
