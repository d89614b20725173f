//! zstd around an initramfs, in the one form that the kernel reads: one frame,
//! no dictionary, a window of at most 128 MiB (`lib/decompress_unzstd.c`).

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use thiserror::Error;

/// The last block of a frame that was flushed before it was finished: an empty
/// one (RFC 8878, section 3.1.1.2: last, raw, size 0).
const LAST_BLOCK: [u8; 3] = [1, 0, 0];

/// An empty block that is not the last.
const EMPTY_BLOCK: [u8; 3] = [0, 0, 0];

/// How an initramfs is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// With zstd; the kernel needs `RD_ZSTD`.
    Zstd(Level),
}

/// A level of zstd, 1 (fast) to 22 (small).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

/// A compression that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no compression; use `none`, `zstd`, or `zstd:LEVEL` with a level from 1 to 22")]
pub struct CompressionError(String);

impl Level {
    /// The level that is used when none is given: 19.
    pub const DEFAULT: Self = Self(19);

    /// The level of a number, if it is one.
    #[must_use]
    pub const fn new(level: u8) -> Option<Self> {
        match level {
            1..=22 => Some(Self(level)),
            _ => None,
        }
    }
}

impl FromStr for Compression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, CompressionError> {
        match text {
            "none" => return Ok(Self::None),
            "zstd" => return Ok(Self::Zstd(Level::DEFAULT)),
            _ => {}
        }
        text.strip_prefix("zstd:")
            .and_then(|level| level.parse().ok())
            .and_then(Level::new)
            .map(Self::Zstd)
            .ok_or_else(|| CompressionError(text.to_owned()))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Zstd(Level(level)) => write!(f, "zstd:{level}"),
        }
    }
}

/// Compresses `plain`, which is one archive or several concatenated ones.
///
/// The length of the result is a multiple of four, because the kernel expects a
/// plain archive that follows to begin at one; it is reached by empty blocks
/// inside of the frame, so that `zstd` and `bsdtar` read the file too. The bytes
/// depend on `plain`, the level and the version of the zstd library that is
/// compiled in, on nothing else.
///
/// # Errors
/// When the zstd library fails, or does not give `plain` back.
pub fn compress(plain: Vec<u8>, compression: Compression) -> io::Result<Vec<u8>> {
    let Compression::Zstd(Level(level)) = compression else {
        return Ok(plain);
    };
    let mut encoder = zstd::Encoder::new(Vec::new(), i32::from(level))?;
    encoder.set_pledged_src_size(Some(plain.len() as u64))?;
    encoder.write_all(&plain)?;
    encoder.flush()?;
    let frame = aligned(encoder.finish()?)?;
    if zstd::bulk::decompress(&frame, plain.len())? != plain {
        return Err(io::Error::other("the zstd library did not give back what it compressed"));
    }
    Ok(frame)
}

fn aligned(mut frame: Vec<u8>) -> io::Result<Vec<u8>> {
    // Three bytes are -1 modulo four.
    let empty_blocks = frame.len() % 4;
    let rest = frame
        .strip_suffix(&LAST_BLOCK)
        .ok_or_else(|| io::Error::other("the zstd frame does not end in an empty block"))?
        .len();
    frame.truncate(rest);
    for _ in 0..empty_blocks {
        frame.extend(EMPTY_BLOCK);
    }
    frame.extend(LAST_BLOCK);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_aligned_and_gives_its_content_back() {
        let mut lengths = [0; 4];
        for size in 0..300_usize {
            let plain: Vec<u8> = (0..size).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
            let level = Level::new(3).unwrap();
            let frame = compress(plain.clone(), Compression::Zstd(level)).unwrap();
            assert_eq!(frame.len() % 4, 0);
            assert_eq!(zstd::decode_all(&frame[..]).unwrap(), plain);
            // How many empty blocks there were, so that the test shows that
            // each case occurred.
            let tail = frame.iter().rev().skip(3).take_while(|&&b| b == 0).count();
            lengths[(tail / 3).min(3)] += 1;
        }
        assert!(lengths.iter().all(|&n| n > 0), "{lengths:?}");
    }

    #[test]
    fn no_compression_changes_nothing() {
        assert_eq!(compress(b"abc".to_vec(), Compression::None).unwrap(), b"abc");
    }

    #[test]
    fn compressions_are_read_and_written() {
        for text in ["none", "zstd:1", "zstd:19", "zstd:22"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        assert_eq!("zstd".parse(), Ok(Compression::Zstd(Level::DEFAULT)));
        for text in ["", "gzip", "zstd:", "zstd:0", "zstd:23", "zstd:256", "Zstd"] {
            assert!(text.parse::<Compression>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_frame_of_another_shape_is_an_error() {
        assert!(aligned(vec![1, 2, 3, 4]).is_err());
    }
}
