//! A target after the actions of a host.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::changed::Changed;
use super::{
    Action, Answer, Content, EvilError, Place, Scenario, Target, TargetDisk, io, not_there,
};
use crate::nbd::{Fault, Image, Rule, Server, Tampered};
use crate::{Running, Vm, WorkDir};

/// Longer than any machine here may run.
const NEVER: Duration = Duration::from_hours(24);

/// What the host launches.
#[derive(Debug)]
pub struct Attacked {
    kernel: Changed,
    initramfs: Changed,
    cmdline: String,
    memory_mib: u32,
    vcpus: u32,
    disks: Vec<Disk>,
    images: BTreeMap<String, PathBuf>,
    qemu: Vec<String>,
    time_limit: Duration,
    work: WorkDir,
}

#[derive(Debug)]
struct Disk {
    name: String,
    file: Changed,
    serial: String,
    device: Option<String>,
    places: BTreeMap<String, u64>,
    /// Those of a disk that the test serves itself.
    rules: Vec<Rule>,
}

/// The machine, running.
#[derive(Debug)]
pub struct Started {
    machine: Running,
    /// The disks that the test serves, each for as long as the machine runs.
    served: Vec<(Arc<Tampered<Image>>, Server)>,
    _work: WorkDir,
}

impl Attacked {
    /// Does to a target what the host of a scenario does.
    ///
    /// # Errors
    /// [`EvilError::NotThere`] if the scenario does not apply to this target; else if it
    /// cannot be done.
    pub fn new(target: &Target, scenario: &Scenario) -> Result<Self, EvilError> {
        let work = WorkDir::new();
        let mut attacked = Self {
            kernel: Changed::new(&target.kernel, work.join("kernel")),
            initramfs: Changed::new(&target.initramfs, work.join("initramfs")),
            cmdline: target.cmdline.clone(),
            memory_mib: target.memory_mib,
            vcpus: target.vcpus,
            disks: target.disks.iter().map(|disk| Disk::new(disk, &work)).collect(),
            images: target.images.clone(),
            qemu: Vec::new(),
            time_limit: target.time_limit(),
            work,
        };
        scenario.host.iter().try_for_each(|action| attacked.perform(action))?;
        Ok(attacked)
    }

    /// What the launch measurement covers, as [`Target::measured`].
    #[must_use]
    pub fn measured(&self) -> (&Path, &Path, &str, u32) {
        (self.kernel.path(), self.initramfs.path(), &self.cmdline, self.vcpus)
    }

