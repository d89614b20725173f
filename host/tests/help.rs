//! The help texts: complete, and their examples are accepted by the program
//! that they are about.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use clap::Command;
use common::run;

/// Every command with the words that lead to it.
fn tree(command: &Command, words: &[String]) -> Vec<(Vec<String>, Command)> {
    let mut all = vec![(words.to_vec(), command.clone())];
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let mut words = words.to_vec();
        words.push(below.get_name().to_owned());
        all.extend(tree(below, &words));
    }
    all
}

fn all() -> Vec<(Vec<String>, Command)> {
    let mut root = host::cli::command();
    root.build();
    let all = tree(&root, &[]);
    assert!(all.len() >= 7, "{} commands", all.len());
    all
}

#[test]
fn every_command_and_argument_has_help() {
    for (words, command) in all() {
        assert!(command.get_about().is_some(), "{words:?} has no help");
        assert!(command.get_after_long_help().is_some(), "{words:?} has no examples");
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.len() > 3, "{words:?}: {} has no help", argument.get_id());
            assert!(
                !help.ends_with('.'),
                "{words:?}: {}: short help is a phrase",
                argument.get_id()
            );
        }
    }
}

#[test]
fn every_help_can_be_printed_and_tells_the_exit_codes() {
    for (words, _) in all() {
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let long = run(Path::new("/"), &arguments).ok().stdout;
        assert!(long.contains("Usage: ravelin"), "{long}");
        assert_eq!(long.matches("Exit codes:").count(), 1, "{words:?}: {long}");
        assert!(long.lines().all(|line| line.chars().count() <= 100), "{words:?}: {long}");
        arguments.pop();
        arguments.push("-h");
        let short = run(Path::new("/"), &arguments).ok().stdout;
        assert!(!short.contains("Exit codes:") && short.len() < long.len());
    }
}

/// The example commands of a help text: lines that begin with `ravelin`, with
/// their continuations, without comments, pipes and redirections.
fn examples(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with("ravelin "))
        .map(|line| line.split("  #").next().unwrap_or(line))
        .map(|line| line.split([';', '|', '>']).next().unwrap_or(line))
        .map(|line| shlex::split(line).unwrap_or_else(|| panic!("quoting: {line}")))
        .collect()
}

#[test]
fn every_example_is_accepted() {
    let mut count = 0;
    for (words, command) in all() {
        let text = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        for example in examples(&text) {
            count += 1;
            if let Err(error) = host::cli::command().try_get_matches_from(&example) {
                panic!("{words:?}: {example:?}: {error}");
            }
        }
    }
    assert!(count >= 20, "{count} examples were found");
}

#[test]
fn no_command_is_a_usage_error_with_help() {
    let ran = run(Path::new("/"), &[]).code(2);
    assert!(ran.stderr.contains("Usage: ravelin"), "{}", ran.stderr);
    run(Path::new("/"), &["lunch"]).code(2);
    run(Path::new("/"), &["launch", "--quiet", "--verbose"]).code(2);
}

#[test]
fn color_is_for_terminals_or_on_demand() {
    let escape = |arguments: &[&str]| {
        let ran = run(Path::new("/"), arguments);
        ran.stderr.contains('\x1b') || ran.stdout.contains('\x1b')
    };
    assert!(!escape(&["--help"]));
    assert!(escape(&["--help", "--color=always"]));
    assert!(!escape(&["inspect", "/nonexistent"]));
    assert!(escape(&["inspect", "/nonexistent", "--color", "always"]));
    assert!(!escape(&["inspect", "/nonexistent", "--color", "never"]));
}

#[test]
fn completions_for_every_shell_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(Path::new("/"), &["completions", shell]).ok().stdout;
        for word in ["initramfs", "launch", "inspect", "simulate", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let ran = run(Path::new("/"), &["completions", "bash", "--json"]).code(2);
    assert_eq!(ran.json()["kind"], "error");
}

#[test]
fn man_pages_for_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let ran = run(directory.path(), &["man", "sub/man1", "--json"]).ok();
    let files = ran.json()["files"].as_array().unwrap().len();
    let names = common::names(&directory.path().join("sub/man1"));
    assert_eq!(names.len(), files);
    for (words, _) in all() {
        let name = [&["ravelin".to_owned()], words.as_slice()].concat().join("-") + ".1";
        assert!(names.contains(&name), "{name} of {names:?}");
        let page = std::fs::read_to_string(directory.path().join("sub/man1").join(name)).unwrap();
        assert!(page.starts_with(".ie") && page.contains("Exit codes:"), "{page}");
    }
    let main = run(directory.path(), &["man"]).ok().stdout;
    assert!(main.contains(".TH ravelin 1"), "{main}");
}
