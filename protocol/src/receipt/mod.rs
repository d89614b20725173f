//! The boot receipt: what PID 1 did, in order, each event chained to those before it.
//!
//! ```text
//! head 0 = SHA-256("ravelin receipt v1")
//! head n = SHA-256(head n-1 ‖ SHA-256(entry n))
//! ```
//!
//! An entry is one line of text: the kind of [`Event`] and its values, each behind a tab.
//! The text has the entries, each with a line feed behind it, and the head is what a
//! report binds ([`crate::report_data`]). There is no time in it: equal boots have equal
//! receipts.
//!
//! **Threat.** The text passes through the host. Whoever reads it computes the head, which
//! has to be the bound one: then it is the text of the guest. What the guest saw of the
//! host's machine is in it as such. No event has a place for a key.

mod event;

pub use event::{Event, short, written};

use sha2::{Digest as _, Sha256};

use crate::text::printable;

/// What separates these hashes from all others.
pub const DOMAIN: &[u8; 18] = b"ravelin receipt v1";

/// The longest receipt, in bytes: with it, every answer of the responder stays below its
/// limit.
pub const MAX_BYTES: usize = 24 << 10;

/// The most entries.
pub const MAX_ENTRIES: usize = 256;

/// The longest entry, in bytes: that of a release has room for all owners and volumes.
pub const MAX_ENTRY: usize = 4 << 10;

/// The longest path or list that is written in full.
pub const MAX_IN_FULL: usize = 256;

/// SHA-256.
pub type Head = [u8; 32];

/// A receipt: its entries, and where their chain leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    text: String,
    count: usize,
    head: Head,
}

impl Default for Receipt {
    fn default() -> Self {
        Self { text: String::new(), count: 0, head: Sha256::digest(DOMAIN).into() }
    }
}

impl Receipt {
    /// Adds an event. One that does not fit becomes [`Event::Cut`], and ends the receipt:
    /// a boot does not fail for it.
    pub fn push(&mut self, event: &Event) {
        if self.is_cut() {
            return;
        }
        let entry = event.to_string();
        let cut = Event::Cut {}.to_string();
        let length = self.text.len() + entry.len() + 1 + cut.len() + 1;
        let fits = entry.len() <= MAX_ENTRY && length <= MAX_BYTES && self.count + 1 < MAX_ENTRIES;
        self.extend(if fits { &entry } else { &cut });
    }

    /// Where the chain leads.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.text.split_terminator('\n')
    }

    /// The entries as events.
    ///
    /// # Errors
    /// [`ReceiptError::Kind`], [`ReceiptError::Values`]: those of another release of PID 1.
    pub fn events(&self) -> Result<Vec<Event>, ReceiptError> {
        self.entries().zip(1..).map(|(entry, number)| Event::parse(number, entry)).collect()
    }

    /// Whether events are missing at its end, for want of room.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.entries().last() == Some(Event::Cut {}.kind())
    }

    /// Reads a text and follows its chain.
    ///
    /// # Errors
    /// [`ReceiptError`], if it is no receipt. Which kinds of events there are is not
    /// looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > MAX_BYTES {
            return Err(ReceiptError::Length { bytes: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_not_text| ReceiptError::Text)?;
        let mut receipt = Self::default();
        for (entry, number) in text.split_inclusive('\n').zip(1..) {
            if number > MAX_ENTRIES {
                return Err(ReceiptError::Count);
            }
            let entry = entry.strip_suffix('\n').ok_or(ReceiptError::Entry { number })?;
            let plain =
                entry.split('\t').all(|value| !value.is_empty() && printable(value) == value);
            if !plain || entry.len() > MAX_ENTRY {
                return Err(ReceiptError::Entry { number });
            }
            receipt.extend(entry);
        }
        Ok(receipt)
    }

    /// The receipt, if its chain leads to `head`.
    ///
    /// # Errors
    /// [`ReceiptError::Head`].
    pub fn bound_by(self, head: &Head) -> Result<Self, ReceiptError> {
        if self.head == *head { Ok(self) } else { Err(ReceiptError::Head) }
    }

    fn extend(&mut self, entry: &str) {
        self.text.push_str(entry);
        self.text.push('\n');
        self.count += 1;
        let mut hash = Sha256::new();
        hash.update(self.head);
        hash.update(Sha256::digest(entry));
        self.head = hash.finalize().into();
    }
}

/// A text that is no receipt, or not the one that is bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Too long.
    #[error("the boot receipt has {bytes} bytes; at most {MAX_BYTES} are accepted")]
    Length {
        /// How long it is.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("the boot receipt is not UTF-8")]
    Text,
    /// Too many entries.
    #[error("the boot receipt has more than {MAX_ENTRIES} entries")]
    Count,
    /// A line that is no entry.
    #[error(
        "line {number} of the boot receipt is no entry: at most {MAX_ENTRY} printable bytes, no \
         empty value, and a line feed behind it"
    )]
    Entry {
        /// Its number, from 1.
        number: usize,
    },
    /// An event that this release does not have.
    #[error("line {number} of the boot receipt is of an unknown kind, {kind:?}: another release")]
    Kind {
        /// Its number, from 1.
        number: usize,
        /// The kind.
        kind: String,
    },
    /// An event with another number of values than this release gives it.
    #[error("line {number} of the boot receipt has {found} values, and a {kind} {expected}")]
    Values {
        /// Its number, from 1.
        number: usize,
        /// The kind.
        kind: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// Another receipt than the one that is bound.
    #[error("the boot receipt does not lead to the head that came with it: it was changed")]
    Head,
}

#[cfg(test)]
mod tests;
