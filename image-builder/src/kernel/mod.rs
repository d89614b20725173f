//! The configuration of a kernel, from whatever people have of it: the text itself
//! (also compressed, as `/proc/config.gz`), a kernel image with the text inside
//! (`CONFIG_IKCONFIG`), or a package of one (deb, rpm).
//!
//! The file is anybody's: everything is bounded before it is read or unpacked.

mod deb;
mod image;
mod rpm;
mod unpack;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kernel_config::KernelConfig;

pub(crate) use rpm::Rpm;
use unpack::Packing;

/// The longest file that is read whole, in bytes. (Debian's kernels have 12 MB.)
const MAX_FILE: u64 = 512 << 20;

/// Where a configuration was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The file is the configuration.
    Text,
    /// Inside a kernel image, by `CONFIG_IKCONFIG`.
    Image,
    /// As a file in a package.
    Package,
}

/// The configuration of the kernel in the file at `path`.
///
/// # Errors
/// [`KernelFileError`].
pub fn configuration(path: &Path) -> Result<(KernelConfig, Found), KernelFileError> {
    of_bytes(&whole(path)?)
}

/// All of a file that is not too large.
fn whole(path: &Path) -> Result<Vec<u8>, KernelFileError> {
    let failed = |source| KernelFileError::Read { path: path.to_owned(), source };
    // Opening a named pipe would wait for ever.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(KernelFileError::TooLarge { limit: MAX_FILE });
    }
    Ok(bytes)
}

/// A package of a kernel, in memory.
pub(crate) enum Package {
    /// Of a deb, the packed tar with its files.
    Deb(Vec<u8>),
    /// An rpm.
    Rpm(Rpm),
}

impl Package {
    pub(crate) fn open(path: &Path) -> Result<Self, KernelFileError> {
        let mut bytes = whole(path)?;
        if bytes.starts_with(deb::MAGIC) {
            let data = deb::data(&bytes)?;
            bytes.truncate(data.end);
            bytes.drain(..data.start);
            Ok(Self::Deb(bytes))
        } else if bytes.starts_with(rpm::MAGIC) {
            Ok(Self::Rpm(Rpm(bytes)))
        } else {
            Err(KernelFileError::Package("it is neither a deb nor an rpm"))
        }
    }
}

fn of_bytes(bytes: &[u8]) -> Result<(KernelConfig, Found), KernelFileError> {
    let (text, found) = if bytes.starts_with(deb::MAGIC) {
        (deb::configuration(bytes)?, Found::Package)
    } else if bytes.starts_with(rpm::MAGIC) {
        (rpm::configuration(bytes)?, Found::Package)
    } else if image::is_kernel(bytes) {
        (image::configuration(bytes)?, Found::Image)
    } else if Packing::of(bytes).is_some() {
        (unpack::all(bytes, kernel_config::MAX_TEXT)?, Found::Text)
    } else {
        (bytes.to_vec(), Found::Text)
    };
    let text = std::str::from_utf8(&text).map_err(|_utf8| KernelFileError::NotText)?;
    Ok((KernelConfig::parse(text)?, found))
}

/// Why no configuration was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelFileError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Larger than any kernel or package.
    #[error("the file has more than {limit} bytes: no kernel, package or configuration")]
    TooLarge {
        /// Bytes.
        limit: u64,
    },
    /// A packed part that cannot be unpacked.
    #[error("cannot unpack the {what}")]
    Unpack {
        /// Which part.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A part larger than any.
    #[error("the {what} unpacks to more than {limit} bytes")]
    Bomb {
        /// Which part.
        what: &'static str,
        /// Bytes.
        limit: usize,
    },
    /// A kernel image without its configuration.
    #[error(
        "the kernel image does not have its configuration inside (it was built without \
         CONFIG_IKCONFIG); give its config file, such as /boot/config-VERSION, or its package"
    )]
    NoConfiguration,
    /// A kernel image whose parts do not fit it.
    #[error("the kernel image is damaged: {0}")]
    Image(&'static str),
    /// A package whose parts do not fit it, or of something else.
    #[error("the package is not one of a kernel: {0}")]
    Package(&'static str),
    /// Neither of all these.
    #[error("this is no kernel, no package (deb, rpm) of one, and no configuration")]
    NotText,
    /// Text that is no configuration.
    #[error("this is no kernel, no package (deb, rpm) of one, and no configuration")]
    Text(#[from] kernel_config::ConfigError),
}

#[cfg(test)]
mod tests;
