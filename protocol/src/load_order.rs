//! The load order: which kernel modules PID 1 loads, and in which waves.
//!
//! The builder solves the dependencies once, when the image is made; PID 1
//! follows the file. It is inside the initramfs, hence measured, so a host
//! cannot change it; it is still read strictly and with bounds, because a
//! module that is silently skipped is a boot that fails far from its cause.
//!
//! The format is this project's own, version 1, lines ended by `\n`:
//!
//! ```text
//! # ravelin load order 1
//! kernel VERSION
//! WAVE required|optional /lib/modules/VERSION/….ko
//! ```
//!
//! Modules of one wave do not depend on each other and may be loaded in
//! parallel; waves are loaded in ascending order, from 0, without gaps.

use std::collections::HashSet;
use std::fmt;

use thiserror::Error;

/// The first line of every load order.
pub const HEADER: &str = "# ravelin load order 1";

/// The most modules that a load order may name.
pub const MAX_MODULES: usize = 512;

/// The longest path, in bytes: the kernel's `PATH_MAX` without its final NUL.
pub const MAX_PATH_BYTES: usize = 4095;

/// The longest kernel release, in bytes: `utsname.release` without its NUL.
pub const MAX_KERNEL_BYTES: usize = 64;

/// The largest file that [`LoadOrder::parse`] accepts, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// One module to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The wave it is loaded in, from 0.
    pub wave: u16,
    /// Whether the boot fails when the module cannot be loaded. When false, a
    /// failure (`ENODEV` on hardware that lacks the device) is logged only.
    pub required: bool,
    /// Absolute path inside the initramfs.
    pub path: String,
}

/// The modules of one initramfs, in the order in which they are loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOrder {
    /// The kernel release (`uname -r`) that the modules are built for.
    pub kernel: String,
    /// The modules, waves ascending.
    pub modules: Vec<Module>,
}

/// Why a load order was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LoadOrderError {
    /// The text is larger than [`MAX_BYTES`].
    #[error("load order is {0} bytes long, at most {MAX_BYTES} are allowed")]
    TooLarge(usize),
    /// The last line is not ended by a newline: the file was cut.
    #[error("load order does not end in a newline: it was cut off")]
    Cut,
    /// The first line is not [`HEADER`].
    #[error(
        "load order does not begin with {HEADER:?}: \
         the initramfs was made by another version of the builder"
    )]
    Header,
    /// The second line is not `kernel VERSION` with a plausible version.
    #[error("line 2 of the load order is not `kernel VERSION`")]
    Kernel,
    /// A module's line has not the three fields of the format.
    #[error("line {line} of the load order is not `WAVE required|optional PATH`")]
    Syntax {
        /// Line number, from 1.
        line: usize,
    },
    /// More modules than [`MAX_MODULES`].
    #[error("load order names more than {MAX_MODULES} modules")]
    TooManyModules,
    /// A wave is lower than the one before it, or leaves a gap.
    #[error("module {index} of the load order is of wave {wave}, expected {expected}")]
    Wave {
        /// Position of the module in the list, from 0.
        index: usize,
        /// The wave that was found.
        wave: u16,
        /// What it may be.
        expected: String,
    },
    /// A path is relative, too long, or has `..`, an empty component, white
    /// space or a control character.
    #[error(
        "module {index} of the load order: {path:?} is not a plain absolute path \
         (no `..`, no empty part, no space, at most {MAX_PATH_BYTES} bytes)"
    )]
    Path {
        /// Position of the module in the list, from 0.
        index: usize,
        /// The path, cut to 200 characters.
        path: String,
    },
    /// A path occurs twice.
    #[error("module {path:?} is twice in the load order")]
    Repeated {
        /// The path.
        path: String,
    },
}

