//! Checks that PID 1 is something that the kernel can start in an otherwise
//! empty file system: a static x86-64 ELF executable. A dynamic one would only
//! fail in the VM, with a kernel panic that names no cause.

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use thiserror::Error;

/// Why an executable cannot be PID 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InitError {
    /// A script: there is no interpreter in the initramfs.
    #[error(
        "PID 1 is a script, and the initramfs has no interpreter for it; give a static executable"
    )]
    Script,
    /// Not an ELF file of 64 bits and little endian.
    #[error("PID 1 is not a 64-bit ELF file; build it with `cargo xtask build`")]
    NotElf,
    /// An ELF file whose headers lead out of it.
    #[error("PID 1 is a damaged ELF file: {0}")]
    Damaged(String),
    /// For another machine.
    #[error("PID 1 is built for ELF machine {0}, not for x86-64 (62)")]
    Machine(u16),
    /// An object file, a core dump.
    #[error("PID 1 is an ELF file that cannot be executed (type {0})")]
    NotExecutable(u16),
    /// It has an interpreter: a dynamic executable.
    #[error(
        "PID 1 needs the dynamic linker {0:?}, which the initramfs has not; build it static: \
         `cargo xtask build`, or RUSTFLAGS=\"-C target-feature=+crt-static\" with an explicit --target"
    )]
    Dynamic(String),
    /// It needs shared libraries.
    #[error("PID 1 needs shared libraries, which the initramfs has not; build it static")]
    NeedsLibraries,
    /// It has no entry point in executable memory: a library.
    #[error("PID 1 has no entry point: it is a library, not an executable")]
    NoEntry,
}

/// Checks that `init` is a static x86-64 ELF executable.
///
/// # Errors
/// The first thing that keeps the kernel from starting it.
pub fn check_static_executable(init: &[u8]) -> Result<(), InitError> {
    if init.starts_with(b"#!") {
        return Err(InitError::Script);
    }
    let e = LittleEndian;
    let damaged = |error: object::Error| InitError::Damaged(error.to_string());
    let header = FileHeader64::<LittleEndian>::parse(init).map_err(|_no_elf| InitError::NotElf)?;
    if !header.is_little_endian() {
        return Err(InitError::NotElf);
    }
    if header.e_machine(e) != elf::EM_X86_64 {
        return Err(InitError::Machine(header.e_machine(e).0));
    }
    if !matches!(header.e_type(e), elf::ET_EXEC | elf::ET_DYN) {
        return Err(InitError::NotExecutable(header.e_type(e).0));
    }
    let mut entry_is_executable = false;
    for segment in header.program_headers(e, init).map_err(damaged)? {
        if let Some(interpreter) = segment.interpreter(e, init).map_err(damaged)? {
            let shown = String::from_utf8_lossy(interpreter).chars().take(200).collect();
            return Err(InitError::Dynamic(shown));
        }
        for dynamic in segment.dynamic(e, init).map_err(damaged)?.unwrap_or_default() {
            if dynamic.tag(e) == elf::DT_NEEDED {
                return Err(InitError::NeedsLibraries);
            }
        }
        if segment.p_type(e) == elf::PT_LOAD {
            segment
                .data(e, init)
                .map_err(|()| InitError::Damaged("a segment leads out of the file".to_owned()))?;
            let inside = header
                .e_entry(e)
                .checked_sub(segment.p_vaddr(e))
                .is_some_and(|offset| offset < segment.p_filesz(e));
            let executable = segment.p_flags(e) & elf::PF_X == elf::PF_X;
            entry_is_executable |= inside && executable;
        }
    }
    if header.e_entry(e) == 0 || !entry_is_executable {
        return Err(InitError::NoEntry);
    }
    Ok(())
}
