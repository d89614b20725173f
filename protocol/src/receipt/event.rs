//! The events of a receipt: one table of their kinds and values.
//!
//! Values are text as PID 1 has it, for people and to be compared; nobody computes with
//! them. What controls a terminal is escaped when an entry is written.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::{MAX_IN_FULL, ReceiptError};
use crate::text::printable;

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident $kind:literal {
        $($(#[doc = $what:literal])+ $field:ident,)*
    })+) => {
        /// One thing that PID 1 did.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Event {
            $($(#[doc = $doc])+ $name {
                $($(#[doc = $what])+ $field: String,)*
            },)+
        }

        impl Event {
            /// Its kind: the first word of the entry.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$name { .. } => $kind,)+ }
            }

            /// The names of its values, and these.
            #[must_use]
            pub fn fields(&self) -> Vec<(&'static str, &str)> {
                match self {
                    $(Self::$name { $($field),* } => vec![$((stringify!($field), $field.as_str())),*],)+
                }
            }

            /// Reads the entry with this number.
            pub(super) fn parse(number: usize, entry: &str) -> Result<Self, ReceiptError> {
                let mut values = entry.split('\t').map(str::to_owned);
                let kind = values.next().unwrap_or_default();
                let values: Vec<String> = values.collect();
                let found = values.len();
                match kind.as_str() {
                    $($kind => {
                        const NAMES: &[&str] = &[$(stringify!($field)),*];
                        let wrong = ReceiptError::Values {
                            number, kind: $kind, found, expected: NAMES.len(),
                        };
                        let Ok([$($field),*]) = <[String; NAMES.len()]>::try_from(values) else {
                            return Err(wrong);
                        };
                        Ok(Self::$name { $($field),* })
                    })+
                    _ => Err(ReceiptError::Kind { number, kind }),
                }
            }

            /// Kind, meaning, and the values with theirs: for the page.
            #[cfg(test)]
            pub(super) const TABLE: &[(&str, &str, &[(&str, &str)])] = &[
                $(($kind, concat!($($doc),+), &[
                    $((stringify!($field), concat!($($what),+)),)*
                ]),)+
            ];
        }
    };
}

events! {
    /// The measured configuration was read.
    Configuration "configuration" {
        /// `root.mode`
        mode,
        /// SHA-256 of all settings (below)
        settings,
    }
    /// A hook is in the initramfs; those of one stage in their order.
    Hook "hook" {
        /// its stage
        stage,
        /// its name
        name,
    }
    /// Kernel modules were loaded.
    Modules "modules" {
        /// the kernel's release
        kernel,
        /// how many
        count,
        /// SHA-256 of the load order in the initramfs
        order,
    }
    /// The kernel refused an optional module.
    Refused "module-refused" {
        /// its file; a long path in short
        path,
    }
    /// Kernel settings were given up.
    Harden "harden" {
        /// their classes
        classes,
        /// how far the kernel is locked down
        lockdown,
    }
    /// A disk was chosen.
    Disk "disk" {
        /// the setting that names it
        key,
        /// how it was found; a long one in short
        selector,
        /// the kernel's node
        node,
        /// its size
        bytes,
    }
    /// A hook was run, and ended with 0.
    Ran "hook-ran" {
        /// its stage
        stage,
        /// its name
        name,
    }
    /// The network was brought up, until the keys had come.
    Network "network" {
        /// `dhcp`, or addresses and routers as configured
        wanted,
        /// link, addresses and routers as they were at first: of DHCP the first lease
        has,
    }
    /// A source of reports was opened.
    Reports "reports" {
        /// which
        source,
    }
    /// Owners released the keys of volumes.
    Release "release" {
        /// the volumes
        volumes,
        /// `unlock.threshold` and the count of `unlock.owners`
        threshold,
        /// fingerprints of the owners' keys that signed
        owners,
        /// how many releases were given up before
        before,
    }
    /// A device-mapper table was loaded and started.
    Table "table" {
        /// the name of the device
        device,
        /// length in sectors of 512 bytes
        sectors,
        /// the target
        target,
        /// its parameters; a key is named, never held, a disk named by its node, another
        /// device by its name
        parameters,
    }
    /// A volume with a key was opened.
    Volume "volume" {
        /// its name
        name,
        /// where its key is from
        key,
        /// `opened`, or `made` of a blank disk
        state,
        /// the epoch that is on the disk now
        epoch,
    }
    /// A file system was made on a volume.
    FileSystem "file-system" {
        /// the volume's name
        name,
        /// the file system
        fstype,
        /// `new`: the volume was made in this boot; `zeros`: it was there, and empty
        found,
    }
    /// The root was mounted, and the real init was found in it.
    Root "root" {
        /// its file system
        fstype,
        /// the real init; a long path in short
        init,
    }
    /// The writable layer was added.
    Writable "writable" {
        /// `writable.mode`
        mode,
        /// where writes go: memory with its limit, or a volume
        onto,
        /// what is written to, with the limits of directories that have memory of their own;
        /// a long list in short (below)
        directories,
    }
    /// A volume was mounted.
    Mount "mount" {
        /// its name
        name,
        /// its file system
        fstype,
        /// where; a long path in short
        on,
    }
    /// The SSH host keys were made or taken.
    Keys "ssh-host-keys" {
        /// how many
        count,
        /// SHA-256 of their encoding (above)
        keys,
    }
    /// What was done after this did not fit, and is in no report.
    Cut "cut" {}
}

/// A value that a configuration could make longer than a receipt: itself, or its length
/// and SHA-256.
#[must_use]
pub fn short(value: &str) -> String {
    if value.len() <= MAX_IN_FULL {
        return value.to_owned();
    }
    format!("{} bytes, SHA-256 {:x}", value.len(), Sha256::digest(value))
}

/// A value as an entry has it: one that is empty is `-`.
#[must_use]
pub fn written(value: &str) -> String {
    if value.is_empty() { "-".to_owned() } else { printable(value) }
}

/// An entry without its line feed.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        for (_, value) in self.fields() {
            write!(f, "\t{}", written(value))?;
        }
        Ok(())
    }
}
