//! Disks in memory, and a device-mapper that really decrypts them: a table is taken
//! apart again, and what it says is how the disk is read.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use luks::{
    Cipher, Layout, LayoutParams, Memory, ReadAt, SECTOR, SectorSize, Volume, VolumeKey, WriteAt,
};
use protocol::config::{RootKey, Sealing};
use zeroize::Zeroizing;

use super::{Fake, Node};
use crate::platform::{Access, DerivedKey, Disk, Target, Volumes};
use crate::reports::ReportError;

/// Writes over a volume, by sector.
type Written = Arc<Mutex<BTreeMap<u64, [u8; 512]>>>;

/// Disks and devices.
#[derive(Default)]
pub(crate) struct State {
    disks: RefCell<BTreeMap<PathBuf, Arc<Memory>>>,
    mapped: RefCell<BTreeMap<String, Mapped>>,
    /// All that has a number, which is its place.
    numbers: RefCell<Vec<PathBuf>>,
    /// What was written through a `crypt` device, by its disk.
    written: RefCell<BTreeMap<PathBuf, Written>>,
    /// Replaces this text of every table that is read back.
    pub(crate) other_table: RefCell<Option<(String, String)>>,
    /// Whether disks forget what is written through a `crypt` device.
    pub(crate) forgetful: Cell<bool>,
    /// Exit status of a program of the root.
    pub(crate) program_status: Cell<i32>,
}

