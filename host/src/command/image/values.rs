//! Values of options that both kinds of disks take.

use protocol::units::MemorySize;

use crate::vm::{Serial, ValueError};

/// A size in bytes, such as 2G.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(MemorySize::Bytes(bytes)) => Ok(bytes),
        Ok(MemorySize::Percent(_)) => Err("write a size such as 512M or 2G".to_owned()),
        Err(error) => Err(format!("{error}; write a size such as 512M or 2G")),
    }
}

/// A virtio serial.
pub(super) fn serial(text: &str) -> Result<Serial, ValueError> {
    Serial::try_from(text.to_owned())
}
