//! A Debian package (deb(5)): an `ar` archive whose member `data.tar*` has the files.

use std::io::Read;
use std::ops::Range;

use super::{KernelFileError, unpack};

/// The first bytes of an `ar` archive.
pub(super) const MAGIC: &[u8] = b"!<arch>\n";

/// Bytes of a member's head: name 16, time 12, owner 6, group 6, mode 8, size 10 (all
/// text, the size decimal), and two that end it.
const HEAD: usize = 60;

/// The most that a package unpacks to, in bytes. (Debian's kernels have 500 MB.)
const MAX_FILES: u64 = 8 << 30;

/// The text of `boot/config-*`.
pub(super) fn configuration(bytes: &[u8]) -> Result<Vec<u8>, KernelFileError> {
    let what = "package's files";
    let failed = |source| KernelFileError::Unpack { what, source };
    let data = bytes.get(data(bytes)?).unwrap_or_default();
    let mut archive = tar::Archive::new(unpack::reader(data).map_err(failed)?.take(MAX_FILES));
    // Raw: a member that only has a long name or attributes of the next is not read.
    for entry in archive.entries().map_err(failed)?.raw(true) {
        let entry = entry.map_err(failed)?;
        let path = entry.path_bytes();
        let path = path.strip_prefix(b"./").unwrap_or(&path);
        // Where the root is merged, packages may have it below usr/lib/modules.
        let name = path.strip_prefix(b"boot/config-");
        if entry.header().entry_type().is_file() && name.is_some_and(|name| !name.contains(&b'/')) {
            let limit = kernel_config::MAX_TEXT;
            let mut text = Vec::new();
            entry.take(limit as u64 + 1).read_to_end(&mut text).map_err(failed)?;
            if text.len() > limit {
                return Err(KernelFileError::Bomb { what: "configuration", limit });
            }
            return Ok(text);
        }
    }
    Err(KernelFileError::Package("it has no boot/config-*"))
}

/// Where the member `data.tar*` is.
pub(super) fn data(bytes: &[u8]) -> Result<Range<usize>, KernelFileError> {
    let damaged = || KernelFileError::Package("its archive ends early");
    let mut rest = bytes.get(MAGIC.len()..).ok_or_else(damaged)?;
    loop {
        let (head, members) = rest.split_first_chunk::<HEAD>().ok_or_else(damaged)?;
        let field =
            |range: Range<usize>| std::str::from_utf8(head.get(range)?).ok().map(str::trim_end);
        let size = field(48..58).and_then(|size| size.parse::<usize>().ok());
        let (name, size) = field(0..16).zip(size).ok_or_else(damaged)?;
        let (member, after) = members.split_at_checked(size).ok_or_else(damaged)?;
        if name.trim_end_matches('/').starts_with("data.tar") {
            let end = bytes.len() - after.len();
            return Ok(end - member.len()..end);
        }
        // Members begin at even places.
        rest = after.get(size % 2..).ok_or_else(damaged)?;
    }
}
