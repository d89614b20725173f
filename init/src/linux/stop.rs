//! The end of a boot that failed.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use protocol::config::OnFailure;
use protocol::text::printable;
use rustix::system::RebootCommand;

use super::log;
use crate::codes;
use crate::failure::{self, Step};
use crate::platform::Level;

/// Where the boot is, for a panic: the step's and the action's number.
static STEP: AtomicU8 = AtomicU8::new(0);
static ACTION: AtomicU8 = AtomicU8::new(0);

const ACTIONS: [OnFailure; 3] = [OnFailure::PowerOff, OnFailure::Reboot, OnFailure::Halt];

/// Notes where the boot is.
pub(super) fn note(step: Step, on_failure: OnFailure) {
    let number = |index: Option<usize>| index.and_then(|i| u8::try_from(i).ok()).unwrap_or(0);
    STEP.store(number(Step::ALL.iter().position(|s| *s == step)), Ordering::Relaxed);
    ACTION.store(number(ACTIONS.iter().position(|a| *a == on_failure)), Ordering::Relaxed);
}

/// Makes a panic end like any other failure. A bug it is all the same.
pub(super) fn on_panic() {
    std::panic::set_hook(Box::new(|info| {
        let step =
            Step::ALL.get(usize::from(STEP.load(Ordering::Relaxed))).unwrap_or(&Step::Mounts);
        let how = ACTIONS.get(usize::from(ACTION.load(Ordering::Relaxed))).copied();
        let how = how.unwrap_or(OnFailure::PowerOff);
        let kmsg = std::cell::OnceCell::new();
        for line in failure::block(*step, &codes::PANIC, &[cause(info)], how) {
            log::line(&kmsg, Level::Error, &line);
        }
        stop(how);
    }));
}

fn cause(info: &PanicHookInfo<'_>) -> String {
    let what = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map_or(String::new(), |place| format!(" at {place}"));
    printable(&format!("{what}{place}"))
}

/// The same once `grace` is over, for a PID 1 that a disk may keep in the kernel.
pub(super) fn stop_after(grace: Duration, how: OnFailure) {
    // Without a thread PID 1 stops the machine itself, if its disks let it.
    let _no_thread = thread::Builder::new().spawn(move || {
        thread::sleep(grace);
        stop(how);
    });
}

/// Stops the machine. If the kernel refuses, PID 1 ends, which is a kernel
/// panic: in no case does the boot go on.
pub(super) fn stop(how: OnFailure) {
    let command = match how {
        OnFailure::PowerOff => RebootCommand::PowerOff,
        OnFailure::Reboot => RebootCommand::Restart,
        OnFailure::Halt => RebootCommand::Halt,
    };
    let _refused = rustix::system::reboot(command);
    std::process::abort();
}
