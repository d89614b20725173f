//! A qcow2 image, read whole. The first byte says how many zeros follow the rest, so that
//! tables need not be in the input.

use image_builder::disk::Qcow2;
use verity::ReadAt;

/// More of a disk is not read.
const MOST: u64 = 1 << 20;
const CLUSTER: usize = 512;

pub(super) fn run(data: &[u8]) {
    let Some((more, rest)) = data.split_first() else { return };
    let mut file = rest.to_vec();
    file.resize(rest.len() + usize::from(*more) * CLUSTER, 0);
    let bytes = file.len() as u64;
    let Ok(image) = Qcow2::open(file, bytes) else { return };
    let size = image.size();
    let end = size.min(MOST);
    let mut buffer = vec![1; 700];
    let mut at = 0;
    while at < end {
        let piece = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        if let Some(piece) = buffer.get_mut(..piece) {
            let read = image.read_exact_at(piece, at);
            // What is passed over as empty reads as zeros.
            let next = image.next_content(at, at + piece.len() as u64);
            if let (Ok(()), Ok(None)) = (read, next) {
                assert!(piece.iter().all(|byte| *byte == 0));
            }
        }
        at += piece as u64;
    }
    assert!(image.read_exact_at(&mut [0], size).is_err());
    let _ = image.read_exact_at(&mut [0], size.saturating_sub(1));
}

/// An image with clusters of 512 bytes: header, L1, refcount table, one L2 table, content.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let table = |entries: &[u64]| {
        let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        bytes.resize(CLUSTER, 0);
        bytes
    };
    let image = |version: u32, features: u64, kind: u8, second: u64, content: &[u8]| {
        let mut header = b"QFI\xfb".to_vec();
        header.extend(version.to_be_bytes());
        header.extend([0; 12]);
        header.extend(9_u32.to_be_bytes());
        header.extend(40_000_u64.to_be_bytes());
        header.extend([0, 0, 0, 0, 0, 0, 0, 2]);
        header.extend(512_u64.to_be_bytes());
        header.extend(1024_u64.to_be_bytes());
        header.extend(1_u32.to_be_bytes());
        header.resize(72, 0);
        header.extend(features.to_be_bytes());
        header.resize(96, 0);
        header.extend([0, 0, 0, 4, 0, 0, 0, 112, kind]);
        header.resize(CLUSTER, 0);
        let mut file = vec![0];
        file.extend(header);
        file.extend(table(&[1536 | 1 << 63]));
        file.extend(table(&[]));
        file.extend(table(&[2048 | 1 << 63, second, u64::from(version == 3)]));
        file.extend(content);
        file
    };
    // Deflate without a header, one block that is stored.
    let stored = [&[1, 0, 2, 0xff, 0xfd][..], &[b'z'; CLUSTER]].concat();
    let stored = [&[b'a'; CLUSTER][..], &stored].concat();
    // A frame of zstd: 512 bytes of content, in one block that repeats a byte.
    let repeated = [0x28, 0xb5, 0x2f, 0xfd, 0x60, 0, 1, 3, 0x10, 0, b'z'];
    let repeated = [&[b'a'; CLUSTER][..], &repeated].concat();
    vec![
        image(3, 0, 0, 0, &[b'a'; CLUSTER]),
        image(2, 0, 0, 1 << 62 | 1 << 61 | 2560, &stored),
        image(3, 8, 1, 1 << 62 | 2560, &repeated),
    ]
}
