//! What opens the volumes: the content that owners sign.

use zeroize::Zeroizing;

use super::{MAX_PASSPHRASE, MAX_VOLUMES, ReleaseError, SECRET, SPEC, VolumeName};
use crate::tlv::{self, Fields, TlvError};

/// What the owner gives: everything that opens the volumes. Equal releases have
/// equal encodings.
#[derive(PartialEq, Eq)]
pub struct Release {
    pub(super) volumes: Vec<ReleasedVolume>,
}

/// One volume of a release.
#[derive(PartialEq, Eq)]
pub struct ReleasedVolume {
    /// Which one.
    pub name: VolumeName,
    /// What opens it.
    pub key: ReleasedKey,
    /// The lowest epoch that is accepted from the disk; 0 accepts all.
    pub min_epoch: u64,
    /// Whether a blank disk is formatted.
    pub provision: bool,
}

/// What opens a volume.
#[derive(PartialEq, Eq)]
pub enum ReleasedKey {
    /// Ravelin's: the key is derived from both, and nothing on the disk is believed.
    Spec {
        /// The encoded volume specification.
        spec: [u8; SPEC],
        /// The secret.
        secret: Zeroizing<[u8; SECRET]>,
    },
    /// A LUKS2 disk that was made elsewhere.
    Luks {
        /// SHA-256 of its header: the first 16 MiB.
        header_sha256: [u8; 32],
        /// The passphrase.
        passphrase: Zeroizing<Vec<u8>>,
    },
}

const VOLUMES: u8 = 1;

const NAME: u8 = 1;
const VOLUME_SPEC: u8 = 2;
const VOLUME_SECRET: u8 = 3;
const HEADER_SHA256: u8 = 4;
const PASSPHRASE: u8 = 5;
const MIN_EPOCH: u8 = 6;
const FLAGS: u8 = 7;

const FLAG_PROVISION: u8 = 1;

impl Release {
    /// A release of these volumes.
    ///
    /// # Errors
    /// None, too many or two of one name; a passphrase that is empty or too long.
    pub fn new(mut volumes: Vec<ReleasedVolume>) -> Result<Self, ReleaseError> {
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        let release = Self { volumes };
        release.check()?;
        Ok(release)
    }

    /// The volumes, by name.
    #[must_use]
    pub fn volumes(&self) -> &[ReleasedVolume] {
        &self.volumes
    }

