//! The sockets that the network side listens on. PID 1 makes them, so that the
//! network side needs no right to make any.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, VsockAddr};
use rustix::io::Errno;
use rustix::net::{AddressFamily as Family, SocketFlags, SocketType};

/// Connections that the kernel keeps ready.
const BACKLOG: i32 = 128;

/// TCP on `port` of all addresses: IPv6 and IPv4 by one socket, or IPv4 alone
/// in a kernel without IPv6.
///
/// # Errors
/// From the system.
pub(crate) fn tcp(port: u16) -> io::Result<OwnedFd> {
    match tcp_on(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {
            Ok(tcp_on(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?)
        }
        other => Ok(other?),
    }
}

/// TCP on one address.
pub(super) fn tcp_on(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv6() { Family::INET6 } else { Family::INET };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Vsock on `port`; `None` in a VM without it.
///
/// # Errors
/// From the system.
pub(crate) fn vsock(port: u16) -> io::Result<Option<OwnedFd>> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = match nix::sys::socket::socket(AddressFamily::Vsock, SockType::Stream, flags, None)
    {
        Ok(socket) => socket,
        Err(nix::Error::EAFNOSUPPORT | nix::Error::ENODEV) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let any = VsockAddr::new(nix::libc::VMADDR_CID_ANY, u32::from(port));
    match nix::sys::socket::bind(socket.as_raw_fd(), &any) {
        Err(nix::Error::EADDRNOTAVAIL | nix::Error::ENODEV) => return Ok(None),
        other => other?,
    }
    nix::sys::socket::listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(Some(socket))
}
