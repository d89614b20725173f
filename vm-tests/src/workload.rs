//! What a guest writes while its power is cut, and what may be found afterwards.
//!
//! The guest probe writes it and a test judges it, both from here. Everything follows
//! from the number of a round, so a block tells by itself whether it is whole and when
//! it was written.
//!
//! A round replaces one file (written under another name, fsync, rename, fsync of the
//! directory), and every 4th round writes a few raw blocks and waits until they are on
//! the disk. Both are said on the console *after* they have lasted.

use crate::Random;

/// Bytes of a raw block.
pub const BLOCK: usize = 4096;
/// The files, `f0` and so on.
pub const FILES: u64 = 12;
/// Raw blocks that one round writes.
const BLOCKS_A_ROUND: usize = 6;
/// Rounds for one batch of raw blocks.
const BATCH: u64 = 4;

/// The file that a round replaces.
#[must_use]
pub fn file_of(round: u64) -> u64 {
    round % FILES
}

/// Its content: up to 48 KiB, another length in each round.
///
/// # Panics
/// Never: the length fits.
#[must_use]
pub fn file_content(round: u64) -> Vec<u8> {
    let mut random = Random::new(round ^ 0xf11e);
    let words = 1 + usize::try_from(random.below(6 << 10)).unwrap_or_default();
    (0..words).flat_map(|_| random.next_u64().to_le_bytes()).collect()
}

/// Whether a round writes raw blocks after its file.
#[must_use]
pub fn has_blocks(round: u64) -> bool {
    round.is_multiple_of(BATCH)
}

/// The raw blocks that a round writes, of so many.
#[must_use]
pub fn blocks_of(round: u64, blocks: u64) -> Vec<u64> {
    let mut random = Random::new(round ^ 0xb10c);
    (0..BLOCKS_A_ROUND).map(|_| random.below(blocks)).collect()
}

/// The content of a raw block of a round, which any 16 bytes of it tell.
#[must_use]
pub fn block_content(block: u64, round: u64) -> Vec<u8> {
    let pair = [block.to_le_bytes(), round.to_le_bytes()];
    pair.as_flattened().repeat(BLOCK / 16)
}

/// The round that a sector of a raw block was written in; 0 if it never was.
///
/// # Errors
/// A sector that is not whole, or another block's, with the beginning of it.
fn round_of(block: u64, content: &[u8]) -> Result<u64, String> {
    if content.iter().all(|byte| *byte == 0) {
        return Ok(0);
    }
    let round = content.get(8..16).and_then(|bytes| bytes.try_into().ok());
    let round = round.map(u64::from_le_bytes).unwrap_or_default();
    if !block_content(block, round).starts_with(content) {
        let beginning = hex::encode(content.get(..32).unwrap_or(content));
        return Err(format!("raw block {block} is torn: {beginning}…"));
    }
    Ok(round)
}

/// What had certainly lasted at a moment: what the guest had said by then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lasting {
    /// The last round whose file had.
    pub file_round: u64,
    /// The last round whose raw blocks had.
    pub block_round: u64,
}

impl Lasting {
    /// Judges the raw blocks: each sector of so many bytes is whole, of a round that
    /// wrote it, and none is older than what had lasted.
    ///
    /// # Errors
    /// What is wrong with the first that is.
    pub fn check_blocks(&self, area: &[u8], sector: usize) -> Result<(), String> {
        let blocks = (area.len() / BLOCK) as u64;
        let wrote = |round, block| has_blocks(round) && blocks_of(round, blocks).contains(&block);
        for (block, content) in (0..).zip(area.chunks_exact(BLOCK)) {
            let at_least = (1..=self.block_round).rev().find(|round| wrote(*round, block));
            for sector in content.chunks_exact(sector) {
                let found = round_of(block, sector)?;
                if found < at_least.unwrap_or(0) {
                    return Err(format!("raw block {block} had {at_least:?} and has {found}"));
                }
                if found != 0 && !wrote(found, block) {
                    return Err(format!("raw block {block} claims round {found}"));
                }
            }
        }
        Ok(())
    }

