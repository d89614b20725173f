//! `ravelin man`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man as Page;
use image_builder::output::{Output, commit_all};
use serde::Serialize;

use crate::cli;
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::{Terminal, Text};

const EXAMPLES: &str = "\
Examples:
  ravelin man | man -l -                    # read the main page
  ravelin man ~/.local/share/man/man1       # then: man ravelin-launch

JSON (\"kind\": \"man\", with a DIR only): \"files\", the paths of the pages.";

/// Print the manual page, or write the pages of all commands
///
/// Without DIR, the page of `ravelin` itself goes to standard output. With DIR, one page
/// for each command is written: ravelin.1, ravelin-launch.1, ravelin-image-verity.1 and so on.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Man {
    /// The directory for the pages; it is made if it is not there
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

#[derive(Serialize)]
struct Written {
    files: Vec<String>,
}

pub(crate) fn run(arguments: &Man, terminal: &Terminal) -> Result {
    let mut root = cli::command().disable_help_subcommand(true);
    root.build();
    let Some(directory) = &arguments.directory else {
        if terminal.json() {
            let failure = Failure::usage("a manual page has no JSON form");
            return Err(failure.help("name a DIR to write the pages to, or leave --json out"));
        }
        terminal.output(&render(&root)?)?;
        return Ok(Exit::Success);
    };
    fs::create_dir_all(directory)
        .map_err(|error| Failure::new(error).named(directory))
        .remedy("name a directory that can be written to")?;
    let mut outputs = Vec::new();
    let mut files = Vec::new();
    for command in tree(&root) {
        let page = Page::new(command.clone());
        let path = directory.join(page.get_filename());
        let output = Output::create(&path)?;
        output.file().write_all(&render(command)?)?;
        files.push(path.display().to_string());
        outputs.push(output);
    }
    commit_all(outputs)?;
    let mut text = Text::new();
    for file in &files {
        text.line(file);
    }
    terminal.result("man", &Written { files }, &text)?;
    Ok(Exit::Success)
}

/// A command and all below it.
fn tree(command: &clap::Command) -> Vec<&clap::Command> {
    let mut all = vec![command];
    for below in command.get_subcommands() {
        all.extend(tree(below));
    }
    all
}

fn render(command: &clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    Page::new(command.clone()).render(&mut page)?;
    Ok(page)
}
