//! The bytes of an initramfs after decompression, one member after another: the
//! plain file, or one zstd frame inside of it.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use super::reader::ReadError;

/// The first byte of a zstd frame (RFC 8878, section 3.1.1: 28 B5 2F FD).
const ZSTD_FIRST_BYTE: u8 = 0x28;

/// Binary logarithm of the largest window that is accepted; the kernel's own.
const WINDOW_LOG_MAX: u32 = 27;

/// A place in an initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Byte offset: in the file, or in what the zstd frame decompresses to.
    pub offset: u64,
    /// Where in the file that zstd frame begins.
    pub frame: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.frame {
            None => write!(f, "offset {}", self.offset),
            Some(frame) => {
                write!(f, "offset {} of the zstd frame that begins at offset {frame}", self.offset)
            }
        }
    }
}

/// The stream of bytes that archives are read from.
#[derive(Debug)]
pub(super) struct Stream<R: BufRead> {
    source: Source<R>,
    place: Place,
}

enum Source<R: BufRead> {
    Plain(Counted<R>),
    Zstd(Box<BufReader<zstd::Decoder<'static, Counted<R>>>>),
    /// Between two states; left only by an error, after which nothing is read.
    Moved,
}

impl<R: BufRead> Stream<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            source: Source::Plain(Counted { inner: input, bytes: 0 }),
            place: Place { offset: 0, frame: None },
        }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Reads some bytes; 0 at the end of the file or of the frame.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let count = loop {
            let result = match &mut self.source {
                Source::Plain(input) => input.read(buffer),
                Source::Zstd(decoder) => decoder.read(buffer),
                Source::Moved => Ok(0),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(|error| self.failed(error))?,
            }
        };
        self.place.offset += count as u64;
        Ok(count)
    }

    /// The next byte, without taking it.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        Ok(self.filled()?.first().copied())
    }

    /// Takes zeros, and says how many, up to the end of a buffer: more may
    /// follow.
    pub(super) fn skip_zeros(&mut self) -> Result<usize, ReadError> {
        let count = self.filled()?.iter().take_while(|&&byte| byte == 0).count();
        match &mut self.source {
            Source::Plain(input) => input.consume(count),
            Source::Zstd(decoder) => decoder.consume(count),
            Source::Moved => {}
        }
        self.place.offset += count as u64;
        Ok(count)
    }

    /// Begins the zstd frame that begins with `byte` in the plain file; false
    /// if it does not, or if this is a frame already.
    pub(super) fn enter_frame(&mut self, byte: u8) -> Result<bool, ReadError> {
        if byte != ZSTD_FIRST_BYTE {
            return Ok(false);
        }
        match std::mem::replace(&mut self.source, Source::Moved) {
            Source::Plain(input) => {
                let frame = input.bytes;
                let decoder = decoder(input).map_err(|error| self.failed(error))?;
                self.source = Source::Zstd(Box::new(BufReader::new(decoder)));
                self.place = Place { offset: 0, frame: Some(frame) };
                Ok(true)
            }
            other @ (Source::Zstd(_) | Source::Moved) => {
                self.source = other;
                Ok(false)
            }
        }
    }

    /// Goes back to the plain file at the end of a frame; false if this is the
    /// plain file already.
    pub(super) fn leave_frame(&mut self) -> Result<bool, ReadError> {
        match std::mem::replace(&mut self.source, Source::Moved) {
            Source::Zstd(decoder) => {
                let input = decoder.into_inner().finish();
                self.place = Place { offset: input.bytes, frame: None };
                self.source = Source::Plain(input);
                Ok(true)
            }
            other @ (Source::Plain(_) | Source::Moved) => {
                self.source = other;
                Ok(false)
            }
        }
    }

    fn filled(&mut self) -> Result<&[u8], ReadError> {
        let place = self.place;
        loop {
            let result = match &mut self.source {
                Source::Plain(input) => input.fill_buf().map(<[u8]>::len),
                Source::Zstd(decoder) => decoder.fill_buf().map(<[u8]>::len),
                Source::Moved => Ok(0),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(place, error)),
                Ok(_) => break,
            }
        }
        // The buffer is full: nothing is read again. (Two calls, because a
        // borrow cannot leave the loop.)
        match &mut self.source {
            Source::Plain(input) => input.fill_buf(),
            Source::Zstd(decoder) => decoder.fill_buf(),
            Source::Moved => Ok(&[][..]),
        }
        .map_err(|error| failed(place, error))
    }

    fn failed(&self, error: io::Error) -> ReadError {
        failed(self.place, error)
    }
}

impl<R: BufRead> fmt::Debug for Source<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Zstd(_) => "Zstd",
            Self::Moved => "Moved",
        })
    }
}

fn failed(place: Place, source: io::Error) -> ReadError {
    match place.frame {
        None => ReadError::Io { place, source },
        Some(_) if source.kind() == io::ErrorKind::UnexpectedEof => ReadError::Truncated { place },
        Some(_) => ReadError::Zstd { place, source },
    }
}

fn decoder<R: BufRead>(input: Counted<R>) -> io::Result<zstd::Decoder<'static, Counted<R>>> {
    let mut decoder = zstd::Decoder::with_buffer(input)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// Counts what is taken of a reader.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.bytes += count as u64;
    }
}
