//! Why a command ended without a result: what the user reads after `error:`.

use std::error::Error;
use std::path::Path;
use std::{fmt, io};

use crate::exit::Exit;

/// What a command returns.
pub(crate) type Result<T = Exit> = std::result::Result<T, Failure>;

/// An error on its way to the user: message, causes, a remedy, an exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    help: Option<String>,
}

impl Failure {
    /// An input or this machine is the reason ([`Exit::Environment`]).
    pub(crate) fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Environment, error: error.into(), help: None }
    }

    /// The command line is the reason ([`Exit::Usage`]).
    pub(crate) fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(error) }
    }

    /// A VM that gave no evidence is the reason ([`Exit::NoAnswer`]).
    pub(crate) fn no_answer(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::NoAnswer, ..Self::new(error) }
    }

    /// A check that failed is the reason ([`Exit::CheckFailed`]).
    pub(crate) fn refused(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::CheckFailed, ..Self::new(error) }
    }

    /// A file that cannot be read.
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::new(Unreadable { path: path.display().to_string(), source })
    }

    /// Says which file it is about, unless the message does.
    #[must_use]
    pub(crate) fn named(self, path: &Path) -> Self {
        let path = path.display().to_string();
        if self.message().starts_with(&format!("{path}:")) {
            return self;
        }
        let error = Box::new(Named { path, error: self.error });
        Self { error, exit: self.exit, help: self.help }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same in other words, causes included.
    #[must_use]
    pub(crate) fn reworded(self, message: String) -> Self {
        Self { error: message.into(), ..self }
    }

    /// The exit code.
    #[must_use]
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The first line.
    #[must_use]
    pub(crate) fn message(&self) -> String {
        self.error.to_string()
    }

    /// The causes, outermost first. A cause whose text the message before it
    /// quotes already is left out.
    #[must_use]
    pub(crate) fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut before = self.message();
        let mut next = self.error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !before.contains(&text) {
                causes.push(text.clone());
                before = text;
            }
            next = cause.source();
        }
        causes
    }

    /// The remedy: what was added, else what helps with every file.
    #[must_use]
    pub(crate) fn remedy(&self) -> Option<&str> {
        self.help.as_deref().or_else(|| usual_remedy(self.error.as_ref()))
    }
}

/// A file that cannot be read, and what the kernel said.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot be read: {source}")]
struct Unreadable {
    path: String,
    source: io::Error,
}

/// An error of a file that its own text does not name.
#[derive(Debug)]
struct Named {
    path: String,
    error: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.error)
    }
}

impl Error for Named {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.error.as_ref())
    }
}

const ABSENT: &str = "nothing has this name: correct the path, or make it first";

/// What helps with what the kernel said about a file.
const REMEDIES: [(io::ErrorKind, &str); 7] = [
    (io::ErrorKind::NotFound, ABSENT),
    (io::ErrorKind::NotADirectory, ABSENT),
    (
        io::ErrorKind::PermissionDenied,
        "its permissions do not allow it: change them, or name another file",
    ),
    (io::ErrorKind::IsADirectory, "this is a directory: name a file in it"),
    (io::ErrorKind::StorageFull, "make room there, or name a place that has more"),
    (io::ErrorKind::QuotaExceeded, "make room there, or name a place that has more"),
    (io::ErrorKind::ReadOnlyFilesystem, "name a place that can be written to"),
];

/// What helps if the kernel's answer about a file is the innermost cause.
fn usual_remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    let mut found = None;
    while let Some(error) = cause {
        found = error.downcast_ref::<io::Error>().or(found);
        cause = error.source();
    }
    let kind = found?.kind();
    REMEDIES.into_iter().find(|(of, _)| *of == kind).map(|(_, remedy)| remedy)
}

/// Errors of the libraries: their texts name the file and what to do.
impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// Adds a remedy to a library's error on its way through `?`.
pub(crate) trait Remedy<T> {
    /// What the user can do about it.
    ///
    /// # Errors
    /// The error itself, with the remedy.
    fn remedy(self, help: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<Failure>> Remedy<T> for std::result::Result<T, E> {
    fn remedy(self, help: impl Into<String>) -> Result<T> {
        self.map_err(|error| error.into().help(help))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("middle: {0}")]
    struct Middle(#[source] std::io::Error);

    #[test]
    fn causes_are_told_once() {
        let failure = Failure::from(Outer(Middle(std::io::Error::other("inner"))));
        assert_eq!(failure.message(), "outer");
        assert_eq!(failure.causes(), ["middle: inner"]);
        assert_eq!(failure.exit(), Exit::Environment);
    }

    #[test]
    fn the_file_is_named_once_and_what_helps_follows_from_the_cause() {
        let absent = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let named = Failure::from(Outer(Middle(absent()))).named(Path::new("a"));
        assert_eq!(named.message(), "a: outer");
        assert_eq!(named.causes(), ["middle: entity not found"]);
        assert!(named.remedy().unwrap().contains("correct the path"));
        assert_eq!(named.named(Path::new("a")).message(), "a: outer");
        let file = Failure::file(Path::new("a"), absent());
        assert_eq!(
            (file.message().as_str(), file.causes().len()),
            ("a: cannot be read: entity not found", 0)
        );
        assert!(file.remedy().is_some());
        assert_eq!(Failure::new("no cause").remedy(), None);
    }

    #[test]
    fn a_remedy_is_kept() {
        let failed: std::result::Result<(), _> = Err(std::io::Error::other("inner"));
        let failure = failed.remedy("try again").unwrap_err();
        assert_eq!(failure.remedy(), Some("try again"));
    }
}
