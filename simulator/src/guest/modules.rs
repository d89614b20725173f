//! The modules that the emulation needs, from the simulator's own archive. PID 1
//! loads its own afterwards and finds some of them there already.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use protocol::load_order::{self, LoadOrder};
use simulator::names;

use crate::log;

/// Loads them all; what fails is logged, and shows when it is used.
pub(crate) fn load() {
    let bytes = match fs::read(names::LOAD_ORDER) {
        Ok(bytes) if bytes.len() <= load_order::MAX_BYTES => bytes,
        Ok(_) => return log::error("the list of modules is too long"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return log::error(&format!("the list of modules: {error}")),
    };
    let order = match LoadOrder::parse(&String::from_utf8_lossy(&bytes)) {
        Ok(order) => order,
        Err(error) => return log::error(&format!("the list of modules: {error}")),
    };
    for module in &order.modules {
        let path = format!("{}{}", names::GUEST_DIRECTORY, module.path);
        match finit_module(Path::new(&path)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => log::error(&format!("loading {path}: {error}")),
        }
    }
}

fn finit_module(path: &Path) -> io::Result<()> {
    Ok(rustix::system::finit_module(File::open(path)?, c"", 0)?)
}
