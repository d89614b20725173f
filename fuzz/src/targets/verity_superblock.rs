//! The superblock of dm-verity.

use verity::{SUPERBLOCK_SIZE, Superblock};

pub(super) fn run(data: &[u8]) {
    let mut bytes = [0; SUPERBLOCK_SIZE];
    bytes.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
    if let Ok(superblock) = Superblock::parse(&bytes) {
        assert_eq!(superblock.to_bytes(), bytes);
        assert!(superblock.differences(&superblock).is_empty());
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    // As the kernel's documentation has it: SHA-256, blocks of 4096, a salt of 32 bytes.
    let mut bytes = b"verity\0\0\x01\0\0\0\x01\0\0\0".to_vec();
    bytes.extend([0x5a; 16]);
    bytes.extend(b"sha256");
    bytes.resize(64, 0);
    bytes.extend([0, 0x10, 0, 0, 0, 0x10, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 32, 0]);
    bytes.resize(88, 0);
    bytes.extend([7; 32]);
    bytes.resize(128, 0);
    vec![bytes]
}
