//! `docs/cli.md` is what the program says about itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use protocol::config::{KEYS, VOLUME_KEYS};

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

/// What is at the end of a file's name, and of no key's.
const FILES: [&str; 9] = ["erofs", "ext4", "hash", "img", "key", "lock", "md", "rs", "toml"];

/// What stands between backticks and has the shape of a setting: `SECTION.KEY`, also with
/// `= VALUE` behind it and with the `ravelin.` of the command line before it.
fn settings(text: &str) -> Vec<&str> {
    let name = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted
        .map(|quoted| quoted.split('=').next().unwrap_or_default().trim())
        .map(|quoted| quoted.strip_prefix("ravelin.").unwrap_or(quoted))
        .filter(|quoted| quoted.contains('.') && quoted.split('.').all(name))
        .filter(|quoted| !FILES.iter().any(|end| quoted.ends_with(&format!(".{end}"))))
        .collect()
}

/// Whether `SECTION.KEY` is one of vm.toml's: of another one its reader says that it is
/// unknown.
fn is_of_a_vm(setting: &str) -> bool {
    let Some((section, key)) = setting.split_once('.') else { return false };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vm.toml");
    fs::write(&path, format!("format = 1\n[{section}]\n{key} = []\n")).unwrap();
    let error = host::vm::VmFile::read(&path).unwrap_err();
    let mut text = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    !text.contains("unknown")
}

/// The files below a directory whose names end so.
fn files(directory: &Path, end: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, end, found);
        } else if path.extension().is_some_and(|extension| extension == end) {
            found.push(path);
        }
    }
}

/// A page, a help text or an error that sends the user to a setting names one that there is.
#[test]
fn every_setting_that_is_named_exists() {
    let known: BTreeSet<&str> = [KEYS, VOLUME_KEYS].concat().iter().map(|key| key.name).collect();
    let sections: BTreeSet<&str> =
        known.iter().filter_map(|name| Some(name.split_once('.')?.0)).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = vec![root.join("README.md")];
    files(&root.join("docs"), "md", &mut paths);
    files(&root.join("host/src"), "rs", &mut paths);
    let mut count = 0;
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for setting in settings(&text) {
            let section = setting.split('.').next().unwrap_or_default();
            if !sections.contains(section) {
                continue;
            }
            count += 1;
            if !known.contains(setting) && !is_of_a_vm(setting) {
                panic!("{}: there is no setting `{setting}`", path.display());
            }
        }
    }
    assert!(count >= 100, "{count} settings were found");
}

#[test]
fn settings_are_told_from_other_words() {
    let text = "`root.mode = plain`, `ravelin.verity.salt=-`, `root.img.toml`, `on_failure`\n\
                `unlock.rs` and `unlock.quorum_deadline`";
    assert_eq!(settings(text), ["root.mode", "verity.salt", "unlock.quorum_deadline"]);
    assert!(is_of_a_vm("network.ssh_port") && !is_of_a_vm("unlock.quorum_deadline"));
}
