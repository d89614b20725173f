//! The hashes of kernel, initrd and command line that a direct boot measures.
//!
//! With `kernel-hashes=on` QEMU puts a table of three SHA-256 digests in a page
//! that the firmware names, and the firmware boots nothing with other digests.
//! The page is zeros but for this table; all integers are little-endian, GUIDs
//! are in their mixed-endian form:
//!
//! | offset in the table | size | field |
//! |---|---|---|
//! | 0x00 | 16 | 9438d606-4f22-4cc9-b479-a793d411fd21 |
//! | 0x10 | 2 | 168, bytes of the table |
//! | 0x12 | 16, 2, 32 | 97d02dd8-bd20-4c94-aa78-e7714d36ab2a, 50, digest of the command line |
//! | 0x44 | 16, 2, 32 | 44baf731-3a2f-4bd7-9af1-41e29169781d, 50, digest of the initrd |
//! | 0x76 | 16, 2, 32 | 4de79437-abd2-427f-b835-d5b172d2045b, 50, digest of the kernel |
//! | 0xa8 | 8 | zeros |
//!
//! What is hashed, as QEMU's `target/i386/sev.c` does it:
//!
//! * the kernel: all bytes of its file;
//! * the initrd: all bytes of its file, nothing if there is none;
//! * the command line: its bytes **and one NUL**, exactly as given. Nothing is
//!   trimmed: a space or newline at the end is another measurement. No command
//!   line at all is a single NUL. (`SevHashes` of the `sev` crate 8.0.0 trims
//!   white space, so its digests differ from the hardware's; it is not used.)

use std::io::{self, ErrorKind, Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{Uuid, uuid};

use super::chain::{PAGE_LEN, PageDigest, page_digest};
use super::digest::Sha256Digest;

const TABLE: Uuid = uuid!("9438d606-4f22-4cc9-b479-a793d411fd21");
const CMDLINE: Uuid = uuid!("97d02dd8-bd20-4c94-aa78-e7714d36ab2a");
const INITRD: Uuid = uuid!("44baf731-3a2f-4bd7-9af1-41e29169781d");
const KERNEL: Uuid = uuid!("4de79437-abd2-427f-b835-d5b172d2045b");

const ENTRY_LEN: u16 = 50;
const TABLE_LEN: u16 = 168;
const PADDED_LEN: usize = 176;

/// Files are read in pieces of 256 KiB.
const BUFFER: usize = 256 << 10;

/// A command line that no hypervisor can pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the kernel command line has a NUL byte at offset {offset}; a hypervisor would cut it there"
)]
pub struct CommandLineError {
    offset: usize,
}

impl Sha256Digest {
    /// The digest of no bytes: that of a missing initrd.
    pub const EMPTY: Self = Self::new([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::new(Sha256::digest(bytes).into())
    }

    /// The digest of all that a reader has, in constant memory.
    ///
    /// # Errors
    /// The reader's.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(Self::new(hasher.finalize().into())),
                Ok(count) => hasher.update(buffer.get(..count).unwrap_or(&buffer)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The digest of a kernel command line as QEMU hashes it: exactly these
    /// bytes and a NUL.
    ///
    /// # Errors
    /// If the line has a NUL byte in it.
    pub fn of_command_line(line: &[u8]) -> Result<Self, CommandLineError> {
        if let Some(offset) = line.iter().position(|byte| *byte == 0) {
            return Err(CommandLineError { offset });
        }
        Ok(Self::new(Sha256::new().chain_update(line).chain_update([0]).finalize().into()))
    }
}

/// The three digests of a direct boot. They can be computed once and used with
/// any firmware and any vCPU configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelHashes {
    /// Of the kernel's file.
    pub kernel: Sha256Digest,
    /// Of the initrd's file; [`Sha256Digest::EMPTY`] if there is none.
    pub initrd: Sha256Digest,
    /// Of the command line, by [`Sha256Digest::of_command_line`].
    pub cmdline: Sha256Digest,
}

impl KernelHashes {
    /// The digest of the page that has the table `offset` bytes after its
    /// start; nothing if it does not fit.
    pub(super) fn page_digest(&self, offset: usize) -> Option<PageDigest> {
        let end = offset.checked_add(PADDED_LEN).filter(|end| *end <= PAGE_LEN)?;
        let mut page = vec![0; offset];
        page.reserve(PAGE_LEN - offset);
        page.extend_from_slice(&TABLE.to_bytes_le());
        page.extend_from_slice(&TABLE_LEN.to_le_bytes());
        for (guid, digest) in
            [(CMDLINE, self.cmdline), (INITRD, self.initrd), (KERNEL, self.kernel)]
        {
            page.extend_from_slice(&guid.to_bytes_le());
            page.extend_from_slice(&ENTRY_LEN.to_le_bytes());
            page.extend_from_slice(digest.as_bytes());
        }
        debug_assert_eq!(page.len() + 8, end);
        page.resize(PAGE_LEN, 0);
        Some(page_digest(&page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_hashed_as_it_is() {
        let of = |line: &[u8]| Sha256Digest::of_command_line(line).unwrap();
        assert_eq!(of(b""), Sha256Digest::of(b"\0"));
        assert_eq!(of(b"console=ttyS0"), Sha256Digest::of(b"console=ttyS0\0"));
        assert_eq!(of(b" a\n"), Sha256Digest::of(b" a\n\0"));
        assert_ne!(of(b"a "), of(b"a"));
        let error = Sha256Digest::of_command_line(b"ab\0").unwrap_err();
        assert_eq!(error, CommandLineError { offset: 2 });
    }

    #[test]
    fn readers_and_slices_agree() {
        struct Stutter<'a>(&'a [u8], bool);
        impl Read for Stutter<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(ErrorKind::Interrupted.into());
                }
                let piece = buffer.len().min(1000);
                self.0.read(&mut buffer[..piece])
            }
        }
        let bytes: Vec<u8> = (0..700_001_u32).map(|i| (i % 251) as u8).collect();
        let digest = Sha256Digest::of(&bytes);
        assert_eq!(Sha256Digest::of_reader(&bytes[..]).unwrap(), digest);
        assert_eq!(Sha256Digest::of_reader(Stutter(&bytes, false)).unwrap(), digest);
        assert_eq!(Sha256Digest::of_reader(io::empty()).unwrap(), Sha256Digest::EMPTY);
    }

    #[test]
    fn the_table_must_fit_its_page() {
        let hashes = KernelHashes {
            kernel: Sha256Digest::EMPTY,
            initrd: Sha256Digest::EMPTY,
            cmdline: Sha256Digest::EMPTY,
        };
        assert!(hashes.page_digest(PAGE_LEN - PADDED_LEN).is_some());
        assert!(hashes.page_digest(PAGE_LEN - PADDED_LEN + 1).is_none());
        assert!(hashes.page_digest(usize::MAX).is_none());
    }
}
