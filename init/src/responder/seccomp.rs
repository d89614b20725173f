//! The system calls that are left to the two processes. Anything else ends the
//! process, and with it the other one.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::Role;

/// What both need: messages, memory, time, the end.
const BOTH: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_recvfrom,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigreturn,
    libc::SYS_sendto,
    libc::SYS_sigaltstack,
];

/// The network side: connections. It cannot open, make or reach anything.
const NETWORK: &[i64] = &[libc::SYS_accept4, libc::SYS_shutdown];

/// The reporter: questions below configfs-tsm's directory, `/dev/sev-guest`'s
/// ioctl, waiting for a busy source, a line in the kernel's log. No sockets.
const REPORTER: &[i64] = &[
    libc::SYS_clock_nanosleep,
    libc::SYS_fstat,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_ioctl,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_write,
];

/// The filter of a role.
///
/// # Errors
/// If the filter cannot be expressed.
pub(super) fn filter(role: Role) -> Result<BpfProgram, seccompiler::Error> {
    let own = match role {
        Role::Network => NETWORK,
        Role::Reporter => REPORTER,
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        BOTH.iter().chain(own).map(|call| (*call, Vec::new())).collect();
    // Memory, but never code.
    let exec = u64::from(libc::PROT_EXEC.unsigned_abs());
    rules.insert(libc::SYS_mmap, only(2, SeccompCmpOp::MaskedEq(exec), 0)?);
    rules.insert(libc::SYS_mprotect, only(2, SeccompCmpOp::MaskedEq(exec), 0)?);
    // The standard library looks whether a descriptor is open before it closes
    // it, in builds with debug assertions.
    let get = u64::from(libc::F_GETFD.unsigned_abs());
    rules.insert(libc::SYS_fcntl, only(1, SeccompCmpOp::Eq, get)?);
    let arch = std::env::consts::ARCH.try_into().map_err(seccompiler::Error::Backend)?;
    let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch);
    filter.and_then(TryInto::try_into).map_err(seccompiler::Error::Backend)
}

/// A call is allowed if its argument number `index` compares with `value`.
fn only(
    index: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<Vec<SeccompRule>, seccompiler::Error> {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value);
    let rule = condition.and_then(|condition| SeccompRule::new(vec![condition]));
    Ok(vec![rule.map_err(seccompiler::Error::Backend)?])
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use nix::sys::signal::Signal;

    use super::*;

    /// Says to the process below which role it has and what it tries.
    const TRY: &str = "RAVELIN_TEST_SECCOMP";

    /// Not a test of its own: confines itself and tries what it was told.
    #[test]
    #[ignore = "started by the test below"]
    fn tries() {
        let told = std::env::var(TRY).unwrap();
        let (role, what) = told.split_once(' ').unwrap();
        let role = Role::from_name(role.as_ref()).unwrap();
        seccompiler::apply_filter(&filter(role).unwrap()).unwrap();
        match what {
            "open" => drop(rustix::fs::openat(
                rustix::fs::CWD,
                "/",
                rustix::fs::OFlags::PATH,
                rustix::fs::Mode::empty(),
            )),
            "socket" => drop(rustix::net::socket(
                rustix::net::AddressFamily::INET,
                rustix::net::SocketType::STREAM,
                None,
            )),
            "accept" => drop(rustix::net::accept_with(
                rustix::stdio::stdin(),
                rustix::net::SocketFlags::CLOEXEC,
            )),
            "chdir" => drop(rustix::process::chdir("/")),
            "kill" => drop(rustix::process::test_kill_process(rustix::process::getpid())),
            "nothing" => {}
            other => panic!("{other}"),
        }
        // Not the harness's own end, which needs more than a role has.
        std::process::exit(42);
    }

    fn outcome(role: Role, what: &str) -> (Option<i32>, Option<i32>) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--ignored", "responder::seccomp::tests::tries"]);
        let status = command.env(TRY, format!("{} {what}", role.name())).output().unwrap().status;
        (status.code(), status.signal())
    }

    #[test]
    fn what_is_not_listed_ends_the_process() {
        let killed = (None, Some(Signal::SIGSYS as i32));
        let lives = (Some(42), None);
        let table = [
            (Role::Network, "nothing", lives),
            (Role::Network, "accept", lives),
            (Role::Network, "open", killed),
            (Role::Network, "socket", killed),
            (Role::Network, "chdir", killed),
            (Role::Network, "kill", killed),
            (Role::Reporter, "nothing", lives),
            (Role::Reporter, "open", lives),
            (Role::Reporter, "accept", killed),
            (Role::Reporter, "socket", killed),
            (Role::Reporter, "chdir", killed),
            (Role::Reporter, "kill", killed),
        ];
        for (role, what, expected) in table {
            assert_eq!(outcome(role, what), expected, "{role:?} tries {what}");
        }
    }
}
