//! What the user chooses about an image.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use uuid::Uuid;
use verity::{Algorithm, BlockSize, Salt};

use super::{BuildError, Make, Preparation, Tools, seed};

/// The virtio serial of the data disk unless another one is chosen.
pub const DATA_SERIAL: &str = "ravelin-root";
/// The virtio serial of the hash disk unless another one is chosen.
pub const HASH_SERIAL: &str = "ravelin-hash";

/// How an image is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// All identifiers of the image, and its salt unless that is chosen, are
    /// derived from it: the same source, options and seed give the same bytes.
    pub seed: Uuid,
    /// The salt of the hash tree.
    pub salt: SaltChoice,
    /// The hash of the tree.
    pub algorithm: Algorithm,
    /// Bytes of a data block: what the kernel reads and checks at a time.
    pub data_block_size: BlockSize,
    /// Bytes of a hash block.
    pub hash_block_size: BlockSize,
    /// The file system to make; not used for an image.
    pub make: Make,
    /// Who owns the files; not used for an image.
    pub owner: Owner,
    /// What becomes of attributes that the file system cannot take; not used for an image.
    pub xattrs: Xattrs,
    /// Which image is meant and what is changed of it; not used for an image of a file system.
    pub preparation: Preparation,
    /// Creation time of the file system, in seconds since 1970 (ext4 takes 0 for 1);
    /// the files keep theirs. Not used for an image.
    pub created: u32,
    /// Where the tools are.
    pub tools: Tools,
    /// Threads that hash; one for each core if `None`. The image does not depend on it.
    pub threads: Option<NonZeroUsize>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: super::DEFAULT_SEED,
            salt: SaltChoice::default(),
            algorithm: Algorithm::Sha256,
            data_block_size: BlockSize::B4096,
            hash_block_size: BlockSize::B4096,
            make: Make::default(),
            owner: Owner::default(),
            xattrs: Xattrs::default(),
            preparation: Preparation::default(),
            created: 0,
            tools: Tools::default(),
            threads: None,
        }
    }
}

/// Where the salt comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SaltChoice {
    /// 32 bytes that follow from the seed.
    #[default]
    FromSeed,
    /// 32 random bytes: every build is another image.
    Random,
    /// This one.
    Given(Salt),
}

impl SaltChoice {
    pub(super) fn value(&self, seed: Uuid) -> Result<Salt, BuildError> {
        let mut bytes = [0; 32];
        match self {
            SaltChoice::FromSeed => bytes = seed::salt(seed),
            SaltChoice::Random => {
                let mut rest = bytes.as_mut_slice();
                while !rest.is_empty() {
                    let flags = rustix::rand::GetRandomFlags::empty();
                    let count = rustix::rand::getrandom(&mut *rest, flags)
                        .map_err(|e| BuildError::Random { source: e.into() })?;
                    rest = rest.get_mut(count..).unwrap_or_default();
                }
            }
            SaltChoice::Given(salt) => return Ok(salt.clone()),
        }
        Ok(Salt::new(bytes)?)
    }
}

/// Who owns the files of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// The numeric owners and groups of the source.
    #[default]
    AsSeen,
    /// User 0 and group 0 own everything.
    Root,
}

impl Owner {
    pub(super) fn map(self, uid: u32, gid: u32) -> (u32, u32) {
        match self {
            Owner::AsSeen => (uid, gid),
            Owner::Root => (0, 0),
        }
    }
}

/// What becomes of extended attributes that the file system cannot take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Xattrs {
    /// They are an error.
    #[default]
    Keep,
    /// They are left out, with a note.
    Drop,
}

/// What becomes of SSH host keys, `/etc/ssh/ssh_host_*_key` with its `.pub` and its
/// certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeys {
    /// They are content as any other.
    Keep,
    /// They are left out, with a note.
    LeaveOut,
}

/// Whether what has this path from the root is an SSH host key or belongs to one.
pub(super) fn is_host_key(path: &[u8]) -> bool {
    let Some(name) = path.strip_prefix(b"etc/ssh/ssh_host_") else { return false };
    let ends = ["_key", "_key.pub", "_key-cert.pub"];
    !name.contains(&b'/') && ends.iter().any(|end| name.ends_with(end.as_bytes()))
}

/// What files an image consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One disk with a partition table, a root and a verity partition.
    Disk {
        /// Its path.
        path: PathBuf,
    },
    /// The file system and the hash tree in a file each, to be two disks.
    Files {
        /// Path of the file system.
        data: PathBuf,
        /// Path of the hash tree.
        hash: PathBuf,
        /// Virtio serial by which the guest finds the first, see [`DATA_SERIAL`]: 1 to
        /// 20 printable ASCII characters.
        data_serial: String,
        /// Virtio serial by which the guest finds the second, see [`HASH_SERIAL`].
        hash_serial: String,
    },
}

impl Target {
    pub(super) fn data_path(&self) -> &Path {
        match self {
            Target::Disk { path } => path,
            Target::Files { data, .. } => data,
        }
    }
}
