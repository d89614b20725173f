//! The release of keys: what guest and owner say to each other inside one TLS 1.3
//! session, each owner in a session of its own.
//!
//! | | frame | content |
//! |---|---|---|
//! | owner → guest | 1 hello | nonce, 32 random bytes |
//! | guest → owner | 2 evidence | [`Evidence`] |
//! | owner → guest | 3 release | a [`Release`] and a signature: [`SignedRelease`] |
//! | guest → owner | 4 status | [`Status`], until the last one ([`Status::is_final`]) |
//! | owner → guest | 5 recorded | nothing: after the status *opened*, once its epochs are on the owner's disk |
//!
//! A frame is its type (1 byte), zeros (3 bytes), the length of its content (4
//! bytes, big-endian) and the content. Contents are fields of tag (1 byte), length (4
//! bytes, big-endian) and value, tags ascending.
//!
//! The session: TLS 1.3 with [`ALPN`], no resumption. The guest's certificate is
//! self-signed and made for this boot; the owner believes nothing of it but that the
//! guest has its key (CertificateVerify). REPORT_DATA binds nonce, the exporter of
//! [`REPORT_EXPORTER`] and that public key
//! ([`crate::report_data::Binding::Release`]), so that the report is about the other
//! end of this session.
//!
//! The owner's proof is an SSHSIG signature in [`SSHSIG_NAMESPACE`] over
//! [`statement`]: the session's exporter of [`SIGNATURE_EXPORTER`] and the digest of
//! the whole release, so that it serves in this session only and for nothing else.
//!
//! **Threat.** The host carries every byte and may be the other end. The guest reads
//! a release from whoever connects: it is bounded, read strictly, and worth nothing
//! without the signature of a key in the measured configuration. What the guest says
//! of itself counts for the owner only after the report is verified.
//!
//! `docs/formats.md` has test vectors.

use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::responder::{MAX_CERTIFICATES, REPORT};
use crate::tlv::{self, Fields, TlvError};

/// The guest's TCP port, where nothing else is said (`unlock.port`).
pub const PORT: u16 = 4778;
/// ALPN protocol name (RFC 7301).
pub const ALPN: &[u8] = b"ravelin-release/1";
/// Exporter label (RFC 8446, section 7.5; without a context) of what the report binds.
pub const REPORT_EXPORTER: &[u8] = b"EXPERIMENTAL-ravelin-report-v1";
/// Exporter label (as above) of what the owner signs.
pub const SIGNATURE_EXPORTER: &[u8] = b"EXPERIMENTAL-ravelin-release-v1";
/// Namespace of the owner's signature (OpenSSH PROTOCOL.sshsig).
pub const SSHSIG_NAMESPACE: &str = "ravelin-release-v1";
/// What separates signed statements from all others.
pub const STATEMENT_DOMAIN: &[u8; 18] = b"ravelin release v1";

/// Bytes of a frame before its content.
pub const FRAME_HEAD: usize = 8;
/// The volume that is the root.
pub const ROOT: &str = "root";
/// The most volumes of one release.
pub const MAX_VOLUMES: usize = 16;
/// The longest name of a volume, in bytes.
pub const MAX_NAME: usize = 32;
/// The longest passphrase of a LUKS2 disk, in bytes (as cryptsetup's limit).
pub const MAX_PASSPHRASE: usize = 512;
/// The longest signature, in bytes.
pub const MAX_SIGNATURE: usize = 4096;
/// The longest text of a status, in bytes.
pub const MAX_TEXT: usize = 512;
/// Bytes of an encoded volume specification (`luks`).
pub const SPEC: usize = 96;
/// Bytes of a volume's secret.
pub const SECRET: usize = 32;
/// Bytes of a release's digest ([`digest`]).
pub const DIGEST: usize = 64;

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
    /// The owner has recorded the epochs of [`Status::Opened`].
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

/// What a guest says of itself, and the report that makes it worth something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// ATTESTATION_REPORT, as the secure processor gave it.
    pub report: Box<[u8; REPORT]>,
    /// The host's certificate table, where it gave one.
    pub certificates: Option<Vec<u8>>,
    /// The receipt head that REPORT_DATA binds, if it does.
    pub receipt_head: Option<[u8; 32]>,
    /// How many owners have to agree (`unlock.threshold`).
    pub threshold: u8,
    /// The volumes that it waits for, ascending.
    pub wanted: Vec<VolumeName>,
}

/// The name of a volume: 1 to [`MAX_NAME`] of `a-z`, `0-9` and `-`, beginning with a
/// letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

impl VolumeName {
    /// The root's name.
    #[must_use]
    pub fn root() -> Self {
        Self(ROOT.to_owned())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for VolumeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for VolumeName {
    type Err = ReleaseError;

    fn from_str(text: &str) -> Result<Self, ReleaseError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if starts && text.len() <= MAX_NAME && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ReleaseError::Name)
        }
    }
}

