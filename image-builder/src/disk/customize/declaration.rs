//! The TOML file that says what is put in.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

/// The most bytes of the declaration, and of all files that it names.
const MAX_DECLARATION: u64 = 4 << 20;
const MAX_FILES: u64 = 64 << 20;
/// What a user or group may be called, in bytes (useradd(8)).
const MAX_USER: usize = 32;
/// The longest host name, in bytes (hostname(5)).
const MAX_HOST: usize = 64;

/// What is put into a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Customization {
    pub(super) users: Vec<User>,
    pub(super) files: Vec<Placed>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) comment: String,
    /// An absolute path in the tree.
    pub(super) home: String,
    pub(super) shell: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) authorized_keys: Vec<String>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// Path from the root of the tree, without a slash at either end.
    pub(super) path: Vec<u8>,
    pub(super) content: Vec<u8>,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Why a declaration cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CustomizeError {
    /// It, or a file that it names, cannot be read.
    #[error("{}: cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It, or the files that it names, have too many bytes.
    #[error("{}: more than {most} bytes; put a tree of files into the root itself", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        most: u64,
    },
    /// It is no such TOML.
    #[error("{}: is no customization", .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: toml::de::Error,
    },
    /// A value that cannot be used.
    #[error("{}: {key} = {value:?}: {problem}", .path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong, and the remedy.
        problem: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    hostname: Option<String>,
    #[serde(default)]
    user: Vec<UserText>,
    #[serde(default)]
    file: Vec<FileText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserText {
    name: String,
    uid: Option<u32>,
    gid: Option<u32>,
    #[serde(default)]
    comment: String,
    home: Option<String>,
    shell: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    authorized_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    path: String,
    content: Option<String>,
    source: Option<String>,
    #[serde(default = "readable")]
    mode: u16,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
}

fn readable() -> u16 {
    0o644
}

impl Customization {
    /// Reads a declaration, and the files that it names, which lie beside it.
    ///
    /// # Errors
    /// [`CustomizeError`].
    pub fn read(path: &Path) -> Result<Customization, CustomizeError> {
        let mut left = MAX_DECLARATION;
        let bytes = read(path, &mut left, MAX_DECLARATION)?;
        let invalid = |source| CustomizeError::Toml { path: path.to_owned(), source };
        let text: Text = toml::from_slice(&bytes).map_err(invalid)?;
        let reader = Reader { path };
        let mut customization = Customization::default();
        if let Some(hostname) = text.hostname {
            customization.files.push(reader.hostname(&hostname)?);
        }
        for user in text.user {
            customization.users.push(reader.user(user)?);
        }
        let mut left = MAX_FILES;
        for file in text.file {
            customization.files.push(reader.file(file, &mut left)?);
        }
        reader.distinct(&customization)?;
        Ok(customization)
    }
}

struct Reader<'a> {
    path: &'a Path,
}

