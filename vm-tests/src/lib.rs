//! Boots real kernels in QEMU and checks what happens.
//!
//! This is the harness; the tests are in `tests/vm`. They run what ships: the
//! static PID 1 and the `ravelin` command, which `cargo xtask test` builds and
//! names in environment variables ([`Environment`]).
//!
//! - [`Vm`] describes a virtual machine and starts it under TCG, so that the
//!   tests need no KVM and no SNP hardware;
//! - [`Launch`] starts one the way a user does, with `ravelin launch`;
//! - [`Running`] watches it, over QMP and the serial console, and ends it;
//! - [`Outcome`] says how it stopped (power-off, reset, time limit: QEMU's own
//!   word for it) and has the assertions;
//! - [`nbd`] serves disks that the test has under its control: faults, content that
//!   changes, power cuts;
//! - [`ethernet`] is a network that the test has under its control, with a DHCP
//!   server that may mean harm;
//! - [`evil`] is the suite of what a host can do, as data, against any init;
//! - `src/bin/guest-probe` is the init of small test roots: it prints what it
//!   sees from the inside.
//!
//! The host is the attacker of the threat model, so a test plays the host: it
//! changes a disk, a command line or a device, and checks that the guest
//! refuses by name. Harness errors panic with the reason: each is a failed test.
#![expect(
    clippy::panic,
    reason = "a harness: what goes wrong here is the failure of the test that called it"
)]

mod console;
mod digest;
mod environment;
pub mod ethernet;
pub mod evil;
mod launch;
pub mod nbd;
mod outcome;
mod qmp;
mod random;
mod running;
mod slot;
mod ssh;
mod vm;
mod work_dir;
pub mod workload;

pub use console::Console;
pub use digest::{sha256, sha256_of_file};
pub use environment::{Environment, Tool};
pub use launch::Launch;
pub use outcome::{Outcome, Stop};
pub use random::Random;
pub use running::Running;
pub use ssh::{Ssh, free_port};
pub use vm::{NO_TIMER_CHECK, Vm};
pub use work_dir::WorkDir;

/// Ends the test with the reason, where something must not fail.
trait OrFail<T> {
    fn or_fail(self, doing: impl std::fmt::Display) -> T;
}

impl<T, E: std::fmt::Display> OrFail<T> for Result<T, E> {
    #[track_caller]
    fn or_fail(self, doing: impl std::fmt::Display) -> T {
        match self {
            Ok(value) => value,
            Err(error) => panic!("{doing}: {error}"),
        }
    }
}

impl<T> OrFail<T> for Option<T> {
    #[track_caller]
    fn or_fail(self, doing: impl std::fmt::Display) -> T {
        match self {
            Some(value) => value,
            None => panic!("{doing}"),
        }
    }
}
