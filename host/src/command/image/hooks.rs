//! The options of hooks: `--hook STAGE=FILE` and `--hook-file PATH=FILE`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use image_builder::initramfs::{Additions, Archive, ExtraFile, Hook};
use protocol::hooks::{Stage, StageError};

use super::places::Place;
use crate::failure::{Failure, Result};
use crate::terminal::causes;

/// Hooks and what they need.
#[derive(Debug, Args)]
pub(super) struct HookOptions {
    /// Run this program at a stage of the boot: pre-root, post-root or pre-handover (repeatable)
    ///
    /// A static x86-64 executable, or a script whose interpreter is a --hook-file. The hooks of a
    /// stage run in the order of their file names; docs/initramfs.md says what they find. They
    /// are measured, and trusted as PID 1 is: one that fails or is too slow ends the boot.
    #[arg(long, value_name = "STAGE=FILE", value_parser = hook)]
    hook: Vec<(Stage, PathBuf)>,
    /// Add a file that hooks need, under this path in the initramfs (repeatable)
    ///
    /// It is executable if it begins as a program or a script does.
    #[arg(long, value_name = "PATH=FILE", value_parser = file)]
    hook_file: Vec<(String, PathBuf)>,
}

impl HookOptions {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.hook.is_empty() && self.hook_file.is_empty()
    }

    /// The files, by their options.
    pub(super) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let hooks = self.hook.iter().map(|(_, path)| ("--hook", Some(path.as_path())));
        let files = self.hook_file.iter().map(|(_, path)| ("--hook-file", Some(path.as_path())));
        hooks.chain(files)
    }

    /// Reads the files.
    pub(super) fn read(&self) -> Result<Additions> {
        let mut additions = Additions::default();
        for (path, source) in &self.hook_file {
            additions.files.push(ExtraFile { path: path.clone(), content: content(source)? });
        }
        for (stage, source) in &self.hook {
            let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
            additions.hooks.push(Hook { stage: *stage, name, content: content(source)? });
        }
        Ok(additions)
    }
}

/// Adds them to the configuration archive.
pub(super) fn add(additions: &Additions, archive: &mut Archive) -> Result<()> {
    additions.add_to(archive).map_err(|(path, error)| {
        Failure::new(format!("{path}: {}", causes(&error)))
            .help("docs/initramfs.md has what hooks may be; PID 1 would refuse to boot with this")
    })
}

fn content(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Failure::new(error).named(path))
}

fn hook(text: &str) -> std::result::Result<(Stage, PathBuf), String> {
    let (stage, path) = halves(text, "STAGE")?;
    Ok((stage.parse().map_err(|error: StageError| error.to_string())?, path.into()))
}

fn file(text: &str) -> std::result::Result<(String, PathBuf), String> {
    let (inside, path) = halves(text, "PATH")?;
    Ok((inside.to_owned(), path.into()))
}

fn halves<'a>(text: &'a str, first: &str) -> std::result::Result<(&'a str, &'a str), String> {
    let halves = text.split_once('=').filter(|(first, path)| !first.is_empty() && !path.is_empty());
    halves.ok_or_else(|| format!("{first}=FILE is meant"))
}
