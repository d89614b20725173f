//! What a module says about itself: its `.modinfo` section, NUL-terminated
//! `key=value` strings (Linux, `include/linux/moduleparam.h` and
//! `include/linux/module.h`).

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, SectionHeader as _};

/// The largest section that is read, in bytes. (The largest of Debian's 6.12
/// has 40 kB of aliases.)
const MAX_MODINFO_BYTES: usize = 1 << 20;

/// The part of a module's information that the builder uses. Names of modules
/// have underscores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ModInfo {
    /// First word of `vermagic`: the kernel's release.
    pub(super) kernel: String,
    /// Modules whose symbols it uses.
    pub(super) depends: Vec<String>,
    /// Modules or aliases to load before it.
    pub(super) pre: Vec<String>,
    /// Modules or aliases to load after it.
    pub(super) post: Vec<String>,
    /// Its other names.
    pub(super) aliases: Vec<String>,
}

/// The name of a module as the kernel has it: with underscores.
pub(super) fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

impl ModInfo {
    /// Reads the information of an x86-64 module; the error says what is wrong
    /// with it.
    pub(super) fn parse(module: &[u8]) -> Result<Self, String> {
        let section = section(module)?;
        if section.len() > MAX_MODINFO_BYTES {
            return Err(format!(".modinfo has {} bytes", section.len()));
        }
        let mut info = Self::default();
        for field in section.split(|&byte| byte == 0) {
            // What is not text is a description or an author.
            let Some((key, value)) = str::from_utf8(field).ok().and_then(|f| f.split_once('='))
            else {
                continue;
            };
            match key {
                "vermagic" => {
                    value.split(' ').next().unwrap_or_default().clone_into(&mut info.kernel);
                }
                "depends" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    info.depends.extend(names.map(canonical));
                }
                "softdep" => info.soft_dependencies(value),
                "alias" => info.aliases.push(value.to_owned()),
                _ => {}
            }
        }
        if info.kernel.is_empty() {
            return Err("it has no vermagic".to_owned());
        }
        Ok(info)
    }

    /// `pre: a b post: c`, as modprobe.d(5) has it. What is before the first of
    /// the two words is ignored, as modprobe does.
    fn soft_dependencies(&mut self, value: &str) {
        let mut list = None;
        for word in value.split_ascii_whitespace() {
            match word {
                "pre:" => list = Some(&mut self.pre),
                "post:" => list = Some(&mut self.post),
                name => {
                    if let Some(list) = &mut list {
                        list.push(name.to_owned());
                    }
                }
            }
        }
    }
}

fn section(module: &[u8]) -> Result<&[u8], String> {
    let e = LittleEndian;
    let text = |error: object::Error| error.to_string();
    let header = FileHeader64::<LittleEndian>::parse(module).map_err(text)?;
    if !header.is_little_endian()
        || header.e_machine(e) != elf::EM_X86_64
        || header.e_type(e) != elf::ET_REL
    {
        return Err("it is not a relocatable x86-64 ELF file".to_owned());
    }
    let sections = header.sections(e, module).map_err(text)?;
    let (_, section) = sections
        .section_by_name(e, b".modinfo")
        .ok_or_else(|| "it has no section .modinfo".to_owned())?;
    section.data(e, module).map_err(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_dependencies_are_of_two_kinds() {
        let mut info = ModInfo::default();
        info.soft_dependencies("ignored pre: crc32c post: a-b  c pre: d");
        assert_eq!(info.pre, ["crc32c", "d"]);
        assert_eq!(info.post, ["a-b", "c"]);
    }

    #[test]
    fn what_is_no_module_is_refused() {
        for bytes in [&b""[..], b"\x7fELF", b"#!/bin/sh", &[0; 4096]] {
            assert!(ModInfo::parse(bytes).is_err());
        }
    }
}
