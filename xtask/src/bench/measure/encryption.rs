//! Sealing 2 GiB that are in the page cache into an encrypted volume.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use aes::{Aes256, Block};
use anyhow::{Context, Result};
use hmac::{Hmac, Mac as _};
use luks::{Cipher, Layout, Secret, SectorSize, TAIL_SECTORS, VolumeKey, VolumeSpec, seal};
use rand_core::OsRng;
use sha2::Sha256;
use uuid::Uuid;

use crate::samples::{Encryption, EncryptionRound, Spent};
use crate::tools::Noise;
use crate::usage;

const BYTES: u64 = 2 << 30;
const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
const ID: Uuid = Uuid::from_u128(0x7261_7665_6c69_4e00_8000_0000_6265_6e63);
const SECTOR: usize = 4096;
/// What is encrypted at once: it stays in a core's own cache, as a bound may have it.
const BUFFER: usize = 128 << 10;

pub(crate) fn measure(scratch: &Path, rounds: usize) -> Result<Encryption> {
    let data = scratch.join("plain.img");
    Noise::new().write(&data, BYTES)?;
    // Also brings it into the page cache.
    let content = fs::read(&data).context("read the data into memory")?;
    let bench = Bench { data, disk: scratch.join("encrypted.img"), content };
    let mut samples = Vec::new();
    for number in 0..rounds {
        eprintln!("bench: encrypting 2 GiB, round {} of {rounds}", number + 1);
        let first = (number % 2 == 0).then(|| bench.bound());
        let ours = bench.ours()?;
        samples.push(EncryptionRound { ours, bound: first.unwrap_or_else(|| bench.bound()) });
    }
    Ok(Encryption { bytes: BYTES, rounds: samples })
}

struct Bench {
    data: PathBuf,
    disk: PathBuf,
    content: Vec<u8>,
}

impl Bench {
    /// The least that two threads can spend: AES-256 and HMAC-SHA256 by sectors, each
    /// over its half, without tweaks, from memory into a buffer.
    fn bound(&self) -> Spent {
        let (first, second) = self.content.split_at(self.content.len() / 2);
        let (tags, spent) = usage::here(|| {
            thread::scope(|scope| {
                let second = scope.spawn(|| alone(second));
                (alone(first), second.join().ok())
            })
        });
        std::hint::black_box(tags);
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
            disk.set_len(layout.params().device_sectors * luks::SECTOR)?;
            Ok(seal(&spec, &key, &data, BYTES, &disk, &mut OsRng, &options)?)
        });
        result?;
        // Its pages would be written back in the next turn.
        fs::remove_file(&self.disk).context("remove the encrypted volume")?;
        Ok(spent)
    }
}

fn alone(content: &[u8]) -> u8 {
    let cipher = Aes256::new(&[1; 32].into());
    let mac = <Hmac<Sha256> as aes::cipher::KeyInit>::new(&[2; 64].into());
    let mut blocks = vec![Block::default(); BUFFER / 16];
    let mut buffer = vec![0; BUFFER];
    let mut result = 0;
    for piece in content.chunks_exact(BUFFER) {
        let (pieces, _) = piece.as_chunks::<16>();
        blocks.iter_mut().zip(pieces).for_each(|(to, from)| *to = Block::from(*from));
        cipher.encrypt_blocks(&mut blocks);
        let (pieces, _) = buffer.as_chunks_mut::<16>();
        pieces.iter_mut().zip(&blocks).for_each(|(to, from)| *to = (*from).into());
        for sector in buffer.chunks_exact(SECTOR) {
            let tag = mac.clone().chain_update(sector).finalize().into_bytes();
            result ^= tag.first().copied().unwrap_or(0);
        }
    }
    result
}
