//! Bytes that are not of this protocol.

use super::{FrameType, MAX_NAME, MAX_PASSPHRASE, MAX_VOLUMES};
use crate::tlv::TlvError;

/// Bytes that are not of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// Another frame than the one that comes next.
    #[error("a frame of type {kind} where {expected:?} has to come")]
    Frame {
        /// What came.
        kind: u8,
        /// What has to come.
        expected: FrameType,
    },
    /// A frame that is longer than any of its type.
    #[error("a frame {kind:?} of {length} bytes; at most {} are accepted", kind.max_content())]
    TooLong {
        /// Its type.
        kind: FrameType,
        /// Its length.
        length: u32,
    },
    /// Not a list of fields.
    #[error("malformed: {0}")]
    Fields(#[from] TlvError),
    /// A field that this version does not have.
    #[error("the unknown field {tag:#04x}")]
    UnknownField {
        /// Its tag.
        tag: u8,
    },
    /// A field of a length or content that it cannot have.
    #[error("the field {tag:#04x} of {length} bytes is not possible")]
    Length {
        /// Its tag.
        tag: u8,
        /// Its length.
        length: usize,
    },
    /// A field is not there.
    #[error("there is no {what}, or more than that")]
    Missing {
        /// Which.
        what: &'static str,
    },
    /// Not the name of a volume.
    #[error("a volume's name is 1 to {MAX_NAME} of a-z, 0-9 and -, and begins with a letter")]
    Name,
    /// No volumes or too many.
    #[error("{count} volumes; 1 to {MAX_VOLUMES} are accepted")]
    VolumeCount {
        /// How many.
        count: usize,
    },
    /// Not ascending by name, or one twice.
    #[error("the volumes are not in the order of their names, or one is there twice")]
    VolumeOrder,
    /// Empty or too long.
    #[error("a passphrase has 1 to {MAX_PASSPHRASE} bytes")]
    Passphrase,
    /// Flags that this version does not have.
    #[error("unknown flags")]
    Flags,
    /// A refusal that this version does not have.
    #[error("the unknown refusal {code}")]
    UnknownRefusal {
        /// Its code.
        code: u8,
    },
}
