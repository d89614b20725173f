//! The reader of foreign initramfs files on bytes that somebody made to break
//! it: each rule has its error, and no bytes make it panic, hang or grow.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod initramfs_support;

use image_builder::initramfs::{
    Archive, Compression, Level, Limits, ReadError, Reader, check_static_executable, compress,
};
use initramfs_support::{Random, executable, mutated, static_executable};

fn archive() -> Archive {
    let mut archive = Archive::new();
    archive.file("etc/a", 0o644, b"hello".to_vec()).unwrap();
    archive.symlink("b", "etc/a").unwrap();
    archive
}

/// Offset of the header of the entry "etc/a" in the plain archive: after those
/// of "b" (110 + 2 + 5, padded) and "etc" (110 + 4, padded).
const FILE_AT: usize = 236;

fn read(bytes: &[u8]) -> Result<Vec<String>, ReadError> {
    let mut reader = Reader::new(bytes);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        reader.content(1 << 20)?;
        names.push(entry.display_name());
    }
    Ok(names)
}

fn packed(plain: &[u8]) -> Vec<u8> {
    compress(plain.to_vec(), Compression::Zstd(Level::new(1).unwrap())).unwrap()
}

type Check = fn(&ReadError) -> bool;

#[test]
fn each_rule_has_its_error() {
    let good = archive().to_bytes();
    assert_eq!(read(&good).unwrap(), ["b", "etc", "etc/a"]);
    assert!(good[FILE_AT..].starts_with(b"070701"));
    let change = |at: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let trailer = good.windows(10).position(|w| w == b"TRAILER!!!").unwrap() - 110;
    let zstd = packed(&good);
    let cases: Vec<(&str, Vec<u8>, Check)> = vec![
        ("no archive", b"hello".to_vec(), |e| matches!(e, ReadError::NotAnArchive { .. })),
        (
            "gzip",
            vec![0x1F, 0x8B],
            |e| matches!(e, ReadError::NotAnArchive { found, .. } if found.contains("gzip")),
        ),
        ("old cpio", b"070707".repeat(30), |e| matches!(e, ReadError::Magic { .. })),
        (
            "magic",
            change(FILE_AT + 5, b"2"),
            |e| matches!(e, ReadError::Magic { place } if place.offset == FILE_AT as u64),
        ),
        ("digit", change(FILE_AT + 20, b" "), |e| matches!(e, ReadError::Digit { .. })),
        ("sign", change(FILE_AT + 54, b"-0000001"), |e| matches!(e, ReadError::Digit { .. })),
        ("checksum", change(FILE_AT + 102, b"00000001"), |e| {
            matches!(e, ReadError::Checksum { .. })
        }),
        ("empty name", change(FILE_AT + 94, b"00000001"), |e| matches!(e, ReadError::Name { .. })),
        ("no name", change(FILE_AT + 94, b"00000000"), |e| matches!(e, ReadError::Name { .. })),
        ("long name", change(FILE_AT + 94, b"00001001"), |e| matches!(e, ReadError::Name { .. })),
        ("huge name", change(FILE_AT + 94, b"FFFFFFFF"), |e| matches!(e, ReadError::Name { .. })),
        ("NUL in the name", change(FILE_AT + 112, &[0]), |e| matches!(e, ReadError::Name { .. })),
        ("no NUL", change(FILE_AT + 115, b"x"), |e| matches!(e, ReadError::Name { .. })),
        ("hidden behind the content", change(FILE_AT + 116 + 6, b"x"), |e| {
            matches!(e, ReadError::Padding { .. })
        }),
        (
            "hidden behind a name",
            change(FILE_AT - 1, b"x"),
            |e| matches!(e, ReadError::Padding { place } if place.offset == FILE_AT as u64),
        ),
        ("huge file", change(FILE_AT + 54, b"FFFFFFFF"), |e| {
            matches!(e, ReadError::Truncated { .. })
        }),
        ("trailer with a content", change(trailer + 54, b"00000004"), |e| {
            matches!(e, ReadError::Trailer { .. })
        }),
        ("no trailer", good[..trailer].to_vec(), |e| matches!(e, ReadError::Truncated { .. })),
        ("junk between", [&good[..], b"junk"].concat(), |e| {
            matches!(e, ReadError::NotAnArchive { .. })
        }),
        (
            "misaligned",
            [b"\0\0", &good[..]].concat(),
            |e| matches!(e, ReadError::Misaligned { place } if place.offset == 2),
        ),
        (
            "cut frame",
            zstd[..zstd.len() - 4].to_vec(),
            |e| matches!(e, ReadError::Truncated { place } if place.frame == Some(0)),
        ),
        ("damaged frame", [&zstd[..4], &[0xFF; 20]].concat(), |e| {
            matches!(e, ReadError::Zstd { .. })
        }),
        ("not a frame", b"(hello)".to_vec(), |e| matches!(e, ReadError::Zstd { .. })),
        ("frame in a frame", packed(&zstd), |e| matches!(e, ReadError::NotAnArchive { .. })),
        (
            "cut archive in a frame",
            packed(&good[..trailer]),
            |e| matches!(e, ReadError::Truncated { place } if place.frame == Some(0)),
        ),
        (
            "junk behind a frame",
            [&zstd[..], b"x"].concat(),
            |e| matches!(e, ReadError::NotAnArchive { place, .. } if place.frame.is_none()),
        ),
    ];
    for (name, bytes, check) in cases {
        let error = read(&bytes).unwrap_err();
        assert!(check(&error), "{name}: {error:?}");
    }
}