impl LoadOrder {
    /// Reads a load order.
    ///
    /// What it accepts is exactly what [`fmt::Display`] writes for a value that
    /// passes [`LoadOrder::check`].
    ///
    /// # Errors
    /// The first rule of the format that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, LoadOrderError> {
        if text.len() > MAX_BYTES {
            return Err(LoadOrderError::TooLarge(text.len()));
        }
        let mut lines = text.strip_suffix('\n').ok_or(LoadOrderError::Cut)?.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(LoadOrderError::Header);
        }
        let kernel = lines
            .next()
            .and_then(|line| line.strip_prefix("kernel "))
            .ok_or(LoadOrderError::Kernel)?
            .to_owned();
        let mut modules = Vec::new();
        for (index, line) in lines.enumerate() {
            if index >= MAX_MODULES {
                return Err(LoadOrderError::TooManyModules);
            }
            modules.push(module(line).ok_or(LoadOrderError::Syntax { line: index + 3 })?);
        }
        let order = Self { kernel, modules };
        order.check()?;
        Ok(order)
    }

    /// Checks the rules that hold between and inside the fields; what the
    /// builder calls before it writes a load order.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), LoadOrderError> {
        if !is_kernel_release(&self.kernel) {
            return Err(LoadOrderError::Kernel);
        }
        if self.modules.len() > MAX_MODULES {
            return Err(LoadOrderError::TooManyModules);
        }
        let mut paths = HashSet::with_capacity(self.modules.len());
        let mut last = None;
        for (index, module) in self.modules.iter().enumerate() {
            let fits = match last {
                None => module.wave == 0,
                Some(last) => module.wave == last || last.checked_add(1) == Some(module.wave),
            };
            if !fits {
                let expected = last.map_or_else(
                    || "0".to_owned(),
                    |last: u16| format!("{last} or {}", last.saturating_add(1)),
                );
                return Err(LoadOrderError::Wave { index, wave: module.wave, expected });
            }
            last = Some(module.wave);
            if !is_plain_path(&module.path) {
                let path = module.path.chars().take(200).collect();
                return Err(LoadOrderError::Path { index, path });
            }
            if !paths.insert(module.path.as_str()) {
                return Err(LoadOrderError::Repeated { path: module.path.clone() });
            }
        }
        Ok(())
    }

    /// The modules wave by wave, in order. Each slice is non-empty.
    pub fn waves(&self) -> impl Iterator<Item = &[Module]> {
        self.modules.chunk_by(|a, b| a.wave == b.wave)
    }
}

impl fmt::Display for LoadOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        writeln!(f, "kernel {}", self.kernel)?;
        for Module { wave, required, path } in &self.modules {
            let need = if *required { "required" } else { "optional" };
            writeln!(f, "{wave} {need} {path}")?;
        }
        Ok(())
    }
}

