//! A small client, and QEMU's own.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::Random;

const EIO: u32 = 5;
const EINVAL: u32 = 22;
const SIZE: usize = 1 << 20;

/// A file of 1 MiB whose bytes are their sector's number.
fn base() -> (tempfile::TempDir, Image) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("base");
    fs::write(&path, content()).unwrap();
    let image = Image::open(&path);
    (directory, image)
}

fn content() -> Vec<u8> {
    (0..SIZE).map(|byte| u8::try_from(byte / SECTOR % 251).unwrap()).collect()
}

struct Client(UnixStream);

impl Client {
    fn connect(server: &Server) -> Self {
        let mut stream = UnixStream::connect(server.socket()).unwrap();
        let mut hello = [0; 18];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(&hello[..16], b"NBDMAGICIHAVEOPT");
        stream.write_all(&3_u32.to_be_bytes()).unwrap();
        Self(stream)
    }

    fn option(&mut self, option: u32, data: &[u8]) {
        let length = u32::try_from(data.len()).unwrap();
        let header = [b"IHAVEOPT".as_slice(), &option.to_be_bytes(), &length.to_be_bytes(), data];
        self.0.write_all(&header.concat()).unwrap();
    }

    fn option_reply(&mut self) -> (u32, Vec<u8>) {
        let header: [u8; 20] = self.bytes();
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let mut content = vec![0; usize::try_from(number(16)).unwrap()];
        self.0.read_exact(&mut content).unwrap();
        (number(12), content)
    }

    /// By the option that every client has.
    fn go(server: &Server) -> Self {
        let mut client = Self::connect(server);
        client.option(1, b"");
        let export: [u8; 10] = client.bytes();
        assert_eq!(export[..8], (SIZE as u64).to_be_bytes());
        client
    }

    fn send(&mut self, flags: u16, command: u16, offset: u64, length: u32, data: &[u8]) {
        let parts = [
            &0x2560_9513_u32.to_be_bytes()[..],
            &flags.to_be_bytes(),
            &command.to_be_bytes(),
            &7_u64.to_be_bytes(),
            &offset.to_be_bytes(),
            &length.to_be_bytes(),
            data,
        ];
        self.0.write_all(&parts.concat()).unwrap();
    }

    /// `None` if the server has ended the connection.
    fn error(&mut self) -> Option<u32> {
        let mut reply = [0; 16];
        self.0.read_exact(&mut reply).ok()?;
        assert_eq!(reply[..4], 0x6744_6698_u32.to_be_bytes());
        assert_eq!(reply[8..], 7_u64.to_be_bytes());
        Some(u32::from_be_bytes(reply[4..8].try_into().unwrap()))
    }

