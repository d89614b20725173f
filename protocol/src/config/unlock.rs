//! Settings of volumes with a key: the encrypted root, `[[volume]]`, and who may
//! release keys.

use std::fmt;
use std::num::{NonZeroU8, NonZeroU16};
use std::str::FromStr;

use super::values::{ValueError, words};
use super::{AbsolutePath, FsType, Selector};
use crate::release::VolumeName;
use crate::units::Deadline;

/// The encrypted root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encrypted {
    /// How its disk is laid out, and so what the owner has to send.
    pub format: VolumeFormat,
    /// Whether the root's own `fsck` runs before it is mounted writable.
    pub fsck: bool,
}

words! {
    /// How an encrypted disk is laid out (`encrypted.format`, `volume.format`).
    VolumeFormat {
        /// Ravelin's, the default: the owner sends the specification, nothing on the
        /// disk is believed.
        Ravelin = "ravelin",
        /// A LUKS2 disk that was made elsewhere: the owner sends the header's SHA-256
        /// and a passphrase.
        Luks2 = "luks2",
    }
}

/// Who may release keys, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlock {
    /// Public keys of the owners (`unlock.owners`), without options and comments, each
    /// once.
    pub owners: Vec<OwnerKey>,
    /// How many owners have to agree; at most as many as there are.
    pub threshold: NonZeroU8,
    /// TCP port.
    pub port: NonZeroU16,
    /// How long the guest waits for a release; `None`: for ever.
    pub deadline: Option<Deadline>,
    /// How long an incomplete set of releases is kept.
    pub quorum_deadline: Deadline,
}

/// The public key of an owner, as in a line of authorized_keys (sshd(8)):
/// `ssh-ed25519`, `ecdsa-sha2-nistp256`, or one of the two on a security key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerKey(pub(super) ssh_key::PublicKey);

impl OwnerKey {
    /// The key.
    #[must_use]
    pub const fn public_key(&self) -> &ssh_key::PublicKey {
        &self.0
    }

    /// Its fingerprint (SHA-256), as ssh-keygen shows it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(ssh_key::HashAlg::Sha256).to_string()
    }
}

/// A volume beside the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataVolume {
    /// Its name.
    pub name: VolumeName,
    /// Its disk.
    pub device: Selector,
    /// What it is for.
    pub target: VolumeTarget,
    /// Its file system.
    pub fstype: FsType,
    /// Where its key comes from.
    pub key: KeySource,
    /// Whether a blank disk is formatted without the owner's word
    /// (`provision = "if-blank"`). A host can make a disk blank.
    pub provision_if_blank: bool,
}

/// What a volume is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeTarget {
    /// It is mounted there.
    Mount(AbsolutePath),
    /// The upper layer of the writable overlays (`mount = "writable"`); ephemeral
    /// volumes only.
    Writable,
}

/// Where the key of a volume comes from (`key`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// From the owner's release. `owner`.
    Owner(VolumeFormat),
    /// Derived by the secure processor. `sealed`.
    Sealed(Sealing),
    /// Random, each boot another. `ephemeral`.
    Ephemeral(VolumeCipher),
}

/// What a sealed key depends on, beside the launch measurement and the guest policy,
/// which are always mixed in (AMD 56860, MSG_KEY_REQ, GUEST_FIELD_SELECT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealing {
    /// The cipher of the volume.
    pub cipher: VolumeCipher,
    /// What the key is derived from.
    pub root_key: RootKey,
    /// FAMILY_ID of the ID block.
    pub family_id: bool,
    /// IMAGE_ID of the ID block.
    pub image_id: bool,
    /// GUEST_SVN of the ID block: this value, at most the VM's.
    pub guest_svn: Option<u32>,
    /// TCB_VERSION: the least committed TCB of a processor that gets the key, as an integer;
    /// `None` for any.
    pub tcb_version: Option<u64>,
}

words! {
    /// The root of a sealed key (AMD 56860, MSG_KEY_REQ, KEY_SEL).
    RootKey {
        /// The chip's own endorsement key, the default.
        Vcek = "vcek",
        /// The key that AMD gave the provider, which many of his chips may have.
        Vlek = "vlek",
    }
}

words! {
    /// A volume's cipher; the names are those of `luks`.
    VolumeCipher {
        /// AES-XTS with HMAC-SHA-256, the default.
        AesXtsHmacSha256 = "aes-xts-hmac-sha256",
        /// AES-GCM with random nonces.
        AesGcmRandom = "aes-gcm-random",
        /// AEGIS-128 with random nonces.
        Aegis128Random = "aegis128-random",
    }
}