impl Reader<'_> {
    fn refused(&self, key: &'static str, value: &str, problem: &'static str) -> CustomizeError {
        CustomizeError::Value { path: self.path.to_owned(), key, value: value.to_owned(), problem }
    }

    fn hostname(&self, name: &str) -> Result<Placed, CustomizeError> {
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if name.len() > MAX_HOST || !name.split('.').all(label) {
            let problem = "is no host name: letters, digits and hyphens, at most 64 characters";
            return Err(self.refused("hostname", name, problem));
        }
        let content = format!("{name}\n").into_bytes();
        Ok(Placed { path: b"etc/hostname".to_vec(), content, mode: 0o644, uid: 0, gid: 0 })
    }

    fn user(&self, text: UserText) -> Result<User, CustomizeError> {
        let name = &text.name;
        for (key, name) in
            [("name", name)].into_iter().chain(text.groups.iter().map(|group| ("groups", group)))
        {
            if !is_user_name(name) {
                let problem = "is no name of a user or group: lowercase letters, digits, _ and -, \
                               at most 32 characters";
                return Err(self.refused(key, name, problem));
            }
        }
        let home = text.home.unwrap_or_else(|| {
            if name == "root" { "/root".to_owned() } else { format!("/home/{name}") }
        });
        tree_path(&home).ok_or_else(|| self.refused("home", &home, NO_PATH))?;
        let field = |key, value: &str| {
            if value.contains(':') || value.contains(char::is_control) {
                let problem = "a field of /etc/passwd has no colons and no line ends";
                return Err(self.refused(key, value, problem));
            }
            Ok(())
        };
        field("comment", &text.comment)?;
        field("home", &home)?;
        if let Some(shell) = &text.shell {
            field("shell", shell)?;
            tree_path(shell).ok_or_else(|| self.refused("shell", shell, NO_PATH))?;
        }
        for key in &text.authorized_keys {
            let kind = |word: &str| {
                ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|k| word.starts_with(k))
            };
            if key.contains(char::is_control) || !key.split(' ').any(kind) {
                let problem = "is no line of authorized_keys, such as `ssh-ed25519 AAAA… name`";
                return Err(self.refused("authorized_keys", key, problem));
            }
        }
        for (key, id) in [("uid", text.uid), ("gid", text.gid)] {
            if id == Some(u32::MAX) {
                return Err(self.refused(key, &u32::MAX.to_string(), "means no user or group"));
            }
        }
        Ok(User {
            name: text.name,
            uid: text.uid,
            gid: text.gid,
            comment: text.comment,
            home,
            shell: text.shell,
            groups: text.groups,
            authorized_keys: text.authorized_keys,
        })
    }

    fn file(&self, text: FileText, left: &mut u64) -> Result<Placed, CustomizeError> {
        let FileText { path, content, source, mode, uid, gid } = text;
        let at = tree_path(&path).ok_or_else(|| self.refused("path", &path, NO_PATH))?;
        if mode > 0o7777 {
            let problem = "is no mode; write it in octal, such as 0o644";
            return Err(self.refused("mode", &mode.to_string(), problem));
        }
        for (key, id) in [("uid", uid), ("gid", gid)] {
            if id == u32::MAX {
                return Err(self.refused(key, &id.to_string(), "means no user or group"));
            }
        }
        let content = match (content, source) {
            (Some(content), None) => content.into_bytes(),
            (None, Some(source)) => {
                let beside = Path::new(&source);
                let plain = beside.components().all(|part| matches!(part, Component::Normal(_)));
                if !plain || source.is_empty() {
                    let problem = "is no path beside this file, without `..` and without a slash \
                                   at its start";
                    return Err(self.refused("source", &source, problem));
                }
                let parent = self.path.parent().unwrap_or(Path::new(""));
                read(&parent.join(beside), left, MAX_FILES)?
            }
            (Some(_), Some(_)) | (None, None) => {
                let problem = "needs either `content` or `source`";
                return Err(self.refused("path", &path, problem));
            }
        };
        Ok(Placed { path: at, content, mode, uid, gid })
    }

    fn distinct(&self, customization: &Customization) -> Result<(), CustomizeError> {
        let mut names = BTreeSet::new();
        for user in &customization.users {
            if !names.insert(&user.name) {
                return Err(self.refused("name", &user.name, "is there twice"));
            }
        }
        let mut paths = BTreeSet::new();
        for file in &customization.files {
            if !paths.insert(&file.path) {
                let path = String::from_utf8_lossy(&file.path);
                return Err(self.refused("path", &path, "is there twice"));
            }
        }
        Ok(())
    }
}

const NO_PATH: &str = "is no absolute path of a file in the root, without `.` and `..`";

/// The path from the root, without a slash at either end.
fn tree_path(text: &str) -> Option<Vec<u8>> {
    let path = text.strip_prefix('/')?;
    let fits = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && part.len() <= 255 && !part.contains('\0')
    };
    (path.len() <= super::super::tree::MAX_PATH && path.split('/').all(fits))
        .then(|| path.as_bytes().to_vec())
}

fn is_user_name(name: &str) -> bool {
    name.len() <= MAX_USER
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
}

/// A regular file of at most `left` bytes, which become fewer.
fn read(path: &Path, left: &mut u64, most: u64) -> Result<Vec<u8>, CustomizeError> {
    let failed = |source| CustomizeError::Read { path: path.to_owned(), source };
    // Opening a named pipe would wait for ever.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(left.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(failed)?;
    *left = left
        .checked_sub(bytes.len() as u64)
        .ok_or_else(|| CustomizeError::TooLarge { path: path.to_owned(), most })?;
    Ok(bytes)
}
