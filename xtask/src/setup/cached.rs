//! Directories in the cache: made whole or not at all, and known by a stamp.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const STAMP: &str = "stamp";

/// True if `directory` was made by exactly this recipe.
pub(crate) fn is_current(directory: &Path, recipe: &str) -> bool {
    fs::read_to_string(directory.join(STAMP)).is_ok_and(|stamp| stamp == recipe)
}

/// Makes `directory` by `make` in a temporary place and moves it there; one
/// that an older recipe made is replaced.
pub(crate) fn replace(
    directory: &Path,
    recipe: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let unfinished = directory.with_extension("unfinished");
    remove(&unfinished)?;
    fs::create_dir_all(&unfinished).with_context(|| format!("create {}", unfinished.display()))?;
    make(&unfinished)?;
    fs::write(unfinished.join(STAMP), recipe).context("write the stamp")?;
    remove(directory)?;
    fs::rename(&unfinished, directory)
        .with_context(|| format!("move {} into place", directory.display()))
}

/// Makes `directory` where it is to stay. The stamp comes last, so that an
/// interrupted one is made again.
pub(crate) fn make_in_place(
    directory: &Path,
    recipe: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    remove(directory)?;
    make(directory)?;
    fs::write(directory.join(STAMP), recipe).context("write the stamp")
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}
