//! The measured configuration: the file in the initramfs and the kernel
//! command line, and nothing else.

use std::io;
use std::path::Path;

use protocol::cmdline::{self, CommandLine};
use protocol::config::{self, Config, ConfigError, Protection};
use protocol::layout;

use crate::boot::{Progress, log};
use crate::failure::{self, Failure};
use crate::platform::{Level, Platform};

/// Reads and checks the configuration. Fills in what to do on failure as soon
/// as that is known.
///
/// # Errors
/// If anything about it is refused.
pub fn read(platform: &impl Platform, progress: &mut Progress) -> Result<Config, Failure> {
    let path = Path::new("/proc/cmdline");
    // One more byte than allowed, so that a longer one is refused by name.
    let bytes =
        platform.read(path, cmdline::MAX_LEN + 1).map_err(failure::path("reading", path))?;
    let cmdline = CommandLine::parse(&bytes)
        .map_err(|error| Failure::Configuration(ConfigError::Cmdline(error)))?;

    let path = Path::new(layout::CONFIGURATION);
    let file = match platform.read(path, config::FILE_MAX) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(Failure::Configuration(ConfigError::TooLarge));
        }
        Err(error) => return Err(failure::path("reading", path)(error)),
    };
    progress.on_failure = config::on_failure_of_refused(file.as_deref(), &cmdline);
    let config = config::parse(file.as_deref(), &cmdline).map_err(Failure::Configuration)?;
    if config.root.protection == Protection::InsecurePlain {
        log(
            platform,
            Level::Error,
            "INSECURE: root.mode=plain: the root is not protected; the host can read and change it",
        );
    }
    Ok(config)
}

/// What the log says of it.
#[must_use]
pub fn summary(config: &Config) -> String {
    let mode = match config.root.protection {
        Protection::Verity(_) => "verity",
        Protection::InsecurePlain => "plain (INSECURE)",
    };
    format!("mode {mode}, on failure {}", config.on_failure)
}
