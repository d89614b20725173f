//! What became of a release.

use super::{MAX_TEXT, MAX_VOLUMES, ReleaseError, VolumeName};
use crate::tlv::{self, Fields, TlvError};

/// Why the guest did not take or use a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// Not the frames of this protocol.
    Malformed = 1,
    /// The signature is not over this release in this session.
    Signature = 2,
    /// The signature's key is not among `unlock.owners`.
    UnknownOwner = 3,
    /// Other volumes than those that are waited for.
    Volumes = 4,
    /// Other owners agreed on another release, which opened the volumes.
    Disagreement = 5,
    /// Not enough owners came before the deadline.
    Expired = 6,
    /// A volume could not be opened with it: wrong key, specification or disk.
    NotOpened = 7,
    /// A volume's epoch is lower than the release allows.
    RolledBack = 8,
    /// Too many sessions, questions for reports or wrong keys; try again later.
    Busy = 9,
    /// The secure processor gave no report.
    NoReport = 10,
    /// No owner said in time that the epochs are recorded; the volumes are closed again.
    Unrecorded = 11,
}

impl Refusal {
    const ALL: [Self; 11] = [
        Self::Malformed,
        Self::Signature,
        Self::UnknownOwner,
        Self::Volumes,
        Self::Disagreement,
        Self::Expired,
        Self::NotOpened,
        Self::RolledBack,
        Self::Busy,
        Self::NoReport,
        Self::Unrecorded,
    ];
}

/// What became of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It counts; this many of those that are needed are there.
    Accepted {
        /// Owners so far.
        have: u8,
        /// `unlock.threshold`.
        need: u8,
        /// Owners who sent another release, which does not count for this one.
        others: u8,
    },
    /// All volumes are open, with the epochs that are on the disks now. The guest waits
    /// until they are recorded ([`FrameType::Recorded`](super::FrameType::Recorded)). A volume without epochs has 0.
    Opened {
        /// Each volume of the release, ascending.
        epochs: Vec<(VolumeName, u64)>,
    },
    /// The epochs are recorded; the boot goes on.
    Booting,
    /// It was not taken, or did not open the volumes. The guest waits on.
    Refused {
        /// Why.
        why: Refusal,
        /// The same for a reader: printable ASCII.
        text: String,
    },
}

const ACCEPTED: u8 = 1;
const OPENED: u8 = 2;
const REFUSED: u8 = 3;
const BOOTING: u8 = 4;

impl Status {
    /// Whether it is the last one of a session.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Accepted { .. } | Self::Opened { .. } => false,
            Self::Booting | Self::Refused { .. } => true,
        }
    }

    /// A refusal; the text is made printable and cut.
    #[must_use]
    pub fn refused(why: Refusal, text: &str) -> Self {
        let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
        Self::Refused { why, text: text.chars().map(printable).take(MAX_TEXT).collect() }
    }

    /// The content of a status frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Accepted { have, need, others } => {
                tlv::write(&mut out, ACCEPTED, &[*have, *need, *others]);
            }
            Self::Opened { epochs } => {
                let mut value = Vec::new();
                for (name, epoch) in epochs {
                    value.push(u8::try_from(name.as_str().len()).unwrap_or(u8::MAX));
                    value.extend_from_slice(name.as_str().as_bytes());
                    value.extend_from_slice(&epoch.to_be_bytes());
                }
                tlv::write(&mut out, OPENED, &value);
            }
            Self::Booting => tlv::write(&mut out, BOOTING, &[]),
            Self::Refused { why, text } => {
                let mut value = vec![*why as u8];
                value.extend_from_slice(text.as_bytes());
                tlv::write(&mut out, REFUSED, &value);
            }
        }
        out
    }

    /// Reads a content.
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub fn decode(content: &[u8]) -> Result<Self, ReleaseError> {
        let mut fields = Fields::new(content);
        let (tag, value) = fields.next()?.ok_or(ReleaseError::Missing { what: "status" })?;
        if let Some((tag, _)) = fields.next()? {
            return Err(ReleaseError::UnknownField { tag });
        }
        let length = ReleaseError::Length { tag, length: value.len() };
        match tag {
            ACCEPTED => match *value {
                [have, need, others] => Ok(Self::Accepted { have, need, others }),
                _ => Err(length),
            },
            OPENED => Ok(Self::Opened { epochs: epochs(value)? }),
            BOOTING if value.is_empty() => Ok(Self::Booting),
            BOOTING => Err(length),
            REFUSED => {
                let (why, text) = value.split_first().ok_or(length)?;
                let known = Refusal::ALL.into_iter().find(|known| *known as u8 == *why);
                let why = known.ok_or(ReleaseError::UnknownRefusal { code: *why })?;
                let printable = |byte: &u8| *byte == b' ' || byte.is_ascii_graphic();
                if text.len() > MAX_TEXT || !text.iter().all(printable) {
                    return Err(length);
                }
                Ok(Self::Refused { why, text: String::from_utf8_lossy(text).into_owned() })
            }
            _ => Err(ReleaseError::UnknownField { tag }),
        }
    }
}

fn epochs(mut value: &[u8]) -> Result<Vec<(VolumeName, u64)>, ReleaseError> {
    let cut = ReleaseError::Fields(TlvError::Cut);
    let mut epochs: Vec<(VolumeName, u64)> = Vec::with_capacity(MAX_VOLUMES);
    while let Some((length, rest)) = value.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(*length)).ok_or(cut)?;
        let (epoch, rest) = rest.split_first_chunk().ok_or(cut)?;
        let name: VolumeName =
            std::str::from_utf8(name).map_err(|_utf8| ReleaseError::Name)?.parse()?;
        if epochs.len() == MAX_VOLUMES || epochs.last().is_some_and(|(last, _)| *last >= name) {
            return Err(ReleaseError::VolumeOrder);
        }
        epochs.push((name, u64::from_be_bytes(*epoch)));
        value = rest;
    }
    Ok(epochs)
}
