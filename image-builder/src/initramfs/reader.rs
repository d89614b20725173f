//! Reading an initramfs that somebody else may have made: concatenated newc
//! archives, each plain or inside of a zstd frame, as the kernel unpacks them
//! (Linux, `init/initramfs.c`).
//!
//! The bytes are hostile. What is read is strict where the kernel is lax, so
//! that what is shown is all there is: zeros where zeros belong, a trailer at
//! the end, nothing between archives. Memory is bounded whatever the input
//! says: content is streamed, a name has at most 4095 bytes, a zstd window at
//! most 128 MiB, and [`Limits`] bound the time. Nothing is ever extracted.

use std::io::{self, BufRead, Read};

use thiserror::Error;

use super::entry::Entry;
use super::header::{HEADER_BYTES, Header, HeaderFault, MAX_NAME_BYTES, TRAILER, padding_after};
use super::stream::{Place, Stream};

/// How much is read before a reader gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most entries, over all archives. An archive and a zstd frame count as
    /// one each, so that empty ones are bounded too.
    pub entries: u32,
    /// Most bytes after decompression, over all archives.
    pub bytes: u64,
}

impl Default for Limits {
    /// A million entries and 16 GiB.
    fn default() -> Self {
        Self { entries: 1_000_000, bytes: 16 << 30 }
    }
}

/// Why an initramfs was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The input could not be read.
    #[error("cannot be read at {place}")]
    Io {
        /// Where.
        place: Place,
        /// What was answered.
        source: io::Error,
    },
    /// A zstd frame is damaged or needs a larger window than the kernel has.
    #[error("the zstd frame cannot be decompressed at {place}")]
    Zstd {
        /// Where.
        place: Place,
        /// What the zstd library said.
        source: io::Error,
    },
    /// The input ends inside of an archive.
    #[error("ends at {place}, inside of an archive: the file was cut off")]
    Truncated {
        /// Where.
        place: Place,
    },
    /// What begins here is no archive, nor compressed with zstd.
    #[error("no archive begins at {place}: {found}")]
    NotAnArchive {
        /// Where.
        place: Place,
        /// What the first byte is or may be.
        found: &'static str,
    },
    /// An archive begins where the kernel would not look for one.
    #[error("an archive begins at {place}, which is no multiple of four")]
    Misaligned {
        /// Where.
        place: Place,
    },
    /// An entry does not begin with the magic of newc.
    #[error("no newc header (070701) at {place}")]
    Magic {
        /// Where.
        place: Place,
    },
    /// A number in a header is not hexadecimal.
    #[error("the header at {place} has a number that is not hexadecimal")]
    Digit {
        /// Where.
        place: Place,
    },
    /// The header has a checksum, which belongs to another format.
    #[error("the header at {place} has a checksum, which newc has not")]
    Checksum {
        /// Where.
        place: Place,
    },
    /// A name that is empty, has no NUL at its end, one inside, or is too long.
    #[error(
        "the name of the entry at {place} is empty, longer than 4095 bytes, or not ended by its only NUL"
    )]
    Name {
        /// Where the entry begins.
        place: Place,
    },
    /// Padding that is not zeros.
    #[error("something is hidden in the padding before {place}")]
    Padding {
        /// Where the padding ends.
        place: Place,
    },
    /// The trailer of an archive has a content.
    #[error("the trailer at {place} has a content")]
    Trailer {
        /// Where the trailer begins.
        place: Place,
    },
    /// More entries than [`Limits::entries`].
    #[error("has more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: u32,
    },
    /// More bytes than [`Limits::bytes`].
    #[error("has more than {limit} bytes when it is decompressed")]
    TooManyBytes {
        /// The limit.
        limit: u64,
    },
}

/// Reads the entries of an initramfs one after another.
#[derive(Debug)]
pub struct Reader<R: BufRead> {
    stream: Stream<R>,
    limits: Limits,
    entries: u32,
    /// Bytes read from all streams, after decompression.
    bytes: u64,
    /// The archives begun so far.
    archives: u32,
    inside: bool,
    /// Bytes of the current entry's content that were not read yet.
    content: u64,
    /// Zeros that follow that content.
    padding: u64,
}

impl<R: BufRead> Reader<R> {
    /// A reader with the default [`Limits`].
    pub fn new(input: R) -> Self {
        Self::with_limits(input, Limits::default())
    }

    /// A reader with limits of its own.
    pub fn with_limits(input: R, limits: Limits) -> Self {
        Self {
            stream: Stream::new(input),
            limits,
            entries: 0,
            bytes: 0,
            archives: 0,
            inside: false,
            content: 0,
            padding: 0,
        }
    }

