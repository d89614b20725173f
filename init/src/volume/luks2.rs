//! LUKS2 disks that were made elsewhere.
//!
//! **Threat.** The header is the host's text. It is read once, into memory; its digest
//! has to be the one that the owner named before a byte of it is parsed; the parser
//! accepts one shape; what the key derivation may cost is bounded. The disk's copy is
//! never read again, by nobody. Such a disk has no epochs: an older state of it cannot
//! be told from the present one.

use std::path::Path;

use luks::{HEADER_SIZE, Header, KdfLimits, SECTOR, VolumeKey};
use protocol::release::VolumeName;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::error::{OpenError, first_read, system};
use super::provision::{self, Content};
use super::stack::{Names, Stack};
use super::{Opened, all_or_nothing};
use crate::platform::{Access, Platform};
use crate::steps::disks::Device;

/// What Argon2id may use at most, in KiB: 1 GiB, cryptsetup's own limit.
const MAX_MEMORY_KIB: u32 = 1 << 20;
/// The least that is always allowed, in KiB: 64 MiB.
const MIN_MEMORY_KIB: u32 = 1 << 16;

/// What is read of the volume to see that it is authentic.
const FIRST: usize = 4096;

/// Opens a disk with the header of this digest.
///
/// # Errors
/// [`OpenError`]; nothing is mapped then.
pub(super) fn open(
    platform: &impl Platform,
    name: &VolumeName,
    disk: &Device,
    header_sha256: &[u8; 32],
    passphrase: &[u8],
) -> Result<Opened, OpenError> {
    let device = &disk.node;
    let (header, key) = unlock(platform, disk, header_sha256, passphrase)?;
    let layout = header
        .layout(disk.bytes / SECTOR)
        .map_err(|source| OpenError::Layout { device: device.clone(), source })?;
    if provision::content(platform, device, &layout)? == Content::Blank {
        return Err(OpenError::Blank { device: device.clone() });
    }
    let names = Names::new(name);
    all_or_nothing(platform, &names, || {
        let volume_id = header.uuid();
        let mut stack = Stack {
            platform,
            names: &names,
            disk: device,
            layout: &layout,
            volume_id,
            tables: Vec::new(),
        };
        let node = stack.decrypted(&key, &names.file_system)?;
        drop(key);
        let mut first = Zeroizing::new([0; FIRST]);
        platform
            .open_disk(&node, Access::Read)
            .and_then(|volume| volume.read_exact_at(first.as_mut(), 0))
            .map_err(first_read(device))?;
        let (name, tables) = (name.clone(), stack.tables);
        Ok(Opened { name, node, epoch: None, formatted: false, tables, tail: None })
    })
}

fn unlock(
    platform: &impl Platform,
    disk: &Device,
    header_sha256: &[u8; 32],
    passphrase: &[u8],
) -> Result<(Header, VolumeKey), OpenError> {
    let device = &disk.node;
    let mut bytes = vec![0; HEADER_SIZE];
    platform
        .open_disk(device, Access::Read)
        .and_then(|opened| opened.read_exact_at(&mut bytes, 0))
        .map_err(system("reading the header of", device))?;
    if Sha256::digest(&bytes).as_slice() != header_sha256 {
        return Err(OpenError::HeaderDigest { device: device.clone() });
    }
    let header = Header::parse(&bytes, &limits(platform))
        .map_err(|source| OpenError::Header { device: device.clone(), source })?;
    drop(bytes);
    let key = header.unlock(passphrase).map_err(OpenError::Unlock)?;
    Ok((header, key))
}

/// At most half of the memory that is available now.
fn limits(platform: &impl Platform) -> KdfLimits {
    let meminfo = platform.read(Path::new("/proc/meminfo"), 64 << 10).unwrap_or_default();
    let half = available_kib(&meminfo).unwrap_or(0) / 2;
    let memory_kib = u32::try_from(half).unwrap_or(u32::MAX);
    KdfLimits {
        memory_kib: memory_kib.clamp(MIN_MEMORY_KIB, MAX_MEMORY_KIB),
        ..KdfLimits::default()
    }
}

/// `MemAvailable` of /proc/meminfo (proc_meminfo(5)), in KiB.
fn available_kib(meminfo: &[u8]) -> Option<u64> {
    let line = meminfo
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"MemAvailable:"))?;
    std::str::from_utf8(line).ok()?.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_meminfo() {
        let text =
            b"MemTotal:        2014336 kB\nMemFree:           12 kB\nMemAvailable:    1800000 kB\n";
        assert_eq!(available_kib(text), Some(1_800_000));
        for text in [&b""[..], b"MemAvailable: many kB", b"MemAvailable: 5 MB"] {
            assert_eq!(available_kib(text), None);
        }
    }
}
