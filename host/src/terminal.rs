//! What reaches the user: the result on standard output, everything else on
//! standard error.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

pub(crate) use protocol::text::printable;

use crate::failure::{Failure, Result};
use crate::progress::Bars;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();
const HEADING: Style = Style::new().bold();

/// The version of all JSON documents. Fields are added without a new one.
const JSON_FORMAT: u32 = 1;

/// Where messages and results go, and how much of them.
#[derive(Debug)]
pub(crate) struct Terminal {
    json: bool,
    quiet: bool,
    verbose: bool,
}

/// A JSON document: what it is, then its fields.
#[derive(Serialize)]
struct Document<'a, T> {
    kind: &'a str,
    format: u32,
    #[serde(flatten)]
    fields: &'a T,
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    message: String,
    causes: Vec<String>,
    help: Option<&'a str>,
    exit_code: i32,
}

impl Terminal {
    /// As the global options say.
    #[must_use]
    pub(crate) fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        Self { json, quiet, verbose }
    }

    /// Whether the result is wanted as JSON.
    #[must_use]
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Prints a result: `fields` as a JSON document of this `kind`, or the
    /// text.
    ///
    /// # Errors
    /// If standard output cannot be written. A reader that went away early
    /// (`| head`) is none.
    pub(crate) fn result(&self, kind: &str, fields: &impl Serialize, text: &Text) -> Result<()> {
        if self.json {
            let document = Document { kind, format: JSON_FORMAT, fields };
            let mut json = serde_json::to_string_pretty(&document)?;
            json.push('\n');
            print(json.as_bytes())
        } else if self.quiet {
            Ok(())
        } else {
            print(text.0.as_bytes())
        }
    }

    /// Prints what was asked for, whatever the options say.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn output(&self, bytes: &[u8]) -> Result<()> {
        print(bytes)
    }

    /// Writes bytes that are no text, exactly as they are.
    ///
    /// # Errors
    /// If standard output is a terminal or cannot be written.
    pub(crate) fn binary(&self, bytes: &[u8]) -> Result<()> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            return Err(Failure::usage("this is no text for a terminal")
                .help("redirect standard output to a file, or use --json"));
        }
        written(stdout.lock(), bytes)
    }

    /// Something that the user must know.
    pub(crate) fn warning(&self, text: &str) {
        message(WARNING, "warning", text);
    }

    /// Something that helps.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            message(NOTE, "note", text);
        }
    }

    /// Something for those who asked for more.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose {
            message(Style::new().dimmed(), "detail", text);
        }
    }

    /// Why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        message(ERROR, "error", &failure.message());
        for cause in failure.causes() {
            message(Style::new(), "  cause", &cause);
        }
        if let Some(help) = failure.remedy() {
            message(NOTE, "help", help);
        }
        if self.json {
            let error = ErrorDocument {
                message: failure.message(),
                causes: failure.causes(),
                help: failure.remedy(),
                exit_code: failure.exit().into(),
            };
            let document = Document { kind: "error", format: JSON_FORMAT, fields: &error };
            if let Ok(mut json) = serde_json::to_string_pretty(&document) {
                json.push('\n');
                // The failure is what counts; another one changes nothing.
                let _ = print(json.as_bytes());
            }
        }
    }

    /// Bars on standard error, where somebody looks at it.
    #[must_use]
    pub(crate) fn progress(&self) -> Bars {
        Bars::new(!self.quiet && !self.json && io::stderr().is_terminal(), self.verbose)
    }
}

/// A text of labelled lines for people.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    /// An empty text.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A line of its own in bold.
    pub(crate) fn heading(&mut self, heading: &str) -> &mut Self {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        let _ = writeln!(self.0, "{HEADING}{heading}{HEADING:#}");
        self
    }

    /// A label and its value. Lines of the value after the first are indented.
    pub(crate) fn field(&mut self, label: &str, value: impl std::fmt::Display) -> &mut Self {
        let value = value.to_string().replace('\n', "\n                    ");
        let _ = writeln!(self.0, "  {label:<16}  {value}");
        self
    }

    /// A line as it is.
    pub(crate) fn line(&mut self, line: impl std::fmt::Display) -> &mut Self {
        let _ = writeln!(self.0, "{line}");
        self
    }
}

/// A size for people: bytes, and a round number where it helps.
#[must_use]
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        if bytes >= 1 << shift {
            let tenths = (u128::from(bytes) * 10) >> shift;
            return format!("{}.{} {unit} ({bytes} bytes)", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} bytes")
}

/// An error and its causes in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

fn message(style: Style, label: &str, text: &str) {
    // Standard error may be closed; there is nowhere to say so.
    // What somebody else wrote may be quoted in it; its lines are ours.
    let text = text.split('\n').map(printable).collect::<Vec<_>>().join("\n");
    let _ = writeln!(anstream::stderr().lock(), "{style}{label}:{style:#} {text}");
}

fn print(bytes: &[u8]) -> Result<()> {
    written(anstream::stdout().lock(), bytes)
}

fn written(mut stdout: impl Write, bytes: &[u8]) -> Result<()> {
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1536), "1.5 KiB (1536 bytes)");
        assert_eq!(size(u64::MAX), "16777215.9 TiB (18446744073709551615 bytes)");
    }
}
