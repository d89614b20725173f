//! What the two processes give up before they hear a stranger's byte: paths,
//! identity, capabilities, resources, and at last almost all system calls.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};

use super::{Role, RoleError, seccomp};

/// User and group of the network side. Nobody else's: above what distributions
/// and systemd give out (systemd's `UIDS.md`: 61184 to 65519 are its dynamic
/// users, 524288 and above containers'; 65536 to 524287 are unused).
pub(super) const NETWORK_ID: u32 = 65_537;

/// Address space, in bytes: the program, its stack and its fixed buffers.
const MEMORY: u64 = 128 << 20;

/// Gives up all that `role` does not need. `empty` becomes the root.
pub(super) fn confine(role: Role, empty: OwnedFd) -> Result<(), RoleError> {
    // Killing a few fixed buffers helps no machine that is out of memory. Not
    // having this harms nothing.
    let _optional = std::fs::write("/proc/self/oom_score_adj", "-500");
    limit(role).map_err(failed("setting resource limits"))?;
    leave_file_system(empty).map_err(failed("entering the empty root"))?;
    give_up_privileges(role).map_err(failed("giving up privileges"))?;
    check(role)?;
    let filter = seccomp::filter(role)?;
    Ok(seccompiler::apply_filter(&filter)?)
}

fn limit(role: Role) -> io::Result<()> {
    let (files, processes) = match role {
        Role::Network => (super::network::TABLE as u64 + 16, Some(0)),
        // A limit on root's processes would count all of root's.
        Role::Reporter => (16, None),
    };
    let limits = [
        (Resource::Core, Some(0)),
        (Resource::As, Some(MEMORY)),
        (Resource::Nofile, Some(files)),
        (Resource::Nproc, processes),
    ];
    for (resource, limit) in limits {
        if limit.is_some() {
            rustix::process::setrlimit(resource, Rlimit { current: limit, maximum: limit })?;
        }
    }
    Ok(())
}

fn leave_file_system(empty: OwnedFd) -> io::Result<()> {
    rustix::process::fchdir(&empty)?;
    rustix::process::chroot(".")?;
    rustix::process::chdir("/")?;
    Ok(())
}

/// The reporter stays root, whose files configfs has, but without capabilities.
/// Both are single threads, so that the calls are for the whole process.
fn give_up_privileges(role: Role) -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::clear_ambient_capability_set()?;
    for bit in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::remove_capability_from_bounding_set(one) {
            // Past the kernel's last one.
            Err(rustix::io::Errno::INVAL) => break,
            other => other?,
        }
    }
    rustix::thread::set_thread_groups(&[])?;
    if role == Role::Network {
        let (user, group) = (Uid::from_raw(NETWORK_ID), Gid::from_raw(NETWORK_ID));
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)?;
    }
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, none)?;
    rustix::thread::set_no_new_privs(true)?;
    // A change of user makes a process dumpable as `fs.suid_dumpable` says.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// What was given up is gone.
fn check(role: Role) -> Result<(), RoleError> {
    let held = rustix::thread::capabilities(None).map_err(failed("reading capabilities"))?;
    let any = held.effective | held.permitted | held.inheritable;
    let user = rustix::process::getuid().as_raw();
    let expected = if role == Role::Network { NETWORK_ID } else { 0 };
    if !any.is_empty() || user != expected {
        return Err(RoleError::StillPrivileged);
    }
    Ok(())
}

/// Names the step that a system call failed in.
pub(super) fn failed<E: Into<io::Error>>(action: &'static str) -> impl Fn(E) -> RoleError {
    move |source| RoleError::System { action, source: source.into() }
}
