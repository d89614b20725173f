//! The settings as they were written: key and text, each once, from the file
//! and from the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use toml::Value;

use super::error::{ConfigError, FILE_MAX};
use super::keys::{self, Default, Key, Scope};
use super::snpguard;
use super::table::{KEYS, VOLUME_KEYS};
use super::values::{Flag, RootMode};
use crate::cmdline::CommandLine;
use crate::release::{MAX_VOLUMES, ReleaseError, VolumeName};
use crate::text::excerpt;

/// Where a setting stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In `/etc/ravelin.toml`.
    File,
    /// On the kernel command line.
    CommandLine,
    /// Nowhere: the table's default.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::File => "in the configuration file",
            Source::CommandLine => "on the kernel command line",
            Source::Default => "by default",
        })
    }
}

/// All settings that were given, by their full names: those of a volume behind
/// `volume.NAME.`, wherever they were written.
#[derive(Debug, Default)]
pub(super) struct Settings {
    given: BTreeMap<String, (String, Source)>,
    volumes: BTreeSet<VolumeName>,
}

/// The name of all volumes' settings, and of the array in the file.
const VOLUME: &str = "volume";

/// Whether SNPGuard's words are settings.
const SNPGUARD: &str = "compat.snpguard_cmdline";

/// The volume's name and the key in a full name.
fn of_volume(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix("volume.")?.split_once('.')
}

/// The row of a setting, by its full name.
pub(super) fn row(key: &str) -> Option<&'static Key> {
    match of_volume(key) {
        Some((_volume, key)) => VOLUME_KEYS.iter().find(|row| row.name == key),
        None => keys::find(key),
    }
}

