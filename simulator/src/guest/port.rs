//! The virtio-serial port to the signing side.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use simulator::names;
use simulator::wire::{Answer, Ask, Question};

/// How long the port may take to appear.
const APPEARANCE: Duration = Duration::from_secs(20);
const APPEARANCE_INTERVAL: Duration = Duration::from_millis(10);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// What answers questions.
pub(crate) trait Signer {
    /// Asks and waits for the answer.
    fn ask(&self, vmpl: u32, ask: Ask) -> io::Result<Answer>;
}

/// The port. One question at a time, whoever asks.
pub(crate) struct Port(Mutex<Open>);

struct Open {
    device: OwnedFd,
    number: u32,
}

impl Port {
    /// Waits for the port and opens it.
    pub(crate) fn open() -> io::Result<Self> {
        let deadline = Instant::now() + APPEARANCE;
        let path = loop {
            match find() {
                Some(path) => break path,
                None if Instant::now() < deadline => thread::sleep(APPEARANCE_INTERVAL),
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::NotFound,
                        format!("there is no virtio-serial port {}", names::PORT),
                    ));
                }
            }
        };
        let device = OpenOptions::new().read(true).write(true).open(path)?;
        rustix::fs::fcntl_setfl(&device, rustix::fs::OFlags::NONBLOCK)?;
        Ok(Self(Mutex::new(Open { device: device.into(), number: 0 })))
    }
}

impl Signer for Port {
    fn ask(&self, vmpl: u32, ask: Ask) -> io::Result<Answer> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.number = open.number.wrapping_add(1);
        let question = Question { number: open.number, vmpl, ask };
        let mut timed = Timed { device: &open.device, deadline: Instant::now() + ANSWER };
        timed.write_all(&question.encode())?;
        loop {
            let answer = Answer::read(&mut timed)?;
            // Another number is the late answer to a question given up.
            if answer.number == question.number {
                return Ok(answer);
            }
        }
    }
}

/// Reads and writes until a deadline.
struct Timed<'a> {
    device: &'a OwnedFd,
    deadline: Instant,
}

impl Timed<'_> {
    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(self.device, flags)];
        let ready = poll(&mut fds, Some(&timeout))?;
        let [fd] = &fds;
        if ready > 0 && !fd.revents().intersects(flags) {
            // Only POLLHUP or POLLERR: nobody is at the other end.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(self.device, &mut *buffer) {
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {
                    self.wait(PollFlags::IN)?;
                }
                other => return Ok(other?),
            }
        }
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(self.device, buffer) {
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {
                    self.wait(PollFlags::OUT)?;
                }
                other => return Ok(other?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The port's device node: there is no udev to make links by name.
fn find() -> Option<PathBuf> {
    for entry in fs::read_dir("/sys/class/virtio-ports").ok()?.flatten() {
        let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim_end() == names::PORT {
            return Some(PathBuf::from("/dev").join(entry.file_name()));
        }
    }
    None
}
