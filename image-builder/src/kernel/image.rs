//! A kernel image: a bzImage, or the vmlinux inside of it.
//!
//! With `CONFIG_IKCONFIG` the kernel has its configuration as a gzip stream between
//! the marks `IKCFG_ST` and `IKCFG_ED` (Linux `kernel/configs.c`).

use std::io::Read;

use super::{KernelFileError, unpack};

const START: &[u8] = b"IKCFG_ST";
/// The largest vmlinux, in bytes. (Debian's has 60 MB, with debug symbols stripped.)
const MAX_VMLINUX: usize = 1 << 30;
/// How much of a vmlinux is looked at at once.
const STEP: usize = 1 << 20;
/// The most that a packed configuration has, in bytes.
const MAX_PACKED: usize = 4 << 20;

/// Whether a file begins like a kernel image.
pub(super) fn is_kernel(bytes: &[u8]) -> bool {
    is_bzimage(bytes) || bytes.starts_with(b"\x7fELF")
}

fn is_bzimage(bytes: &[u8]) -> bool {
    bytes.get(0x202..).is_some_and(|rest| rest.starts_with(b"HdrS"))
}

/// The text of its configuration.
pub(super) fn configuration(bytes: &[u8]) -> Result<Vec<u8>, KernelFileError> {
    let what = "kernel";
    let failed = |source| KernelFileError::Unpack { what, source };
    let payload = if is_bzimage(bytes) { payload(bytes)? } else { bytes };
    let packed = find(unpack::reader(payload).map_err(failed)?)?;
    unpack::all(&packed, kernel_config::MAX_TEXT)
}

/// The packed vmlinux of a bzImage (Linux `Documentation/arch/x86/boot.rst`):
/// setup_sects at 0x1f1, payload_offset and payload_length at 0x248 and 0x24c, both
/// little-endian; version 2.08 of the protocol or later, which is at 0x206.
fn payload(bytes: &[u8]) -> Result<&[u8], KernelFileError> {
    let damaged = KernelFileError::Image("its header ends early or points outside");
    let number = |at: usize| {
        let field = bytes.get(at..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*field)).ok()
    };
    let version = bytes.get(0x206..).and_then(|rest| rest.first_chunk());
    if version.is_none_or(|version| u16::from_le_bytes(*version) < 0x208) {
        return Err(KernelFileError::Image("its boot protocol is older than 2.08"));
    }
    let sectors = match bytes.get(0x1f1) {
        Some(0) => 4,
        Some(count) => usize::from(*count),
        None => return Err(damaged),
    };
    let range = || {
        let start = (sectors + 1) * 512 + number(0x248)?;
        bytes.get(start..)?.get(..number(0x24c)?)
    };
    range().ok_or(damaged)
}

/// What follows the mark in a stream, in memory of one step.
fn find(mut reader: impl Read) -> Result<Vec<u8>, KernelFileError> {
    let what = "kernel";
    let failed = |source| KernelFileError::Unpack { what, source };
    let mut window = Vec::with_capacity(STEP + START.len());
    let mut seen = 0;
    loop {
        let read = reader.by_ref().take(STEP as u64).read_to_end(&mut window).map_err(failed)?;
        if read == 0 {
            return Err(KernelFileError::NoConfiguration);
        }
        let mark = |window: &[u8]| {
            // A mark without a gzip stream is the code that looks for it.
            window
                .windows(START.len() + 2)
                .position(|at| at.strip_prefix(START).is_some_and(|rest| rest == [0x1f, 0x8b]))
        };
        if let Some(at) = mark(&window) {
            let mut packed = window.split_off(at + START.len());
            reader.take(MAX_PACKED as u64).read_to_end(&mut packed).map_err(failed)?;
            return Ok(packed);
        }
        seen += read;
        if seen > MAX_VMLINUX {
            return Err(KernelFileError::Bomb { what, limit: MAX_VMLINUX });
        }
        let keep = window.len().saturating_sub(START.len() + 1);
        window.drain(..keep);
    }
}
