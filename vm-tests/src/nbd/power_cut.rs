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
    armed: Option<Armed>,
    taken: Option<Taken>,
}

/// A cut that is to come.
#[derive(Debug)]
struct Armed {
    writes: u64,
    survival: Survival,
    random: Random,
    real: bool,
}

/// A cut that has come.
#[derive(Debug)]
pub struct Taken {
    /// What is on the disk.
    pub image: Image,
    /// How many sectors had been written and not flushed.
    pub unflushed: usize,
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

    /// Lets the cut come with a write to be: the number `writes` of those that come
    /// now, 1 for the next. So it comes where there is something to lose. If it is
    /// `real`, the disk does not answer from then on.
    pub fn arm(&self, writes: u64, survival: Survival, random: &mut Random, real: bool) {
        let random = Random::new(random.next_u64());
        let mut cache = lock(&self.cache);
        cache.taken = None;
        cache.armed = Some(Armed { writes, survival, random, real });
    }

    /// The cut that [`PowerCut::arm`] has let come, once.
    #[must_use]
    pub fn taken(&self) -> Option<Taken> {
        lock(&self.cache).taken.take()
    }

    fn count_down(&self, cache: &mut Cache) {
        let Some(mut armed) = cache.armed.take() else { return };
        armed.writes = armed.writes.saturating_sub(1);
        if armed.writes > 0 {
            cache.armed = Some(armed);
            return;
        }
        cache.gone = armed.real;
        let image = self.drain(cache, armed.survival, &mut armed.random);
        cache.taken = Some(Taken { image, unflushed: cache.latest.len() });
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
        self.count_down(&mut cache);
        if cache.gone { Err(Trouble::Gone) } else { Ok(()) }
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
