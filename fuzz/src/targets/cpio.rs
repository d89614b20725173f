//! An initramfs: concatenated newc archives, plain or in zstd.

use image_builder::initramfs::{Archive, Compression, Limits, Reader, compress};

/// Little enough for a fuzzer.
const LIMITS: Limits = Limits { entries: 200, bytes: 1 << 20 };

pub(super) fn run(data: &[u8]) {
    let mut reader = Reader::with_limits(data, LIMITS);
    let mut entries = 0;
    while let Ok(Some(_)) = reader.next_entry() {
        entries += 1;
        assert!(entries <= LIMITS.entries);
        let Ok(content) = reader.content(4096) else { return };
        assert!(content.is_none_or(|content| content.len() <= 4096));
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut archive = Archive::new();
    let made = archive
        .file("init", 0o755, b"\x7fELF".repeat(9))
        .and_then(|archive| archive.symlink("bin", "usr/bin"))
        .and_then(|archive| archive.character_device("dev/console", 0o600, (5, 1)));
    debug_assert!(made.is_ok());
    let plain = archive.to_bytes();
    let zstd = "zstd:3".parse().unwrap_or(Compression::None);
    let packed = compress(plain.clone(), zstd).unwrap_or_default();
    vec![[plain.clone(), plain.clone()].concat(), [plain.clone(), packed.clone()].concat(), packed]
}
