//! Why a qcow2 image is refused.

use std::io;

use thiserror::Error;

/// Why a qcow2 image is refused. Offsets are in bytes; those of the *disk* are what the
/// virtual machine sees.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Qcow2Error {
    /// The file cannot be read.
    #[error("the qcow2 image cannot be read at byte {offset}")]
    Read {
        /// Where in the file.
        offset: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is shorter than a header.
    #[error("the qcow2 image ends inside of its header: it was cut off")]
    Short,
    /// Another version than 2 and 3.
    #[error("qcow version {0} is not supported; convert the image: `qemu-img convert -O qcow2`")]
    Version(u32),
    /// A part of the content is in another file.
    #[error(
        "the qcow2 image has a backing file, which is not followed: an image could name any file \
         of this machine. Join the two: `qemu-img convert -O qcow2 IMAGE WHOLE.qcow2`"
    )]
    BackingFile,
    /// The content is in another file.
    #[error(
        "the qcow2 image has an external data file, which is not followed: an image could name \
         any file of this machine. Join the two: `qemu-img convert -O qcow2 IMAGE WHOLE.qcow2`"
    )]
    ExternalDataFile,
    /// The content is encrypted.
    #[error(
        "the qcow2 image is encrypted ({}); decrypt it: `qemu-img convert --object secret,… -O \
         qcow2`", if *.method == 2 { "LUKS".to_owned() } else { format!("method {}", .method) }
    )]
    Encrypted {
        /// The header's number: 1 is QEMU's old AES, 2 is LUKS.
        method: u32,
    },
    /// It holds several states of the disk.
    #[error(
        "the qcow2 image has internal snapshots ({count}), so that it is not clear which state is \
         meant: take one out (`qemu-img convert -l NAME -O qcow2`), or the present one \
         (`qemu-img convert -O qcow2`)"
    )]
    Snapshots {
        /// How many.
        count: u32,
    },
    /// QEMU has found that its tables contradict each other.
    #[error("the qcow2 image is marked as corrupt; repair it first: `qemu-img check -r all`")]
    MarkedCorrupt,
    /// L2 tables of another form.
    #[error(
        "the qcow2 image has extended L2 entries, which are not supported; convert it: \
         `qemu-img convert -O qcow2 -o extended_l2=off`"
    )]
    ExtendedL2,
    /// A feature that is not known here.
    #[error(
        "the qcow2 image has the incompatible feature {bit}{}, which is not supported; convert it: \
         `qemu-img convert -O qcow2`",
        .name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default()
    )]
    Feature {
        /// Number of the bit.
        bit: u32,
        /// The name that the image gives it, escaped.
        name: Option<String>,
    },
    /// A compression that is not known here.
    #[error(
        "compression type {0} of the qcow2 image is not supported (0, zlib, and 1, zstd, are); \
         convert it: `qemu-img convert -O qcow2`"
    )]
    Compression(u8),
    /// A field of the header that cannot be.
    #[error("the qcow2 header is damaged: {field} is {value}")]
    Header {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A disk that is too large to be described.
    #[error(
        "the qcow2 image describes a disk of {size} bytes, which takes more than the 32 MiB that \
         its first table may have"
    )]
    TooLarge {
        /// Bytes of the disk.
        size: u64,
    },
    /// The first table does not describe the whole disk.
    #[error(
        "the qcow2 image is damaged: its L1 table has {entries} entries, and its disk of {size} \
         bytes takes {needed}"
    )]
    L1Size {
        /// What the header says.
        entries: u64,
        /// What is needed.
        needed: u64,
        /// Bytes of the disk.
        size: u64,
    },
    /// A table that is not at the start of a cluster, or not wholly in the file.
    #[error(
        "the qcow2 image is damaged: its {table} at byte {offset} is not at the start of a \
         cluster, or not in the file of {file} bytes"
    )]
    Table {
        /// Which one.
        table: &'static str,
        /// Where it is said to be.
        offset: u64,
        /// Bytes of the file.
        file: u64,
    },
    /// Two tables in one place.
    #[error(
        "the qcow2 image is damaged: its {first} and its {second} at byte {offset} share a place"
    )]
    Overlap {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// Where the other is.
        offset: u64,
    },
    /// An entry of a table that cannot be.
    #[error(
        "the qcow2 image is damaged: {problem} (byte {guest} of the disk, entry {entry:#018x})"
    )]
    Entry {
        /// Byte of the disk that it is for.
        guest: u64,
        /// The entry.
        entry: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A cluster whose compression is damaged.
    #[error("the qcow2 image is damaged: its cluster at byte {guest} of the disk does not unpack")]
    Unpack {
        /// Byte of the disk.
        guest: u64,
        /// What the decoder says.
        source: io::Error,
    },
}
