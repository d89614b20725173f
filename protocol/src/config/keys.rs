//! What a setting is: its name, its values, where it has a meaning, and what it is
//! when nobody says. Parser, defaults and documentation come from the two tables,
//! [`KEYS`] and [`VOLUME_KEYS`].

use super::table::{KEYS, VOLUME_KEYS};
use super::values::{KeyOrigin, RootMode};

/// One setting of the measured configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Dotted name: `ravelin.NAME=` on the command line, tables in the TOML file.
    /// That of a volume's setting stands behind `volume.` and the volume's name.
    pub name: &'static str,
    /// Where it has a meaning; elsewhere it is refused.
    pub scope: Scope,
    /// What a value may be, for error messages and the documentation.
    pub allowed: &'static str,
    /// The value where none is given.
    pub default: Default,
    /// What it does.
    pub about: &'static str,
}

/// Where a setting has a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Always,
    /// With this `root.mode`.
    Root(RootMode),
    /// Where a key comes from an owner: the root is encrypted, or a volume has
    /// `key = "owner"`.
    Unlock,
    /// With `network.mode = static`.
    Static,
    /// In a volume whose `key` is one of these words.
    Volume(&'static [KeyOrigin]),
}

/// What a setting is when it is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This value, parsed like any other.
    Value(&'static str),
    /// There is none: it must be given.
    Required,
    /// The first with `root.mode = encrypted`, the second with the others.
    Encrypted(&'static str, &'static str),
    /// There is none, and it need not be given. What is done then.
    Absent(&'static str),
}

impl Scope {
    /// The scope as the table of the documentation says it.
    fn shown(self) -> Option<String> {
        match self {
            Scope::Always => None,
            Scope::Root(mode) => Some(format!("{mode} only")),
            Scope::Unlock => Some("with keys from owners only".to_owned()),
            Scope::Static => Some("static only".to_owned()),
            Scope::Volume(keys) => {
                let keys: Vec<&str> = keys.iter().map(|key| key.as_str()).collect();
                Some(format!("{} only", keys.join(" and ")))
            }
        }
    }
}

impl Default {
    fn shown(self) -> String {
        match self {
            Default::Value(value) => format!("`{value}`"),
            Default::Required => "must be given".to_owned(),
            Default::Encrypted(value, other) => format!("`{value}` (encrypted), `{other}` (else)"),
            Default::Absent(what) => what.to_owned(),
        }
    }
}

/// The row of `name` in [`KEYS`].
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Both tables as Markdown, for the documentation.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::new();
    rows(&mut page, KEYS);
    page.push_str(
        "\nThe settings of a volume. Its name is `name` in the file's `[[volume]]`, and stands in \
         the middle of the words on the command line: `ravelin.volume.NAME.KEY=value`.\n\n",
    );
    rows(&mut page, VOLUME_KEYS);
    page
}

fn rows(page: &mut String, keys: &[Key]) {
    page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    for key in keys {
        let mut default = key.default.shown();
        if let Some(scope) = key.scope.shown() {
            default.push_str(&format!(" ({scope})"));
        }
        page.push_str(&format!(
            "| `{}` | {} | {default} | {} |\n",
            key.name, key.allowed, key.about
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_plain() {
        for table in [KEYS, VOLUME_KEYS] {
            for (index, key) in table.iter().enumerate() {
                assert!(
                    key.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'.' || b == b'_'),
                    "{}",
                    key.name
                );
                assert!(
                    table[index + 1..].iter().all(|other| other.name != key.name),
                    "{}",
                    key.name
                );
            }
        }
        // `volume.…` is the volumes'.
        assert!(KEYS.iter().all(|key| !key.name.starts_with("volume")));
    }
}
