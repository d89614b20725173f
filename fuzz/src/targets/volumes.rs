//! Volumes that targets and seeds share.

use luks::{
    Cipher, LUKS2_DATA_OFFSET, Layout, LayoutParams, Secret, SectorSize, Stretch, VolumeSpec,
};
use uuid::Uuid;

pub(super) const ID: Uuid = Uuid::from_u128(0x0011_2233_4455_4677_8899_aabb_ccdd_eeff);

pub(super) fn secret() -> Secret {
    Secret::new(&[0x11; 32])
}

/// A volume of a few areas, without room for a header.
pub(super) fn small(cipher: Cipher, sector_size: SectorSize, sections: u32) -> Option<VolumeSpec> {
    let params = LayoutParams::with_default_journal(cipher, sector_size, 1024, 0);
    let journal_sectors = params.journal_sectors.checked_mul(sections)?;
    let device_sectors = u64::from(journal_sectors) + 256;
    let params = LayoutParams { interleave_log2: 6, journal_sectors, device_sectors, ..params };
    VolumeSpec::new(Layout::new(params).ok()?, ID, None).ok()
}

/// The specifications of ordinary disks.
pub(super) fn ordinary() -> Vec<VolumeSpec> {
    let cost = luks::Argon2Cost::new(1 << 16, 3, 4).ok();
    let stretch = cost.map(|cost| Stretch::new([7; 32], cost));
    let ciphers = Cipher::ALL.into_iter();
    let pairs = ciphers.flat_map(|cipher| [None, stretch.clone()].map(|stretch| (cipher, stretch)));
    pairs
        .filter_map(|(cipher, stretch)| {
            let sector_size = if stretch.is_some() { SectorSize::B512 } else { SectorSize::B4096 };
            let layout = Layout::for_volume(cipher, sector_size, LUKS2_DATA_OFFSET, 1 << 16);
            VolumeSpec::new(layout.ok()?, ID, stretch).ok()
        })
        .collect()
}
