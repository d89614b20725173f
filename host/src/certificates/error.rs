//! Why a certificate could not be had.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use attestation::certificate::service::{NoResource, Unfit};

use crate::failure::Failure;

/// Why certificates could not be had. What was had and is not to be trusted is
/// no such error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Neither XDG_CACHE_HOME nor HOME says where the cache is.
    #[error(
        "neither XDG_CACHE_HOME nor HOME is an absolute path, so there is no place for the cache"
    )]
    NoCacheDirectory,
    /// The cache's directory cannot be made or opened.
    #[error("{}: the cache of certificates cannot be used", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Other users could write into the cache's directory.
    #[error("{}: the cache of certificates belongs to somebody else, or others can write into it", .path.display())]
    DirectoryShared {
        /// The directory.
        path: PathBuf,
    },
    /// An entry cannot be read.
    #[error("{}: cannot be read", .path.display())]
    Read {
        /// The entry.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An entry cannot be written.
    #[error("{}: cannot be written", .path.display())]
    Write {
        /// The entry.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An entry cannot be locked.
    #[error("{}: cannot be locked", .path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another process holds an entry for longer than a fetch may take.
    #[error("{}: another process has been fetching this certificate for more than {} s", .path.display(), .waited.as_secs())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// The key service's URL is no URL.
    #[error("{url:?} is no base URL of a key service: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not in the cache, and the network is not to be used.
    #[error("{what} is not in the cache, and --offline forbids to fetch it")]
    Offline {
        /// The resource.
        what: String,
        /// Where it could be had.
        url: String,
    },
    /// Not in the cache, and the key service gives it to nobody but a cloud
    /// provider.
    #[error(
        "{what} is neither with the report nor in the cache, and AMD gives it to the cloud provider only"
    )]
    NotPublic {
        /// The resource.
        what: String,
    },
    /// The key service did not answer as wanted.
    #[error("{what} cannot be fetched from {url}")]
    Fetch {
        /// The resource.
        what: String,
        /// The URL asked.
        url: String,
        /// Why.
        #[source]
        source: FetchError,
    },
    /// The key service answered with something else.
    #[error("the answer from {url} is not {what}")]
    Unfit {
        /// The resource.
        what: String,
        /// The URL asked.
        url: String,
        /// Why.
        #[source]
        source: Unfit,
    },
    /// The key service answered with something that no root vouches for.
    #[error("the answer from {url} does not verify as {what}: {reasons}")]
    Unverified {
        /// The resource.
        what: String,
        /// The URL asked.
        url: String,
        /// Everything that is wrong with it.
        reasons: String,
    },
    /// It could not be had a few minutes ago, and is not needed.
    #[error("{what} could not be fetched a few minutes ago; it is not tried again yet")]
    FailedLately {
        /// The resource.
        what: String,
    },
    /// Another process or thread tried to have it, and could not.
    #[error("{what} could not be fetched from {url} by another `ravelin` just now")]
    FailedElsewhere {
        /// The resource.
        what: String,
        /// The URL asked.
        url: String,
    },
    /// The report does not say enough to ask for its key.
    #[error(transparent)]
    NoResource(#[from] NoResource),
    /// A report of version 2, which does not name its processor.
    #[error("a report of version 2 does not say which processor made it")]
    ProductUnknown,
    /// A report of a processor that is not known.
    #[error("the report is of an unknown processor, CPUID family {family:#x} model {model:#x}")]
    ProcessorUnknown {
        /// CPUID family.
        family: u8,
        /// CPUID model.
        model: u8,
    },
}

