//! The kernel command line of a VM: what it must be to mean the same to the
//! measurement, to QEMU, to the kernel and to PID 1.

use std::collections::BTreeSet;
use std::fmt;

use protocol::cmdline::{CommandLine, PREFIX, X86_MAX_LEN};
use serde::Deserialize;

/// What every generated command line begins with: the serial console, a reset
/// instead of a hang after a panic, no entropy credit for a seed that the boot
/// loader (the host) hands over; and for systemd, which would trust the host: no
/// credentials from SMBIOS or fw_cfg (they can set root's authorized keys), no
/// partitions mounted or swapped on because the host has added them, no SSH
/// server on a vsock device of the host's (systemd 256 and later).
pub const BASE: &str = "console=ttyS0 panic=-1 random.trust_bootloader=off \
                        systemd.import_credentials=no systemd.gpt_auto=no systemd.swap=no \
                        systemd.ssh_auto=no";

/// The keys that describe the image: a new image replaces them all, and every
/// other word of the command line stays as it is.
pub const IMAGE_KEYS: [&str; 12] = [
    "root.mode",
    "root.device",
    "root.fstype",
    "verity.hash_device",
    "verity.roothash",
    "verity.salt",
    "verity.algorithm",
    "verity.data_block_size",
    "verity.hash_block_size",
    "verity.data_blocks",
    "verity.hash_start_block",
    "encrypted.format",
];

/// Why a command line is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CmdlineError {
    /// The kernel would cut it.
    #[error(
        "the kernel command line is {length} bytes long; {X86_MAX_LEN} are allowed, because an \
         x86 kernel cuts longer ones; move settings into the configuration file of the initramfs \
         (ravelin image initramfs --config)"
    )]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Some tools trim the line before they measure it, QEMU does not.
    #[error("the kernel command line begins or ends with white space; take it out")]
    Untrimmed,
    /// The kernel takes bytes, and consoles show them; only printable ASCII
    /// means the same everywhere.
    #[error("the kernel command line has {found:?} at byte {offset}; use printable ASCII")]
    NotPrintable {
        /// The character.
        found: char,
        /// Its byte offset.
        offset: usize,
    },
    /// It does not parse.
    #[error(transparent)]
    Parse(#[from] protocol::cmdline::CmdlineError),
    /// A setting twice.
    #[error("'{PREFIX}{key}' is on the kernel command line twice; PID 1 would refuse it")]
    Repeated {
        /// The key without its prefix.
        key: String,
    },
}

/// A kernel command line, exactly as the kernel gets it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cmdline(String);

impl Cmdline {
    /// The line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `self`, or the generated base where there is none, with `settings` (the
    /// `ravelin.*` words of an image) in place of the image settings that it
    /// had. Other words stay, in their order.
    ///
    /// # Errors
    /// If the result is not a usable command line.
    pub fn with_image(current: Option<&Self>, settings: &str) -> Result<Self, CmdlineError> {
        let line = CommandLine::parse(current.map_or(BASE, Self::as_str).as_bytes())?;
        let mut words: Vec<&str> =
            line.words().iter().map(String::as_str).filter(|word| !describes_image(word)).collect();
        // What follows `--` is for init and no longer a parameter.
        let end = words.iter().position(|word| *word == "--").unwrap_or(words.len());
        words.splice(end..end, settings.split_ascii_whitespace());
        Self::try_from(words.join(" "))
    }
}

/// Whether a word of the command line sets one of [`IMAGE_KEYS`].
fn describes_image(word: &str) -> bool {
    word.strip_prefix(PREFIX)
        .and_then(|setting| setting.split_once('='))
        .is_some_and(|(key, _)| IMAGE_KEYS.contains(&key))
}

impl TryFrom<String> for Cmdline {
    type Error = CmdlineError;

    fn try_from(text: String) -> Result<Self, CmdlineError> {
        if text.len() > X86_MAX_LEN {
            return Err(CmdlineError::TooLong { length: text.len() });
        }
        if let Some((offset, found)) =
            text.char_indices().find(|(_, c)| *c != ' ' && !c.is_ascii_graphic())
        {
            return Err(CmdlineError::NotPrintable { found, offset });
        }
        if text.trim_ascii().len() != text.len() {
            return Err(CmdlineError::Untrimmed);
        }
        let mut seen = BTreeSet::new();
        for (key, _) in CommandLine::parse(text.as_bytes())?.settings()? {
            if !seen.insert(key) {
                return Err(CmdlineError::Repeated { key: key.to_owned() });
            }
        }
        Ok(Self(text))
    }
}

impl fmt::Display for Cmdline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<Cmdline, CmdlineError> {
        Cmdline::try_from(text.to_owned())
    }

    #[test]
    fn a_new_line_is_the_base_and_the_image() {
        let made = Cmdline::with_image(None, "ravelin.root.mode=verity ravelin.verity.salt=-");
        assert_eq!(
            made.unwrap().as_str(),
            format!("{BASE} ravelin.root.mode=verity ravelin.verity.salt=-")
        );
    }

    #[test]
    fn a_new_image_replaces_the_old_one_and_nothing_else() {
        let old = line(
            "console=ttyS0 ravelin.root.mode=verity ravelin.verity.algorithm=sha512 quiet \
             ravelin.root.init=/bin/x dyndbg=\"a ravelin.root.mode=b\" -- ravelin.z=1",
        );
        let new = Cmdline::with_image(
            Some(&old.unwrap()),
            "ravelin.root.mode=verity ravelin.verity.salt=aa",
        );
        assert_eq!(
            new.unwrap().as_str(),
            "console=ttyS0 quiet ravelin.root.init=/bin/x dyndbg=\"a ravelin.root.mode=b\" \
             ravelin.root.mode=verity ravelin.verity.salt=aa -- ravelin.z=1"
        );
    }

    #[test]
    fn the_kernel_s_limit_is_the_limit() {
        assert!(line(&"a".repeat(X86_MAX_LEN)).is_ok());
        let error = line(&"a".repeat(2048)).unwrap_err();
        assert_eq!(error, CmdlineError::TooLong { length: 2048 });
        let nearly = line(&"a".repeat(2040)).unwrap();
        assert!(matches!(
            Cmdline::with_image(Some(&nearly), "ravelin.root.mode=verity"),
            Err(CmdlineError::TooLong { .. })
        ));
    }

    #[test]
    fn refusals() {
        let repeated = line("ravelin.on_failure=halt a ravelin.on_failure=reboot");
        assert_eq!(repeated, Err(CmdlineError::Repeated { key: "on_failure".to_owned() }));
        assert_eq!(line(" a"), Err(CmdlineError::Untrimmed));
        assert_eq!(line("a "), Err(CmdlineError::Untrimmed));
        let control = Err(CmdlineError::NotPrintable { found: '\n', offset: 1 });
        assert_eq!(line("a\nb"), control);
        assert_eq!(line("é"), Err(CmdlineError::NotPrintable { found: 'é', offset: 0 }));
        assert!(matches!(line("a=\"b"), Err(CmdlineError::Parse(_))));
        assert!(matches!(line("ravelin.x"), Err(CmdlineError::Parse(_))));
        assert!(line("").is_ok());
    }
}
