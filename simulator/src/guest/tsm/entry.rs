//! The state of one report's directory, with the rules of `tsm.c`:
//!
//! - each successful write raises the write generation; a write that would make
//!   it meet the last read one from behind is `EBUSY`;
//! - reading a blob makes a report if the last one is of another generation;
//! - without an inblob there is nothing to read (`EINVAL`).

use fuser::Errno;

use super::attribute::Attribute;
use crate::log;
use crate::port::Signer;
use simulator::wire::{Ask, Status};

/// The longest inblob (`TSM_REPORT_INBLOB_MAX`); for SEV also the only length.
pub(super) const INBLOB_MAX: usize = 64;
/// The lowest privilege (`TSM_REPORT_PRIVLEVEL_MAX`), and the highest that this
/// guest has.
const PRIVLEVEL_MAX: u32 = 3;
const PRIVLEVEL_FLOOR: u32 = 0;

/// One directory's state.
#[derive(Debug, Default)]
pub(super) struct Entry {
    inblob: Vec<u8>,
    privlevel: u32,
    write_generation: u64,
    read_generation: u64,
    blobs: Option<Blobs>,
}

#[derive(Debug)]
struct Blobs {
    out: Vec<u8>,
    aux: Vec<u8>,
}

impl Entry {
    /// What is written to a file of it.
    pub(super) fn store(&mut self, attribute: Attribute, content: &[u8]) -> Result<(), Errno> {
        match attribute {
            Attribute::Inblob => {
                self.advance()?;
                self.inblob = content.to_vec();
            }
            Attribute::Privlevel => {
                let level = number(content).ok_or(Errno::EINVAL)?;
                if !(PRIVLEVEL_FLOOR..=PRIVLEVEL_MAX).contains(&level) {
                    return Err(Errno::EINVAL);
                }
                self.advance()?;
                self.privlevel = level;
            }
            Attribute::Outblob
            | Attribute::Auxblob
            | Attribute::Generation
            | Attribute::Provider
            | Attribute::PrivlevelFloor => return Err(Errno::EACCES),
        }
        Ok(())
    }

    /// What reading a file of it gives.
    pub(super) fn show(
        &mut self,
        attribute: Attribute,
        signer: &impl Signer,
    ) -> Result<Vec<u8>, Errno> {
        match attribute {
            Attribute::Generation => Ok(format!("{}\n", self.write_generation).into_bytes()),
            Attribute::Provider => Ok(b"sev_guest\n".to_vec()),
            Attribute::PrivlevelFloor => Ok(format!("{PRIVLEVEL_FLOOR}\n").into_bytes()),
            Attribute::Outblob => Ok(self.report(signer)?.out.clone()),
            Attribute::Auxblob => Ok(self.report(signer)?.aux.clone()),
            Attribute::Inblob | Attribute::Privlevel => Err(Errno::EACCES),
        }
    }

    fn advance(&mut self) -> Result<(), Errno> {
        if self.write_generation == self.read_generation.wrapping_sub(1) {
            return Err(Errno::EBUSY);
        }
        self.write_generation = self.write_generation.wrapping_add(1);
        Ok(())
    }

    fn report(&mut self, signer: &impl Signer) -> Result<&Blobs, Errno> {
        if self.inblob.is_empty() {
            return Err(Errno::EINVAL);
        }
        if self.read_generation != self.write_generation {
            self.blobs = None;
        }
        if let Some(blobs) = self.blobs.take() {
            return Ok(self.blobs.insert(blobs));
        }
        let data: [u8; INBLOB_MAX] =
            self.inblob.as_slice().try_into().map_err(|_wrong_length| Errno::EINVAL)?;
        let answer = signer.ask(self.privlevel, Ask::Report(data)).map_err(|error| {
            log::error(&format!("no answer from the signing side: {error}"));
            Errno::EIO
        })?;
        match answer.status {
            Status::Done => {}
            Status::Busy => return Err(Errno::EBUSY),
            Status::Refused => return Err(Errno::EINVAL),
            Status::Failed => return Err(Errno::EIO),
        }
        self.read_generation = self.write_generation;
        if answer.disturbed {
            // As if another program had written the same between two reads.
            self.write_generation = self.write_generation.wrapping_add(1);
            self.read_generation = self.write_generation;
        }
        Ok(self.blobs.insert(Blobs { out: answer.main, aux: answer.certificates }))
    }
}

