//! What guest and owner must agree on byte for byte.
//!
//! PID 1 and the owner's tools both read these formats: the kernel command
//! line, the measured configuration, the initramfs's layout, the module load
//! order, the partition table, what a report's REPORT_DATA binds, the boot receipt, and
//! what the attestation responder says. One definition serves both sides, so that they
//! cannot drift. `docs/formats.md` has the formats that travel, with vectors.
//!
//! Nothing here opens a path or a device, reads a clock or holds `unsafe`:
//! callers bring the bytes. Whatever the bytes are, the answer is a value or a
//! typed error, never a panic.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::string_slice,
        clippy::cast_possible_truncation,
        reason = "a test that cuts wrongly fails, which is all it has to do"
    )
)]

pub mod cmdline;
pub mod config;
pub mod gpt;
pub mod hooks;
pub mod host_keys;
pub mod layout;
pub mod load_order;
pub mod receipt;
pub mod release;
pub mod report_data;
pub mod responder;
pub mod text;
mod tlv;
pub mod units;