#[derive(Clone)]
struct Mapped {
    target: Target,
    key: Option<VolumeKey>,
    is_started: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl State {
    /// A disk with this content.
    pub(crate) fn add_disk(&self, device: &str, content: Vec<u8>) {
        self.disks.borrow_mut().insert(device.into(), Arc::new(Memory::new(content)));
    }

    /// What is on a disk, journals and writes through `crypt` apart.
    pub(crate) fn disk(&self, device: &str, length: usize) -> Vec<u8> {
        let mut content = vec![0; length];
        self.disks.borrow()[Path::new(device)].read_exact_at(&mut content, 0).unwrap();
        content
    }

    /// Forgets what was written through `crypt`: the disk of an earlier time.
    pub(crate) fn roll_back(&self) {
        self.written.borrow_mut().clear();
    }

    /// The same disks in a machine that was switched off and on.
    pub(crate) fn rebooted(&self) -> Self {
        Self { disks: self.disks.clone(), written: self.written.clone(), ..Self::default() }
    }

    /// The names of the mapped devices.
    pub(crate) fn mapped(&self) -> Vec<String> {
        self.mapped.borrow().keys().cloned().collect()
    }

    fn number(&self, device: &Path) -> usize {
        let mut numbers = self.numbers.borrow_mut();
        numbers.iter().position(|known| known == device).unwrap_or_else(|| {
            numbers.push(device.to_owned());
            numbers.len() - 1
        })
    }

    /// The device that a table's first or fourth word names.
    fn below(&self, number: &str) -> PathBuf {
        let index: usize = number.strip_prefix("253:").unwrap().parse().unwrap();
        self.numbers.borrow()[index].clone()
    }

    fn started(&self, node: &Path) -> Option<Mapped> {
        let name = node.strip_prefix("/dev/mapper").ok()?.to_str()?.to_owned();
        self.mapped.borrow().get(&name).filter(|mapped| mapped.is_started).cloned()
    }

    fn raw(&self, device: &Path) -> Option<Arc<Memory>> {
        self.disks.borrow().get(device).cloned()
    }

    /// Opens what is mapped, by its table.
    fn open_mapped(&self, mapped: &Mapped) -> io::Result<Box<dyn Disk>> {
        let words: Vec<&str> = mapped.target.params.split(' ').collect();
        match mapped.target.kind.as_str() {
            "linear" => self.open_mapped(&self.started(&self.below(words[0])).unwrap()),
            "crypt" => {
                let integrity = self.started(&self.below(words[3])).unwrap();
                let below = self.below(integrity.target.params.split(' ').next().unwrap());
                let disk = self.raw(&below).unwrap();
                let key = mapped.key.clone().unwrap();
                let layout = layout(&integrity.target, key.cipher(), &disk);
                let written = self.written.borrow_mut().entry(below).or_default().clone();
                let forgetful = self.forgetful.get();
                Ok(Box::new(Decrypted { disk, key, layout, written, forgetful }))
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// What an `integrity` table and the disk's size say of the layout.
fn layout(target: &Target, cipher: Cipher, disk: &Memory) -> Layout {
    let word = |name: &str| -> Option<u32> {
        target.params.split(' ').find_map(|word| word.strip_prefix(name))?.parse().ok()
    };
    let mut bytes = 0;
    while disk.read_exact_at(&mut [0; 4096], bytes).is_ok() {
        bytes += 4096;
    }
    Layout::new(LayoutParams {
        cipher,
        sector_size: SectorSize::try_from(word("block_size:").unwrap_or(512)).unwrap(),
        interleave_log2: u8::try_from(word("interleave_sectors:").unwrap().ilog2()).unwrap(),
        journal_sectors: word("journal_sectors:").unwrap(),
        device_sectors: bytes / SECTOR,
        data_offset: target.params.split(' ').nth(1).unwrap().parse().unwrap(),
    })
    .unwrap()
}

struct Raw(Arc<Memory>);

impl ReadAt for Raw {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }
}

impl WriteAt for Raw {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }
}

impl Disk for Raw {
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

struct Decrypted {
    disk: Arc<Memory>,
    key: VolumeKey,
    layout: Layout,
    written: Written,
    forgetful: bool,
}

impl ReadAt for Decrypted {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let not_authentic = |_error| io::Error::from_raw_os_error(nix::libc::EILSEQ);
        let volume = Volume::open(&self.layout, &self.key, &*self.disk).map_err(not_authentic)?;
        volume.read(buf, offset / SECTOR).map_err(not_authentic)?;
        let written = self.written.lock().unwrap();
        for (index, sector) in buf.chunks_mut(512).enumerate() {
            if let Some(new) = written.get(&(offset / SECTOR + index as u64)) {
                sector.copy_from_slice(new);
            }
        }
        Ok(())
    }
}

impl WriteAt for Decrypted {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let sectors = buf.as_chunks().0.iter().enumerate();
        let sectors = sectors.map(|(index, sector)| (offset / SECTOR + index as u64, *sector));
        if !self.forgetful {
            self.written.lock().unwrap().extend(sectors);
        }
        Ok(())
    }
}

impl Disk for Decrypted {
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Fake {
    fn load(&self, name: &str, target: &Target, key: Option<&VolumeKey>) -> io::Result<()> {
        let mut mapped = self.volumes.mapped.borrow_mut();
        if mapped.contains_key(name) {
            return Err(io::Error::from_raw_os_error(nix::libc::EBUSY));
        }
        let (target, key) = (target.clone(), key.cloned());
        mapped.insert(name.to_owned(), Mapped { target, key, is_started: false });
        Ok(())
    }
}

impl Volumes for Fake {
    fn open_disk(&self, device: &Path, access: Access) -> io::Result<Box<dyn Disk>> {
        self.call(format!("open-disk {} {access:?}", device.display()))?;
        if let Some(mapped) = self.volumes.started(device) {
            return self.volumes.open_mapped(&mapped);
        }
        if let Some(disk) = self.volumes.raw(device) {
            return Ok(Box::new(Raw(disk)));
        }
        let Node::BlockDevice(content) = self.node(device)? else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.volumes.add_disk(device.to_str().unwrap(), content);
        Ok(Box::new(Raw(self.volumes.raw(device).unwrap())))
    }

    fn device_number(&self, device: &Path) -> io::Result<String> {
        self.call(format!("device-number {}", device.display()))?;
        Ok(format!("253:{}", self.volumes.number(device)))
    }

    fn load_target(&self, name: &str, uuid: &str, target: &Target) -> io::Result<()> {
        let Target { kind, sectors, params } = target;
        self.call(format!("load {name} {uuid} {sectors} {kind} {params}"))?;
        self.load(name, target, None)
    }

    fn load_target_with_key(
        &self,
        name: &str,
        uuid: &str,
        target: &Target,
        description: &str,
        key: &VolumeKey,
    ) -> io::Result<()> {
        let Target { kind, sectors, params } = target;
        self.call(format!("load {name} {uuid} {sectors} {kind} {params} with {description}"))?;
        let reference = format!(":{}:logon:{description}", key.as_bytes().len());
        assert!(params.split(' ').any(|word| word == reference), "{params} needs {reference}");
        self.load(name, target, Some(key))
    }

    fn loaded_target(&self, name: &str) -> io::Result<Target> {
        self.call(format!("loaded {name}"))?;
        let mapped = self.volumes.mapped.borrow();
        let mapped = mapped.get(name).filter(|mapped| !mapped.is_started);
        let mut target = mapped.ok_or(io::ErrorKind::NotFound)?.target.clone();
        if let Some((text, other)) = &*self.volumes.other_table.borrow() {
            target.params = target.params.replace(text, other);
        }
        Ok(target)
    }

    fn start_target(&self, name: &str) -> io::Result<PathBuf> {
        self.call(format!("start {name}"))?;
        let mut mapped = self.volumes.mapped.borrow_mut();
        mapped.get_mut(name).ok_or(io::ErrorKind::NotFound)?.is_started = true;
        Ok(Path::new("/dev/mapper").join(name))
    }

    fn remove_target(&self, name: &str) -> io::Result<()> {
        self.call(format!("remove-target {name}"))?;
        self.volumes.mapped.borrow_mut().remove(name);
        Ok(())
    }

    fn run_in_root(
        &self,
        root: &Path,
        program: &Path,
        arguments: &[&str],
        _until: Duration,
    ) -> io::Result<i32> {
        let (root, program) = (root.display(), program.display());
        self.call(format!("run {root} {program} {}", arguments.join(" ")))?;
        Ok(self.volumes.program_status.get())
    }

    fn derived_key(&self, sealing: &Sealing, _until: Duration) -> Result<DerivedKey, ReportError> {
        self.call("derived-key".to_owned())
            .map_err(|source| ReportError::Io { action: "asking", source })?;
        let root = match sealing.root_key {
            RootKey::Vcek => 1,
            RootKey::Vlek => 3,
        };
        Ok(Box::new(Zeroizing::new([u8::from(sealing.family_id) + root; 32])))
    }
}
