//! What the cache has.

use std::path::PathBuf;

use attestation::certificate::service::{Content, Resource};

use super::Store;
use super::error::StoreError;

/// An entry of the cache. Read, not verified: that is done on each use.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// What it is kept as.
    pub resource: Resource,
    /// The file.
    pub path: PathBuf,
    /// What is in it; `None` if it is damaged, and will be fetched again.
    pub content: Option<Content>,
}

impl Store {
    /// The entries, in the order of their names.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the directory or a file cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for resource in self.cache.resources()? {
            let bytes = self.cache.read(&resource)?;
            entries.push(Entry {
                path: self.cache.path(&resource),
                content: bytes.and_then(|bytes| resource.read(&bytes).ok()),
                resource,
            });
        }
        Ok(entries)
    }
}
