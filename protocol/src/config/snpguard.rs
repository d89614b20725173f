//! SNPGuard's words of the kernel command line, as settings of ours.
//!
//! Source: `initramfs/init.sh` of SNPGuard at commit 2236714, which splits
//! `/proc/cmdline` at white space and knows four words. There the last of a repeated
//! word counts and an unknown mode is an error; here a word is given once.

use super::error::ConfigError;
use super::settings::Source;
use crate::cmdline::CommandLine;
use crate::text::excerpt;

/// The words, and the settings that they are.
const WORDS: [(&str, &str); 4] = [
    ("boot", "root.mode"),
    ("root", "root.device"),
    ("verity_disk", "verity.hash_device"),
    ("verity_roothash", "verity.roothash"),
];

/// The settings that the words stand for, in order.
pub(super) fn settings(cmdline: &CommandLine) -> Result<Vec<(&'static str, String)>, ConfigError> {
    let mut settings = Vec::new();
    for found in cmdline.values(|name| WORDS.into_iter().find(|(known, _)| *known == name)) {
        let ((name, key), value) = found?;
        let value = match (name, value) {
            ("boot", "verity" | "encrypted") | ("verity_roothash", _) => value.to_owned(),
            ("boot", "normal") => "plain".to_owned(),
            ("boot", _) => {
                return Err(ConfigError::InvalidValue {
                    key: name.to_owned(),
                    source_: Source::CommandLine,
                    value: excerpt(value),
                    reason: "not a mode of SNPGuard's".to_owned(),
                    allowed: "verity, encrypted or normal",
                });
            }
            _ => format!("path:{value}"),
        };
        settings.push((key, value));
    }
    Ok(settings)
}
