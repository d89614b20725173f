//! PID 1, when it was built into this program (`RAVELIN_INIT` at build time;
//! `cargo xtask build` does it).

/// The bytes of the static PID 1.
pub(crate) const INIT: Option<&[u8]> = include!(concat!(env!("OUT_DIR"), "/embedded_init.rs"));
