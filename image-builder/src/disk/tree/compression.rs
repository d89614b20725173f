//! Takes the compression off a tar, by its first bytes.
//!
//! Memory is bounded whatever the file says: a decoder's window is at most
//! 128 MiB (what `xz -9` and `zstd --ultra -22` use).

use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

const MEMORY: u64 = 160 << 20;
const WINDOW_LOG: u32 = 27;
const BUFFER: usize = 1 << 18;

const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BZIP2: &[u8] = b"BZh";

/// Whether a file that starts like this may be a compressed tar.
pub(in crate::disk) fn is_compressed(head: &[u8]) -> bool {
    [GZIP, XZ, ZSTD, BZIP2].iter().any(|magic| head.starts_with(magic))
}

/// The tar inside of `reader`, which may be compressed or not.
pub(in crate::disk) fn plain<'a>(mut reader: Box<dyn Read + 'a>) -> io::Result<Box<dyn Read + 'a>> {
    let mut head = Vec::new();
    reader.by_ref().take(XZ.len() as u64).read_to_end(&mut head)?;
    let kind = |magic: &[u8]| head.starts_with(magic);
    let (gzip, xz, zstd, bzip2) = (kind(GZIP), kind(XZ), kind(ZSTD), kind(BZIP2));
    let whole = BufReader::with_capacity(BUFFER, io::Cursor::new(head).chain(reader));
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(whole))
    } else if xz {
        let stream = Stream::new_stream_decoder(MEMORY, CONCATENATED).map_err(io::Error::other)?;
        Box::new(XzDecoder::new_stream(whole, stream))
    } else if zstd {
        let mut decoder = zstd::Decoder::with_buffer(whole)?;
        decoder.window_log_max(WINDOW_LOG)?;
        Box::new(decoder)
    } else if bzip2 {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "bzip2 is not supported: pipe it in (`bzip2 -dc FILE | …`), or use gzip, xz or zstd",
        ));
    } else {
        Box::new(whole)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        plain(Box::new(io::Cursor::new(bytes)))?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(content: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(vec![], 0);
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(vec![], 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_compression_in_several_parts_is_taken_off() {
        for encode in [gzip, xz, zstd, <[u8]>::to_vec] {
            assert_eq!(read([encode(b"one "), encode(b"two")].concat()).unwrap(), b"one two");
        }
        assert_eq!(read(vec![]).unwrap(), b"");
        assert!(read(b"BZh9...".to_vec()).is_err());
    }

    #[test]
    fn damage_and_truncation_are_noticed() {
        for encode in [gzip, xz, zstd] {
            let whole = encode(b"some content");
            assert!(is_compressed(&whole));
            for length in 7..whole.len() {
                assert!(read(whole[..length].to_vec()).is_err(), "{length}");
            }
            let mut damaged = whole.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert!(read(damaged).is_err());
        }
    }

    #[test]
    fn a_window_beyond_the_limit_is_refused() {
        let mut encoder = zstd::Encoder::new(vec![], 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.write_all(&[1; 1000]).unwrap();
        assert!(read(encoder.finish().unwrap()).is_err());
    }
}
