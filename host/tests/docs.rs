//! `docs/cli.md` is what the program says about itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "\
# The `ravelin` command

<!-- Made from the program's own help texts: RAVELIN_BLESS=1 cargo test -p host --test docs -->

`ravelin COMMAND --help` prints what is on this page, `ravelin man` makes manual pages of it, and
`ravelin completions` a completion script for your shell.

Three rules hold for every command:

- **Outputs are whole or absent.** A file appears under its name when it is complete and on the
  disk. A failed, interrupted or killed command leaves the old file, or none.
- **Results go to standard output, everything else to standard error.** With `--json` standard
  output has exactly one JSON document, also after a failure (`\"kind\": \"error\"`, with `message`,
  `causes`, `help` and `exit_code`). Every document has `kind` and `format` (1); within a format,
  fields are added and never renamed or removed. A wrong command line (exit code 2) that the
  argument parser finds is text only.
- **Errors say what to do.** `error:` names the file and the place in it, `cause:` what lies
  behind it, `help:` the remedy.
";

/// The page.
fn markdown() -> String {
    let mut root = host::cli::command().disable_help_subcommand(true);
    root.build();
    let mut page = HEAD.to_owned();
    section(&mut page, &root, "ravelin", 2);
    page
}

fn section(page: &mut String, command: &clap::Command, name: &str, level: usize) {
    let help = command.clone().bin_name(name).term_width(100).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let heading = "#".repeat(level);
    write!(page, "\n{heading} {name}\n\n```text\n{}\n```\n", lines.join("\n")).unwrap();
    for below in command.get_subcommands() {
        section(page, below, &format!("{name} {}", below.get_name()), level + 1);
    }
}

#[test]
fn docs_cli_md_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let expected = markdown();
    if std::env::var_os("RAVELIN_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/cli.md is out of date; run `RAVELIN_BLESS=1 cargo test -p host --test docs` and \
         commit the result"
    );
}
