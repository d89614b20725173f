//! The measured configuration: the file in the initramfs and the kernel
//! command line, and nothing else.

use std::io;
use std::path::Path;

use protocol::cmdline::{self, CmdlineError, CommandLine};
use protocol::config::{self, Config, ConfigError, DataVolume, KeySource, Protection};
use protocol::layout;
use protocol::receipt::{Event, Receipt};

use crate::boot::{Progress, log};
use crate::failure::{self, Failure};
use crate::platform::{Level, Platform};
use crate::steps::hooks;

/// Reads and checks the configuration. Fills in what to do on failure as soon
/// as that is known.
///
/// # Errors
/// If anything about it is refused.
pub fn read(
    platform: &impl Platform,
    progress: &mut Progress,
) -> Result<(Config, CommandLine), Failure> {
    let path = Path::new("/proc/cmdline");
    // One more byte than allowed, so that a longer one is refused by name.
    let bytes =
        platform.read(path, cmdline::MAX_LEN + 1).map_err(failure::path("reading", path))?;
    let cmdline = CommandLine::parse(&bytes).map_err(refused)?;

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
    let length = bytes.trim_ascii_end().len();
    if length > cmdline::X86_MAX_LEN {
        return Err(refused(CmdlineError::MayBeCut { length }));
    }
    let config = config::parse(file.as_deref(), &cmdline).map_err(Failure::Configuration)?;
    if config.root.protection == Protection::InsecurePlain {
        log(
            platform,
            Level::Error,
            "INSECURE: root.mode=plain: the root is not protected; the host can read and change it",
        );
    }
    let ephemeral = |volume: &DataVolume| matches!(volume.key, KeySource::Ephemeral(_));
    let makes_keys = !config.host_keys.is_empty()
        || config.unlock.is_some()
        || config.volumes.iter().any(ephemeral);
    if makes_keys && !cmdline.parameters().any(|word| word == NO_HOST_SEED) {
        log(
            platform,
            Level::Error,
            &format!("{NO_HOST_SEED} is not on the command line: the host's seed counts as random"),
        );
    }
    Ok((config, cmdline))
}

/// Without it the kernel credits a seed that the boot loader, here the host,
/// hands over.
const NO_HOST_SEED: &str = "random.trust_bootloader=off";

fn refused(error: CmdlineError) -> Failure {
    Failure::Configuration(ConfigError::Cmdline(error))
}

/// What the receipt says of it, and of the hooks that were found.
pub fn record(config: &Config, hooks: &hooks::Found, receipt: &mut Receipt) {
    let mode = config.root.protection.mode().to_string();
    receipt.push(&Event::Configuration { mode, settings: hex::encode(config.settings) });
    for (stage, path) in hooks {
        let name = hooks::name(path);
        receipt.push(&Event::Hook { stage: stage.to_string(), name });
    }
}

/// What the log says of it.
#[must_use]
pub fn summary(config: &Config) -> String {
    let insecure = match config.root.protection {
        Protection::Verity(_) | Protection::Encrypted(_) => "",
        Protection::InsecurePlain => " (INSECURE)",
    };
    let mode = config.root.protection.mode();
    let volumes = match config.volumes.len() {
        0 => String::new(),
        count => format!(", {count} volumes"),
    };
    format!("mode {mode}{insecure}{volumes}, on failure {}", config.on_failure)
}
