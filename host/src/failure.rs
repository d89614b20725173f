//! Why a command ended without a result: what the user reads after `error:`.

use std::error::Error;
use std::fmt;

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

    /// The remedy.
    #[must_use]
    pub(crate) fn remedy(&self) -> Option<&str> {
        self.help.as_deref()
    }
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
    fn a_remedy_is_kept() {
        let failed: std::result::Result<(), _> = Err(std::io::Error::other("inner"));
        let failure = failed.remedy("try again").unwrap_err();
        assert_eq!(failure.remedy(), Some("try again"));
    }
}
