//! Kernel modules: which ones an image needs, out of a kernel's
//! `/lib/modules/VERSION`, and in which order PID 1 loads them.
//!
//! PID 1 has no modprobe: everything is solved here, when the image is made,
//! and written into the load order ([`protocol::load_order`]).
//!
//! The source of truth is each module's own `.modinfo` section, not depmod's
//! files: an unpacked kernel package has none of them, and those of an installed
//! kernel may be stale.

mod closure;
mod decompress;
mod error;
mod graph;
mod modinfo;
mod request;
mod tree;

pub use closure::{Closure, ModuleFile, Note};
pub use error::ModuleError;
pub use request::{Request, Set, SetError};
pub use tree::ModuleTree;
