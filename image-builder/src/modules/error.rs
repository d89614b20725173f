//! What can go wrong with a kernel's modules.

use std::fmt;
use std::io;
use std::path::PathBuf;

use kernel_config::{KernelOption, option_for_module};
use protocol::load_order::LoadOrderError;
use thiserror::Error;

/// Why the modules of an image could not be gathered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// A file or directory could not be read.
    #[error("{}: cannot be read", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory is not a kernel's module directory.
    #[error(
        "{}: is no kernel's module directory: {reason}; give the directory \
         lib/modules/VERSION of an installed or unpacked kernel package", .path.display()
    )]
    NotATree {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// There are several kernels and none was chosen, or the chosen one is not
    /// there.
    #[error("{}: has no modules of {wanted}; there are those of: {}", .path.display(), list(.found))]
    Version {
        /// The `lib/modules` directory.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What is there.
        found: Vec<String>,
    },
    /// More files or directories than any kernel has.
    #[error("{}: has more than {limit} entries; is this lib/modules/VERSION?", .path.display())]
    TooManyFiles {
        /// The directory.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// A module that is needed is neither there nor built in.
    #[error("kernel {kernel} has no module {module}, which {wanted_by} needs{}", Hint(.module))]
    Missing {
        /// The module, with underscores.
        module: String,
        /// A module or what was asked for.
        wanted_by: String,
        /// The kernel's release.
        kernel: String,
    },
    /// No module gives an algorithm that is needed, nor is one built in.
    #[error(
        "kernel {kernel} has no {algorithm}, which {wanted_by} needs, neither built in nor as a \
         module{}", Hint(&format!("{algorithm}_generic"))
    )]
    MissingAlgorithm {
        /// The algorithm, as the kernel's crypto API names it.
        algorithm: String,
        /// What was asked for.
        wanted_by: String,
        /// The kernel's release.
        kernel: String,
    },
    /// A module that must not be loaded before keys are made.
    #[error("module {module}, which {wanted_by} needs, is refused: {reason}; take it off the list")]
    Refused {
        /// The module.
        module: String,
        /// A module or what was asked for.
        wanted_by: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// Two files of one module.
    #[error(
        "module {module} is there twice, and it is not clear which one is meant: {} and {}",
        .paths.0.display(), .paths.1.display()
    )]
    Ambiguous {
        /// The module.
        module: String,
        /// The files.
        paths: (PathBuf, PathBuf),
    },
    /// A module is damaged when it is decompressed.
    #[error("{}: cannot be decompressed", .path.display())]
    Decompress {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: io::Error,
    },
    /// A module is larger than modules are.
    #[error("{}: is larger than {limit} bytes when it is decompressed", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: usize,
    },
    /// All modules together are larger than an initramfs may be.
    #[error("the modules are larger than {limit} bytes together; ask for fewer")]
    TooLargeTogether {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Not an x86-64 ELF object with module information.
    #[error("{}: is no x86-64 kernel module: {reason}", .path.display())]
    NotAModule {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Built for another kernel.
    #[error(
        "{}: is built for kernel {found:?}, not for {kernel}; the directory is a mixture of two \
         kernels, install the kernel package again", .path.display()
    )]
    WrongKernel {
        /// The file.
        path: PathBuf,
        /// The first word of its `vermagic`.
        found: String,
        /// The kernel's release.
        kernel: String,
    },
    /// Modules that depend on each other in a circle.
    #[error("modules depend on each other in a circle: {}", .modules.join(" → "))]
    Cycle {
        /// The modules of one circle, the first one again at its end.
        modules: Vec<String>,
    },
    /// More modules than a load order holds, or a path that is not plain.
    #[error("the load order cannot be written")]
    LoadOrder(#[from] LoadOrderError),
}

fn list(kernels: &[String]) -> String {
    if kernels.is_empty() { "no kernel at all".to_owned() } else { kernels.join(", ") }
}

/// What is known about a module's kernel option, as the end of a sentence.
struct Hint<'a>(&'a str);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match option_for_module(self.0) {
            Some(KernelOption { symbol, reason, .. }) => write!(
                f,
                ": it is option CONFIG_{symbol} ({reason}); use a kernel that has it as =m or =y, \
                 such as Debian's linux-image-amd64 or one built with ravelin.config"
            ),
            None => f.write_str(
                "; use a kernel that has it, or install the package with its further modules \
                 (Ubuntu: linux-modules-extra)",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_is_named_with_its_option() {
        let error = ModuleError::Missing {
            module: "dm_verity".into(),
            wanted_by: "the set verity".into(),
            kernel: "6.12".into(),
        };
        let text = error.to_string();
        assert!(
            text.starts_with("kernel 6.12 has no module dm_verity, which the set verity needs")
        );
        assert!(text.contains("CONFIG_DM_VERITY ("), "{text}");
        let error = ModuleError::MissingAlgorithm {
            algorithm: "sha512".into(),
            wanted_by: "the set sha512".into(),
            kernel: "6.12".into(),
        };
        assert!(error.to_string().contains("CONFIG_CRYPTO_SHA512 ("), "{error}");
    }
}
