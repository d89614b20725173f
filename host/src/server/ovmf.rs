//! The guest's firmware: an OVMF that checks kernel, initramfs and command line
//! against hashes in the measurement.

use std::path::Path;

use super::{Check, Facts};
use crate::measure;
use crate::terminal::causes;

/// Where distributions put it.
const PLACES: [&str; 4] = [
    "/usr/share/ovmf/OVMF.amdsev.fd",
    "/usr/share/edk2/ovmf/OVMF.amdsev.fd",
    "/usr/share/OVMF/OVMF.amdsev.fd",
    "/usr/share/qemu/ovmf-x86_64-sev.bin",
];

const REMEDY: &str = "use an OVMF built from OvmfPkg/AmdSev (Debian 14: ovmf-amdsev; Fedora: \
                      edk2-ovmf), named as `firmware` in the VM description";

pub(super) fn check(facts: &Facts) -> Check {
    const ID: &str = "ovmf";
    if let Some(path) = facts.wanted.firmware {
        return match examine(path) {
            Ok(()) => Check::ok(ID, format!("{} measures the kernel", path.display())),
            Err(why) => Check::missing(ID, why, REMEDY),
        };
    }
    let usable = PLACES.iter().find(|place| examine(&facts.view.path(place)).is_ok());
    match usable {
        Some(place) => Check::ok(ID, format!("{place} measures the kernel")),
        None => Check::missing(ID, "none that measures the kernel in the usual places", REMEDY),
    }
}

fn examine(path: &Path) -> Result<(), String> {
    let firmware = measure::firmware(path).map_err(|error| causes(&error))?;
    if firmware.value.measures_kernel() {
        Ok(())
    } else {
        Err(format!("{} has no SEV hash table: it would measure no kernel", path.display()))
    }
}
