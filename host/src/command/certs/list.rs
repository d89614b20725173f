//! `ravelin certs list`.

use clap::Args;
use serde::Serialize;

use super::show::Shown;
use crate::certificates::{Options, Store, StoreError};
use crate::evidence;
use crate::exit::Exit;
use crate::failure::Result;
use crate::terminal::{Terminal, Text, printable};

const EXAMPLES: &str = "\
Examples:
  ravelin certs list
  ravelin certs list --json | jq -r '.certificates[] | select(.kind == \"vcek\") | .chip_id'

JSON (\"kind\": \"certs-list\"): directory, certificates (a list of kind: \"vcek\", \"vlek\", \"ask\",
\"asvk\", \"vcek-crl\" or \"vlek-crl\"; product, chip_id, csp_id, tcb: 16 hexadecimal digits in the
report's order; not_before, not_after; file; expired). What does not apply is null; not_before and
not_after are null for a damaged file.";

/// List the certificates in the cache
///
/// They are read and not verified: that is done each time that one is used.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct List {}

#[derive(Serialize)]
struct Listed {
    directory: String,
    certificates: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    #[serde(flatten)]
    shown: Shown,
    expired: bool,
}

pub(crate) fn run(_arguments: &List, terminal: &Terminal) -> Result {
    let store = Store::open(Options::default()).map_err(StoreError::failure)?;
    let now = evidence::now();
    let certificates: Vec<_> = store
        .list()
        .map_err(StoreError::failure)?
        .into_iter()
        .map(|entry| {
            let shown = Shown::new(&store, &entry.resource, entry.content.as_ref());
            Item { expired: shown.expired(now), shown }
        })
        .collect();
    let mut text = Text::new();
    for item in &certificates {
        item.shown.describe(&mut text);
        if item.expired {
            text.field("", "expired");
        }
    }
    let directory = printable(&store.directory().to_string_lossy());
    let empty = certificates.is_empty();
    terminal.result("certs-list", &Listed { directory, certificates }, &text)?;
    if empty {
        terminal.note(&format!("{}: no certificates yet", store.directory().display()));
    }
    Ok(Exit::Success)
}