    /// Judges the files, by the SHA-256 of each, in hexadecimal: each that was there is
    /// there, whole, and not older than what had lasted. At most `later` rounds may have
    /// come after that.
    ///
    /// # Errors
    /// What is wrong with the first that is.
    pub fn check_files(
        &self,
        later: u64,
        digest: impl Fn(u64) -> Option<String>,
    ) -> Result<(), String> {
        for file in 0..FILES {
            let rounds = |range: std::ops::RangeInclusive<u64>| {
                range.rev().filter(move |round| file_of(*round) == file)
            };
            let at_least = rounds(1..=self.file_round).next();
            let Some(digest) = digest(file) else {
                if let Some(round) = at_least {
                    return Err(format!("file f{file} of round {round} is not there"));
                }
                continue;
            };
            let first = at_least.unwrap_or(1);
            let is = |round: &u64| crate::sha256(&file_content(*round)) == digest;
            if rounds(first..=self.file_round + later).find(is).is_none() {
                return Err(format!(
                    "file f{file} is of no round from {first} to {}: torn, or older than what \
                     had lasted",
                    self.file_round + later
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: u64 = 16;

    /// The raw blocks after so many rounds.
    fn area(rounds: u64) -> Vec<u8> {
        let mut area = vec![0; usize::try_from(BLOCKS).unwrap() * BLOCK];
        for round in (1..=rounds).filter(|round| has_blocks(*round)) {
            for block in blocks_of(round, BLOCKS) {
                let at = usize::try_from(block).unwrap() * BLOCK;
                area[at..at + BLOCK].copy_from_slice(&block_content(block, round));
            }
        }
        area
    }

    #[test]
    fn old_torn_and_foreign_blocks_are_found() {
        let lasting = Lasting { file_round: 0, block_round: 20 };
        lasting.check_blocks(&area(20), 4096).unwrap();
        lasting.check_blocks(&area(40), 4096).unwrap();
        assert!(lasting.check_blocks(&area(16), 4096).unwrap_err().contains("and has"));
        let mut torn = area(40);
        torn[BLOCK - 1] ^= 1;
        assert!(lasting.check_blocks(&torn, 512).unwrap_err().contains("torn"));
        // Half a block of another round, between two sectors.
        let mut halves = area(20);
        let now = area(40);
        let differs = (0..now.len() / BLOCK)
            .find(|b| now[b * BLOCK..][..BLOCK] != halves[b * BLOCK..][..BLOCK]);
        let at = differs.unwrap() * BLOCK;
        halves[at..at + 512].copy_from_slice(&now[at..at + 512]);
        lasting.check_blocks(&halves, 512).unwrap();
        assert!(lasting.check_blocks(&halves, 4096).unwrap_err().contains("torn"));
        let mut foreign = area(40);
        foreign[..BLOCK].copy_from_slice(&block_content(0, 41));
        assert!(lasting.check_blocks(&foreign, 4096).unwrap_err().contains("claims"));
        let mut swapped = area(40);
        swapped.rotate_left(BLOCK);
        assert!(lasting.check_blocks(&swapped, 4096).is_err());
    }

    #[test]
    fn old_torn_and_missing_files_are_found() {
        let lasting = Lasting { file_round: 30, block_round: 0 };
        let after = |rounds: u64| {
            move |file| {
                let round = (1..=rounds).rev().find(|round| file_of(*round) == file)?;
                Some(crate::sha256(&file_content(round)))
            }
        };
        lasting.check_files(10, after(30)).unwrap();
        lasting.check_files(10, after(40)).unwrap();
        assert!(lasting.check_files(10, after(41)).is_err());
        assert!(lasting.check_files(10, after(29)).is_err());
        assert!(lasting.check_files(10, after(5)).unwrap_err().contains("not there"));
        Lasting::default().check_files(5, after(5)).unwrap();
        assert!(lasting.check_files(10, |_| Some(crate::sha256(b"torn"))).is_err());
        assert!(file_content(1) != file_content(2));
    }
}