#[test]
fn the_longest_name_is_read() {
    let mut archive = Archive::new();
    let name = "a/".repeat(2047) + "a";
    archive.file(&name, 0o644, Vec::new()).unwrap();
    assert_eq!(read(&archive.to_bytes()).unwrap().last(), Some(&name));
}

#[test]
fn limits_hold() {
    let good = archive().to_bytes();
    let run = |bytes: &[u8], limits| {
        let mut reader = Reader::with_limits(bytes, limits);
        loop {
            match reader.next_entry() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    };
    let limits = |entries, bytes| Limits { entries, bytes };
    // Three entries and the archive itself.
    assert!(run(&good, limits(4, 1 << 20)).is_none());
    let error = run(&good, limits(3, 1 << 20));
    assert!(matches!(error, Some(ReadError::TooManyEntries { limit: 3 })), "{error:?}");
    assert!(run(&good, limits(9, good.len() as u64)).is_none());
    let error = run(&good, limits(9, good.len() as u64 - 1));
    assert!(matches!(error, Some(ReadError::TooManyBytes { .. })), "{error:?}");
    // Empty archives and frames are bounded as well.
    let many = packed(b"").repeat(100);
    let error = run(&many, limits(50, 1 << 20));
    assert!(matches!(error, Some(ReadError::TooManyEntries { .. })), "{error:?}");
    // A bomb: 64 MiB of zeros between archives.
    let bomb = packed(&vec![0; 64 << 20]);
    assert!(bomb.len() < 1 << 16);
    let error = run(&bomb, limits(9, 1 << 20));
    assert!(matches!(error, Some(ReadError::TooManyBytes { .. })), "{error:?}");
}

#[test]
fn a_window_that_the_kernel_refuses_is_refused() {
    // A frame header by hand (RFC 8878, section 3.1.1.1): no content size, a
    // window of 2^(10 + 18) = 256 MiB, then an empty last block.
    let frame = |exponent: u8| [0x28, 0xB5, 0x2F, 0xFD, 0, exponent << 3, 1, 0, 0];
    assert!(read(&frame(17)).unwrap().is_empty());
    let error = read(&frame(18)).unwrap_err();
    assert!(matches!(error, ReadError::Zstd { .. }), "{error:?}");
}

#[test]
fn no_change_of_the_bytes_makes_the_reader_panic_or_lie() {
    let plain = archive().to_bytes();
    let seeds = [
        plain.clone(),
        [&plain[..], &plain[..]].concat(),
        packed(&plain),
        [packed(&plain), plain.clone()].concat(),
    ];
    let mut random = Random(2);
    let (mut refused, mut read_anyway) = (0, 0);
    for round in 0..40_000 {
        let bytes = mutated(&seeds[round % seeds.len()], &mut random);
        let limits = Limits { entries: 1000, bytes: 1 << 20 };
        let mut reader = Reader::with_limits(&bytes[..], limits);
        let mut steps = 0;
        let result = loop {
            match reader.next_entry() {
                Ok(None) => break Ok(()),
                Ok(Some(entry)) => {
                    assert!(entry.name.len() < 4096 && !entry.name.contains(&0));
                    let content = reader.content(1 << 16);
                    if let Ok(Some(content)) = content {
                        assert_eq!(content.len(), entry.size as usize);
                    }
                }
                Err(error) => break Err(error),
            }
            steps += 1;
            assert!(steps <= 1000);
        };
        match result {
            Ok(()) => read_anyway += 1,
            // An error can be shown.
            Err(error) => refused += usize::from(!error.to_string().is_empty()),
        }
    }
    assert!(refused > 10_000 && read_anyway > 1000, "{refused} refused, {read_anyway} read");
}

#[test]
fn no_executable_makes_the_check_panic() {
    let needed: Vec<u8> = [1_u64, 5, 0, 0].into_iter().flat_map(u64::to_le_bytes).collect();
    let seeds = [
        static_executable(b"payload"),
        executable(&[(3, 4, b"/ld.so\0"), (1, 5, &[]), (2, 6, &needed)], b""),
    ];
    let mut random = Random(3);
    let mut refused = 0;
    for round in 0..20_000 {
        let bytes = mutated(&seeds[round % seeds.len()], &mut random);
        refused += usize::from(check_static_executable(&bytes).is_err());
    }
    assert!(refused > 10_000, "{refused}");
}