    /// The volume of that name.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&ReleasedVolume> {
        self.volumes.iter().find(|volume| volume.name.as_str() == name)
    }

    fn check(&self) -> Result<(), ReleaseError> {
        if self.volumes.is_empty() || self.volumes.len() > MAX_VOLUMES {
            return Err(ReleaseError::VolumeCount { count: self.volumes.len() });
        }
        if !self.volumes.is_sorted_by(|a, b| a.name < b.name) {
            return Err(ReleaseError::VolumeOrder);
        }
        let fits = |volume: &ReleasedVolume| match &volume.key {
            ReleasedKey::Spec { .. } => true,
            ReleasedKey::Luks { passphrase, .. } => {
                (1..=MAX_PASSPHRASE).contains(&passphrase.len())
            }
        };
        if self.volumes.iter().all(fits) { Ok(()) } else { Err(ReleaseError::Passphrase) }
    }

    /// The canonical encoding: what is digested, signed and compared.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Allocated once, so that no copy of a secret is left behind by growing.
        let room = self.volumes.len() * (MAX_PASSPHRASE + 256);
        let mut records = Zeroizing::new(Vec::with_capacity(room));
        for volume in &self.volumes {
            let mut record = Zeroizing::new(Vec::with_capacity(MAX_PASSPHRASE + 256));
            tlv::write(&mut record, NAME, volume.name.as_str().as_bytes());
            match &volume.key {
                ReleasedKey::Spec { spec, secret } => {
                    tlv::write(&mut record, VOLUME_SPEC, spec);
                    tlv::write(&mut record, VOLUME_SECRET, secret.as_slice());
                }
                ReleasedKey::Luks { header_sha256, passphrase } => {
                    tlv::write(&mut record, HEADER_SHA256, header_sha256);
                    tlv::write(&mut record, PASSPHRASE, passphrase);
                }
            }
            tlv::write(&mut record, MIN_EPOCH, &volume.min_epoch.to_be_bytes());
            tlv::write(&mut record, FLAGS, &[u8::from(volume.provision) * FLAG_PROVISION]);
            let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
            records.extend_from_slice(&length.to_be_bytes());
            records.extend_from_slice(&record);
        }
        let mut out = Zeroizing::new(Vec::with_capacity(records.len() + 5));
        tlv::write(&mut out, VOLUMES, &records);
        out
    }

    /// Reads what [`Release::encode`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ReleaseError> {
        let mut fields = Fields::new(bytes);
        let mut records = match fields.next()? {
            Some((VOLUMES, records)) => records,
            Some((tag, _)) => return Err(ReleaseError::UnknownField { tag }),
            None => return Err(ReleaseError::Missing { what: "volumes" }),
        };
        if let Some((tag, _)) = fields.next()? {
            return Err(ReleaseError::UnknownField { tag });
        }
        let mut volumes = Vec::with_capacity(MAX_VOLUMES);
        while let Some((length, rest)) = records.split_first_chunk() {
            if volumes.len() == MAX_VOLUMES {
                return Err(ReleaseError::VolumeCount { count: MAX_VOLUMES + 1 });
            }
            let length = usize::try_from(u32::from_be_bytes(*length));
            let split = length.ok().and_then(|length| rest.split_at_checked(length));
            let (record, rest) = split.ok_or(ReleaseError::Fields(TlvError::Cut))?;
            volumes.push(ReleasedVolume::decode(record)?);
            records = rest;
        }
        if !records.is_empty() {
            return Err(ReleaseError::Fields(TlvError::Cut));
        }
        let release = Self { volumes };
        release.check()?;
        Ok(release)
    }
}

impl ReleasedVolume {
    fn decode(record: &[u8]) -> Result<Self, ReleaseError> {
        let (mut name, mut spec, mut secret, mut header) = (None, None, None, None);
        let (mut passphrase, mut min_epoch, mut flags) = (None, None, None);
        let mut fields = Fields::new(record);
        while let Some((tag, value)) = fields.next()? {
            let length = ReleaseError::Length { tag, length: value.len() };
            match tag {
                NAME => {
                    let text = std::str::from_utf8(value).map_err(|_utf8| ReleaseError::Name)?;
                    name = Some(text.parse()?);
                }
                VOLUME_SPEC => spec = Some(value.try_into().map_err(|_size| length)?),
                VOLUME_SECRET => {
                    let bytes: &[u8; SECRET] = value.try_into().map_err(|_size| length)?;
                    secret = Some(Zeroizing::new(*bytes));
                }
                HEADER_SHA256 => header = Some(value.try_into().map_err(|_size| length)?),
                PASSPHRASE => passphrase = Some(Zeroizing::new(value.to_vec())),
                MIN_EPOCH => {
                    let bytes: [u8; 8] = value.try_into().map_err(|_size| length)?;
                    min_epoch = Some(u64::from_be_bytes(bytes));
                }
                FLAGS => match value {
                    [flag @ (0 | FLAG_PROVISION)] => flags = Some(*flag),
                    _ => return Err(ReleaseError::Flags),
                },
                _ => return Err(ReleaseError::UnknownField { tag }),
            }
        }
        let key = match (spec, secret, header, passphrase) {
            (Some(spec), Some(secret), None, None) => ReleasedKey::Spec { spec, secret },
            (None, None, Some(header_sha256), Some(passphrase)) => {
                ReleasedKey::Luks { header_sha256, passphrase }
            }
            _ => return Err(ReleaseError::Missing { what: "one key" }),
        };
        Ok(Self {
            name: name.ok_or(ReleaseError::Missing { what: "name" })?,
            key,
            min_epoch: min_epoch.ok_or(ReleaseError::Missing { what: "epoch" })?,
            provision: flags.ok_or(ReleaseError::Missing { what: "flags" })? == FLAG_PROVISION,
        })
    }
}
