//! Building the hash tree of 2 GiB that are in the page cache.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use verity::{Algorithm, BlockSize, BuildOptions, Params, Salt};

use crate::samples::{Round, Spent, Verity};
use crate::tools::Noise;
use crate::usage;

const BYTES: u64 = 2 << 30;
const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
const SALT: [u8; 32] = [0x5a; 32];
const ID: Uuid = Uuid::from_u128(0x7261_7665_6c69_6e00_8000_0000_6265_6e63);

pub(crate) fn measure(scratch: &Path, rounds: usize) -> Result<Verity> {
    let bench = Bench::prepare(scratch)?;
    let mut samples = Vec::new();
    for number in 0..rounds {
        eprintln!("bench: hash trees of 2 GiB, round {} of {rounds}", number + 1);
        samples.push(bench.round(number)?);
    }
    Ok(Verity { bytes: BYTES, rounds: samples })
}

struct Bench {
    data: PathBuf,
    hash: PathBuf,
    content: Vec<u8>,
}

impl Bench {
    fn prepare(scratch: &Path) -> Result<Self> {
        let (data, hash) = (scratch.join("data.img"), scratch.join("hash.img"));
        Noise::new().write(&data, BYTES)?;
        // Also brings it into the page cache.
        let content = fs::read(&data).context("read the data into memory")?;
        Ok(Self { data, hash, content })
    }

    /// Everybody once, and another one first in every round.
    fn round(&self, number: usize) -> Result<Round> {
        let (mut ours, mut bound, mut veritysetup) = (None, None, None);
        for turn in 0..3 {
            match (number + turn) % 3 {
                0 => bound = Some(self.bound()),
                1 => veritysetup = Some(self.veritysetup()?),
                _ => ours = Some(self.ours()?),
            }
        }
        let ((own_root, ours), (their_root, veritysetup)) =
            ours.zip(veritysetup).context("a turn is missing")?;
        ensure!(own_root == their_root, "root hashes differ: {own_root}, {their_root}");
        Ok(Round { ours, bound: bound.context("a turn is missing")?, veritysetup })
    }

    /// The least that two threads can spend: each hashes one half as one stream,
    /// which is a little less work than hashing it by blocks.
    fn bound(&self) -> Spent {
        let (first, second) = self.content.split_at(self.content.len() / 2);
        let (digests, spent) = usage::here(|| {
            thread::scope(|scope| {
                let second = scope.spawn(|| Sha256::digest(second));
                (Sha256::digest(first), second.join().ok())
            })
        });
        std::hint::black_box(digests);
        spent
    }

    fn ours(&self) -> Result<(String, Spent)> {
        let params = Params {
            algorithm: Algorithm::Sha256,
            data_block_size: BlockSize::B4096,
            hash_block_size: BlockSize::B4096,
            salt: Salt::new(SALT.to_vec())?,
        };
        let options = BuildOptions { threads: Some(THREADS), ..BuildOptions::default() };
        self.remove_hash()?;
        let (root, spent) = usage::here(|| -> Result<_> {
            let data = File::open(&self.data)?;
            let hash = File::create(&self.hash)?;
            let blocks = params.data_blocks(BYTES)?;
            Ok(verity::build(&data, blocks, &hash, 0, Some(ID), &params, &options)?)
        });
        Ok((root?.to_string(), spent))
    }

    fn veritysetup(&self) -> Result<(String, Spent)> {
        self.remove_hash()?;
        let mut command = Command::new("veritysetup");
        command.arg("format").arg(&self.data).arg(&self.hash);
        command.arg(format!("--salt={}", hex::encode(SALT))).arg(format!("--uuid={ID}"));
        let (report, spent) = usage::program(&mut command)?;
        let root = report.lines().find_map(|line| line.strip_prefix("Root hash:"));
        Ok((root.context("veritysetup shows no root hash")?.trim().to_owned(), spent))
    }

    fn remove_hash(&self) -> Result<()> {
        match fs::remove_file(&self.hash) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("remove the hash tree of the last turn")
            }
            _ => Ok(()),
        }
    }
}
