//! Superblocks and tables from a host: whatever the bytes are, there is a value
//! that says exactly what they say, or an error; never a panic.

mod common;

use common::{Prng, params};
use uuid::Uuid;
use verity::{Algorithm, SUPERBLOCK_SIZE, Superblock, Table};

#[test]
fn a_superblock_that_parses_is_written_back_the_same() {
    let mut prng = Prng(11);
    let good = Superblock {
        uuid: Uuid::from_u128(0x1234),
        params: params(Algorithm::Sha512, 512, 4096, &[9; 17]),
        data_blocks: 77,
    }
    .to_bytes();
    let (mut parsed, mut refused) = (0, 0);
    for _ in 0..300_000 {
        let mut bytes = good;
        for _ in 0..=prng.below(3) {
            // The salt and the padding are most of it; look at the rest as often.
            let end = prng.pick(&[96, SUPERBLOCK_SIZE]);
            let at = prng.index(end);
            bytes[at] = match prng.below(4) {
                0 => bytes[at] ^ (1 << prng.below(8)),
                1 => 0,
                2 => good[prng.index(SUPERBLOCK_SIZE)],
                _ => prng.next().to_le_bytes()[0],
            };
        }
        match Superblock::parse(&bytes) {
            Ok(superblock) => {
                assert_eq!(superblock.to_bytes(), bytes);
                parsed += 1;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(parsed > 1000 && refused > 1000, "{parsed} parsed, {refused} refused");
    for _ in 0..10_000 {
        let noise: [u8; SUPERBLOCK_SIZE] = prng.bytes(SUPERBLOCK_SIZE).try_into().unwrap();
        assert!(Superblock::parse(&noise).is_err());
    }
}

#[test]
fn a_table_that_parses_is_written_back_the_same() {
    let mut prng = Prng(12);
    let root = "6489915d01b6efed6f32b67f04078c91e6bcad2466916394842b7b71158f9328";
    let good = [
        format!("1 /dev/vda 254:17 4096 4096 128 1 sha256 {root} dadada"),
        format!("1 a b 512 1024 2 9 sha512 {root}{root} - 1 panic_on_corruption"),
        format!("1 a a 1024 1024 9 9 sha256 {root} 00 2 restart_on_corruption ignore_zero_blocks"),
    ];
    let words = [
        "",
        "-",
        "0",
        "1",
        "2",
        "4096",
        "9223372036854775807",
        "18446744073709551615",
        "sha512",
        "ignore_zero_blocks",
        "panic_on_corruption",
        "check_at_most_once",
        "\u{a0}",
        "\\",
        "\t",
        "\u{1F980}",
    ];
    let (mut parsed, mut refused) = (0, 0);
    for _ in 0..100_000 {
        let start = prng.index(good.len());
        let mut arguments: Vec<String> = good[start].split(' ').map(str::to_owned).collect();
        for _ in 0..=prng.below(2) {
            let at = prng.index(arguments.len());
            match prng.below(5) {
                0 => arguments[at] = prng.pick(&words).to_owned(),
                1 => arguments.insert(at, prng.pick(&words).to_owned()),
                2 if arguments.len() > 1 => drop(arguments.remove(at)),
                3 => arguments[at] = prng.below(20).to_string(),
                _ => {
                    let mut bytes = std::mem::take(&mut arguments[at]).into_bytes();
                    if !bytes.is_empty() {
                        let index = prng.index(bytes.len());
                        bytes[index] = prng.next().to_le_bytes()[0];
                    }
                    arguments[at] = String::from_utf8_lossy(&bytes).into_owned();
                }
            }
        }
        let text = arguments.join(prng.pick(&[" ", "  ", "\n"]));
        match text.parse::<Table>() {
            Ok(table) => {
                let canonical = table.to_string();
                assert_eq!(canonical.parse::<Table>().unwrap(), table, "{text}");
                assert!(table.length().0 > 0, "{text}");
                parsed += 1;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(parsed > 1000 && refused > 1000, "{parsed} parsed, {refused} refused");
}
