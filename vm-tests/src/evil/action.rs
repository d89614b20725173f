//! What a host can do, in the words of a scenario's file.
//!
//! `of` and `disk` name things of the target. `of` is a disk, or one of the two files
//! `kernel` and `initramfs`. The actions of a scenario are done in their order.

use serde::Deserialize;

use super::Place;

/// One thing that the host does.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Flips bits of one byte.
    Flip {
        /// A disk, `kernel` or `initramfs`.
        of: String,
        /// Which byte.
        at: Place,
        /// Which bits.
        #[serde(default = "one_bit")]
        bits: u8,
    },
    /// Overwrites bytes.
    Write {
        /// A disk, `kernel` or `initramfs`.
        of: String,
        /// From here on.
        at: Place,
        /// With these.
        content: Content,
        /// So many times, one after the other.
        #[serde(default = "once")]
        times: usize,
    },
    /// Cuts a file off, or makes it longer with zeros.
    Resize {
        /// A disk, `kernel` or `initramfs`.
        of: String,
        /// The new end.
        to: Place,
    },
    /// Puts another image in a disk's place: one that the target names.
    Replace {
        /// The disk.
        disk: String,
        /// The image.
        image: String,
    },
    /// Puts what is on each of two disks into the place of the other: under its name, and
    /// where it is attached.
    Swap([String; 2]),
    /// Takes a disk away.
    Remove(String),
    /// Attaches a copy of a disk, with the same serial number.
    Copy {
        /// The disk.
        disk: String,
        /// What later actions call the copy.
        name: String,
        /// Before all other disks, so that the guest sees it first.
        #[serde(default)]
        first: bool,
    },
    /// Attaches a disk of zeros.
    AddDisk {
        /// What later actions call it.
        name: String,
        /// Its serial number.
        serial: String,
        /// Its size.
        bytes: u64,
        /// Before all other disks.
        #[serde(default)]
        first: bool,
    },
    /// Gives a disk another serial number.
    Serial {
        /// The disk.
        disk: String,
        /// The serial number.
        to: String,
    },
    /// Attaches a disk as another device, in QEMU's words: `nvme`.
    Device {
        /// The disk.
        disk: String,
        /// The device.
        to: String,
    },
    /// Serves a disk that answers some reads in another way than the rest.
    Answer {
        /// The disk.
        disk: String,
        /// Reads that touch these bytes; of the whole disk, if none are named.
        at: Option<Place>,
        /// How many bytes.
        #[serde(default = "one_block")]
        bytes: u64,
        /// So many of them are answered rightly first.
        #[serde(default)]
        after: u64,
        /// So many are then not; all, if no number is given.
        times: Option<u64>,
        /// What the answer is.
        with: Answer,
    },
    /// More words on the kernel command line.
    AddWords(String),
    /// Takes the word off that is this, or is a setting of this name.
    RemoveWord(String),
    /// One more word, with which the kernel command line has so many bytes.
    PadCommandLine(usize),
    /// Another archive behind the initramfs, with one file.
    AppendFile {
        /// Its path in the archive.
        path: String,
        /// What is in it.
        content: Content,
        /// So many times, one after the other.
        #[serde(default = "once")]
        times: usize,
        /// Its permissions.
        #[serde(default = "readable")]
        mode: u32,
    },
    /// More memory or less.
    MemoryMib(u32),
    /// More processors.
    Vcpus(u32),
    /// More arguments for QEMU: devices, and what a host says about the machine.
    Qemu(Vec<String>),
    /// An ACPI table of its own: an SSDT with this AML.
    Ssdt(Content),
    /// A secure processor that does not do what it should: a fault of the simulator's
    /// `--fault`.
    Processor(String),
}

/// Bytes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Content {
    /// As they are.
    Text(String),
    /// In hexadecimal.
    Hex(String),
}

/// How a served disk answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// With an I/O error.
    Error,
    /// With one bit of the first byte flipped.
    Flip,
    /// With zeros.
    Zeros,
    /// With the bytes of another image that the target names.
    Image(String),
    /// Rightly, but so many milliseconds later.
    Later(u64),
    /// Never.
    Never,
    /// By taking the disk away.
    Gone,
}

const fn one_bit() -> u8 {
    1
}

const fn once() -> usize {
    1
}

const fn one_block() -> u64 {
    4096
}

const fn readable() -> u32 {
    0o644
}

impl Content {
    /// The bytes, so many times.
    ///
    /// # Errors
    /// If it is no hexadecimal.
    pub fn bytes(&self, times: usize) -> Result<Vec<u8>, hex::FromHexError> {
        let once = match self {
            Content::Text(text) => text.clone().into_bytes(),
            Content::Hex(digits) => hex::decode(digits.replace([' ', '\n'], ""))?,
        };
        Ok(once.repeat(times))
    }
}
