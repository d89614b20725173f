//! Kernel modules, in the builder's order.
//!
//! Dependencies were solved when the image was built; here each wave of the
//! load order is given to the kernel at once, because most of the time goes
//! into waiting inside it. Parameters on the measured command line
//! (`MODULE.NAME=VALUE`) are passed on, as modprobe would.

use std::io;
use std::path::Path;

use protocol::cmdline::CommandLine;
use protocol::layout;
use protocol::load_order::{self, LoadOrder};
use protocol::receipt::{Event, Receipt, short};
use sha2::{Digest as _, Sha256};

use crate::boot::log;
use crate::failure::{self, Failure};
use crate::platform::{Level, Module, Platform};

/// Loads all modules; returns what the log says of it.
///
/// # Errors
/// If the order is refused, belongs to another kernel, or the kernel refuses a
/// required module. A module that is there already is no error.
pub fn load(
    platform: &impl Platform,
    cmdline: &CommandLine,
    receipt: &mut Receipt,
) -> Result<String, Failure> {
    let path = Path::new(layout::LOAD_ORDER);
    let text = match platform.read(path, load_order::MAX_BYTES) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_not_utf8| {
            failure::path("reading", path)(io::ErrorKind::InvalidData.into())
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok("none in the initramfs".to_owned());
        }
        Err(error) => return Err(failure::path("reading", path)(error)),
    };
    let order = LoadOrder::parse(&text).map_err(Failure::LoadOrder)?;
    check_kernel(platform, &order)?;
    receipt.push(&Event::Modules {
        kernel: order.kernel.clone(),
        count: order.modules.len().to_string(),
        order: hex::encode(Sha256::digest(&text)),
    });

    let mut waves = 0;
    for wave in order.waves() {
        waves += 1;
        let modules: Vec<Module<'_>> =
            wave.iter().map(|module| with_parameters(&module.path, cmdline)).collect();
        for (module, result) in wave.iter().zip(platform.load_modules(&modules)) {
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if !module.required => {
                    receipt.push(&Event::Refused { path: short(&module.path) });
                    log(
                        platform,
                        Level::Info,
                        &format!("modules: {} (optional): {error}", module.path),
                    );
                }
                Err(source) => {
                    return Err(Failure::Module { path: module.path.clone().into(), source });
                }
            }
        }
    }
    Ok(format!("{} in {waves} waves", order.modules.len()))
}

fn with_parameters<'a>(path: &'a str, cmdline: &CommandLine) -> Module<'a> {
    let path = Path::new(path);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Module { path, parameters: cmdline.module_parameters(&name) }
}

fn check_kernel(platform: &impl Platform, order: &LoadOrder) -> Result<(), Failure> {
    let path = Path::new("/proc/sys/kernel/osrelease");
    let release = platform.read(path, 256).map_err(failure::path("reading", path))?;
    let running = String::from_utf8_lossy(&release).trim_end().to_owned();
    if running == order.kernel {
        return Ok(());
    }
    Err(Failure::OtherKernel { modules: order.kernel.clone(), running })
}