    /// Starts the machine.
    ///
    /// # Panics
    /// If QEMU cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Started {
        let mut served = Vec::new();
        let mut vm = Vm::with_kernel(self.kernel.path())
            .initrd(self.initramfs.path())
            .cmdline(self.cmdline)
            .memory_mib(self.memory_mib)
            .cpus(self.vcpus)
            .time_limit(self.time_limit)
            .qemu_arguments(self.qemu);
        for disk in self.disks {
            let path = disk.file.path();
            vm = if disk.rules.is_empty() {
                vm.disk(path, &disk.serial)
            } else {
                let tampered = Arc::new(Tampered::new(Image::open(path), disk.rules));
                let server = Server::start(Arc::clone(&tampered));
                let vm = vm.served_disk(&server, &disk.serial);
                served.push((tampered, server));
                vm
            };
            if let Some(device) = &disk.device {
                vm = vm.on(device);
            }
        }
        Started { machine: vm.start(), served, _work: self.work }
    }

    fn perform(&mut self, action: &Action) -> Result<(), EvilError> {
        match action {
            Action::Flip { of, at, bits } => {
                let (file, at) = self.place(of, at)?;
                file.flip(at, *bits)
            }
            Action::Write { of, at, content, times } => {
                let bytes = bytes(content, *times)?;
                let (file, at) = self.place(of, at)?;
                file.write(at, &bytes)
            }
            Action::Resize { of, to } => {
                let (file, to) = self.place(of, to)?;
                file.resize(to)
            }
            Action::Replace { disk, image } => {
                let path = self.image(image)?;
                let copy = self.work.join(format!("{disk}.{image}"));
                self.disk(disk)?.file = Changed::new(&path, copy);
                Ok(())
            }
            Action::Swap([one, other]) => {
                let indices = [self.index(one)?, self.index(other)?];
                let Ok([one, other]) = self.disks.get_disjoint_mut(indices) else {
                    return Err(EvilError::Pointless("one disk cannot be swapped".to_owned()));
                };
                std::mem::swap(&mut one.file, &mut other.file);
                std::mem::swap(&mut one.places, &mut other.places);
                std::mem::swap(&mut one.rules, &mut other.rules);
                Ok(())
            }
            Action::Remove(name) => {
                let index = self.index(name)?;
                self.disks.remove(index);
                Ok(())
            }
            Action::Copy { disk, name, first } => {
                let copy = self.work.join(name);
                let copied = self.disk(disk)?.copied(name, copy);
                self.add(copied, *first);
                Ok(())
            }
            Action::AddDisk { name, serial, bytes, first } => {
                let path = self.work.join(name);
                fs::write(&path, []).map_err(io("make a disk"))?;
                let mut file = Changed::new(&path, path.clone());
                file.resize(*bytes)?;
                self.add(Disk::plain(name, file, serial), *first);
                Ok(())
            }
            Action::Serial { disk, to } => {
                self.disk(disk)?.serial.clone_from(to);
                Ok(())
            }
            Action::Device { disk, to } => {
                self.disk(disk)?.device = Some(to.clone());
                Ok(())
            }
            Action::Answer { disk, at, bytes, after, times, with } => {
                let rule = self.rule(disk, at.as_ref(), *bytes, with)?.after(*after);
                let rule = times.map_or(rule.clone(), |times| rule.times(times));
                self.disk(disk)?.rules.push(rule);
                Ok(())
            }
            Action::AddWords(words) => {
                self.cmdline = format!("{} {words}", self.cmdline);
                Ok(())
            }
            Action::RemoveWord(word) => self.remove_word(word),
            Action::PadCommandLine(bytes) => {
                let letters = bytes.saturating_sub(self.cmdline.len() + 1);
                self.cmdline = format!("{} {}", self.cmdline, "x".repeat(letters));
                Ok(())
            }
            Action::AppendFile { path, content, times, mode } => {
                let archive = self.archive(path, &bytes(content, *times)?, *mode)?;
                self.initramfs.append_archive(&archive)
            }
            Action::MemoryMib(mib) => {
                self.memory_mib = *mib;
                Ok(())
            }
            Action::Vcpus(vcpus) => {
                self.vcpus = *vcpus;
                Ok(())
            }
            Action::Qemu(arguments) => {
                self.qemu.extend(arguments.iter().cloned());
                Ok(())
            }
            Action::Ssdt(aml) => {
                let path = self.work.join(format!("ssdt-{}.aml", self.qemu.len()));
                fs::write(&path, ssdt(&bytes(aml, 1)?)).map_err(io("write an ACPI table"))?;
                let table = format!("file={}", path.display().to_string().replace(',', ",,"));
                self.qemu.extend(["-acpitable".to_owned(), table]);
                Ok(())
            }
            Action::Processor(fault) => Err(not_there("simulated secure processor for", fault)),
        }
    }

    /// A file of the target, and a byte of it.
    fn place(&mut self, of: &str, at: &Place) -> Result<(&mut Changed, u64), EvilError> {
        let none = BTreeMap::new();
        let (file, places) = match of {
            "kernel" => (&mut self.kernel, &none),
            "initramfs" => (&mut self.initramfs, &none),
            _ => {
                let disk = self.disk(of)?;
                (&mut disk.file, &disk.places)
            }
        };
        let at = at.resolve(file.size()?, places)?;
        Ok((file, at))
    }

    fn index(&self, name: &str) -> Result<usize, EvilError> {
        let index = self.disks.iter().position(|disk| disk.name == name);
        index.ok_or_else(|| not_there("disk", name))
    }

    fn disk(&mut self, name: &str) -> Result<&mut Disk, EvilError> {
        let disk = self.disks.iter_mut().find(|disk| disk.name == name);
        disk.ok_or_else(|| not_there("disk", name))
    }

    fn image(&self, name: &str) -> Result<PathBuf, EvilError> {
        self.images.get(name).cloned().ok_or_else(|| not_there("image", name))
    }

    fn add(&mut self, disk: Disk, first: bool) {
        let at = if first { 0 } else { self.disks.len() };
        self.disks.insert(at, disk);
    }

    fn rule(
        &mut self,
        disk: &str,
        at: Option<&Place>,
        bytes: u64,
        with: &Answer,
    ) -> Result<Rule, EvilError> {
        let fault = match with {
            Answer::Error => Fault::Error,
            Answer::Flip => Fault::Flip(1),
            Answer::Zeros => Fault::Nothing,
            Answer::Image(image) => {
                let image = self.image(image)?;
                Fault::Content(fs::read(image).map_err(io("read the other image"))?)
            }
            Answer::Later(milliseconds) => Fault::Delay(Duration::from_millis(*milliseconds)),
            Answer::Never => Fault::Delay(NEVER),
            Answer::Gone => Fault::Gone,
        };
        let disk = self.disk(disk)?;
        let size = disk.file.size()?;
        let range = match at {
            None => 0..size,
            Some(at) => {
                let start = at.resolve(size, &disk.places)?;
                start..start.saturating_add(bytes)
            }
        };
        if range.start >= size {
            return Err(EvilError::Pointless(format!("the disk ends before byte {}", range.start)));
        }
        Ok(Rule::at_reads(range, fault))
    }

    fn remove_word(&mut self, word: &str) -> Result<(), EvilError> {
        let is = |found: &str| {
            found == word || found.strip_prefix(word).is_some_and(|rest| rest.starts_with('='))
        };
        let words: Vec<&str> = self.cmdline.split(' ').filter(|found| !is(found)).collect();
        let shorter = words.join(" ");
        if shorter == self.cmdline {
            return Err(not_there("word on the command line", word));
        }
        self.cmdline = shorter;
        Ok(())
    }

    /// An archive of one file and its directories, by GNU cpio.
    fn archive(&self, path: &str, content: &[u8], mode: u32) -> Result<Vec<u8>, EvilError> {
        use std::os::unix::fs::PermissionsExt;

        let tree = self.work.join(format!("archive-{}", path.replace('/', "-")));
        let file = tree.join(path);
        fs::create_dir_all(file.parent().unwrap_or(&tree)).map_err(io("make directories"))?;
        fs::write(&file, content).map_err(io("write a file for an archive"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).map_err(io("set a mode"))?;
        let find = "find . -mindepth 1 | cpio --create --format=newc --owner=0:0 --quiet";
        let output = Command::new("sh").args(["-c", find]).current_dir(&tree).output();
        let output = output.map_err(io("start cpio"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(EvilError::Pointless(format!("cpio: {said}")));
        }
        Ok(output.stdout)
    }
}

impl Disk {
    fn new(disk: &TargetDisk, work: &WorkDir) -> Self {
        Self {
            device: disk.device.clone(),
            places: disk.places.clone(),
            ..Self::plain(&disk.name, Changed::new(&disk.file, work.join(&disk.name)), &disk.serial)
        }
    }

    fn plain(name: &str, file: Changed, serial: &str) -> Self {
        Self {
            name: name.to_owned(),
            file,
            serial: serial.to_owned(),
            device: None,
            places: BTreeMap::new(),
            rules: Vec::new(),
        }
    }

    /// What was done to the disk before is in the copy too.
    fn copied(&self, name: &str, copy: PathBuf) -> Self {
        Self {
            device: self.device.clone(),
            places: self.places.clone(),
            ..Self::plain(name, Changed::new(self.file.path(), copy), &self.serial)
        }
    }
}

impl Started {
    /// Watches the machine to its end. And whether the attack took place: a disk that was
    /// never asked for what it would have answered wrongly has tested nothing.
    pub fn watch<T>(self, watch: impl FnOnce(Running) -> T) -> (T, bool) {
        let seen = watch(self.machine);
        (seen, self.served.iter().all(|(disk, _)| disk.all_were_in_turn()))
    }
}

fn bytes(content: &Content, times: usize) -> Result<Vec<u8>, EvilError> {
    content.bytes(times).map_err(|error| EvilError::Pointless(error.to_string()))
}

/// A table (ACPI 6.5, section 5.2.6) around some AML.
fn ssdt(aml: &[u8]) -> Vec<u8> {
    // Signature, length, revision, checksum, OEM ID, OEM table ID, OEM revision, creator
    // ID, creator revision.
    let head = b"SSDT\0\0\0\0\x02\0HOST  OFTHHOST\x01\0\0\0HOST\x01\0\0\0";
    let length = u32::try_from(head.len() + aml.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut table = [head.as_slice(), aml].concat();
    for (to, from) in table.iter_mut().skip(4).zip(length) {
        *to = from;
    }
    let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
    table.iter_mut().skip(9).take(1).for_each(|checksum| *checksum = sum);
    table
}
