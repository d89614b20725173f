//! The settings as they were written: key and text, each once, from the file
//! and from the command line.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use toml::Value;

use super::error::{ConfigError, FILE_MAX};
use super::keys::{self, Default, KEYS, Key};
use crate::cmdline::CommandLine;
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

/// All settings that were given, by key.
#[derive(Debug, Default)]
pub(super) struct Settings {
    given: BTreeMap<&'static str, (String, Source)>,
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
        for (key, value) in cmdline.settings()? {
            settings.add(key, Source::CommandLine, |_| Ok(value.to_owned()))?;
        }
        Ok(settings)
    }

    /// The text and source of `key`, if it was given.
    pub(super) fn given(&self, key: &'static str) -> Option<(&str, Source)> {
        self.given.get(key).map(|(text, source)| (text.as_str(), *source))
    }

    /// The value of `key`, given or by default.
    pub(super) fn value<T>(&self, key: &'static str) -> Result<T, ConfigError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let row = keys::find(key).ok_or(ConfigError::Conflict("a key is not in the table"))?;
        let (text, source) = match (self.given(key), row.default) {
            (Some(given), _) => given,
            (None, Default::Value(value) | Default::VerityValue(value)) => (value, Source::Default),
            (None, Default::Required | Default::RequiredForVerity) => {
                return Err(ConfigError::MissingKey { key: row.name, allowed: row.allowed });
            }
        };
        text.parse().map_err(|error: T::Err| ConfigError::InvalidValue {
            key: row.name,
            source_: source,
            value: excerpt(text),
            reason: error.to_string(),
            allowed: row.allowed,
        })
    }

    /// Refuses the keys that only verity mode has.
    pub(super) fn refuse_verity_keys(&self, mode: &'static str) -> Result<(), ConfigError> {
        for row in KEYS {
            let only_verity =
                matches!(row.default, Default::RequiredForVerity | Default::VerityValue(_));
            if let (true, Some((_, source_))) = (only_verity, self.given(row.name)) {
                return Err(ConfigError::NotInThisMode { key: row.name, source_, mode });
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
        let row = keys::find(key).ok_or_else(|| ConfigError::UnknownKey {
            key: excerpt(key),
            source_: source,
            known: KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(" "),
        })?;
        if let Some((_, first)) = self.given.get(row.name) {
            return Err(ConfigError::RepeatedKey {
                key: row.name.to_owned(),
                first: *first,
                second: source,
            });
        }
        self.given.insert(row.name, (text(row)?, source));
        Ok(())
    }

    fn add_file(&mut self, file: &[u8]) -> Result<(), ConfigError> {
        if file.len() > FILE_MAX {
            return Err(ConfigError::TooLarge);
        }
        let text = std::str::from_utf8(file).map_err(|error| ConfigError::Syntax {
            offset: error.valid_up_to(),
            message: "not UTF-8".to_owned(),
        })?;
        let table: toml::Table =
            toml::from_str(text).map_err(|error: toml::de::Error| ConfigError::Syntax {
                offset: error.span().map_or(0, |span| span.start),
                message: excerpt(error.message()),
            })?;
        self.add_table("", &table)
    }

    /// Adds a TOML table under its dotted name. Depth is bounded by the names
    /// in the table of keys: an unknown prefix is refused at once.
    fn add_table(&mut self, prefix: &str, table: &toml::Table) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let below = format!("{key}.");
            match value.as_table() {
                Some(inner) if KEYS.iter().any(|row| row.name.starts_with(&below)) => {
                    self.add_table(&key, inner)?;
                }
                Some(_) | None => self.add(&key, Source::File, |row| plain_text(row, value))?,
            }
        }
        Ok(())
    }
}

/// A TOML value as it would be written on the command line.
fn plain_text(row: &'static Key, value: &Value) -> Result<String, ConfigError> {
    let wrong = |found| ConfigError::WrongType {
        key: row.name.to_owned(),
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
