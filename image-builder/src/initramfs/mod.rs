//! The initramfs: concatenated newc cpio archives.
//!
//! An initramfs of Ravelin is three archives, each useful by itself:
//!
//! - [`base`]: PID 1 and the directories that it mounts on;
//! - [`modules`]: kernel modules and their load order;
//! - [`configuration`]: the measured configuration, to which [`Additions`] add hooks.
//!
//! [`assemble`] concatenates them and compresses the whole; plain archives can
//! as well be concatenated with `cat`, because each is padded to 512 bytes.
//! Where a path is in two archives, the kernel takes the later one.
//!
//! [`Reader`] reads an initramfs of whatever origin, strictly; [`Contents`] is what PID 1
//! would act on.

mod archive;
mod compression;
mod contents;
mod entry;
mod executable;
mod header;
mod hooks;
mod parts;
mod reader;
mod stream;

pub use archive::{Archive, ArchiveError};
pub use compression::{Compression, CompressionError, Level, compress};
pub use contents::{Contents, ContentsError};
pub use entry::{Entry, Kind, unpacked};
pub use executable::{ExecutableError, check_static_executable};
pub use hooks::{Additions, ExtraFile, Hook, HookError, check_hook};
pub use parts::{AssembleError, PartError, assemble, base, configuration, modules};
pub use reader::{Limits, ReadError, Reader};
pub use stream::Place;
