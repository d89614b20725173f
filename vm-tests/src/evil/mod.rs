//! The evil host: scenarios as data, and what becomes of a VM in each.
//!
//! A [`Scenario`] is a file of `scenarios/`: what the host does (a list of
//! [`Action`]s), why that leads nowhere, and what must be observed. A [`Target`] is a
//! VM that boots if nobody harms it: one of the project's own, made by the tests, or
//! anybody's kernel, initramfs and command line, in a file. [`Attacked`] is the target
//! after the actions.
//!
//! What is observed is judged in two ways. The project's own targets have an
//! [`Expectation`]: the code that PID 1 has to name, and how the machine stops. Of
//! other targets it is only asked whether the real system ran although it must not
//! have ([`Verdict`]), so that another init can be held against the same scenarios:
//! `cargo xtask evil-host`.

mod action;
mod attacked;
mod changed;
mod expectation;
#[cfg(test)]
mod one_screen;
#[cfg(test)]
mod page;
mod place;
mod scenario;
mod score;
mod target;
mod verdict;

use std::path::PathBuf;

pub use action::{Action, Answer, Content};
pub use attacked::{Attacked, Started};
pub use expectation::{End, Expectation, Measurement};
pub use place::Place;
pub use scenario::{Elsewhere, Scenario};
pub use score::{Line, Score, nothing};
pub use target::{Target, TargetDisk};
pub use verdict::{Seen, Verdict};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum EvilError {
    /// The scenario names a thing that this target does not have: it does not apply.
    #[error("the target has no {what} `{name}`")]
    NotThere {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// An action that changes nothing, or that there is no way to do.
    #[error("{0}")]
    Pointless(String),
    /// A scenario or a target cannot be read.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Something failed on the way.
    #[error("{doing}")]
    Io {
        /// What.
        doing: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// For `map_err`.
fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> EvilError {
    let doing = doing.into();
    move |source| EvilError::Io { doing, source }
}

fn not_there(what: &'static str, name: &str) -> EvilError {
    EvilError::NotThere { what, name: name.to_owned() }
}