/// A number as `kstrtouint(…, 0)` reads it.
fn number(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_prefix('+').unwrap_or(text);
    let (digits, radix) = if let Some(hex) = text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        (hex, 16)
    } else if text.len() > 1 && text.starts_with('0') {
        (text, 8)
    } else {
        (text, 10)
    };
    digits.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(())?;
    u32::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use std::io;

    use simulator::wire::Answer;

    use super::*;

    /// A report that repeats what it was asked, disturbed or not.
    struct Fake {
        status: Status,
        disturbed: bool,
    }

    const GOOD: Fake = Fake { status: Status::Done, disturbed: false };

    impl Signer for Fake {
        fn ask(&self, vmpl: u32, ask: Ask) -> io::Result<Answer> {
            let Ask::Report(data) = ask else { return Err(io::ErrorKind::Unsupported.into()) };
            let main = [&data[..], &vmpl.to_le_bytes()].concat();
            let answer = Answer::empty(0, self.status, 0);
            Ok(Answer { main, certificates: vec![7], disturbed: self.disturbed, ..answer })
        }
    }

    fn errno<T: std::fmt::Debug>(result: Result<T, Errno>) -> i32 {
        result.unwrap_err().code()
    }

    fn generation(entry: &mut Entry) -> Vec<u8> {
        entry.show(Attribute::Generation, &GOOD).unwrap()
    }

    #[test]
    fn each_write_is_a_generation_and_each_generation_a_report() {
        let mut entry = Entry::default();
        assert_eq!(generation(&mut entry), b"0\n");
        assert_eq!(errno(entry.show(Attribute::Outblob, &GOOD)), Errno::EINVAL.code());
        entry.store(Attribute::Inblob, &[1; 64]).unwrap();
        entry.store(Attribute::Privlevel, b"0x2\n").unwrap();
        assert_eq!(generation(&mut entry), b"2\n");
        let report = entry.show(Attribute::Outblob, &GOOD).unwrap();
        assert_eq!(report[60..], [1, 1, 1, 1, 2, 0, 0, 0]);
        assert_eq!(entry.show(Attribute::Auxblob, &GOOD).unwrap(), [7]);
        // Not asked again: this signer would fail.
        let failing = Fake { status: Status::Failed, ..GOOD };
        assert_eq!(entry.show(Attribute::Outblob, &failing).unwrap(), report);
        entry.store(Attribute::Inblob, &[2; 64]).unwrap();
        assert_eq!(errno(entry.show(Attribute::Outblob, &failing)), Errno::EIO.code());
    }

    #[test]
    fn what_the_kernel_refuses_is_refused_and_changes_nothing() {
        let mut entry = Entry::default();
        for level in ["4", "-1", "", "x", "0x", "08", "1 ", "99999999999"] {
            let refused = entry.store(Attribute::Privlevel, level.as_bytes());
            assert_eq!(errno(refused), Errno::EINVAL.code(), "{level:?}");
        }
        assert_eq!(generation(&mut entry), b"0\n");
        entry.store(Attribute::Inblob, &[1; 63]).unwrap();
        assert_eq!(errno(entry.show(Attribute::Outblob, &GOOD)), Errno::EINVAL.code());
        entry.store(Attribute::Inblob, &[1; 64]).unwrap();
        let busy = Fake { status: Status::Busy, ..GOOD };
        assert_eq!(errno(entry.show(Attribute::Outblob, &busy)), Errno::EBUSY.code());
        assert!(entry.show(Attribute::Outblob, &GOOD).is_ok());
    }

    #[test]
    fn a_disturbed_report_shows_in_its_generation() {
        let mut entry = Entry::default();
        entry.store(Attribute::Inblob, &[1; 64]).unwrap();
        assert_eq!(generation(&mut entry), b"1\n");
        let disturbed = Fake { disturbed: true, ..GOOD };
        assert!(entry.show(Attribute::Outblob, &disturbed).is_ok());
        assert_eq!(generation(&mut entry), b"2\n");
    }

    #[test]
    fn a_generation_never_meets_the_last_read_one_from_behind() {
        let mut entry = Entry { write_generation: 4, read_generation: 5, ..Entry::default() };
        assert_eq!(errno(entry.store(Attribute::Inblob, &[1; 64])), Errno::EBUSY.code());
    }
}
