//! Finding the disks.
//!
//! Disks, their order, names, serials and partition tables are the host's to
//! choose. Nothing found here is trusted: a wrong disk fails later, at
//! dm-verity or the volume's key. What has to hold here is that PID 1 ends in a definite answer:
//! found, ambiguous, or not there within the deadline.

use std::path::{Path, PathBuf};

use protocol::config::{Config, Protection, Selector};
use protocol::gpt;
use protocol::receipt::{Event, Receipt, short};
use protocol::release::VolumeName;
use protocol::text::excerpt;

use crate::failure::{self, Failure};
use crate::platform::{Kind, Platform};

/// A block device that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its node.
    pub node: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The devices that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disks {
    /// Key `root.device`.
    pub root: Device,
    /// Key `verity.hash_device`, in verity mode.
    pub hash: Option<Device>,
    /// Keys `volume.NAME.device`.
    pub volumes: Vec<(VolumeName, Device)>,
}

impl Disks {
    /// What the log says of them.
    #[must_use]
    pub fn summary(&self) -> String {
        let shown = |(what, device): (&str, &Device)| {
            format!("{what} {} ({} bytes)", device.node.display(), device.bytes)
        };
        let hash = self.hash.iter().map(|hash| ("hash", hash));
        let volumes = self.volumes.iter().map(|(name, device)| (name.as_str(), device));
        let all = std::iter::once(("root", &self.root)).chain(hash).chain(volumes);
        all.map(shown).collect::<Vec<_>>().join(", ")
    }

    /// What the receipt says of them.
    pub fn record(&self, config: &Config, receipt: &mut Receipt) {
        let volumes = self.volumes.iter().map(|(_, device)| device);
        let all = std::iter::once(&self.root).chain(&self.hash).chain(volumes);
        for ((key, selector), device) in wanted(config).into_iter().zip(all) {
            receipt.push(&Event::Disk {
                key,
                selector: short(&selector.to_string()),
                node: device.node.display().to_string(),
                bytes: device.bytes.to_string(),
            });
        }
    }

    /// The device of the volume `name`; of the root, too.
    ///
    /// # Errors
    /// If there is none, which the configuration does not allow.
    pub fn volume(&self, name: &VolumeName) -> Result<&Device, Failure> {
        if *name == VolumeName::root() {
            return Ok(&self.root);
        }
        let found = self.volumes.iter().find(|(volume, _)| volume == name);
        found.map(|(_, device)| device).ok_or_else(|| {
            failure::path("looking for the device of", name.as_str())(
                std::io::ErrorKind::NotFound.into(),
            )
        })
    }

    /// Two volumes on one device would each destroy the other. The hash tree of a
    /// dm-verity root may be on the root's.
    fn all_different(&self) -> Result<(), Failure> {
        let mut seen = vec![("root.device".to_owned(), &self.root)];
        seen.extend(self.hash.iter().map(|hash| ("verity.hash_device".to_owned(), hash)));
        for (name, device) in &self.volumes {
            if let Some((first, _)) = seen.iter().find(|(_, other)| other.node == device.node) {
                return Err(Failure::DiskShared {
                    first: first.clone(),
                    second: key(name),
                    device: device.node.clone(),
                });
            }
            seen.push((key(name), device));
        }
        Ok(())
    }
}

/// Waits for the devices of the configuration, by uevent, until the deadline.
///
/// # Errors
/// If one is missing at the deadline, or a selector fits two devices.
pub fn find(platform: &impl Platform, config: &Config) -> Result<Disks, Failure> {
    let wanted = wanted(config);
    platform.watch_block_events().map_err(failure::path("watching the events of", SYS_BLOCK))?;
    let until = platform.elapsed() + config.disks_deadline.duration();
    let by_table =
        |wanted: &Wanted<'_>| matches!(wanted.1, Selector::PartUuid(_) | Selector::PartLabel(_));
    let read_tables = wanted.iter().any(by_table);
    loop {
        let seen = scan(platform, read_tables)?;
        let found: Vec<Option<Device>> =
            wanted.iter().map(|wanted| seen.select(platform, wanted)).collect::<Result<_, _>>()?;
        if let Some(disks) = assign(config, &found) {
            disks.all_different()?;
            return Ok(disks);
        }
        let in_time = platform
            .wait_for_block_event(until)
            .map_err(failure::path("waiting for events of", SYS_BLOCK))?;
        if !in_time {
            let missing = wanted.iter().zip(&found).filter(|(_, found)| found.is_none());
            return Err(Failure::DiskMissing {
                wanted: missing.map(|(wanted, _)| shown(wanted)).collect::<Vec<_>>().join(" and "),
                deadline: config.disks_deadline.to_string(),
                seen: seen.summary(),
            });
        }
    }
}

