//! The devices that QEMU opens for reading and writing.

use std::io::ErrorKind;
use std::path::Path;

use super::{Check, Facts};

/// The check, the device, what to do if it is absent, and if it may not be opened.
const DEVICES: [(&str, &str, &str, &str); 2] = [
    (
        "dev-kvm",
        "/dev/kvm",
        "enable SVM in the set-up of the server's firmware, and modprobe kvm_amd",
        "add your user to the group kvm (usermod -a -G kvm USER) and log in anew",
    ),
    (
        "dev-sev",
        "/dev/sev",
        "modprobe ccp; if that fails, see `sev-snp`",
        "give the group kvm access by a udev rule: KERNEL==\"sev\", GROUP=\"kvm\", MODE=\"0660\"",
    ),
];

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    DEVICES.iter().map(|device| check(facts, *device)).collect()
}

fn check(facts: &Facts, (id, path, absent, forbidden): (&'static str, &str, &str, &str)) -> Check {
    let Some(access) = facts.view.access else {
        return match facts.view.exists(path) {
            Ok(true) => Check::unknown(
                id,
                format!("{path} is there; a recording does not tell who may use it"),
                forbidden,
            ),
            Ok(false) => Check::missing(id, format!("there is no {path}"), absent),
            Err(error) => Check::unknown(id, format!("{path}: {error}"), absent),
        };
    };
    match access(Path::new(path)) {
        Ok(()) => Check::ok(id, format!("{path} can be used")),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Check::missing(id, format!("{path} may not be used by this user"), forbidden)
        }
        Err(error) => Check::missing(id, format!("{path} cannot be opened: {error}"), absent),
    }
}
