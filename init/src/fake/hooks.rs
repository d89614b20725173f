//! The hooks of the recording machine.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use super::Fake;
use crate::platform::{Hook, Hooks};

/// How hooks end.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The exit status of all.
    pub(crate) status: Cell<i32>,
    /// Instead of a status.
    pub(crate) error: Cell<Option<io::ErrorKind>>,
}

impl Hooks for Fake {
    fn run_hook(&self, hook: &Hook<'_>, _until: Duration) -> io::Result<i32> {
        let variables = hook.environment.iter().map(|(name, value)| format!(" {name}={value}"));
        let variables: String = variables.collect();
        self.call(format!("hook {} {}{variables}", hook.path.display(), hook.stage))?;
        match self.hooks.error.get() {
            Some(kind) => Err(kind.into()),
            None => Ok(self.hooks.status.get()),
        }
    }
}
