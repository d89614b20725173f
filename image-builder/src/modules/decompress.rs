//! Modules as they are on the disk: plain, or compressed with xz, zstd or gzip.
//!
//! PID 1 gets them decompressed: the initramfs is compressed as a whole, which
//! is smaller, and PID 1 needs no decompressor. Output and working memory are
//! bounded, so that a damaged file cannot exhaust the owner's machine.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::ModuleError;

/// The largest module, in bytes, before and after decompression. (The largest
/// of Debian's 6.12 is a graphics driver of 20 MB.)
pub(super) const MAX_MODULE_BYTES: usize = 64 << 20;

/// The most memory that an xz stream may need, in bytes.
const XZ_MEMORY: u64 = 128 << 20;

/// Binary logarithm of the largest window of a zstd frame.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How a module's file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Xz,
    Zstd,
    Gzip,
}

/// The module's name (as in the file's, with `-`) and compression of a file
/// name; `None` when it is not that of a module.
pub(super) fn split(file_name: &str) -> Option<(&str, Kind)> {
    let (stem, kind) = [("xz", Kind::Xz), ("zst", Kind::Zstd), ("gz", Kind::Gzip)]
        .into_iter()
        .find_map(|(ending, kind)| Some((file_name.strip_suffix(ending)?.strip_suffix('.')?, kind)))
        .unwrap_or((file_name, Kind::Plain));
    let name = stem.strip_suffix(".ko").filter(|name| !name.is_empty())?;
    Some((name, kind))
}

/// The content of the module at `path`, decompressed.
pub(super) fn read(path: &Path, kind: Kind) -> Result<Vec<u8>, ModuleError> {
    let failed = |source| ModuleError::Io { path: path.to_owned(), source };
    // Opening a named pipe would wait for ever.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let file = File::open(path).map_err(failed)?;
    let mut packed = Vec::new();
    bounded(file, &mut packed).map_err(failed)?;
    if packed.len() > MAX_MODULE_BYTES {
        return Err(too_large(path));
    }
    if kind == Kind::Plain {
        return Ok(packed);
    }
    let mut content = Vec::new();
    unpack(&packed, kind, &mut content)
        .map_err(|source| ModuleError::Decompress { path: path.to_owned(), source })?;
    if content.len() > MAX_MODULE_BYTES {
        return Err(too_large(path));
    }
    Ok(content)
}

fn unpack(packed: &[u8], kind: Kind, content: &mut Vec<u8>) -> io::Result<()> {
    match kind {
        Kind::Plain => bounded(packed, content),
        Kind::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)?;
            bounded(liblzma::bufread::XzDecoder::new_stream(packed, stream), content)
        }
        Kind::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            bounded(decoder, content)
        }
        Kind::Gzip => bounded(flate2::bufread::GzDecoder::new(packed), content),
    }
}

/// Reads one byte more than is allowed at most.
fn bounded(input: impl Read, content: &mut Vec<u8>) -> io::Result<()> {
    input.take(MAX_MODULE_BYTES as u64 + 1).read_to_end(content)?;
    Ok(())
}

fn too_large(path: &Path) -> ModuleError {
    ModuleError::TooLarge { path: path.to_owned(), limit: MAX_MODULE_BYTES }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_module_and_compression() {
        assert_eq!(split("dm-mod.ko"), Some(("dm-mod", Kind::Plain)));
        assert_eq!(split("dm-mod.ko.xz"), Some(("dm-mod", Kind::Xz)));
        assert_eq!(split("dm-mod.ko.zst"), Some(("dm-mod", Kind::Zstd)));
        assert_eq!(split("dm-mod.ko.gz"), Some(("dm-mod", Kind::Gzip)));
        for other in [".ko", "modules.dep", "a.kox", "a.ko.lz4", "a.xz", "a.ko.debug", "a.koxz"] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn a_bomb_is_refused_and_not_unpacked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bomb.ko.zst");
        let zeros = io::repeat(0).take(MAX_MODULE_BYTES as u64 * 8);
        std::fs::write(&path, zstd::encode_all(zeros, 1).unwrap()).unwrap();
        let error = read(&path, Kind::Zstd).unwrap_err();
        assert!(matches!(error, ModuleError::TooLarge { .. }), "{error:?}");
    }

    #[test]
    fn damaged_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        for (name, kind) in
            [("a.ko.xz", Kind::Xz), ("a.ko.zst", Kind::Zstd), ("a.ko.gz", Kind::Gzip)]
        {
            let path = directory.path().join(name);
            std::fs::write(&path, b"no such format").unwrap();
            let error = read(&path, kind).unwrap_err();
            assert!(matches!(error, ModuleError::Decompress { .. }), "{name}: {error:?}");
        }
    }
}
