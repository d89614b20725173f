//! A VM that boots if nobody harms it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{EvilError, io};

/// What is launched, and by what one sees that it runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Target {
    /// Its name: the file's, without `.toml`.
    #[serde(skip)]
    pub name: String,
    /// The kernel.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// The kernel command line. It needs `console=ttyS0`, and `panic=-1` so that a panic
    /// is an end.
    pub cmdline: String,
    /// Memory.
    #[serde(default = "memory_mib")]
    pub memory_mib: u32,
    /// Processors.
    #[serde(default = "vcpus")]
    pub vcpus: u32,
    /// Disks, in the order in which they are attached.
    #[serde(default)]
    pub disks: Vec<TargetDisk>,
    /// Other images that a host could have: `older-data`, an earlier release of `data`.
    #[serde(default)]
    pub images: BTreeMap<String, PathBuf>,
    /// Text of the console by which the real system is known to run.
    pub booted: String,
    /// Text of the console by which a refusal is known; without it every end of the
    /// machine before the real system runs counts as one.
    pub refused: Option<String>,
    /// How long a boot may take; what does neither boot nor end by then hangs.
    #[serde(default = "seconds")]
    pub seconds: u64,
}

/// A disk of a target.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TargetDisk {
    /// What scenarios call it: `data`, `hash`, `root`.
    pub name: String,
    /// The image.
    pub file: PathBuf,
    /// Its serial number.
    pub serial: String,
    /// The device, in QEMU's words, if it is not virtio's.
    pub device: Option<String>,
    /// Bytes that scenarios name: `superblock`, `real-init`.
    #[serde(default)]
    pub places: BTreeMap<String, u64>,
}

const fn memory_mib() -> u32 {
    512
}

const fn vcpus() -> u32 {
    1
}

const fn seconds() -> u64 {
    120
}

impl Target {
    /// Reads a target; its files are named from the directory of the target's own.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(path: &Path) -> Result<Self, EvilError> {
        let text = fs::read_to_string(path).map_err(io(format!("read {}", path.display())))?;
        let mut target: Self = toml::from_str(&text).map_err(|error| EvilError::Format {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        target.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let directory = path.parent().unwrap_or(Path::new("."));
        let files = [&mut target.kernel, &mut target.initramfs].into_iter();
        let disks = target.disks.iter_mut().map(|disk| &mut disk.file);
        for file in files.chain(disks).chain(target.images.values_mut()) {
            *file = directory.join(&*file);
        }
        Ok(target)
    }

    /// How long a boot may take.
    #[must_use]
    pub fn time_limit(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// What the launch measurement covers: kernel, initramfs, command line, processors.
    #[must_use]
    pub fn measured(&self) -> (&Path, &Path, &str, u32) {
        (&self.kernel, &self.initramfs, &self.cmdline, self.vcpus)
    }

    /// With more words on the command line.
    #[must_use]
    pub fn with_words(&self, words: &str) -> Self {
        Self { cmdline: format!("{} {words}", self.cmdline), ..self.clone() }
    }
}
