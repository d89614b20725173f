//! Frames.

use zeroize::Zeroizing;

use super::{FRAME_HEAD, ReleaseError};

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// The owner's nonce.
    Hello = 1,
    /// The guest's evidence.
    Evidence = 2,
    /// The owner's release.
    Release = 3,
    /// What became of it.
    Status = 4,
    /// The owner has recorded the epochs of [`Status::Opened`](super::Status::Opened).
    Recorded = 5,
}

impl FrameType {
    const ALL: [Self; 5] =
        [Self::Hello, Self::Evidence, Self::Release, Self::Status, Self::Recorded];

    /// The longest content, in bytes.
    #[must_use]
    pub const fn max_content(self) -> usize {
        match self {
            Self::Hello => 32,
            Self::Evidence => 64 << 10,
            Self::Release => 32 << 10,
            Self::Status => 4 << 10,
            Self::Recorded => 0,
        }
    }
}

/// A whole frame. The caller's content is bounded by its own type.
#[must_use]
pub fn frame(kind: FrameType, content: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(FRAME_HEAD + content.len()));
    out.extend_from_slice(&[kind as u8, 0, 0, 0]);
    out.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(content);
    out
}

/// The head of a frame: how many bytes of content follow.
///
/// # Errors
/// If it is not a frame of the type that is expected here, or too long for it.
pub fn read_frame_head(
    head: &[u8; FRAME_HEAD],
    expected: FrameType,
) -> Result<usize, ReleaseError> {
    let [kind, zeros @ .., a, b, c, d] = *head;
    let known = FrameType::ALL.into_iter().find(|known| *known as u8 == kind);
    if zeros != [0; 3] || known != Some(expected) {
        return Err(ReleaseError::Frame { kind, expected });
    }
    let length = u32::from_be_bytes([a, b, c, d]);
    match usize::try_from(length) {
        Ok(length) if length <= expected.max_content() => Ok(length),
        _ => Err(ReleaseError::TooLong { kind: expected, length }),
    }
}
