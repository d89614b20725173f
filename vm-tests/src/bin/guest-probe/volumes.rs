//! Encrypted volumes from the inside: opened by tables that the test has made, written
//! to and read whole.
//!
//! Fields of an action are divided by `;`, because tables have spaces. In a table, `@`
//! stands for the device below.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use devicemapper::{DM, DevId, DmName, DmOptions};
use rustix::fs::OFlags;
use rustix::mount::{MountFlags, UnmountFlags, mount as mount_at, unmount as unmount_from};
use sha2::{Digest, Sha256};
use vm_tests::workload;

use crate::facts::short;
use crate::say;

/// What one read asks for, and where the ends of what direct I/O is given have to be.
const STEP: usize = 1 << 20;
const ALIGNMENT: usize = 4096;

/// `NAME;SERIAL;SECTORS;INTEGRITY TABLE;CRYPT TABLE`.
pub(crate) fn open(fields: &str) -> io::Result<String> {
    let [name, serial, sectors, integrity, crypt] = fields_of(fields)?;
    let disk = fs::read_to_string(format!("/sys/block/{}/dev", disk(serial)?))?;
    let sectors = number(sectors)?;
    let below = create(&below(name), sectors, "integrity", &integrity.replace('@', disk.trim()))?;
    create(name, sectors, "crypt", &crypt.replace('@', &below))
}

/// `NAME`.
pub(crate) fn close(name: &str) -> io::Result<String> {
    let dm = DM::new().map_err(other)?;
    for name in [name, &below(name)] {
        let name = DmName::new(name).map_err(other)?;
        dm.device_remove(&DevId::Name(name), DmOptions::default()).map_err(other)?;
    }
    Ok("closed".to_owned())
}

/// `NAME;DIRECTORY`.
pub(crate) fn mount(fields: &str) -> io::Result<String> {
    let [name, directory] = fields_of(fields)?;
    fs::create_dir_all(directory)?;
    mount_at(device(name)?, directory, "ext4", MountFlags::empty(), None)?;
    Ok("mounted".to_owned())
}

/// `DIRECTORY`.
pub(crate) fn unmount(directory: &str) -> io::Result<String> {
    unmount_from(directory, UnmountFlags::empty())?;
    Ok("unmounted".to_owned())
}

/// `NAME;BYTES`: reads all of a volume, in one piece where it can, otherwise in blocks
/// of so many bytes. What cannot be read counts as zeros.
pub(crate) fn scan(fields: &str) -> io::Result<String> {
    let [name, block] = fields_of(fields)?;
    let block = usize::try_from(number(block)?).map_err(other)?;
    let device = direct(&device(name)?)?;
    let mut buffer = Aligned::new(STEP);
    let (mut hash, mut offset, mut errors) = (Sha256::new(), 0, Vec::new());
    let size = size(name)?;
    while offset < size {
        let step = usize::try_from(size - offset).unwrap_or(STEP).min(STEP);
        let bytes = buffer.get(step);
        if device.read_exact_at(bytes, offset).is_err() {
            for (index, part) in bytes.chunks_mut(block).enumerate() {
                let at = offset + (index * block) as u64;
                // A part of a buffer has no alignment of its own.
                let mut alone = Aligned::new(block);
                match device.read_exact_at(alone.get(block), at) {
                    Ok(()) => part.copy_from_slice(alone.get(block)),
                    Err(error) => {
                        part.fill(0);
                        errors.push(format!("{at}:{}", error.raw_os_error().unwrap_or(0)));
                    }
                }
            }
        }
        hash.update(bytes);
        offset += step as u64;
    }
    let digest = hex::encode(hash.finalize());
    Ok(format!("{size} bytes sha256={digest} errors=[{}]", errors.join(" ")))
}

/// `NAME;OFFSET;BYTES`: one read, and the digest of what it gave.
pub(crate) fn block(fields: &str) -> io::Result<String> {
    let [name, offset, bytes] = fields_of(fields)?;
    let bytes = usize::try_from(number(bytes)?).map_err(other)?;
    let mut buffer = Aligned::new(bytes);
    direct(&device(name)?)?.read_exact_at(buffer.get(bytes), number(offset)?)?;
    Ok(hex::encode(Sha256::digest(buffer.get(bytes))))
}

/// `NAME;OFFSET;BYTES;BYTE`: writes the same byte many times and waits for the disk.
pub(crate) fn put(fields: &str) -> io::Result<String> {
    let [name, offset, bytes, byte] = fields_of(fields)?;
    let bytes = usize::try_from(number(bytes)?).map_err(other)?;
    let mut buffer = Aligned::new(bytes);
    buffer.get(bytes).fill(u8::try_from(number(byte)?).map_err(other)?);
    let device = direct(&device(name)?)?;
    device.write_all_at(buffer.get(bytes), number(offset)?)?;
    device.sync_all()?;
    Ok("written".to_owned())
}