impl Settings {
    /// Collects the settings of both sources; a key may be given once.
    pub(super) fn collect(
        file: Option<&[u8]>,
        cmdline: &CommandLine,
    ) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        if let Some(file) = file {
            settings.add_file(file)?;
        }
        if settings.value::<Flag>(SNPGUARD)?.0 {
            for (key, value) in snpguard::settings(cmdline)? {
                settings.add(key, Source::CommandLine, |_| Ok(value))?;
            }
        }
        for (key, value) in cmdline.settings()? {
            if key == SNPGUARD {
                return Err(ConfigError::Conflict(
                    "compat.snpguard_cmdline says what the kernel command line means, so it goes \
                     in the file only",
                ));
            }
            if let Some((name, _)) = of_volume(key) {
                settings.add_volume(name, Source::CommandLine)?;
            }
            settings.add(key, Source::CommandLine, |_| Ok(value.to_owned()))?;
        }
        Ok(settings)
    }

    /// The text and source of `key`, if it was given.
    pub(super) fn given(&self, key: &str) -> Option<(&str, Source)> {
        self.given.get(key).map(|(text, source)| (text.as_str(), *source))
    }

    /// SHA-256 of key and text of each setting, by key, wherever it was written: each with
    /// its length (4 bytes, big-endian) before it.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (key, (text, _)) in &self.given {
            for part in [key, text] {
                // Both are far shorter: the file and the command line are bounded.
                hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
                hash.update(part);
            }
        }
        hash.finalize().into()
    }

    /// The volumes of which something was said.
    pub(super) fn volumes(&self) -> &BTreeSet<VolumeName> {
        &self.volumes
    }

    /// The value of `key`, given or by default.
    pub(super) fn value<T>(&self, key: &str) -> Result<T, ConfigError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let missing =
            |row: &Key| ConfigError::MissingKey { key: key.to_owned(), allowed: row.allowed };
        let row = row(key).ok_or(ConfigError::Conflict("a key is not in the table"))?;
        let (text, source) = match (self.given(key), row.default) {
            (Some(given), _) => given,
            (None, Default::Value(value)) => (value, Source::Default),
            (None, Default::Encrypted(value, other)) => {
                let encrypted = self.value::<RootMode>("root.mode")? == RootMode::Encrypted;
                (if encrypted { value } else { other }, Source::Default)
            }
            (None, Default::Required | Default::Absent(_)) => return Err(missing(row)),
        };
        text.parse().map_err(|error: T::Err| ConfigError::InvalidValue {
            key: key.to_owned(),
            source_: source,
            value: excerpt(text),
            reason: error.to_string(),
            allowed: row.allowed,
        })
    }

    /// The value of `key` where it was given.
    pub(super) fn optional<T>(&self, key: &str) -> Result<Option<T>, ConfigError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.given(key).map(|_| self.value(key)).transpose()
    }

    /// Refuses the settings that were given, begin with `start` and have a scope that
    /// is `meaningless`; `where_` says where that is so.
    pub(super) fn refuse(
        &self,
        start: &str,
        where_: &str,
        meaningless: impl Fn(Scope) -> bool,
    ) -> Result<(), ConfigError> {
        let below = self.given.iter().filter(|(key, _)| key.starts_with(start));
        for (key, (_, source_)) in below {
            if row(key).is_some_and(|row| meaningless(row.scope)) {
                return Err(ConfigError::NotInThisMode {
                    key: key.clone(),
                    source_: *source_,
                    where_: where_.to_owned(),
                });
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        key: &str,
        source: Source,
        text: impl FnOnce(&'static Key) -> Result<String, ConfigError>,
    ) -> Result<(), ConfigError> {
        // A quoted "volume.x.y" in the file is no volume.
        let known = of_volume(key)
            .is_none_or(|(name, _)| self.volumes.iter().any(|volume| volume.as_str() == name));
        let row = row(key).filter(|_| known).ok_or_else(|| {
            let table = if key.starts_with("volume.") { VOLUME_KEYS } else { KEYS };
            ConfigError::UnknownKey {
                key: excerpt(key),
                source_: source,
                known: table.iter().map(|key| key.name).collect::<Vec<_>>().join(" "),
            }
        })?;
        if let Some((_, first)) = self.given.get(key) {
            return Err(ConfigError::RepeatedKey {
                key: key.to_owned(),
                first: *first,
                second: source,
            });
        }
        self.given.insert(key.to_owned(), (text(row)?, source));
        Ok(())
    }

    /// Takes note of a volume's name; whether it is a new one.
    fn add_volume(&mut self, name: &str, source: Source) -> Result<bool, ConfigError> {
        let invalid = |reason: String| ConfigError::InvalidValue {
            key: VOLUME.to_owned(),
            source_: source,
            value: excerpt(name),
            reason,
            allowed: "up to 16 volumes, their names 1 to 32 of a-z, 0-9 and -, beginning with a letter",
        };
        let name: VolumeName =
            name.parse().map_err(|error: ReleaseError| invalid(error.to_string()))?;
        if name == VolumeName::root() {
            return Err(invalid("root is the name of the root".to_owned()));
        }
        if self.volumes.len() == MAX_VOLUMES && !self.volumes.contains(&name) {
            return Err(invalid("one more than 16 volumes".to_owned()));
        }
        Ok(self.volumes.insert(name))
    }

    fn add_file(&mut self, file: &[u8]) -> Result<(), ConfigError> {
        if file.len() > FILE_MAX {
            return Err(ConfigError::TooLarge);
        }
        let text = std::str::from_utf8(file).map_err(|error| ConfigError::Syntax {
            offset: error.valid_up_to(),
            message: "not UTF-8".to_owned(),
        })?;
        let mut table: toml::Table =
            toml::from_str(text).map_err(|error: toml::de::Error| ConfigError::Syntax {
                offset: error.span().map_or(0, |span| span.start),
                message: excerpt(error.message()),
            })?;
        if let Some(volumes) = table.remove(VOLUME) {
            self.add_file_volumes(&volumes)?;
        }
        self.add_table("", "", &table, KEYS)
    }

    /// Adds the array `[[volume]]`.
    fn add_file_volumes(&mut self, volumes: &Value) -> Result<(), ConfigError> {
        let wrong = |found| ConfigError::WrongType {
            key: VOLUME.to_owned(),
            source_: Source::File,
            found,
            allowed: "tables [[volume]], each with a text as its name",
        };
        for volume in volumes.as_array().ok_or_else(|| wrong("no array of tables"))? {
            let volume =
                volume.as_table().ok_or_else(|| wrong("a list with something else than tables"))?;
            let mut settings = volume.clone();
            let name = settings.remove("name").ok_or_else(|| wrong("a table without a name"))?;
            let name = name.as_str().ok_or_else(|| wrong("a table whose name is no text"))?;
            if !self.add_volume(name, Source::File)? {
                return Err(ConfigError::RepeatedKey {
                    key: format!("volume.{name}"),
                    first: Source::File,
                    second: Source::File,
                });
            }
            self.add_table(&format!("volume.{name}."), "", &settings, VOLUME_KEYS)?;
        }
        Ok(())
    }

    /// Adds a TOML table under its dotted name behind `base`; `rows` are the settings
    /// that it may have. Depth is bounded by their names: an unknown prefix is refused
    /// at once.
    fn add_table(
        &mut self,
        base: &str,
        prefix: &str,
        table: &toml::Table,
        rows: &[Key],
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            let below = format!("{key}.");
            match value.as_table() {
                Some(inner) if rows.iter().any(|row| row.name.starts_with(&below)) => {
                    self.add_table(base, &below, inner, rows)?;
                }
                Some(_) | None => {
                    let full = format!("{base}{key}");
                    self.add(&full, Source::File, |row| plain_text(&full, row, value))?;
                }
            }
        }
        Ok(())
    }
}

/// A TOML value as it would be written on the command line.
fn plain_text(key: &str, row: &'static Key, value: &Value) -> Result<String, ConfigError> {
    let wrong = |found| ConfigError::WrongType {
        key: key.to_owned(),
        source_: Source::File,
        found,
        allowed: row.allowed,
    };
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(flag) => Ok(flag.to_string()),
        Value::Array(items) => {
            let items: Result<Vec<&str>, ConfigError> = items
                .iter()
                .map(|item| match item.as_str() {
                    Some(text) if !text.contains(',') => Ok(text),
                    _ => Err(wrong("a list with something other than texts without commas")),
                })
                .collect();
            Ok(items?.join(","))
        }
        Value::Float(_) => Err(wrong("a number with a fraction")),
        Value::Datetime(_) => Err(wrong("a date")),
        Value::Table(_) => Err(wrong("a table")),
    }
}
