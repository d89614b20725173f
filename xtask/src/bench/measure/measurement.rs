//! `ravelin measure`, `sev-snp-measure` and SHA-256 alone over the same files.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::samples::{Guest, GuestRound, Spent};
use crate::tools::{Noise, ravelin, variable};
use crate::usage;

const CMDLINE: &str = "console=ttyS0 panic=-1";
const CPU: &str = "EPYC-v4";

/// Name, bytes of the kernel, bytes of the initramfs.
const SIZES: [(&str, u64, u64); 2] =
    [("small", 64 << 10, 128 << 10), ("large", 12 << 20, 100 << 20)];

pub(crate) fn measure(scratch: &Path, rounds: usize) -> Result<Vec<Guest>> {
    let mut guests = Vec::new();
    for (name, kernel, initrd) in SIZES {
        let directory = scratch.join(name);
        std::fs::create_dir(&directory).context("make a directory for a guest")?;
        let files = Files::make(&directory, kernel, initrd)?;
        for vcpus in [4, 64] {
            let mut samples = Vec::new();
            for number in 0..rounds {
                eprintln!("bench: measuring, {name}, {vcpus} vCPUs, round {}", number + 1);
                samples.push(files.round(vcpus, number)?);
            }
            guests.push(Guest { name: name.to_owned(), initrd, vcpus, rounds: samples });
        }
    }
    Ok(guests)
}

struct Files {
    directory: PathBuf,
    firmware: PathBuf,
    kernel: PathBuf,
    initrd: PathBuf,
}

impl Files {
    fn make(directory: &Path, kernel: u64, initrd: u64) -> Result<Self> {
        let files = Self {
            directory: directory.to_owned(),
            firmware: variable("RAVELIN_TEST_FIRMWARE")?,
            kernel: directory.join("vmlinuz"),
            initrd: directory.join("initramfs"),
        };
        let mut noise = Noise::new();
        noise.write(&files.kernel, kernel)?;
        noise.write(&files.initrd, initrd)?;
        let firmware = files.firmware.display();
        let text = format!(
            "format = 1\nfirmware = \"{firmware}\"\nkernel = \"vmlinuz\"\n\
             initrd = \"initramfs\"\ncmdline = \"{CMDLINE}\"\ncpu = \"{CPU}\"\n"
        );
        std::fs::write(directory.join("vm.toml"), text).context("write a vm.toml")?;
        Ok(files)
    }

    /// Everybody once, and another one first in every round.
    fn round(&self, vcpus: u32, number: usize) -> Result<GuestRound> {
        let (mut ours, mut tool, mut sha256) = (None, None, None);
        for turn in 0..3 {
            match (number + turn) % 3 {
                0 => sha256 = Some(self.sha256()?),
                1 => tool = Some(self.tool(vcpus)?),
                _ => ours = Some(self.ours(vcpus)?),
            }
        }
        let ((own, ours), (theirs, tool)) = ours.zip(tool).context("a turn is missing")?;
        ensure!(own == theirs, "digests differ: {own}, {theirs}");
        Ok(GuestRound { ours, tool, sha256: sha256.context("a turn is missing")? })
    }

    fn ours(&self, vcpus: u32) -> Result<(String, Spent)> {
        let mut command = ravelin()?;
        command.current_dir(&self.directory).args(["measure", "--vcpus", &vcpus.to_string()]);
        let (text, spent) = usage::program(&mut command)?;
        Ok((text.lines().next().unwrap_or_default().to_owned(), spent))
    }

    fn tool(&self, vcpus: u32) -> Result<(String, Spent)> {
        let mut command = Command::new(variable("RAVELIN_SEV_SNP_MEASURE")?);
        command.args(["--mode", "snp", "--vcpu-type", CPU, "--append", CMDLINE]);
        command.args(["--vcpus", &vcpus.to_string(), "--ovmf"]).arg(&self.firmware);
        command.arg("--kernel").arg(&self.kernel).arg("--initrd").arg(&self.initrd);
        let (text, spent) = usage::program(&mut command)?;
        Ok((text.trim().to_owned(), spent))
    }

    /// The files one after the other, on one thread, in pieces.
    fn sha256(&self) -> Result<Spent> {
        let (digests, spent) = usage::here(|| -> Result<Vec<_>> {
            [&self.firmware, &self.kernel, &self.initrd]
                .into_iter()
                .map(|path| digest(path))
                .collect()
        });
        std::hint::black_box(digests?);
        Ok(spent)
    }
}

fn digest(path: &Path) -> Result<Vec<u8>> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut buffer = vec![0; 256 << 10];
    let mut hasher = Sha256::new();
    loop {
        let count = file.read(&mut buffer).with_context(|| format!("read {}", path.display()))?;
        match buffer.get(..count) {
            Some(bytes) if count > 0 => hasher.update(bytes),
            _ => return Ok(hasher.finalize().to_vec()),
        }
    }
}
