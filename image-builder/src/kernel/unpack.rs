//! Unpacking in bounded memory, by the first bytes.

use std::io::{self, Read};

use super::KernelFileError;

/// The most memory that an xz or lzma stream may need, in bytes.
const MEMORY: u64 = 256 << 20;
/// Binary logarithm of the largest window of a zstd frame.
const WINDOW_LOG: u32 = 27;

/// How something is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Xz,
    Lzma,
    Zstd,
    /// Known, and not unpacked here.
    Other(&'static str),
}

impl Packing {
    /// By the first bytes.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        // The magics of Linux's lib/decompress.c.
        let known: [(&[u8], Self); 7] = [
            (&[0x1f, 0x8b], Self::Gzip),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Self::Xz),
            (&[0x5d, 0, 0], Self::Lzma),
            (&[0x28, 0xb5, 0x2f, 0xfd], Self::Zstd),
            (b"BZh", Self::Other("bzip2")),
            (&[0x89, b'L', b'Z', b'O'], Self::Other("lzo")),
            (&[0x02, 0x21, 0x4c, 0x18], Self::Other("lz4")),
        ];
        known.into_iter().find_map(|(magic, kind)| bytes.starts_with(magic).then_some(kind))
    }
}

/// A reader of what `packed` holds, whatever follows it. Without a known packing, of
/// `packed` itself.
pub(super) fn reader<'a>(packed: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match Packing::of(packed) {
        None => Box::new(packed),
        Some(Packing::Gzip) => Box::new(flate2::bufread::GzDecoder::new(packed)),
        Some(Packing::Xz) => {
            let stream = liblzma::stream::Stream::new_stream_decoder(MEMORY, 0)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
        }
        Some(Packing::Lzma) => {
            let stream = liblzma::stream::Stream::new_lzma_decoder(MEMORY)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
        }
        Some(Packing::Zstd) => {
            let mut decoder = zstd::Decoder::with_buffer(packed)?.single_frame();
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(decoder)
        }
        Some(Packing::Other(name)) => {
            let reason = format!("{name} is not supported; unpack it first");
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
    })
}

/// All that `packed` holds.
pub(super) fn all(packed: &[u8], limit: usize) -> Result<Vec<u8>, KernelFileError> {
    let what = "configuration";
    let failed = |source| KernelFileError::Unpack { what, source };
    let mut content = Vec::new();
    let reader = reader(packed).map_err(failed)?;
    reader.take(limit as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > limit { Err(KernelFileError::Bomb { what, limit }) } else { Ok(content) }
}