/// The devices that the configuration names: the root's, the hash tree's where there
/// is one, the volumes'.
fn wanted(config: &Config) -> Vec<Wanted<'_>> {
    let mut wanted = vec![("root.device".to_owned(), &config.root.device)];
    if let Protection::Verity(verity) = &config.root.protection {
        wanted.push(("verity.hash_device".to_owned(), &verity.hash_device));
    }
    wanted.extend(config.volumes.iter().map(|volume| (key(&volume.name), &volume.device)));
    wanted
}

/// What was found, in the order of [`wanted`]; `None` if something is missing.
fn assign(config: &Config, found: &[Option<Device>]) -> Option<Disks> {
    let found: Vec<Device> = found.iter().cloned().collect::<Option<_>>()?;
    let mut found = found.into_iter();
    let root = found.next()?;
    let hash = match &config.root.protection {
        Protection::Verity(_) => Some(found.next()?),
        Protection::Encrypted(_) | Protection::InsecurePlain => None,
    };
    let names = config.volumes.iter().map(|volume| volume.name.clone());
    Some(Disks { root, hash, volumes: names.zip(found).collect() })
}

fn key(volume: &VolumeName) -> String {
    format!("volume.{volume}.device")
}

/// Whole disks and partitions, as the kernel lists them.
const SYS_BLOCK: &str = "/sys/class/block";

/// Devices that are made of others, or hold no disk.
const NOT_DISKS: [&str; 7] = ["loop", "ram", "dm-", "md", "zram", "sr", "fd"];

/// A disk, and what it says of itself.
struct Disk {
    device: Device,
    serial: Option<String>,
    partitions: Result<Vec<(gpt::Partition, Device)>, String>,
}

/// All disks at one moment.
struct Seen(Vec<Disk>);

type Wanted<'a> = (String, &'a Selector);

fn shown((key, selector): &Wanted<'_>) -> String {
    format!("{key}={selector}")
}

/// Partition tables are read only if a selector needs them: a disk that is none
/// of ours could stall the read.
fn scan(platform: &impl Platform, read_tables: bool) -> Result<Seen, Failure> {
    let mut disks = Vec::new();
    let names = platform.list(Path::new(SYS_BLOCK)).map_err(failure::path("listing", SYS_BLOCK))?;
    for name in names {
        if NOT_DISKS.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let sys = Path::new(SYS_BLOCK).join(&name);
        // A device may disappear while it is looked at: then it is not there.
        let is_partition = !matches!(platform.kind(&sys.join("partition")), Ok(None));
        // A path of a multipath NVMe disk: it has no node, and its disk is listed too.
        let is_hidden = text(platform, &sys.join("hidden")).is_some_and(|flag| flag == "1");
        let (false, Some(device)) = (is_partition || is_hidden, device(platform, &sys, &name))
        else {
            continue;
        };
        let serial = ["serial", "device/serial"]
            .iter()
            .find_map(|file| text(platform, &sys.join(file)))
            // NVMe pads with spaces.
            .map(|serial| serial.trim_end().to_owned())
            .filter(|serial| !serial.is_empty());
        let partitions =
            if read_tables { partitions(platform, &sys, &name, &device) } else { Ok(Vec::new()) };
        disks.push(Disk { device, serial, partitions });
    }
    Ok(Seen(disks))
}

impl Seen {
    fn select(
        &self,
        platform: &impl Platform,
        wanted: &Wanted<'_>,
    ) -> Result<Option<Device>, Failure> {
        let mut found: Option<Device> = None;
        for device in self.candidates(platform, wanted.1) {
            if let Some(first) = found {
                return Err(Failure::DiskAmbiguous {
                    wanted: shown(wanted),
                    first: first.node,
                    second: device.node,
                });
            }
            found = Some(device);
        }
        Ok(found)
    }