/// Why the key service did not give a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// It asks to come back later, status 429 or 503.
    #[error("the key service is busy (status {status}), {attempts} times{}", after(.retry_after))]
    Busy {
        /// The HTTP status.
        status: u16,
        /// Requests made.
        attempts: u32,
        /// How long it asked to wait, the last time.
        retry_after: Option<Duration>,
    },
    /// No connection, or it broke.
    #[error("no complete answer in {attempts} attempts")]
    Connection {
        /// Requests made.
        attempts: u32,
        /// What went wrong with the last.
        source: Box<ureq::Error>,
    },
    /// It does not have it.
    #[error("the key service does not have it (status 404)")]
    NotFound,
    /// It wants to send us somewhere else.
    #[error("the key service redirects (status {status}) to {location:?}, which is not followed")]
    Redirect {
        /// The HTTP status.
        status: u16,
        /// Where to.
        location: String,
    },
    /// Any other status.
    #[error("the key service answers with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is longer than what was asked for can be.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// The request cannot be made.
    #[error("the request cannot be made")]
    Request(#[source] Box<ureq::Error>),
}

fn after(retry_after: &Option<Duration>) -> String {
    retry_after.map(|wait| format!(" and asks to wait {} s", wait.as_secs())).unwrap_or_default()
}

impl StoreError {
    /// The error with its remedy, for the user.
    pub(crate) fn failure(self) -> Failure {
        let remedy = self.remedy();
        Failure::new(self).help(remedy)
    }

    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NoCacheDirectory => {
                "set HOME, or XDG_CACHE_HOME to a directory that you can write to".into()
            }
            Self::Directory { .. } | Self::Write { .. } | Self::Read { .. } => {
                "set XDG_CACHE_HOME to a directory that you can write to; everything in the cache \
                 can be removed and is fetched again"
                    .into()
            }
            Self::DirectoryShared { path } => format!(
                "`chmod go-w {0}` if it is yours, else set XDG_CACHE_HOME to another directory",
                path.display()
            ),
            Self::Lock { .. } | Self::Locked { .. } => {
                "end the other `ravelin`, or try again; the lock goes with the process".into()
            }
            Self::Url { .. } => {
                "give --kds-url as https://HOST, with a path if the mirror has one".into()
            }
            Self::Offline { url, .. } => by_hand(url),
            Self::NotPublic { .. } => "ask the VM for an extended report (configfs-tsm's auxblob \
                                       has it), or `ravelin certs import` the provider's VLEK"
                .into(),
            Self::Fetch { url, source, .. } => fetch_remedy(url, source),
            Self::Unfit { url, .. } | Self::Unverified { url, .. } => format!(
                "something between you and the key service may answer in its place; try the URL in \
                 a browser, and --kds-url if a mirror is meant ({url})"
            ),
            Self::NoResource(NoResource::ChipIdMasked) => {
                "give the VCEK with --certs: the host can add it to extended reports \
                 (configfs-tsm's auxblob)"
                    .into()
            }
            Self::ProductUnknown => "give --product milan, genoa or turin (or `product` in the \
                                     policy), or the VCEK with --certs"
                .into(),
            Self::ProcessorUnknown { .. } => {
                "Milan, Genoa (Bergamo, Siena) and Turin are known; give --certs for others".into()
            }
            Self::NoResource(_) => "give the certificates with --certs".into(),
            Self::FailedElsewhere { .. } => "that one says why; wait a minute and try again".into(),
            Self::FailedLately { .. } => "`ravelin certs fetch` tries it at once".into(),
        }
    }
}

fn fetch_remedy(url: &str, source: &FetchError) -> String {
    match source {
        FetchError::Busy { .. } => format!(
            "AMD's key service allows few requests of one address; wait a minute and try again, \
             raise --kds-timeout, or {}",
            by_hand(url)
        ),
        FetchError::Connection { .. } => {
            format!("check the network and HTTPS_PROXY, or {}", by_hand(url))
        }
        FetchError::NotFound => "no such chip, or no such TCB for it: the report is of another \
                                 product (--product), or not genuine"
            .into(),
        FetchError::Redirect { .. } | FetchError::Status { .. } | FetchError::Request(_) => {
            "check --kds-url; without it, AMD's own key service is asked".into()
        }
        FetchError::TooLarge { .. } => {
            "whatever answered is no key service; check --kds-url and HTTPS_PROXY".into()
        }
    }
}

fn by_hand(url: &str) -> String {
    format!(
        "download it on another machine and import it:\n  curl -fo FILE '{url}'\n  ravelin certs import FILE"
    )
}
