//! Certificates that a verifier does not have yet: from a cache on this
//! machine, else from AMD's key service.
//!
//! Neither is trusted. Whatever comes from either is compared with what was
//! asked for and verified up to the roots, each time, before it is used
//! ([`attestation::certificate::service`]); an entry of the cache that fails is
//! fetched anew, an answer that fails is not kept. The worst that a broken
//! cache, a proxy or a false key service can do is to withhold a certificate or
//! the news of a revocation, and both are said.
//!
//! AMD's key service answers about one request in ten seconds and address
//! (status 429). So nothing is fetched twice: a file lock for each entry makes
//! all threads and processes of a user wait for the one that asks.

mod cache;
mod chain;
mod error;
mod http;
mod import;
mod list;
mod obtain;

use std::path::PathBuf;
use std::time::Duration;

use attestation::certificate::service::AMD_URL;

pub(crate) use chain::product_of;
pub use chain::{ChainRequest, Found, Source};
pub use error::{FetchError, StoreError};
pub use import::Imported;
pub use list::Entry;
pub use obtain::Obtained;

use cache::Cache;
use http::Client;

/// How certificates are come by.
#[derive(Debug, Clone)]
pub struct Options {
    /// The key service's base URL.
    pub url: String,
    /// The cache's directory; `None` is `ravelin/certificates` in the user's
    /// cache directory.
    pub cache: Option<PathBuf>,
    /// Whether the key service is never asked.
    pub offline: bool,
    /// How long one certificate may take, all attempts and waiting included.
    pub deadline: Duration,
}

impl Default for Options {
    /// AMD's key service and the user's cache, 60 seconds a certificate.
    fn default() -> Self {
        Self {
            url: AMD_URL.to_owned(),
            cache: None,
            offline: false,
            deadline: Duration::from_secs(60),
        }
    }
}

/// The cache and the key service behind it. One serves any number of threads.
#[derive(Debug)]
pub struct Store {
    cache: Cache,
    client: Client,
    offline: bool,
    deadline: Duration,
}

impl Store {
    /// Opens the cache, and makes it if it is not there. Nothing is fetched.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is no place for the cache, or the URL is none.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let Options { url, cache, offline, deadline } = options;
        let client = Client::new(&url)?;
        let directory = match cache {
            Some(directory) => directory,
            None => cache::default_directory()?,
        };
        Ok(Self { cache: Cache::open(directory)?, client, offline, deadline })
    }

    /// Where the cache is.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        self.cache.directory()
    }
}
