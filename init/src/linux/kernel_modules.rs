//! Loading modules: finit_module(2), several at once.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::thread;

use crate::platform::Module;

/// Loads modules that do not depend on each other. Each has a thread of its
/// own: most of the time a load only waits inside the kernel (for a grace
/// period of RCU), and those waits overlap even on one CPU.
pub(super) fn load(modules: &[Module<'_>]) -> Vec<io::Result<()>> {
    if let [module] = modules {
        return vec![load_one(module)];
    }
    thread::scope(|scope| {
        let started: Vec<_> = modules
            .iter()
            .map(|module| thread::Builder::new().spawn_scoped(scope, || load_one(module)))
            .collect();
        started
            .into_iter()
            .map(|thread| match thread?.join() {
                Ok(result) => result,
                Err(_panicked) => Err(io::Error::other("the loading thread panicked")),
            })
            .collect()
    })
}

fn load_one(module: &Module<'_>) -> io::Result<()> {
    let file = File::open(module.path)?;
    let parameters = CString::new(module.parameters.as_str())?;
    Ok(rustix::system::finit_module(&file, &parameters, 0)?)
}