/// `DIRECTORY`: the files in it, with their digests.
pub(crate) fn digests(directory: &str) -> io::Result<String> {
    let mut digests = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let digest = match fs::read(entry.path()) {
                Ok(content) => hex::encode(Sha256::digest(content)),
                Err(error) => short(&error),
            };
            digests.insert(entry.file_name().to_string_lossy().into_owned(), digest);
        }
    }
    let lines: Vec<String> =
        digests.into_iter().map(|(name, digest)| format!("{name}:{digest}")).collect();
    Ok(lines.join(" "))
}

/// `NAME;DIRECTORY;OFFSET;BLOCKS;ROUNDS`: the workload, with its raw blocks from
/// that byte of the volume on, until an error or its end.
pub(crate) fn churn(fields: &str) -> io::Result<String> {
    let [name, directory, offset, blocks, rounds] = fields_of(fields)?;
    let (offset, blocks, rounds) = (number(offset)?, number(blocks)?, number(rounds)?);
    let device = direct(&device(name)?)?;
    let directory = Path::new(directory);
    let mut buffer = Aligned::new(workload::BLOCK);
    for round in 1..=rounds {
        let new = directory.join("new");
        let mut file = File::create(&new)?;
        file.write_all(&workload::file_content(round))?;
        file.sync_all()?;
        fs::rename(&new, directory.join(format!("f{}", workload::file_of(round))))?;
        File::open(directory)?.sync_all()?;
        say(&format!("{name}.file"), &round.to_string());
        if workload::has_blocks(round) {
            for block in workload::blocks_of(round, blocks) {
                let bytes = buffer.get(workload::BLOCK);
                bytes.copy_from_slice(&workload::block_content(block, round));
                device.write_all_at(bytes, offset + block * workload::BLOCK as u64)?;
            }
            device.sync_data()?;
            say(&format!("{name}.blocks"), &round.to_string());
        }
    }
    Ok(format!("{rounds} rounds"))
}

/// `SERIAL`: does what the lines on a disk say, up to the first zero byte.
pub(crate) fn script(serial: &str) -> io::Result<String> {
    let mut bytes = fs::read(format!("/dev/{}", disk(serial)?))?;
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    let script = String::from_utf8(bytes).map_err(other)?;
    for line in script.lines() {
        // The kind and the first field: tables are long, and have a key.
        let key = line.split(';').next().unwrap_or_default();
        let result = crate::actions::perform(line);
        say(key, &result.unwrap_or_else(|error| format!("error {error}")));
    }
    Ok(format!("{} lines", script.lines().count()))
}

/// Makes a device of one target; `major:minor`.
fn create(name: &str, sectors: u64, target: &str, table: &str) -> io::Result<String> {
    let dm = DM::new().map_err(other)?;
    let name = DmName::new(name).map_err(other)?;
    let id = DevId::Name(name);
    dm.device_create(name, None, DmOptions::default()).map_err(other)?;
    let line = (0, sectors, target.to_owned(), table.to_owned());
    let loaded = dm.table_load(&id, &[line], DmOptions::default()).map_err(other);
    let resumed = loaded.and_then(|_| dm.device_suspend(&id, DmOptions::default()).map_err(other));
    if resumed.is_err() {
        let _gone = dm.device_remove(&id, DmOptions::default());
    }
    let number = resumed?.device();
    Ok(format!("{}:{}", number.major, number.minor))
}

fn below(name: &str) -> String {
    format!("{name}-integrity")
}

/// The path of a device-mapper device.
fn device(name: &str) -> io::Result<String> {
    let dm = DM::new().map_err(other)?;
    let id = DmName::new(name).map_err(other)?;
    let info = dm.device_info(&DevId::Name(id)).map_err(other)?;
    Ok(format!("/dev/dm-{}", info.device().minor))
}

/// Its size in bytes.
fn size(name: &str) -> io::Result<u64> {
    let device = device(name)?;
    let path = device.replace("/dev/", "/sys/block/") + "/size";
    Ok(number(fs::read_to_string(path)?.trim())? * 512)
}

/// The kernel's name of the disk with a serial number.
fn disk(serial: &str) -> io::Result<String> {
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let found = fs::read_to_string(entry.path().join("serial"));
        if found.is_ok_and(|found| found.trim() == serial) {
            return Ok(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Err(io::Error::new(ErrorKind::NotFound, "no disk with this serial number"))
}

fn direct(path: &str) -> io::Result<File> {
    let flags = i32::try_from(OFlags::DIRECT.bits()).map_err(other)?;
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

/// Memory for direct I/O.
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
}

impl Aligned {
    fn new(size: usize) -> Self {
        let bytes = vec![0; size + ALIGNMENT];
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { bytes, start }
    }

    fn get(&mut self, size: usize) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.start + size).unwrap_or_default()
    }
}

fn fields_of<const N: usize>(fields: &str) -> io::Result<[&str; N]> {
    let fields: Vec<&str> = fields.split(';').collect();
    fields.try_into().map_err(|_other| io::Error::new(ErrorKind::InvalidInput, "other fields"))
}

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(other)
}

fn other(error: impl std::error::Error) -> io::Error {
    // Device-mapper's errors name a failed ioctl, and have many lines.
    io::Error::other(error.to_string().replace('\n', " "))
}
