//! An ext4 without checksums, walked to its end: names, attributes, content.

use std::io::Read;

use image_builder::disk::Ext4;

const BLOCK: usize = 1024;
/// Of each file, and of all of them.
const MOST: u64 = 1 << 16;
const FILES: usize = 200;

pub(super) fn run(data: &[u8]) {
    let bytes = data.len() as u64;
    let Ok(ext4) = Ext4::open(data.to_vec(), bytes) else { return };
    let mut directories = vec![2];
    let mut files = 0;
    while let Some(number) = directories.pop() {
        let Ok(directory) = ext4.inode(number) else { continue };
        let Ok(names) = ext4.names(&directory) else { continue };
        for (name, number) in names {
            files += 1;
            if files > FILES {
                return;
            }
            assert!(!name.is_empty() && !name.contains(&b'/') && !name.contains(&0));
            let Ok(inode) = ext4.inode(number) else { continue };
            if let Ok(attributes) = ext4.attributes(&inode) {
                assert!(attributes.is_sorted());
            }
            if let Ok(target) = ext4.target(&inode) {
                assert!(target.len() as u64 == inode.size && !target.contains(&0));
            }
            if let Ok(content) = ext4.content(&inode) {
                let mut read = Vec::new();
                if content.take(MOST).read_to_end(&mut read).is_ok() {
                    assert_eq!(read.len() as u64, inode.size.min(MOST));
                }
            }
            if inode.is_directory() {
                directories.push(number);
            }
        }
    }
}

/// Blocks of 1024 bytes: superblock, descriptor, four of inodes, a directory, content, a node of
/// extents and attributes.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut image = vec![0; 11 * BLOCK];
    let mut put = |offset: usize, bytes: &[u8]| {
        image.iter_mut().skip(offset).zip(bytes).for_each(|(to, from)| *to = *from);
    };
    let superblock = BLOCK;
    put(superblock, &16_u32.to_le_bytes());
    put(superblock + 4, &11_u32.to_le_bytes());
    put(superblock + 0x14, &[1]);
    put(superblock + 0x20, &8192_u32.to_le_bytes());
    put(superblock + 0x28, &[16]);
    put(superblock + 0x38, &[0x53, 0xef, 1]);
    put(superblock + 0x4c, &[1]);
    put(superblock + 0x54, &[11]);
    put(superblock + 0x58, &[0, 1]);
    put(superblock + 0x60, &[0x42]);
    put(2 * BLOCK + 8, &[3]);
    let inode = |number: usize| 3 * BLOCK + (number - 1) * 256;
    let file = |number: usize, mode: u16, size: u32, flags: u32, map: &[u8]| {
        let mut bytes = vec![0; 256];
        let fields: [(usize, &[u8]); 6] = [
            (0, &mode.to_le_bytes()),
            (4, &size.to_le_bytes()),
            (0x1a, &[1]),
            (0x20, &flags.to_le_bytes()),
            (0x28, map),
            (0x80, &[32]),
        ];
        for (offset, field) in fields {
            bytes.iter_mut().skip(offset).zip(field).for_each(|(to, from)| *to = *from);
        }
        (inode(number), bytes)
    };
    let extent = |depth: u8, block: u8, more: [u8; 4]| {
        let [a, b, c, d] = more;
        // Header, then one entry: of a leaf its length and block, otherwise the block alone.
        let mut node = vec![0x0a, 0xf3, 1, 0, 4, 0, depth, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d];
        node.extend([block, 0, 0, 0]);
        node
    };
    let leaf = |block| extent(0, block, [1, 0, 0, 0]);
    let extents = 0x8_0000;
    for (offset, bytes) in [
        file(2, 0o040_755, 1024, extents, &leaf(7)),
        file(11, 0o100_644, 700, extents, &leaf(8)),
        file(12, 0o100_600, 3000, extents, &extent(1, 0, [9, 0, 0, 0])),
        file(13, 0o120_777, 4, 0, b"file"),
        file(14, 0o020_600, 0, 0, &[3, 1]),
        file(15, 0o100_644, 2000, 0, &[8, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        put(offset, &bytes);
    }
    // Attributes of the first file, in its inode and in a block.
    put(inode(11) + 160, &[0, 0, 2, 0xea, 1, 1, 60, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'a']);
    put(inode(11) + 164 + 60, b"in");
    put(inode(11) + 0x68, &[10]);
    put(10 * BLOCK, &[0, 0, 2, 0xea, 1, 0, 0, 0, 1]);
    put(10 * BLOCK + 32, &[0, 2, 0xf0, 3, 0, 0, 0, 0, 8, 0, 0, 0]);
    put(10 * BLOCK + 0x3f0, &[1, 0, 0, 0, 1, 0, 7, 0]);
    put(8 * BLOCK, &[b'x'; 700]);
    put(9 * BLOCK, &leaf(8));
    let mut at = 7 * BLOCK;
    for (number, length, name) in [
        (2, 12, &b"."[..]),
        (2, 12, b".."),
        (11, 12, b"file"),
        (12, 12, b"deep"),
        (13, 12, b"link"),
        (14, 12, b"dev"),
        (15, 1024 - 72, b"mapped"),
    ] {
        let [low, high] = u16::to_le_bytes(length);
        put(at, &[number, 0, 0, 0, low, high, u8::try_from(name.len()).unwrap_or(0), 0]);
        put(at + 8, name);
        at += usize::from(length);
    }
    vec![image]
}
