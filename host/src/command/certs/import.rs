//! `ravelin certs import`.

use std::path::PathBuf;

use attestation::certificate::{Bundle, UnixTime};
use clap::Args;
use serde::Serialize;

use super::show::Shown;
use crate::certificates::{Imported, Options, Store, StoreError};
use crate::evidence;
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::{Terminal, Text, printable};

const EXAMPLES: &str = "\
Examples:
  ravelin certs import vcek.der
  ravelin certs import auxblob                  # of an extended report
  ravelin certs import vlek.der asvk.der ark-milan.crl

Where there is a network, `curl` gets what `ravelin` asks for in its messages:
  curl -fo ask.pem https://kdsintf.amd.com/vcek/v1/Milan/cert_chain

JSON (\"kind\": \"certs-import\"): directory, kept (a list as of `certs list`), roots (a list of
products whose root was in the files and is not needed), refused (a list of name, reasons).";

/// Put certificates from files into the cache
///
/// Takes certificates and revocation lists, DER or PEM, many to a file, and the certificate tables
/// of extended reports. Each is verified up to AMD's roots; what fails is not kept, is told, and
/// makes the exit code 1. Roots themselves are built in and not taken from files.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Import {
    /// The files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Trust this root too, although it is not AMD's: a simulator's
    #[arg(long, value_name = "FILE")]
    trust_root: Vec<PathBuf>,
    /// Verify as of this time, such as 2026-01-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<UnixTime>,
}

#[derive(Serialize)]
struct Done {
    directory: String,
    kept: Vec<Shown>,
    roots: Vec<attestation::product::Product>,
    refused: Vec<Refused>,
}

#[derive(Serialize)]
struct Refused {
    name: String,
    reasons: String,
}

pub(crate) fn run(arguments: &Import, terminal: &Terminal) -> Result {
    let mut bundle = Bundle::default();
    for path in &arguments.files {
        let read = Bundle::read(&evidence::bytes(path)?)
            .map_err(|error| Failure::new(FileError { path: path.clone(), source: error }))
            .remedy("DER, PEM and the certificate table of an extended report are read")?;
        bundle.certificates.extend(read.certificates);
        bundle.crls.extend(read.crls);
    }
    let roots = evidence::roots(&arguments.trust_root)
        .remedy("a root is a self-signed certificate of AMD's form, named ARK-PRODUCT")?;
    let store = Store::open(Options::default()).map_err(StoreError::failure)?;
    let now = arguments.at.unwrap_or_else(evidence::now);
    let (mut kept, mut seen, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for imported in store.import(&bundle, &roots, now).map_err(StoreError::failure)? {
        match imported {
            Imported::Kept { resource, content } => {
                kept.push(Shown::new(&store, &resource, Some(&content)));
            }
            Imported::Root(product) => seen.push(product),
            Imported::Refused { name, reasons } => {
                refused.push(Refused { name: printable(&name), reasons: printable(&reasons) });
            }
        }
    }
    let mut text = Text::new();
    for one in &kept {
        one.describe(&mut text);
    }
    for Refused { name, reasons } in &refused {
        terminal.warning(&format!("not imported: {name}: {reasons}"));
    }
    if !seen.is_empty() {
        terminal.note("roots in the files were left out: AMD's are built in");
    }
    let exit = if refused.is_empty() { Exit::Success } else { Exit::CheckFailed };
    let directory = printable(&store.directory().to_string_lossy());
    terminal.result("certs-import", &Done { directory, kept, roots: seen, refused }, &text)?;
    Ok(exit)
}

#[derive(Debug, thiserror::Error)]
#[error("{}: cannot be imported", .path.display())]
struct FileError {
    path: PathBuf,
    source: attestation::certificate::BundleError,
}
