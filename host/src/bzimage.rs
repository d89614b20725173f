//! The release of a kernel image, to notice a kernel and modules that do not
//! belong together before a VM does.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Enough of the file for the header and the text that it points to.
pub(crate) const HEAD_BYTES: u64 = 128 << 10;

/// The version text of a bzImage, such as `6.12.95+deb12-cloud-amd64
/// (debian-kernel@…) #1 SMP …`.
///
/// Its offset, less 0x200, is at 0x20e (Linux `Documentation/arch/x86/boot.rst`,
/// `kernel_version`). `None` when the file is no bzImage or has no such text.
pub(crate) fn version(head: &[u8]) -> Option<String> {
    if !is_bzimage(head) {
        return None;
    }
    let pointer = head.get(0x20e..0x210)?.try_into().ok()?;
    let start = 0x200 + usize::from(u16::from_le_bytes(pointer));
    let text = head.get(start..start.saturating_add(256))?.split(|byte| *byte == 0).next()?;
    let text = std::str::from_utf8(text).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// Whether a file begins like a bzImage (`boot.rst`, `header`).
pub(crate) fn is_bzimage(head: &[u8]) -> bool {
    head.get(0x202..).is_some_and(|bytes| bytes.starts_with(b"HdrS"))
}

/// The release (`uname -r`) of the kernel image at `path`, if it says one.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn release(path: &Path) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(version(&head).and_then(|version| version.split(' ').next().map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_headers_have_no_version() {
        let mut head = vec![0_u8; 0x400];
        assert_eq!(version(&head), None);
        head[0x202..0x206].copy_from_slice(b"HdrS");
        head[0x210..0x220].copy_from_slice(b"1.2-x (me) #1\0\0\0");
        assert_eq!(version(&head), None, "points to zeros");
        head[0x20e] = 0x10;
        assert_eq!(version(&head).as_deref(), Some("1.2-x (me) #1"));
        head[0x211] = 0x1b;
        assert_eq!(version(&head), None, "control character");
        head[0x20f] = 0xff;
        assert_eq!(version(&head), None, "points outside");
        for length in 0..head.len() {
            let _ = version(&head[..length]);
        }
    }
}
