//! Why an ext4 is refused.

use std::io;

use thiserror::Error;

/// Why an ext4 is refused, or a part of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Ext4Error {
    /// The volume cannot be read.
    #[error("the ext4 cannot be read at byte {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// What was said.
        source: io::Error,
    },
    /// There is none.
    #[error("there is no ext4")]
    Magic,
    /// A value of the superblock that cannot be.
    #[error("the ext4 superblock is damaged: {problem}")]
    Superblock {
        /// What is wrong.
        problem: &'static str,
    },
    /// The volume ends before its file system does.
    #[error("the ext4 has {described} bytes, the volume only {actual}: it was cut off")]
    CutOff {
        /// What the superblock says.
        described: u64,
        /// What is there.
        actual: u64,
    },
    /// A feature without which its files cannot be read.
    #[error(
        "the ext4 has the feature {name}, which is not supported; keep the file system as it is, \
         or pack its files into a tar"
    )]
    Feature {
        /// Its name, as e2fsprogs has it, or the number of its bit.
        name: String,
    },
    /// It was not unmounted in order.
    #[error(
        "the ext4 was not unmounted in order: start its virtual machine once and shut it down, or \
         check it (e2fsck)"
    )]
    Unclean,
    /// The kernel has found errors in it.
    #[error("the ext4 is marked as having errors; repair it first (e2fsck -f)")]
    Errors,
    /// A checksum that is wrong.
    #[error(
        "the ext4 is damaged: the checksum of {what} {number} is wrong; repair it first \
         (e2fsck -f)"
    )]
    Checksum {
        /// Of what.
        what: &'static str,
        /// Its number.
        number: u64,
    },
    /// A structure that contradicts itself or the rest.
    #[error("the ext4 is damaged (inode {inode}): {problem}; repair it first (e2fsck -f)")]
    Damaged {
        /// The file that it belongs to.
        inode: u32,
        /// What is wrong.
        problem: &'static str,
    },
    /// A file that only its key opens.
    #[error("inode {inode} of the ext4 is encrypted (fscrypt)")]
    Encrypted {
        /// The file.
        inode: u32,
    },
    /// More names than a directory of a root has.
    #[error("the directory with inode {inode} of the ext4 has {bytes} bytes, more than {most}")]
    LargeDirectory {
        /// The directory.
        inode: u32,
        /// Its size.
        bytes: u64,
        /// What is read.
        most: u64,
    },
}
