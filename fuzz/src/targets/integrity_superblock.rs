//! The superblock of dm-integrity: only the computed one passes.

use luks::{Cipher, SUPERBLOCK_SIZE, SectorSize};

pub(super) fn run(data: &[u8]) {
    let mut bytes = [0; SUPERBLOCK_SIZE];
    bytes.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
    for sector_size in [SectorSize::B512, SectorSize::B4096] {
        let Some(spec) = super::volumes::small(Cipher::AesGcmRandom, sector_size, 1) else {
            continue;
        };
        let layout = spec.layout();
        assert_eq!(layout.check_superblock(&bytes).is_ok(), layout.superblock() == bytes);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let sizes = [SectorSize::B512, SectorSize::B4096];
    let specs = sizes.map(|size| super::volumes::small(Cipher::AesGcmRandom, size, 1));
    // All behind is zeros.
    let start = |spec: luks::VolumeSpec| spec.layout().superblock().into_iter().take(64).collect();
    specs.into_iter().flatten().map(start).collect()
}
