//! Sealing 2 GiB that are in the page cache into an encrypted volume.

use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use aes::cipher::inout::InOutBuf;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use aes::{Aes256, Aes256Enc, Block};
use anyhow::{Context, Result};
use hmac::{Hmac, Mac as _};
use luks::{Cipher, Layout, Secret, SectorSize, TAIL_SECTORS, VolumeKey, VolumeSpec, seal};
use rand_core::OsRng;
use rustix::fs::FallocateFlags;
use sha2::Sha256;
use uuid::Uuid;

use crate::samples::{Encryption, EncryptionRound, Spent};
use crate::tools::Noise;
use crate::usage;

const BYTES: u64 = 2 << 30;
const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
const ID: Uuid = Uuid::from_u128(0x7261_7665_6c69_4e00_8000_0000_6265_6e63);
pub(crate) const SECTOR: usize = 4096;
/// What is encrypted at once: it stays in a core's own cache, as a bound may have it.
const BUFFER: usize = 128 << 10;

pub(crate) fn measure(scratch: &Path, rounds: usize) -> Result<Encryption> {
    let data = scratch.join("plain.img");
    Noise::new().write(&data, BYTES)?;
    // Into the page cache.
    io::copy(&mut File::open(&data)?, &mut io::sink()).context("read the data")?;
    let bench = Bench { data, disk: scratch.join("encrypted.img") };
    let mut samples = Vec::new();
    for number in 0..rounds {
        eprintln!("bench: encrypting 2 GiB, round {} of {rounds}", number + 1);
        let first = (number % 2 == 0).then(Bench::bound);
        let ours = bench.ours()?;
        samples.push(EncryptionRound { ours, bound: first.unwrap_or_else(Bench::bound) });
    }
    Ok(Encryption { bytes: BYTES, rounds: samples })
}

struct Bench {
    data: PathBuf,
    disk: PathBuf,
}

impl Bench {
    /// The least that two threads can spend: AES-256-XTS and HMAC-SHA256 by sectors, with
    /// the crates that `luks` uses, each thread over one buffer that stays in its core's
    /// cache, again and again. Nothing is read, written or copied.
    fn bound() -> Spent {
        let (buffers, spent) = usage::here(|| {
            thread::scope(|scope| {
                let second = scope.spawn(alone);
                (alone(), second.join().ok())
            })
        });
        std::hint::black_box(buffers);
        spent
    }

    /// From file to file; the time until the kernel has it in its page cache.
    fn ours(&self) -> Result<Spent> {
        let layout = Layout::for_volume(
            Cipher::AesXtsHmacSha256,
            SectorSize::B4096,
            0,
            BYTES / luks::SECTOR + TAIL_SECTORS,
        )?;
        let spec = VolumeSpec::new(layout, ID, None)?;
        let key = VolumeKey::derive(&Secret::new(&[7; 32]), &spec);
        let options = luks::Options { threads: Some(THREADS), ..luks::Options::default() };
        let (result, spent) = usage::here(|| -> Result<_> {
            let (data, disk) = (File::open(&self.data)?, File::create(&self.disk)?);
            // As `ravelin image encrypt` does.
            let bytes = layout.params().device_sectors * luks::SECTOR;
            rustix::fs::fallocate(&disk, FallocateFlags::empty(), 0, bytes)?;
            Ok(seal(&spec, &key, &data, BYTES, &disk, &mut OsRng, &options)?)
        });
        result?;
        // Its pages would be written back in the next turn.
        fs::remove_file(&self.disk).context("remove the encrypted volume")?;
        Ok(spent)
    }
}

/// A half of the data, sector by sector, each under its number.
fn alone() -> Vec<u8> {
    let cipher = Aes256::new(&[1; 32].into());
    let tweak = Aes256Enc::new(&[2; 32].into());
    let mac = <Hmac<Sha256> as aes::cipher::KeyInit>::new(&[3; 64].into());
    let mut buffer = vec![0; BUFFER];
    for piece in 0..BYTES / 2 / BUFFER as u64 {
        for (number, sector) in (piece << 5..).zip(buffer.chunks_exact_mut(SECTOR)) {
            xts(&cipher, &tweak, number, sector);
            let tag = mac.clone().chain_update(&*sector).finalize().into_bytes();
            // So that neither is left out.
            sector.iter_mut().zip(tag).for_each(|(byte, tag)| *byte ^= tag);
        }
    }
    buffer
}

/// AES-256-XTS in place (IEEE 1619-2018): the tweaks of the whole sector, and three
/// passes that the compiler makes vectors of.
pub(crate) fn xts(cipher: &Aes256, tweak: &Aes256Enc, number: u64, sector: &mut [u8]) {
    let mut first = Block::from(u128::from(number).to_le_bytes());
    tweak.encrypt_block(&mut first);
    let mut next = u128::from_le_bytes(first.into());
    let mut tweaks = [[0; 16]; SECTOR / 16];
    for tweak in &mut tweaks {
        *tweak = next.to_le_bytes();
        next = (next << 1) ^ (0x87 * (next >> 127));
    }
    let mask = |sector: &mut [u8]| {
        sector.iter_mut().zip(tweaks.as_flattened()).for_each(|(byte, tweak)| *byte ^= tweak);
    };
    mask(sector);
    cipher.encrypt_blocks_inout(InOutBuf::from(&mut *sector).into_chunks().0);
    mask(sector);
}
