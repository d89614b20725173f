//! The devices of a volume: `integrity` over the disk, `crypt` over it and, for a
//! volume with a tail, `linear` over that without the tail.
//!
//! **Threat.** The host may change the disk between the check of its superblock and
//! the kernel's own reading. So a table is loaded, read back and compared before the
//! device starts: the kernel keeps what it read at the load. What the comparison cannot
//! show (the flag of a dirty bitmap) makes a kernel crash at worst.

use std::path::{Path, PathBuf};

use luks::{CryptTable, Device as TableDevice, FileSystemTable, IntegrityTable, Layout};
use luks::{VolumeKey, VolumeSpec, key_description};
use protocol::release::VolumeName;
use uuid::Uuid;

use super::error::{OpenError, system};
use crate::platform::{Platform, Target};

/// The names of a volume's devices. A volume's name has no dot, so that no two
/// volumes share one.
pub(super) struct Names {
    /// What is mounted.
    pub(super) file_system: String,
    crypt: String,
    integrity: String,
}

impl Names {
    pub(super) fn new(name: &VolumeName) -> Self {
        let file_system = format!("ravelin-{name}");
        Self {
            crypt: format!("{file_system}.crypt"),
            integrity: format!("{file_system}.integrity"),
            file_system,
        }
    }

    /// Takes all of them away, the upper ones first. What is not there is no error; the
    /// first other error is returned when all were tried.
    pub(super) fn remove(&self, platform: &impl Platform) -> Result<(), OpenError> {
        let mut result = Ok(());
        for name in [&self.file_system, &self.crypt, &self.integrity] {
            let removed = platform
                .remove_target(name)
                .map_err(system("removing the device-mapper device", Path::new(name)));
            result = result.and(removed);
        }
        result
    }
}

/// A volume to map.
pub(super) struct Stack<'a, P> {
    pub(super) platform: &'a P,
    pub(super) names: &'a Names,
    pub(super) disk: &'a Path,
    pub(super) layout: &'a Layout,
    pub(super) volume_id: Uuid,
    /// What was started so far, with the names of the devices: as the kernel has it, but
    /// with names for numbers. What a number was, nobody knows who reads the receipt.
    pub(super) tables: Vec<(String, Target)>,
}

/// A device that is mapped: its number, for the kernel, and its name, for the receipt.
struct Below {
    number: TableDevice,
    name: TableDevice,
}

/// A table for the kernel, and the same for the receipt.
struct Table {
    loaded: Target,
    said: Target,
}

impl<P: Platform> Stack<'_, P> {
    /// Maps the decrypted volume; its node. The superblock was checked.
    ///
    /// # Errors
    /// From the system, or another table than was asked for. What was made so far stays.
    pub(super) fn decrypted(&mut self, key: &VolumeKey, name: &str) -> Result<PathBuf, OpenError> {
        let below = self.below(self.disk, &self.disk.to_string_lossy())?;
        let integrity = Table::over(&below, |device| {
            let table = IntegrityTable::new(self.layout, device);
            target(IntegrityTable::TARGET, table.length(), &table)
        });
        let integrity = self.start(&self.names.integrity, "INTEGRITY", integrity, None)?;
        let below = self.below(&integrity, &self.names.integrity)?;
        let crypt = Table::over(&below, |device| {
            let table = CryptTable::of_layout(self.layout, self.volume_id, device);
            target(CryptTable::TARGET, table.length(), &table)
        });
        self.start(name, "RAVELIN", crypt, Some(key))
    }

    /// Maps a volume with a tail; the node of the whole, which [`Stack::without_tail`]
    /// takes.
    pub(super) fn with_tail(&mut self, key: &VolumeKey) -> Result<PathBuf, OpenError> {
        self.decrypted(key, &self.names.crypt)
    }

    /// Maps the file system.
    pub(super) fn without_tail(
        &mut self,
        spec: &VolumeSpec,
        crypt: &Path,
    ) -> Result<PathBuf, OpenError> {
        let below = self.below(crypt, &self.names.crypt)?;
        let linear = Table::over(&below, |device| {
            let table = FileSystemTable::new(spec, device);
            target(FileSystemTable::TARGET, table.length(), &table)
        });
        self.start(&self.names.file_system, "RAVELIN", linear, None)
    }

    fn start(
        &mut self,
        name: &str,
        kind: &str,
        table: Table,
        key: Option<&VolumeKey>,
    ) -> Result<PathBuf, OpenError> {
        let Table { loaded: target, said } = table;
        // The form of cryptsetup, by which udev's rules know such devices.
        let uuid = format!("CRYPT-{kind}-{}-{name}", self.volume_id.simple());
        let result = match key {
            None => self.platform.load_target(name, &uuid, &target),
            Some(key) => {
                let description = key_description(self.volume_id);
                self.platform.load_target_with_key(name, &uuid, &target, &description, key)
            }
        };
        result.map_err(system("loading the table of", Path::new(name)))?;
        let loaded = self.platform.loaded_target(name);
        let loaded = loaded.map_err(system("reading back the table of", Path::new(name)))?;
        if loaded != target {
            return Err(OpenError::TableDiffers {
                device: name.to_owned(),
                expected: shown(&target),
                loaded: shown(&loaded),
            });
        }
        let node = self.platform.start_target(name);
        let node = node.map_err(system("starting", Path::new(name)))?;
        self.tables.push((name.to_owned(), said));
        Ok(node)
    }

    /// `device`, whose name in the receipt is `name`.
    fn below(&self, device: &Path, name: &str) -> Result<Below, OpenError> {
        let number = self.platform.device_number(device);
        let number = number.map_err(system("looking at", device))?;
        let number = TableDevice::new(number)
            .map_err(|error| system("looking at", device)(std::io::Error::other(error)))?;
        // No name fails a boot.
        let name = TableDevice::new(name).unwrap_or_else(|_not_one_word| number.clone());
        Ok(Below { number, name })
    }
}

impl Table {
    fn over(below: &Below, table: impl Fn(TableDevice) -> Target) -> Self {
        Self { loaded: table(below.number.clone()), said: table(below.name.clone()) }
    }
}

fn target(kind: &str, sectors: u64, params: &impl ToString) -> Target {
    Target { kind: kind.to_owned(), sectors, params: params.to_string() }
}

/// As `dmsetup table` prints it.
fn shown(target: &Target) -> String {
    format!("0 {} {} {}", target.sectors, target.kind, target.params)
}
