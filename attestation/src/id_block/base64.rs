//! The text form that QEMU takes: standard base64, padded, in one piece.

use base64ct::{Base64, Encoding};

pub(super) fn encode(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// `N` bytes; white space around them is ignored, as files end with a newline.
pub(super) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.trim_ascii();
    // Nothing is decoded that cannot have the right length.
    if text.len() != N.div_ceil(3) * 4 {
        return None;
    }
    Base64::decode_vec(text).ok()?.try_into().ok()
}
