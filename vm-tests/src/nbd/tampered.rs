//! A disk that lies.

use std::ops::Range;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::{Disk, Trouble, lock};

/// Another disk, with rules by which it is not that disk.
#[derive(Debug)]
pub struct Tampered<D> {
    inner: D,
    rules: Mutex<Vec<Counted>>,
}

/// When a disk does something else than it should, and what.
#[derive(Debug, Clone)]
pub struct Rule {
    /// At which requests: those that touch a byte of `range`.
    pub on: On,
    /// Bytes of the disk.
    pub range: Range<u64>,
    /// How many such requests it leaves alone first.
    pub after: u64,
    /// How many it then changes.
    pub times: u64,
    /// What it does.
    pub fault: Fault,
}

/// Which requests a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Reads.
    Read,
    /// Writes.
    Write,
}

/// What a disk does instead.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Flips these bits of the first byte of the range, on the way.
    Flip(u8),
    /// Puts these bytes in the place of the range's, on the way.
    Content(Vec<u8>),
    /// Answers with an I/O error.
    Error,
    /// Ends the connection.
    Gone,
    /// Says that it has written, and has not; or answers a read with zeros.
    Nothing,
    /// Answers later.
    Delay(Duration),
}

#[derive(Debug)]
struct Counted {
    rule: Rule,
    seen: u64,
}

impl Rule {
    /// Always, at reads of these bytes.
    #[must_use]
    pub fn at_reads(range: Range<u64>, fault: Fault) -> Self {
        Self { on: On::Read, range, after: 0, times: u64::MAX, fault }
    }

    /// Always, at writes of these bytes.
    #[must_use]
    pub fn at_writes(range: Range<u64>, fault: Fault) -> Self {
        Self { on: On::Write, ..Self::at_reads(range, fault) }
    }

    /// Not at the first `requests` of them.
    #[must_use]
    pub fn after(self, requests: u64) -> Self {
        Self { after: requests, ..self }
    }

    /// At so many of them only.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }
}

impl<D: Disk> Tampered<D> {
    /// Over a disk, with these rules.
    #[must_use]
    pub fn new(inner: D, rules: impl IntoIterator<Item = Rule>) -> Self {
        let tampered = Self { inner, rules: Mutex::default() };
        rules.into_iter().for_each(|rule| tampered.add(rule));
        tampered
    }

    /// One more rule, from now on.
    pub fn add(&self, rule: Rule) {
        lock(&self.rules).push(Counted { rule, seen: 0 });
    }

    /// How many requests each rule has met, in the order of the rules: a test that
    /// was never put to the test has not passed.
    #[must_use]
    pub fn met(&self) -> Vec<u64> {
        lock(&self.rules).iter().map(|counted| counted.seen).collect()
    }

    /// Whether each rule has had its turn: it was met more often than it waits.
    #[must_use]
    pub fn all_were_in_turn(&self) -> bool {
        lock(&self.rules).iter().all(|counted| counted.seen > counted.rule.after)
    }

    /// The disk below.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// The rules that apply to a request, which counts for them.
    fn applying(&self, on: On, offset: u64, bytes: usize) -> Vec<Rule> {
        let end = offset.saturating_add(bytes as u64);
        let mut applying = Vec::new();
        for Counted { rule, seen } in lock(&self.rules).iter_mut() {
            if rule.on == on && rule.range.start < end && offset < rule.range.end {
                let turn = (rule.after..rule.after.saturating_add(rule.times)).contains(seen);
                *seen += 1;
                if turn {
                    applying.push(rule.clone());
                }
            }
        }
        applying
    }
}

impl Rule {
    /// Does to a request's bytes what is to be done. `false` if they are to be dropped.
    fn apply(&self, bytes: &mut [u8], offset: u64) -> Result<bool, Trouble> {
        let start = self.range.start;
        match &self.fault {
            Fault::Flip(bits) => {
                put(bytes, offset, start, &[*bits], |to, bits| *to ^= bits);
            }
            Fault::Content(content) => {
                put(bytes, offset, start, content, |to, byte| *to = byte);
            }
            Fault::Error => return Err(Trouble::Error),
            Fault::Gone => return Err(Trouble::Gone),
            Fault::Nothing => {
                bytes.fill(0);
                return Ok(false);
            }
            Fault::Delay(time) => thread::sleep(*time),
        }
        Ok(true)
    }
}

/// Changes what a request has of the bytes from `start` on.
fn put(bytes: &mut [u8], offset: u64, start: u64, change: &[u8], how: impl Fn(&mut u8, u8)) {
    let skipped = |by: u64| usize::try_from(by).unwrap_or(usize::MAX);
    let bytes = bytes.iter_mut().skip(skipped(start.saturating_sub(offset)));
    let change = change.iter().skip(skipped(offset.saturating_sub(start)));
    bytes.zip(change).for_each(|(byte, change)| how(byte, *change));
}

impl<D: Disk> Disk for Tampered<D> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Trouble> {
        let rules = self.applying(On::Read, offset, buffer.len());
        self.inner.read(buffer, offset)?;
        for rule in rules {
            rule.apply(buffer, offset)?;
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Trouble> {
        let mut bytes = bytes.to_vec();
        for rule in self.applying(On::Write, offset, bytes.len()) {
            if !rule.apply(&mut bytes, offset)? {
                return Ok(());
            }
        }
        self.inner.write(&bytes, offset)
    }

    fn flush(&self) -> Result<(), Trouble> {
        self.inner.flush()
    }
}
