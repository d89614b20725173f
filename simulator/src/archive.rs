//! The second archive of the initramfs.
//!
//! It is put behind the production initramfs, at a multiple of 4 bytes because
//! the kernel looks for a cpio header only there; up to three zeros lie between.
//! So that both can be told apart again to the byte, the archive records how
//! long the production initramfs is.

use std::path::Path;

use image_builder::initramfs::{Archive, ArchiveError, ExecutableError, check_static_executable};
use image_builder::modules::{ModuleError, ModuleTree, Request};

use crate::names;

/// The guest's program, when it was built into this one (`RAVELIN_SIM_GUEST` at
/// build time; `cargo xtask build` does it).
pub const GUEST: Option<&[u8]> = include!(concat!(env!("OUT_DIR"), "/embedded_guest.rs"));

/// What the guest side cannot do without, where it is no part of the kernel.
const REQUIRED: [&str; 4] = ["configfs", "tsm", "fuse", "virtio_console"];
/// What it uses where the kernel has it.
const OPTIONAL: [&str; 2] = ["cuse", "virtio_pci"];
const LENGTH_FILE: &str = "/ravelin-sim.d/production-length";
const ALIGNMENT: u64 = 4;

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulatorArchiveError {
    /// The guest's program would not start.
    #[error("the guest's program of the simulator")]
    Guest(#[from] ExecutableError),
    /// A module is missing.
    #[error(transparent)]
    Modules(#[from] ModuleError),
    /// An entry cannot be in an archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Why an initramfs is not one that the simulator serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the initramfs does not end in exactly this simulator's archive")]
pub struct NotOurs;

/// The content of the simulator's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    archive: Archive,
}

impl Overlay {
    /// With this guest program and the modules that it needs of `modules`, a
    /// kernel's `lib/modules/VERSION`; without it the kernel must have them
    /// built in.
    ///
    /// # Errors
    /// [`SimulatorArchiveError`].
    pub fn new(guest: &[u8], modules: Option<&Path>) -> Result<Self, SimulatorArchiveError> {
        check_static_executable(guest)?;
        let mut archive = Archive::new();
        archive.file(names::GUEST_PROGRAM, 0o755, guest.to_vec())?;
        if let Some(modules) = modules {
            let required = REQUIRED.map(Request::required);
            let optional = OPTIONAL.map(Request::optional);
            let requests: Vec<Request> = required
                .into_iter()
                .chain(optional)
                .map(|request| request.wanted_by("the simulator"))
                .collect();
            let closure = ModuleTree::open(modules)?.closure(&requests)?;
            for module in closure.files {
                let path = format!("{}{}", names::GUEST_DIRECTORY, module.path);
                archive.file(&path, 0o644, module.content)?;
            }
            archive.file(names::LOAD_ORDER, 0o644, closure.order.to_string().into_bytes())?;
        }
        Ok(Self { archive })
    }

    /// What is put behind a production initramfs of this many bytes.
    ///
    /// # Errors
    /// If an entry of that name is there, which is not.
    pub fn behind(&self, production: u64) -> Result<Vec<u8>, ArchiveError> {
        let padding = production.next_multiple_of(ALIGNMENT) - production;
        let mut bytes: Vec<u8> = (0..padding).map(|_| 0).collect();
        let mut archive = self.archive.clone();
        archive.file(LENGTH_FILE, 0o444, format!("{production:020}\n").into_bytes())?;
        bytes.extend(archive.to_bytes());
        Ok(bytes)
    }

    /// Takes this archive off the end of an initramfs: the length of the
    /// production initramfs before it.
    ///
    /// # Errors
    /// [`NotOurs`] if it does not end in exactly this archive.
    pub fn take_off(&self, initramfs: &[u8]) -> Result<usize, NotOurs> {
        let own = self.behind(0).map_err(|_not_made| NotOurs)?.len();
        let aligned = initramfs.len().checked_sub(own).ok_or(NotOurs)?;
        for padding in 0..4 {
            let Some(production) = aligned.checked_sub(padding) else { break };
            let expected = self.behind(production as u64).map_err(|_not_made| NotOurs)?;
            if initramfs.get(production..) == Some(expected.as_slice()) {
                return Ok(production);
            }
        }
        Err(NotOurs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay() -> Overlay {
        let mut archive = Archive::new();
        archive.file(names::GUEST_PROGRAM, 0o755, b"program".to_vec()).unwrap();
        Overlay { archive }
    }

    #[test]
    fn what_was_put_behind_is_taken_off_to_the_byte() {
        for length in 0..9_usize {
            // Zeros at the end, too, stay with the production initramfs.
            for byte in [0, 7] {
                let mut whole = vec![byte; length];
                whole.extend(overlay().behind(length as u64).unwrap());
                assert_eq!(overlay().take_off(&whole), Ok(length));
                assert_eq!((whole.len() - overlay().behind(0).unwrap().len()) % 4, 0);
            }
        }
    }

    #[test]
    fn anything_else_at_the_end_is_refused() {
        let mut whole = vec![7; 10];
        whole.extend(overlay().behind(10).unwrap());
        for at in 10..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            // Another recorded length can make a zero between the two part of the
            // production initramfs, which is then another one, and so measured.
            let taken = overlay().take_off(&changed);
            assert!(matches!(taken, Err(NotOurs) | Ok(11..=12)), "byte {at}: {taken:?}");
        }
        whole.push(0);
        assert_eq!(overlay().take_off(&whole), Err(NotOurs));
        assert_eq!(overlay().take_off(&[]), Err(NotOurs));
        assert_eq!(overlay().take_off(&[0; 4096]), Err(NotOurs));
    }
}