    fn candidates(&self, platform: &impl Platform, selector: &Selector) -> Vec<Device> {
        let partitions = |fits: &dyn Fn(&gpt::Partition) -> bool| {
            self.0
                .iter()
                .flat_map(|disk| disk.partitions.iter().flatten())
                .filter(|(partition, _)| fits(partition))
                .map(|(_, device)| device.clone())
                .collect()
        };
        match selector {
            Selector::Serial(serial) => self
                .0
                .iter()
                .filter(|disk| disk.serial.as_ref() == Some(serial))
                .map(|disk| disk.device.clone())
                .collect(),
            Selector::PartUuid(uuid) => partitions(&|partition| partition.guid == *uuid),
            Selector::PartLabel(label) => partitions(&|partition| partition.name == *label),
            Selector::Path(path) => by_path(platform, path).into_iter().collect(),
        }
    }

    /// For the failure block: what is there instead.
    fn summary(&self) -> String {
        if self.0.is_empty() {
            return "no disk at all".to_owned();
        }
        let disk = |disk: &Disk| {
            let serial = disk.serial.as_deref().map_or("none".to_owned(), excerpt);
            let partitions = match &disk.partitions {
                Ok(list) if list.is_empty() => String::new(),
                Ok(list) => format!(", {} partitions", list.len()),
                Err(why) => format!(", {why}"),
            };
            let node = disk.device.node.display();
            format!("{node} ({} bytes, serial {serial}{partitions})", disk.device.bytes)
        };
        let shown: Vec<String> = self.0.iter().take(8).map(disk).collect();
        let more = self.0.len().saturating_sub(8);
        let tail = if more > 0 { format!(", and {more} more") } else { String::new() };
        format!("{}{tail}", shown.join(", "))
    }
}

fn by_path(platform: &impl Platform, path: &Path) -> Option<Device> {
    if !matches!(platform.kind(path), Ok(Some(Kind::BlockDevice))) {
        return None;
    }
    let name = path.file_name()?.to_str()?;
    let bytes = bytes(platform, &Path::new(SYS_BLOCK).join(name))?;
    Some(Device { node: path.to_owned(), bytes })
}

/// The device, once its node is there: sysfs shows it a little earlier.
fn device(platform: &impl Platform, sys: &Path, name: &str) -> Option<Device> {
    let bytes = bytes(platform, sys).filter(|bytes| *bytes > 0)?;
    let node = Path::new("/dev").join(name);
    let there = matches!(platform.kind(&node), Ok(Some(Kind::BlockDevice)));
    there.then_some(Device { node, bytes })
}

/// The size of a device; sysfs counts 512-byte sectors whatever the device does.
fn bytes(platform: &impl Platform, sys: &Path) -> Option<u64> {
    number(platform, &sys.join("size"))?.checked_mul(512)
}

/// The partitions of a disk: those of its GPT that the kernel has at the same
/// place. The table is read by PID 1 itself, because kernels before 6.13 do not
/// tell a partition's UUID.
fn partitions(
    platform: &impl Platform,
    sys: &Path,
    disk: &str,
    device: &Device,
) -> Result<Vec<(gpt::Partition, Device)>, String> {
    let head = platform
        .read_device(&device.node, 0, gpt::PRIMARY_BYTES)
        .map_err(|error| format!("unreadable: {error}"))?;
    let table = gpt::Table::parse(&head, device.bytes / 512)
        .map_err(|error| format!("no usable partition table: {error}"))?;
    let names = platform.list(sys).map_err(|error| format!("unlisted: {error}"))?;
    let mut found = Vec::new();
    for name in names.iter().filter(|name| name.starts_with(disk)) {
        let part = sys.join(name);
        let (Some(start), Some(device)) =
            (number(platform, &part.join("start")), self::device(platform, &part, name))
        else {
            continue;
        };
        let same = |partition: &&gpt::Partition| {
            partition.first_lba == start
                && partition.sectors().checked_mul(512) == Some(device.bytes)
        };
        if let Some(partition) = table.partitions.iter().find(same) {
            found.push((partition.clone(), device));
        }
    }
    Ok(found)
}

fn text(platform: &impl Platform, path: &Path) -> Option<String> {
    let bytes = platform.read(path, 4096).ok()?;
    Some(String::from_utf8(bytes).ok()?.trim_end_matches('\n').to_owned())
}

fn number(platform: &impl Platform, path: &Path) -> Option<u64> {
    text(platform, path)?.parse().ok()
}
