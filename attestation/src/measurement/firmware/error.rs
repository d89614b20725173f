//! Why a firmware image is refused.

use super::{MAX_IMAGE, MAX_PAGES, MAX_SECTIONS};

/// An image that is not usable as SEV-SNP firmware. Offsets are in bytes from
/// the *end* of the image, where its tables are counted from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FirmwareError {
    /// The reader failed.
    #[error("reading the firmware image")]
    Read {
        /// The reader's error.
        #[source]
        source: std::io::Error,
    },
    /// Not whole pages: the secure processor measures nothing else.
    #[error(
        "the firmware image is {length} bytes long, which is not one or more pages of 4096 bytes; \
         use the complete image (OVMF.fd), not one of its volumes"
    )]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// Larger than any OVMF.
    #[error("the firmware image is larger than {MAX_IMAGE} bytes; is it the right file?")]
    TooLarge,
    /// No GUID table at the end.
    #[error(
        "the firmware image has no OVMF GUID table (footer 96b582de-1fb2-45f7-baea-a366c55a082d \
         48 bytes before its end); use an OVMF built for SEV, not its variable store"
    )]
    NoTable,
    /// The footer's length does not fit.
    #[error("the OVMF GUID table says it is {length} bytes long, which does not fit the image")]
    TableLength {
        /// What the footer says, in bytes.
        length: u16,
    },
    /// An entry's length does not fit.
    #[error(
        "an entry of the OVMF GUID table, ending {offset} bytes before the end of the image, says \
         it is {length} bytes long, which does not fit the table"
    )]
    EntryLength {
        /// Where the entry ends.
        offset: usize,
        /// What the entry says, in bytes.
        length: u16,
    },
    /// A known entry is twice in the table, so tools disagree about which counts.
    #[error("the OVMF GUID table has two entries for the {entry}")]
    RepeatedEntry {
        /// Its name.
        entry: &'static str,
    },
    /// A known entry is too short for its data.
    #[error("the OVMF GUID table's entry for the {entry} has {length} bytes of data, not {needed}")]
    EntryData {
        /// Its name.
        entry: &'static str,
        /// Bytes it has.
        length: usize,
        /// Bytes it must have.
        needed: usize,
    },
    /// A needed entry is missing.
    #[error(
        "the OVMF GUID table has no entry for the {entry}; the firmware is not built for SEV-SNP \
         (Debian's packages ovmf-amdsev and ovmf are)"
    )]
    NoEntry {
        /// Its name.
        entry: &'static str,
    },
    /// The address at which the other vCPUs start is zero; QEMU refuses it.
    #[error("the firmware's SEV-ES reset address is zero")]
    ResetAddress,
    /// The metadata is not where the table says.
    #[error("the SEV metadata, {offset} bytes before the end, does not fit the image")]
    MetadataOffset {
        /// What the table says.
        offset: u32,
    },
    /// What is there does not begin with `ASEV`.
    #[error("what the OVMF GUID table points to is not SEV metadata (no ASEV signature)")]
    MetadataSignature,
    /// A version of the metadata that nobody has defined yet.
    #[error("the SEV metadata has version {version}; 1 is known")]
    MetadataVersion {
        /// Its version.
        version: u32,
    },
    /// The header's length, the number of sections and the image disagree.
    #[error("the SEV metadata says {length} bytes and {sections} sections, which does not fit")]
    MetadataLength {
        /// Its length in bytes.
        length: u32,
        /// Its number of sections.
        sections: u32,
    },
    /// More sections than any firmware has.
    #[error("the SEV metadata has {sections} sections; at most {MAX_SECTIONS} are accepted")]
    TooManySections {
        /// How many.
        sections: u32,
    },
    /// A section of a kind that hypervisors treat differently or refuse.
    #[error("section {index} of the SEV metadata has the unknown type {value:#x}")]
    SectionType {
        /// Which, from 0.
        index: usize,
        /// Its type.
        value: u32,
    },
    /// A section that KVM refuses, or that tools and hypervisors measure
    /// differently.
    #[error(
        "section {index} of the SEV metadata ({kind}, address {gpa:#x}, {size:#x} bytes) is not \
         {rule}"
    )]
    SectionRange {
        /// Which, from 0.
        index: usize,
        /// Its type.
        kind: &'static str,
        /// Its guest-physical address.
        gpa: u32,
        /// Its size in bytes.
        size: u32,
        /// What it should be.
        rule: &'static str,
    },
    /// More pages than any firmware has.
    #[error("the SEV metadata's sections cover more than {MAX_PAGES} pages of 4096 bytes")]
    TooManyPages,
}