    /// The next entry, or `None` after the last archive. What was not read of
    /// the content of the entry before is skipped.
    ///
    /// # Errors
    /// The first rule of the format that is broken. After an error the reader
    /// is of no further use.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            self.skip_content()?;
            if !self.inside && !self.begin_archive()? {
                return Ok(None);
            }
            if let Some(entry) = self.entry()? {
                return Ok(Some(entry));
            }
            self.inside = false;
        }
    }

    /// How many archives were begun so far.
    pub fn archives(&self) -> u32 {
        self.archives
    }

    /// Whether the bytes that are read now are inside of a zstd frame.
    pub fn is_compressed(&self) -> bool {
        self.stream.place().frame.is_some()
    }

    /// Reads the next bytes of the current entry's content into `buffer`, and
    /// says how many they were; 0 at its end.
    ///
    /// # Errors
    /// When the input cannot be read or ends before the content does.
    pub fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let most = usize::try_from(self.content).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let count = self.stream.read(buffer)?;
        if count == 0 {
            return Err(ReadError::Truncated { place: self.stream.place() });
        }
        self.account(count)?;
        self.content -= count as u64;
        Ok(count)
    }

    /// The rest of the current entry's content, if it is at most `limit` bytes
    /// long; `None`, and nothing read, if it is longer.
    ///
    /// # Errors
    /// As [`Reader::read_content`].
    pub fn content(&mut self, limit: usize) -> Result<Option<Vec<u8>>, ReadError> {
        if self.content > limit as u64 {
            return Ok(None);
        }
        let mut content = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            let count = self.read_content(&mut buffer)?;
            if count == 0 {
                return Ok(Some(content));
            }
            content.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
    }

    fn skip_content(&mut self) -> Result<(), ReadError> {
        let mut buffer = [0; 8192];
        while self.read_content(&mut buffer)? != 0 {}
        let padding = std::mem::take(&mut self.padding);
        self.zeros(padding)
    }

    /// Goes to the begin of the next archive; false when there is none.
    fn begin_archive(&mut self) -> Result<bool, ReadError> {
        loop {
            match self.stream.peek()? {
                None if self.stream.leave_frame()? => {}
                None => return Ok(false),
                Some(0) => {
                    let zeros = self.stream.skip_zeros()?;
                    self.account(zeros)?;
                }
                Some(b'0') => {
                    let place = self.stream.place();
                    if !place.offset.is_multiple_of(4) {
                        return Err(ReadError::Misaligned { place });
                    }
                    self.count()?;
                    self.inside = true;
                    self.archives = self.archives.saturating_add(1);
                    return Ok(true);
                }
                Some(byte) => {
                    self.count()?;
                    if !self.stream.enter_frame(byte)? {
                        let place = self.stream.place();
                        return Err(ReadError::NotAnArchive { place, found: guess(byte) });
                    }
                }
            }
        }
    }

    /// One entry; `None` for the trailer.
    fn entry(&mut self) -> Result<Option<Entry>, ReadError> {
        let place = self.stream.place();
        let mut bytes = [0; HEADER_BYTES];
        self.exact(&mut bytes)?;
        let header = Header::decode(&bytes).map_err(|fault| match fault {
            HeaderFault::Magic => ReadError::Magic { place },
            HeaderFault::Digit => ReadError::Digit { place },
        })?;
        if header.check != 0 {
            return Err(ReadError::Checksum { place });
        }
        if !(2..=MAX_NAME_BYTES).contains(&header.name_bytes) {
            return Err(ReadError::Name { place });
        }
        let mut name = vec![0; header.name_bytes as usize];
        self.exact(&mut name)?;
        if name.pop() != Some(0) || name.contains(&0) {
            return Err(ReadError::Name { place });
        }
        self.zeros(padding_after(self.stream.place().offset))?;
        if name == TRAILER.as_bytes() {
            return if header.size == 0 { Ok(None) } else { Err(ReadError::Trailer { place }) };
        }
        self.count()?;
        self.content = u64::from(header.size);
        self.padding = padding_after(self.content);
        Ok(Some(Entry::new(self.archives.saturating_sub(1), name, &header)))
    }

    fn zeros(&mut self, count: u64) -> Result<(), ReadError> {
        let mut byte = [0];
        for _ in 0..count {
            self.exact(&mut byte)?;
            if byte != [0] {
                return Err(ReadError::Padding { place: self.stream.place() });
            }
        }
        Ok(())
    }

    fn exact(&mut self, mut buffer: &mut [u8]) -> Result<(), ReadError> {
        while !buffer.is_empty() {
            let count = self.stream.read(buffer)?;
            if count == 0 {
                return Err(ReadError::Truncated { place: self.stream.place() });
            }
            self.account(count)?;
            buffer = buffer.get_mut(count..).unwrap_or_default();
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), ReadError> {
        if self.entries >= self.limits.entries {
            return Err(ReadError::TooManyEntries { limit: self.limits.entries });
        }
        self.entries += 1;
        Ok(())
    }

    fn account(&mut self, count: usize) -> Result<(), ReadError> {
        self.bytes = self.bytes.saturating_add(count as u64);
        if self.bytes > self.limits.bytes {
            return Err(ReadError::TooManyBytes { limit: self.limits.bytes });
        }
        Ok(())
    }
}

/// The content of the current entry.
impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_content(buffer).map_err(io::Error::other)
    }
}

/// What a first byte tells, for the error.
fn guess(byte: u8) -> &'static str {
    match byte {
        0x1F => "it may be compressed with gzip; decompress it first (zcat)",
        0xFD => "it may be compressed with xz; decompress it first (xzcat)",
        b'B' => "it may be compressed with bzip2; decompress it first (bzcat)",
        0x5D => "it may be compressed with lzma; decompress it first (xzcat)",
        0x89 => "it may be compressed with lzo; decompress it first (lzop -d)",
        0x02 => "it may be compressed with lz4; decompress it first (lz4cat)",
        _ => "the first byte is neither of a newc archive nor of a zstd frame",
    }
}
