//! Loading modules: finit_module(2), several at once.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;

/// Loads modules that do not depend on each other. Each has a thread of its
/// own: most of the time a load only waits inside the kernel (for a grace
/// period of RCU), and those waits overlap even on one CPU.
pub(super) fn load(paths: &[&Path]) -> Vec<io::Result<()>> {
    if let [path] = paths {
        return vec![load_one(path)];
    }
    thread::scope(|scope| {
        let started: Vec<_> = paths
            .iter()
            .map(|path| thread::Builder::new().spawn_scoped(scope, || load_one(path)))
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

fn load_one(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    Ok(rustix::system::finit_module(&file, c"", 0)?)
}
