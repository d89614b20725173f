//! Volumes whose key does not come from the owner: sealed and ephemeral ones. Their
//! specifications are PID 1's own (docs/formats.md, "Sealed volumes").

use hkdf::Hkdf;
use luks::{Cipher, Layout, LayoutParams, SECRET_SIZE, SECTOR, Secret, SectorSize, VolumeSpec};
use protocol::config::VolumeCipher;
use protocol::release::VolumeName;
use sha2::{Digest as _, Sha256, Sha512};
use ssh_key::rand_core::{OsRng, RngCore as _};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::error::OpenError;
use crate::steps::disks::Device;

/// Domain of the secret of a sealed volume.
const SECRET_DOMAIN: &[u8] = b"ravelin sealed volume v1";
/// Domain of its volume ID.
const ID_DOMAIN: &[u8] = b"ravelin sealed volume id v1";

/// The secret of a sealed volume: HKDF-SHA-512 of what the secure processor derives.
pub(super) fn sealed_secret(derived: &[u8; 32], name: &VolumeName) -> Secret {
    let mut bytes = Zeroizing::new([0; SECRET_SIZE]);
    let hkdf = Hkdf::<Sha512>::new(None, derived);
    // 32 bytes, where 16320 could be had: it does not fail. Zeros are no secret.
    let info = [SECRET_DOMAIN, name.as_str().as_bytes()];
    let expanded = hkdf.expand_multi_info(&info, bytes.as_mut());
    assert!(expanded.is_ok(), "HKDF gave no secret");
    Secret::new(&bytes)
}

/// Its volume ID: a UUID of version 8 of the name's SHA-256. It is no secret; that two
/// chips have the same one does no harm, because their keys differ.
pub(super) fn sealed_id(name: &VolumeName) -> Uuid {
    let digest = Sha256::new().chain_update(ID_DOMAIN).chain_update(name.as_str()).finalize();
    let start = digest.first_chunk().copied().unwrap_or_default();
    uuid::Builder::from_custom_bytes(start).into_uuid()
}

/// Another secret and another volume ID at every call.
pub(super) fn ephemeral() -> Result<(Secret, Uuid), OpenError> {
    let mut id = [0; 16];
    OsRng.try_fill_bytes(&mut id).map_err(OpenError::Random)?;
    let secret = Secret::random(&mut OsRng).map_err(OpenError::Random)?;
    Ok((secret, uuid::Builder::from_random_bytes(id).into_uuid()))
}

/// The specification of a volume that is a whole device: sectors of 4096 bytes, the
/// kernel's interleave and journal, no room for a header.
pub(super) fn spec(
    disk: &Device,
    cipher: VolumeCipher,
    volume_id: Uuid,
) -> Result<VolumeSpec, OpenError> {
    let cipher = match cipher {
        VolumeCipher::AesXtsHmacSha256 => Cipher::AesXtsHmacSha256,
        VolumeCipher::AesGcmRandom => Cipher::AesGcmRandom,
        VolumeCipher::Aegis128Random => Cipher::Aegis128Random,
    };
    let sectors = disk.bytes / SECTOR;
    let params = LayoutParams::with_default_journal(cipher, SectorSize::B4096, sectors, 0);
    let layout = Layout::new(params)
        .map_err(|source| OpenError::Layout { device: disk.node.clone(), source })?;
    VolumeSpec::new(layout, volume_id, None).map_err(OpenError::Spec)
}
