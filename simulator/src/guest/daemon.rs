//! The process that stays: it serves the kernel's interfaces.

use std::convert::Infallible;
use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;

use crate::device::Device;
use crate::log;
use crate::port::Port;
use crate::tsm;

/// Serves until the VM ends; says `ready` on the standard output once it does.
/// Returns why it stopped.
pub(crate) fn run(ready: &str) -> io::Error {
    match serve(ready) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn serve(ready: &str) -> io::Result<Infallible> {
    // A session of its own: no terminal's signals.
    let _leads_one_already = rustix::process::setsid();
    // Whoever runs out of memory in the guest, the processor does not go away.
    let _less_robust = fs::write("/proc/self/oom_score_adj", "-1000");
    let port = Arc::new(Port::open()?);
    let session = tsm::mount(Arc::clone(&port))?;
    match Device::make(port)? {
        Some(device) => {
            thread::Builder::new().spawn(move || device.serve())?;
            log::info("serving /sys/kernel/config/tsm/report and /dev/sev-guest");
        }
        None => log::info("serving /sys/kernel/config/tsm/report; the kernel has no CUSE"),
    }
    let mut output = io::stdout();
    writeln!(output, "{ready}")?;
    output.flush()?;
    session.run()?;
    Err(io::Error::other("the file system was unmounted"))
}