/// What the owner gives: everything that opens the volumes. Equal releases have
/// equal encodings.
#[derive(PartialEq, Eq)]
pub struct Release {
    volumes: Vec<ReleasedVolume>,
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

/// SHA-512 of an encoded release: what owners sign, and what tells releases apart.
#[must_use]
pub fn digest(release: &[u8]) -> [u8; DIGEST] {
    Sha512::digest(release).into()
}

/// Whether two encoded releases, or their digests, are equal, in a time that tells
/// nothing of them but their lengths.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// What the owner signs: [`STATEMENT_DOMAIN`], the exporter of
/// [`SIGNATURE_EXPORTER`], [`digest`] of the encoded release.
#[must_use]
pub fn statement(exporter: &[u8; 32], release: &[u8]) -> Vec<u8> {
    [STATEMENT_DOMAIN.as_slice(), exporter, &digest(release)].concat()
}

/// The content of a release frame.
pub struct SignedRelease {
    /// The encoded [`Release`].
    pub release: Zeroizing<Vec<u8>>,
    /// The SSHSIG blob (OpenSSH PROTOCOL.sshsig, without armour).
    pub signature: Vec<u8>,
}

const SIGNED_RELEASE: u8 = 1;
const SIGNATURE: u8 = 2;

impl SignedRelease {
    /// The content.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let room = self.release.len() + self.signature.len() + 10;
        let mut out = Zeroizing::new(Vec::with_capacity(room));
        tlv::write(&mut out, SIGNED_RELEASE, &self.release);
        tlv::write(&mut out, SIGNATURE, &self.signature);
        out
    }

    /// Reads a content. The release in it is not read yet: first its signature is
    /// checked.
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub fn decode(content: &[u8]) -> Result<Self, ReleaseError> {
        let (mut release, mut signature) = (None, None);
        let mut fields = Fields::new(content);
        while let Some((tag, value)) = fields.next()? {
            match tag {
                SIGNED_RELEASE => release = Some(Zeroizing::new(value.to_vec())),
                SIGNATURE if value.len() <= MAX_SIGNATURE => signature = Some(value.to_vec()),
                SIGNATURE => return Err(ReleaseError::Length { tag, length: value.len() }),
                _ => return Err(ReleaseError::UnknownField { tag }),
            }
        }
        Ok(Self {
            release: release.ok_or(ReleaseError::Missing { what: "release" })?,
            signature: signature.ok_or(ReleaseError::Missing { what: "signature" })?,
        })
    }
}

const REPORT_FIELD: u8 = 1;
const CERTIFICATES: u8 = 2;
const RECEIPT_HEAD: u8 = 3;
const THRESHOLD: u8 = 4;
const WANTED: u8 = 5;

impl Evidence {
    /// The content of an evidence frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        tlv::write(&mut out, REPORT_FIELD, self.report.as_slice());
        if let Some(certificates) = &self.certificates {
            tlv::write(&mut out, CERTIFICATES, certificates);
        }
        if let Some(head) = &self.receipt_head {
            tlv::write(&mut out, RECEIPT_HEAD, head);
        }
        tlv::write(&mut out, THRESHOLD, &[self.threshold]);
        let names: Vec<&str> = self.wanted.iter().map(VolumeName::as_str).collect();
        tlv::write(&mut out, WANTED, names.join(",").as_bytes());
        out
    }

    /// Reads a content.
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub fn decode(content: &[u8]) -> Result<Self, ReleaseError> {
        let (mut report, mut certificates, mut receipt_head) = (None, None, None);
        let (mut threshold, mut wanted) = (None, None);
        let mut fields = Fields::new(content);
        while let Some((tag, value)) = fields.next()? {
            let length = ReleaseError::Length { tag, length: value.len() };
            match tag {
                REPORT_FIELD => {
                    let bytes: &[u8; REPORT] = value.try_into().map_err(|_size| length)?;
                    report = Some(Box::new(*bytes));
                }
                CERTIFICATES if value.len() <= MAX_CERTIFICATES => {
                    certificates = Some(value.to_vec());
                }
                CERTIFICATES => return Err(length),
                RECEIPT_HEAD => receipt_head = Some(value.try_into().map_err(|_size| length)?),
                THRESHOLD => match value {
                    [count] if *count > 0 => threshold = Some(*count),
                    _ => return Err(length),
                },
                WANTED => wanted = Some(names(value)?),
                _ => return Err(ReleaseError::UnknownField { tag }),
            }
        }
        Ok(Self {
            report: report.ok_or(ReleaseError::Missing { what: "report" })?,
            certificates,
            receipt_head,
            threshold: threshold.ok_or(ReleaseError::Missing { what: "threshold" })?,
            wanted: wanted.ok_or(ReleaseError::Missing { what: "volumes" })?,
        })
    }
}

/// Names between commas, strictly ascending, at least one.
fn names(value: &[u8]) -> Result<Vec<VolumeName>, ReleaseError> {
    let text = std::str::from_utf8(value).map_err(|_utf8| ReleaseError::Name)?;
    let mut names = Vec::with_capacity(MAX_VOLUMES);
    for name in text.split(',') {
        let name: VolumeName = name.parse()?;
        if names.len() == MAX_VOLUMES || names.last().is_some_and(|last| *last >= name) {
            return Err(ReleaseError::VolumeOrder);
        }
        names.push(name);
    }
    Ok(names)
}

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
    /// until they are recorded ([`FrameType::Recorded`]). A volume without epochs has 0.
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

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
