//! Events of the kernel's device tree, by netlink (NETLINK_KOBJECT_UEVENT).
//!
//! They only say "look again": what is there is read from sysfs.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

/// The multicast group of the kernel's own events (group 2 is udev's).
const KERNEL_GROUP: u32 = 1;

pub(super) fn open() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(KOBJECT_UEVENT),
    )?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
    Ok(socket)
}

/// Waits for an event of a block device; false if `until` came first.
pub(super) fn wait(socket: &OwnedFd, until: Instant) -> io::Result<bool> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(socket, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) if drain(socket)? => return Ok(true),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes all events that are there; true if one was of a block device.
fn drain(socket: &OwnedFd) -> io::Result<bool> {
    const BLOCK: &[u8] = b"SUBSYSTEM=block";
    let mut seen = false;
    // The kernel's buffer for one event has 2048 bytes.
    let mut event = [0; 4096];
    loop {
        match rustix::net::recv(socket, &mut event[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) => {
                let event = event.get(..length).unwrap_or_default();
                seen |= event.split(|byte| *byte == 0).any(|line| line == BLOCK);
            }
            Err(Errno::AGAIN) => return Ok(seen),
            // Events were lost: look again.
            Err(Errno::NOBUFS) => seen = true,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
