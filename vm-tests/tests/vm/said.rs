//! What a command of `ravelin` with `--json` said, and how it ended. What it has to be
//! stands beside the tests of each command.

use std::process::Output;

use serde_json::Value;

/// The end of a command.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) json: Value,
    /// Both outputs.
    pub(crate) text: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        Self { code: output.status.code(), json, text }
    }
}
