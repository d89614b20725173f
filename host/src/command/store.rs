//! The options that say where certificates are from when none are named.

use std::ffi::OsString;
use std::time::Duration;

use attestation::certificate::service::AMD_URL;
use clap::Args;

use crate::certificates::{Options, Store, StoreError};
use crate::failure::{Failure, Result};

/// The variable beside `--kds-url`.
const URL_VARIABLE: &str = "RAVELIN_KDS_URL";

/// Cache and key service.
#[derive(Debug, Args)]
#[command(next_help_heading = "Key service")]
pub(crate) struct StoreArguments {
    /// Base URL of AMD's key service or a mirror of it [default: $RAVELIN_KDS_URL, else AMD's]
    ///
    /// Answers are verified wherever they are from. AMD's is https://kdsintf.amd.com; HTTPS_PROXY
    /// and NO_PROXY are obeyed.
    #[arg(long, value_name = "URL")]
    kds_url: Option<String>,
    /// How long to try to get one certificate, pauses included, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    kds_timeout: u64,
    /// Ask no key service: take certificates from the cache and from files only
    #[arg(long)]
    offline: bool,
}

impl StoreArguments {
    /// The options as they are repeated in another command line.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(url) = &self.kds_url {
            words.extend(["--kds-url".into(), url.into()]);
        }
        words.extend(["--kds-timeout".into(), self.kds_timeout.to_string().into()]);
        if self.offline {
            words.push("--offline".into());
        }
        words
    }

    /// Opens the store that these options describe.
    ///
    /// # Errors
    /// If the cache cannot be used or the URL is none.
    pub(crate) fn open(&self) -> Result<Store> {
        let variable = match std::env::var(URL_VARIABLE) {
            Ok(url) if !url.is_empty() => Some(url),
            Ok(_) | Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Failure::usage(format!("{URL_VARIABLE} is not UTF-8")));
            }
        };
        Store::open(Options {
            url: self.kds_url.clone().or(variable).unwrap_or_else(|| AMD_URL.to_owned()),
            cache: None,
            offline: self.offline,
            deadline: Duration::from_secs(self.kds_timeout),
        })
        .map_err(StoreError::failure)
    }
}
