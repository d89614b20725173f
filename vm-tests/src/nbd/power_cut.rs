//! A disk with a volatile write cache.
//!
//! What a real disk may leave behind when its power is cut: everything that was
//! written before the last completed flush, and of what came after it any part, sector
//! by sector and in any order. Killing an emulator cuts no power: the host's page cache
//! keeps everything.

use std::collections::HashMap;
use std::sync::Mutex;

use super::{Disk, Image, SECTOR, Trouble, lock, sectors};
use crate::Random;

/// An image behind a write cache.
#[derive(Debug)]
pub struct PowerCut {
    image: Image,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// In the order of the writes; a sector may be there several times.
    log: Vec<(u64, [u8; SECTOR])>,
    /// Where a sector was written last.
    latest: HashMap<u64, usize>,
    flushes: u64,
    gone: bool,
}

/// What of the writes that were not flushed is on the disk after a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// As much of the beginning as the seed says.
    Beginning,
    /// Each sector of each write by itself, this many times of 256.
    Sectors(u8),
}

impl Survival {
    /// One of them.
    pub fn random(random: &mut Random) -> Self {
        match random.below(8) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 | 3 => Self::Beginning,
            4 => Self::Sectors(16),
            5 => Self::Sectors(240),
            _ => Self::Sectors(128),
        }
    }
}

impl PowerCut {
    /// An image with an empty cache.
    #[must_use]
    pub fn new(image: Image) -> Self {
        Self { image, cache: Mutex::default() }
    }

    /// What would be on the disk if its power were cut now. The disk goes on: one run
    /// of a guest has as many cuts as a test wants to look at.
    #[must_use]
    pub fn after_cut(&self, survival: Survival, random: &mut Random) -> Image {
        self.drain(&lock(&self.cache), survival, random)
    }

    /// Cuts the power: from now on the disk does not answer. What is on it then.
    #[must_use]
    pub fn cut(&self, survival: Survival, random: &mut Random) -> Image {
        let mut cache = lock(&self.cache);
        cache.gone = true;
        self.drain(&cache, survival, random)
    }

    /// What is on it after an end in peace.
    #[must_use]
    pub fn image(&self) -> Image {
        self.after_cut(Survival::Everything, &mut Random::new(0))
    }

    /// Sectors that were written and not flushed yet.
    #[must_use]
    pub fn unflushed_sectors(&self) -> usize {
        lock(&self.cache).latest.len()
    }

    /// How many flushes there were.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        lock(&self.cache).flushes
    }

    fn drain(&self, cache: &Cache, survival: Survival, random: &mut Random) -> Image {
        let image = self.image.clone();
        let beginning = random.below(cache.log.len() as u64 + 1);
        for ((sector, content), index) in cache.log.iter().zip(0..) {
            let survives = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::Beginning => index < beginning,
                Survival::Sectors(odds) => random.below(256) < u64::from(odds),
            };
            if survives {
                image.put(*sector, *content);
            }
        }
        image
    }
}

impl Disk for PowerCut {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Trouble> {
        let cache = lock(&self.cache);
        if cache.gone {
            return Err(Trouble::Gone);
        }
        self.image.read(buffer, offset)?;
        for (sector, to) in sectors(offset, buffer.len()).zip(buffer.chunks_exact_mut(SECTOR)) {
            let latest = cache.latest.get(&sector).and_then(|index| cache.log.get(*index));
            if let Some((_, content)) = latest {
                to.copy_from_slice(content);
            }
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Trouble> {
        let mut cache = lock(&self.cache);
        if cache.gone {
            return Err(Trouble::Gone);
        }
        for (sector, content) in sectors(offset, bytes.len()).zip(bytes.as_chunks().0) {
            let index = cache.log.len();
            cache.latest.insert(sector, index);
            cache.log.push((sector, *content));
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), Trouble> {
        let mut cache = lock(&self.cache);
        if cache.gone {
            return Err(Trouble::Gone);
        }
        for (sector, content) in cache.log.drain(..) {
            self.image.put(sector, content);
        }
        cache.latest.clear();
        cache.flushes += 1;
        Ok(())
    }
}
