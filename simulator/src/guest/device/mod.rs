//! `/dev/sev-guest` as a CUSE device: as much of the protocol of `/dev/cuse` as
//! a device with ioctls alone needs.
//!
//! The kernel's side is `fs/fuse/cuse.c` and `fs/fuse/ioctl.c`; the messages
//! are in `include/uapi/linux/fuse.h`. The ioctls carry pointers to further
//! structures, so the device asks for unrestricted ioctls and names the memory
//! that it needs in a *retry*: first the argument, then what that points to.

mod ioctl;
mod message;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use self::ioctl::{Outcome, Window};
use self::message::{Fields, Request};
use crate::log;
use crate::port::Port;

const CUSE: &str = "/dev/cuse";
const NAME: &str = "sev-guest";
/// More than the longest request: an ioctl's input of at most some pages.
const BUFFER_BYTES: usize = 256 * 1024;

const FUSE_OPEN: u32 = 14;
const FUSE_RELEASE: u32 = 18;
const FUSE_INTERRUPT: u32 = 36;
const FUSE_IOCTL: u32 = 39;
const CUSE_INIT: u32 = 4096;

/// Version 7.31 of the protocol; the kernel takes any from 7.11 on.
const MAJOR: u32 = 7;
const MINOR: u32 = 31;
const CUSE_UNRESTRICTED_IOCTL: u32 = 1;
const FUSE_IOCTL_COMPAT: u32 = 1;
const FUSE_IOCTL_RETRY: u32 = 1 << 2;
const PAGE: u32 = 4096;

/// The device, made and ready to serve.
pub(crate) struct Device {
    cuse: File,
    port: Arc<Port>,
}

impl Device {
    /// Makes the device; `None` if the kernel has no CUSE.
    pub(crate) fn make(port: Arc<Port>) -> io::Result<Option<Self>> {
        if !Path::new(CUSE).exists() {
            return Ok(None);
        }
        let cuse = OpenOptions::new().read(true).write(true).open(CUSE)?;
        let mut device = Self { cuse, port };
        let mut buffer = vec![0; BUFFER_BYTES];
        let length = device.cuse.read(&mut buffer)?;
        let request = Request::parse(buffer.get(..length).unwrap_or_default());
        let Some(request) = request.filter(|request| request.opcode == CUSE_INIT) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "CUSE does not begin"));
        };
        let mut answer = Vec::new();
        // cuse_init_out: version, flags, sizes, device number (any), spare.
        let numbers = [MAJOR, MINOR, 0, CUSE_UNRESTRICTED_IOCTL, PAGE, PAGE, 0, 0];
        for number in numbers.into_iter().chain([0; 10]) {
            answer.extend(number.to_le_bytes());
        }
        answer.extend(b"DEVNAME=");
        answer.extend(NAME.as_bytes());
        answer.push(0);
        device.reply(request.unique, Ok(&answer))?;
        Ok(Some(device))
    }

    /// Serves until something fails, and logs what.
    pub(crate) fn serve(mut self) {
        let mut buffer = vec![0; BUFFER_BYTES];
        let error = loop {
            match self.cuse.read(&mut buffer) {
                Ok(length) => {
                    let served = self.request(buffer.get(..length).unwrap_or_default());
                    if let Err(error) = served {
                        // ENOENT: the asking process is gone.
                        if error.kind() != io::ErrorKind::NotFound {
                            break error;
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The request was taken back while it was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => break error,
            }
        };
        log::error(&format!("/dev/{NAME} is gone: {error}"));
    }

    fn request(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(request) = Request::parse(bytes) else { return Ok(()) };
        match request.opcode {
            // fuse_open_out: file handle, flags, padding.
            FUSE_OPEN => self.reply(request.unique, Ok(&[0; 16])),
            FUSE_RELEASE => self.reply(request.unique, Ok(&[])),
            // Nothing here takes long enough.
            FUSE_INTERRUPT => Ok(()),
            FUSE_IOCTL => {
                let answer = self.ioctl(request.body);
                self.reply(request.unique, answer.as_deref().map_err(|error| *error))
            }
            _ => self.reply(request.unique, Err(Errno::NOSYS)),
        }
    }

    fn ioctl(&self, body: &[u8]) -> Result<Vec<u8>, Errno> {
        // fuse_ioctl_in: file handle, flags, command, argument, both sizes.
        let mut fields = Fields(body);
        let _handle: u64 = fields.u64().ok_or(Errno::INVAL)?;
        let flags = fields.u32().ok_or(Errno::INVAL)?;
        let command = fields.u32().ok_or(Errno::INVAL)?;
        let argument = fields.u64().ok_or(Errno::INVAL)?;
        let (_input, room) = fields.u32().zip(fields.u32()).ok_or(Errno::INVAL)?;
        if flags & FUSE_IOCTL_COMPAT != 0 {
            return Err(Errno::NOTTY);
        }
        match ioctl::handle(command, argument, fields.0, room, &*self.port)? {
            Outcome::Retry { read, write } => Ok(retry(&read, &write)),
            Outcome::Done { result, written } => {
                let mut answer = Vec::new();
                answer.extend(result.to_le_bytes());
                answer.extend([0; 12]);
                answer.extend(written);
                Ok(answer)
            }
        }
    }

    /// fuse_out_header and what follows, in one write.
    fn reply(&mut self, unique: u64, answer: Result<&[u8], Errno>) -> io::Result<()> {
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(error) => (-error.raw_os_error(), &[][..]),
        };
        let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
        let mut message = Vec::with_capacity(16 + body.len());
        message.extend(length.to_le_bytes());
        message.extend(error.to_le_bytes());
        message.extend(unique.to_le_bytes());
        message.extend(body);
        self.cuse.write_all(&message)
    }
}

/// fuse_ioctl_out that asks for the same ioctl again, with this memory.
fn retry(read: &[Window], write: &[Window]) -> Vec<u8> {
    let count = |windows: &[Window]| u32::try_from(windows.len()).unwrap_or(0);
    let mut answer = Vec::new();
    answer.extend(0_i32.to_le_bytes());
    answer.extend(FUSE_IOCTL_RETRY.to_le_bytes());
    answer.extend(count(read).to_le_bytes());
    answer.extend(count(write).to_le_bytes());
    for window in read.iter().chain(write) {
        answer.extend(window.address.to_le_bytes());
        answer.extend((window.length as u64).to_le_bytes());
    }
    answer
}
