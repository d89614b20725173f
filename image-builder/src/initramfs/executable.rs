//! Checks that a program is something that the kernel can start in an otherwise
//! empty file system: a static x86-64 ELF executable. A dynamic one would only
//! fail in the VM, PID 1 with a kernel panic that names no cause.

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use thiserror::Error;

/// Why a program cannot be started in the initramfs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExecutableError {
    /// A script.
    #[error("it is a script, and there is no interpreter for it; give a static executable")]
    Script,
    /// Not an ELF file of 64 bits and little endian.
    #[error("it is not a 64-bit ELF file")]
    NotElf,
    /// An ELF file whose headers lead out of it.
    #[error("it is a damaged ELF file: {0}")]
    Damaged(String),
    /// For another machine.
    #[error("it is built for ELF machine {0}, not for x86-64 (62)")]
    Machine(u16),
    /// An object file, a core dump.
    #[error("it is an ELF file that cannot be executed (type {0})")]
    NotExecutable(u16),
    /// It has an interpreter: a dynamic executable.
    #[error(
        "it needs the dynamic linker {0:?}, which the initramfs has not; build it static: in Rust, \
         RUSTFLAGS=\"-C target-feature=+crt-static\" with an explicit --target"
    )]
    Dynamic(String),
    /// It needs shared libraries.
    #[error("it needs shared libraries, which the initramfs has not; build it static")]
    NeedsLibraries,
    /// It has no entry point in executable memory: a library.
    #[error("it has no entry point: it is a library, not an executable")]
    NoEntry,
}

/// Checks that `program` is a static x86-64 ELF executable.
///
/// # Errors
/// The first thing that keeps the kernel from starting it.
pub fn check_static_executable(program: &[u8]) -> Result<(), ExecutableError> {
    if program.starts_with(b"#!") {
        return Err(ExecutableError::Script);
    }
    let e = LittleEndian;
    let damaged = |error: object::Error| ExecutableError::Damaged(error.to_string());
    let header =
        FileHeader64::<LittleEndian>::parse(program).map_err(|_no_elf| ExecutableError::NotElf)?;
    if !header.is_little_endian() {
        return Err(ExecutableError::NotElf);
    }
    if header.e_machine(e) != elf::EM_X86_64 {
        return Err(ExecutableError::Machine(header.e_machine(e).0));
    }
    if !matches!(header.e_type(e), elf::ET_EXEC | elf::ET_DYN) {
        return Err(ExecutableError::NotExecutable(header.e_type(e).0));
    }
    let mut entry_is_executable = false;
    for segment in header.program_headers(e, program).map_err(damaged)? {
        if let Some(interpreter) = segment.interpreter(e, program).map_err(damaged)? {
            let shown = String::from_utf8_lossy(interpreter).chars().take(200).collect();
            return Err(ExecutableError::Dynamic(shown));
        }
        for dynamic in segment.dynamic(e, program).map_err(damaged)?.unwrap_or_default() {
            if dynamic.tag(e) == elf::DT_NEEDED {
                return Err(ExecutableError::NeedsLibraries);
            }
        }
        if segment.p_type(e) == elf::PT_LOAD {
            segment.data(e, program).map_err(|()| {
                ExecutableError::Damaged("a segment leads out of the file".to_owned())
            })?;
            let inside = header
                .e_entry(e)
                .checked_sub(segment.p_vaddr(e))
                .is_some_and(|offset| offset < segment.p_filesz(e));
            let executable = segment.p_flags(e) & elf::PF_X == elf::PF_X;
            entry_is_executable |= inside && executable;
        }
    }
    if header.e_entry(e) == 0 || !entry_is_executable {
        return Err(ExecutableError::NoEntry);
    }
    Ok(())
}