/// Whether `text` can be a kernel release: visible ASCII, no slash.
#[must_use]
pub fn is_kernel_release(text: &str) -> bool {
    (1..=MAX_KERNEL_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
        && text != "."
        && text != ".."
}

fn module(line: &str) -> Option<Module> {
    let mut fields = line.splitn(3, ' ');
    let number = fields.next()?;
    let wave: u16 = number.parse().ok()?;
    // `+1` and `01` are numbers to Rust; here each value has one spelling.
    if wave.to_string() != number {
        return None;
    }
    let required = match fields.next()? {
        "required" => true,
        "optional" => false,
        _ => return None,
    };
    Some(Module { wave, required, path: fields.next()?.to_owned() })
}

fn is_plain_path(path: &str) -> bool {
    path.len() <= MAX_PATH_BYTES
        && !path.chars().any(|c| c.is_whitespace() || c.is_control())
        && path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# ravelin load order 1\n\
        kernel 6.12.95+deb12-cloud-amd64\n\
        0 required /lib/modules/6.12/kernel/virtio_blk.ko\n\
        0 required /lib/modules/6.12/kernel/dm-mod.ko\n\
        1 optional /lib/modules/6.12/kernel/dm-bufio.ko\n\
        2 required /lib/modules/6.12/kernel/dm-verity.ko\n";

    #[test]
    fn what_is_written_is_what_is_read() {
        let order = LoadOrder::parse(GOOD).unwrap();
        assert_eq!(order.kernel, "6.12.95+deb12-cloud-amd64");
        assert_eq!(order.modules.len(), 4);
        assert!(order.modules[0].required);
        assert!(!order.modules[2].required);
        assert_eq!(order.to_string(), GOOD);
        let waves: Vec<usize> = order.waves().map(<[Module]>::len).collect();
        assert_eq!(waves, [2, 1, 1]);
    }

    #[test]
    fn a_kernel_without_modules_has_an_empty_order() {
        let order = LoadOrder::parse("# ravelin load order 1\nkernel 6.12\n").unwrap();
        assert!(order.modules.is_empty());
        assert_eq!(order.waves().count(), 0);
    }

    #[test]
    fn each_rule_has_its_error() {
        use LoadOrderError as E;
        let path = |path: &str| E::Path { index: 0, path: path.to_owned() };
        let with = |line: &str| format!("# ravelin load order 1\nkernel 6.12\n{line}\n");
        let long = format!("/{}", "a".repeat(MAX_PATH_BYTES));
        let many: String = (0..=MAX_MODULES).map(|n| format!("0 required /{n}\n")).collect();
        let cases: Vec<(String, E)> = vec![
            (String::new(), E::Cut),
            ("\n".into(), E::Header),
            (GOOD.trim_end().into(), E::Cut),
            (GOOD.replacen('1', "2", 1), E::Header),
            ("# ravelin load order 1\n".into(), E::Kernel),
            ("# ravelin load order 1\nkernel \n".into(), E::Kernel),
            ("# ravelin load order 1\nkernel a b\n".into(), E::Kernel),
            ("# ravelin load order 1\nkernel ..\n".into(), E::Kernel),
            ("# ravelin load order 1\nkernel a/b\n".into(), E::Kernel),
            (with(""), E::Syntax { line: 3 }),
            (with("0 required"), E::Syntax { line: 3 }),
            (with("0 needed /a"), E::Syntax { line: 3 }),
            (with("+0 required /a"), E::Syntax { line: 3 }),
            (with("00 required /a"), E::Syntax { line: 3 }),
            (with("65536 required /a"), E::Syntax { line: 3 }),
            (with("0 required /a\n# comment"), E::Syntax { line: 4 }),
            (with("1 required /a"), E::Wave { index: 0, wave: 1, expected: "0".into() }),
            (
                with("0 required /a\n2 required /b"),
                E::Wave { index: 1, wave: 2, expected: "0 or 1".into() },
            ),
            (
                with("0 required /a\n1 required /b\n0 required /c"),
                E::Wave { index: 2, wave: 0, expected: "1 or 2".into() },
            ),
            (with("0 required "), path("")),
            (with("0 required a"), path("a")),
            (with("0 required /"), path("/")),
            (with("0 required /a/"), path("/a/")),
            (with("0 required /a/../b"), path("/a/../b")),
            (with("0 required /a/./b"), path("/a/./b")),
            (with("0 required /a b"), path("/a b")),
            (with("0 required /a\r"), path("/a\r")),
            (with("0 required /a\0"), path("/a\0")),
            (with(&format!("0 required {long}")), path(&long[..200])),
            (with("0 required /a\n0 optional /a"), E::Repeated { path: "/a".into() }),
            (with(many.trim_end()), E::TooManyModules),
            ("x".repeat(MAX_BYTES + 1), E::TooLarge(MAX_BYTES + 1)),
        ];
        for (text, error) in cases {
            assert_eq!(LoadOrder::parse(&text).unwrap_err(), error, "{text:?}");
        }
    }

    #[test]
    fn the_builder_cannot_write_what_cannot_be_read() {
        let mut order = LoadOrder::parse(GOOD).unwrap();
        order.modules[1].path = order.modules[0].path.clone();
        assert!(matches!(order.check(), Err(LoadOrderError::Repeated { .. })));
    }

    #[test]
    fn every_single_byte_change_is_read_or_refused_but_never_panics() {
        for at in 0..GOOD.len() {
            for byte in [0, b'\n', b' ', b'/', b'.', b'9', b'+', b'~'] {
                let mut bytes = GOOD.as_bytes().to_vec();
                bytes[at] = byte;
                let text = String::from_utf8(bytes).unwrap();
                if let Ok(order) = LoadOrder::parse(&text) {
                    assert_eq!(order.to_string(), text, "one value, one spelling");
                }
            }
        }
    }
}