    fn read(&mut self, offset: u64, bytes: usize) -> Result<Vec<u8>, Option<u32>> {
        self.send(0, 0, offset, u32::try_from(bytes).unwrap(), &[]);
        match self.error() {
            Some(0) => {
                let mut data = vec![0; bytes];
                self.0.read_exact(&mut data).unwrap();
                Ok(data)
            }
            error => Err(error),
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Option<u32> {
        self.send(0, 1, offset, u32::try_from(data.len()).unwrap(), data);
        self.error()
    }

    fn flush(&mut self) -> Option<u32> {
        self.send(0, 3, 0, 0, &[]);
        self.error()
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }
}

#[test]
fn options_are_answered() {
    let (_directory, image) = base();
    let server = Server::start(image);
    let mut client = Client::connect(&server);
    // Structured replies, which there are not.
    client.option(8, &[]);
    assert_eq!(client.option_reply(), (1 << 31 | 1, Vec::new()));
    for option in [6, 7] {
        client.option(option, &[0, 0, 0, 4, b'n', b'a', b'm', b'e', 0, 0]);
        let (kind, export) = client.option_reply();
        assert_eq!((kind, export.len()), (3, 12));
        assert_eq!(export[2..10], (SIZE as u64).to_be_bytes());
        assert_eq!(client.option_reply().1.len(), 14);
        assert_eq!(client.option_reply(), (1, Vec::new()));
    }
    assert_eq!(client.read(512, 512).unwrap(), [1; 512]);
    // Leaves.
    client.send(0, 2, 0, 0, &[]);
    assert_eq!(client.0.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_is_written_is_read_and_the_file_stays() {
    let (directory, image) = base();
    let server = Server::start(image);
    let mut client = Client::go(&server);
    assert_eq!(client.write(1024, &[0xaa; 1024]), Some(0));
    let mut expected = content();
    expected[1024..2048].fill(0xaa);
    assert!(client.read(0, SIZE).unwrap() == expected);
    // A second client sees the same disk.
    assert_eq!(Client::go(&server).read(1024, 512).unwrap(), [0xaa; 512]);
    assert!(fs::read(directory.path().join("base")).unwrap() == content());
    for (offset, bytes) in [(1, 512), (0, 100), (SIZE as u64, 512), (u64::MAX - 511, 512)] {
        assert_eq!(client.read(offset, bytes), Err(Some(EINVAL)), "{offset}");
    }
    client.send(0, 9, 0, 0, &[]);
    assert_eq!(client.error(), Some(EINVAL));
    // No magic.
    client.0.write_all(&[0; 28]).unwrap();
    assert_eq!(client.error(), None);
}

#[test]
fn images_are_copied_resized_and_saved() {
    let (directory, image) = base();
    image.poke(1000, &[9; 100]);
    image.flip(5, 0x80);
    let copy = image.clone();
    copy.poke(0, &[7; 8]);
    assert_eq!(image.peek(4, 3), [0, 0x80, 0]);
    assert_eq!(copy.peek(999, 3), [1, 9, 9]);
    let longer = copy.resized(SIZE as u64 + 10);
    assert_eq!(longer.size(), SIZE as u64 + 512);
    let path = directory.path().join("saved");
    longer.save(&path);
    let mut expected = content();
    expected[..8].fill(7);
    expected[1000..1100].fill(9);
    expected.resize(SIZE + 512, 0);
    assert!(fs::read(path).unwrap() == expected);
    assert_eq!(image.resized(1024).read(&mut [0; 1024], 512), Err(Trouble::Error));
}

#[test]
fn a_cut_takes_what_was_not_flushed() {
    let (_directory, image) = base();
    let disk = Arc::new(PowerCut::new(image));
    let server = Server::start(Arc::clone(&disk));
    let mut client = Client::go(&server);
    assert_eq!(client.write(0, &[0xaa; 4096]), Some(0));
    assert_eq!(client.flush(), Some(0));
    assert_eq!(client.write(0, &[0xbb; 512]), Some(0));
    assert_eq!(client.write(4096, &[0xcc; 4096]), Some(0));
    assert_eq!(client.read(0, 1024).unwrap()[511..513], [0xbb, 0xaa]);
    assert_eq!((disk.flushes(), disk.unflushed_sectors()), (1, 9));
    // With FUA a write is flushed, and with it all before it.
    client.send(1, 1, 8192, 512, &[0xdd; 512]);
    assert_eq!(client.error(), Some(0));
    assert_eq!((disk.flushes(), disk.unflushed_sectors()), (2, 0));
    assert_eq!(client.write(0, &[0xee; 512 * 100]), Some(0));

    let mut random = Random::new(1);
    let first = |survival, random: &mut Random| disk.after_cut(survival, random).peek(0, 51200);
    assert_eq!(first(Survival::Nothing, &mut random)[..512], [0xbb; 512]);
    assert_eq!(first(Survival::Everything, &mut random), [0xee; 51200]);
    let new = |bytes: &[u8]| bytes.as_chunks::<512>().0.iter().map(|s| *s == [0xee; 512]).collect();
    let some: Vec<bool> = new(&first(Survival::Sectors(128), &mut random));
    let survived = some.iter().filter(|new| **new).count();
    assert!((20..80).contains(&survived), "{survived}");
    let beginning: Vec<bool> = new(&first(Survival::Beginning, &mut random));
    assert!(beginning.is_sorted_by(|a, b| a >= b), "{beginning:?}");
    // The same seed, the same cut.
    let cut = |seed| first(Survival::Sectors(128), &mut Random::new(seed));
    assert!(cut(5) == cut(5) && cut(5) != cut(6));

    // Until here nothing was cut for the client.
    assert_eq!(client.flush(), Some(0));
    assert_eq!(client.write(0, &[0xff; 512]), Some(0));
    let image = disk.cut(Survival::Nothing, &mut random);
    assert_eq!(image.peek(0, 512), [0xee; 512]);
    assert_eq!(client.read(0, 512), Err(None));
    assert_eq!(Client::go(&server).flush(), None);
}

#[test]
fn a_cut_comes_with_the_write_that_it_waits_for() {
    let (_directory, image) = base();
    let disk = Arc::new(PowerCut::new(image));
    let server = Server::start(Arc::clone(&disk));
    let mut client = Client::go(&server);
    let mut random = Random::new(1);
    disk.arm(2, Survival::Everything, &mut random, false);
    assert_eq!(client.write(0, &[1; 512]), Some(0));
    assert!(disk.taken().is_none());
    assert_eq!(client.write(512, &[2; 1024]), Some(0));
    assert_eq!(client.write(512, &[3; 512]), Some(0));
    let taken = disk.taken().unwrap();
    assert_eq!((taken.unflushed, taken.image.peek(511, 2)), (3, vec![1, 2]));
    disk.arm(1, Survival::Nothing, &mut random, true);
    assert_eq!(client.write(0, &[4; 512]), None);
    assert_eq!(disk.taken().unwrap().image.peek(0, 512), [0; 512]);
}

#[test]
fn a_disk_lies_when_it_is_told_to() {
    let (_directory, image) = base();
    let rules = [
        Rule::at_reads(1000..1001, Fault::Flip(1)),
        Rule::at_reads(2048..2052, Fault::Content(vec![9; 4])).after(1).times(1),
        Rule::at_reads(4096..4608, Fault::Error).after(2),
        Rule::at_writes(8192..8193, Fault::Flip(0x80)),
        Rule::at_writes(8704..8705, Fault::Nothing),
        Rule::at_reads(9216..9217, Fault::Delay(Duration::from_millis(50))),
        Rule::at_writes(9728..9729, Fault::Gone),
    ];
    let disk = Arc::new(Tampered::new(image, rules));
    let server = Server::start(Arc::clone(&disk));
    let mut client = Client::go(&server);
    let read = client.read(512, 1024).unwrap();
    assert_eq!(read[487..490], [1, 0, 1]);
    let reads: Vec<u8> = (0..3).map(|_| client.read(2048, 512).unwrap()[3]).collect();
    assert_eq!(reads, [4, 9, 4], "another content at the second read only");
    let read = |client: &mut Client| client.read(4096, 512).err();
    assert_eq!([(); 4].map(|()| read(&mut client)), [None, None, Some(Some(EIO)), Some(Some(EIO))]);
    assert_eq!(client.write(8192, &[1; 1024]), Some(0));
    assert_eq!(client.read(8192, 1024).unwrap(), content()[8192..9216], "dropped as a whole");
    assert_eq!(client.write(8192, &[1; 512]), Some(0));
    assert_eq!(client.read(8192, 512).unwrap()[..2], [0x81, 1]);
    let start = Instant::now();
    assert_eq!(client.read(9216, 512).unwrap(), [18; 512]);
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!(client.write(9728, &[1; 512]), None);
    assert_eq!(disk.met(), [1, 3, 4, 2, 1, 1, 1]);
}

#[test]
fn what_must_not_be_written_is_found() {
    let (_directory, image) = base();
    let disk = Recorder::new(image).marker(*b"in the clear").marker(*b"never written");
    let disk = Arc::new(disk);
    let server = Server::start(Arc::clone(&disk));
    let mut client = Client::go(&server);
    let mut sector = [0; 512];
    sector[506..].copy_from_slice(b"in the");
    assert_eq!(client.write(512, &sector), Some(0));
    assert_eq!(disk.markers_written(), [] as [usize; 0]);
    sector[..6].copy_from_slice(b" clear");
    assert_eq!(client.write(1024, &sector), Some(0));
    assert_eq!(disk.markers_written(), [0], "in two writes");
    client.read(0, 512).unwrap();
    assert_eq!(client.flush(), Some(0));
    let write = |offset| Access::Write { offset, bytes: 512 };
    let read = Access::Read { offset: 0, bytes: 512 };
    assert_eq!(disk.log(), [write(512), write(1024), read, Access::Flush]);
    assert!(disk.has_read(&(511..513)) && !disk.has_read(&(512..513)));
    assert_eq!(disk.written(), 1024);
}

/// QEMU's client, which has the same code as the machines' disks.
#[test]
fn qemu_reads_and_writes() {
    let (_directory, image) = base();
    let disk = Arc::new(PowerCut::new(image));
    let server = Server::start(Arc::clone(&disk));
    let url = format!("nbd+unix:///?socket={}", server.socket().display());
    let mut qemu_io = Command::new("qemu-io");
    qemu_io.args(["-f", "raw", "-c", "read -P 2 1024 512", "-c", "write -P 0xab 4096 8192"]);
    qemu_io.args(["-c", "flush", "-c", "write -P 0xcd 65536 512", "-c", "read -P 0xab 8192 4096"]);
    let output = match qemu_io.arg(&url).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: qemu-io cannot be started: {error}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !said.contains("failed"), "{output:?}");
    assert!(disk.flushes() > 0);
    assert_eq!(disk.image().peek(4095, 2), [7, 0xab]);
    assert_eq!(disk.image().peek(65536, 512), [0xcd; 512]);
}
