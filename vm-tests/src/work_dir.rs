//! A test's directory: kept with its logs if the test fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::{OrFail, slot};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Removed when dropped, unless the test is failing.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    /// Makes a directory named after the test.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let test = thread::current().name().unwrap_or("test").replace("::", ".");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = slot::directory().join(format!("{test}.{}.{number}", process::id()));
        fs::create_dir_all(&path).or_fail(format!("create {}", path.display()));
        Self { path }
    }

    /// The directory that all of them are in: below cargo's target directory.
    #[must_use]
    pub fn base() -> PathBuf {
        slot::directory()
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Default for WorkDir {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("kept for a look: {}", self.path.display());
        } else {
            let _left_behind = fs::remove_dir_all(&self.path);
        }
    }
}
