//! `ravelin certs fetch`.

use std::path::PathBuf;

use attestation::certificate::service::Resource;
use attestation::certificate::{HardwareId, Roots, UnixTime};
use attestation::product::Product;
use attestation::report::{Hex, KeyKind, Report, SigningKey};
use attestation::tcb::Tcb;
use clap::Args;
use serde::Serialize;

use super::show::Shown;
use crate::certificates::{Store, StoreError};
use crate::command::store::StoreArguments;
use crate::evidence;
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::{Terminal, Text, printable};

const EXAMPLES: &str = "\
Examples:
  ravelin certs fetch --report report.bin
  ravelin certs fetch --report old-report.bin --product milan   # version 2 names no product
  ravelin certs fetch --product turin --chip-id 0123456789abcdef --tcb 0102030400000047
  ravelin certs fetch --all-roots
  ravelin certs fetch --report report.bin --kds-url https://kds.mirror.example

What is in the cache and good is not fetched again. Of a report, the VCEK is fetched and the
revocation list that belongs to it; with --all-roots the ASKs, ASVKs and revocation lists of every
product. AMD's key service allows about one request in ten seconds; while it says so, the command
waits and tries again until --kds-timeout.

JSON (\"kind\": \"certs-fetch\"): directory, certificates (a list as of `certs list`, each with fetched:
whether the key service was asked for it).";

/// Fetch certificates from AMD's key service into the cache
///
/// What is fetched is verified up to AMD's roots, and kept only if it is what was asked for.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Fetch {
    /// Fetch the VCEK that signed this report, in any form
    #[arg(long, value_name = "FILE", conflicts_with_all = ["chip_id", "tcb", "all_roots"])]
    report: Option<PathBuf>,
    /// The product: milan, genoa (also for Bergamo and Siena) or turin
    #[arg(long, value_name = "NAME", conflicts_with = "all_roots")]
    product: Option<Product>,
    /// Fetch the VCEK of this chip: 128 hexadecimal digits, of a Turin 16
    #[arg(long, value_name = "HEX", requires_all = ["product", "tcb"], conflicts_with = "all_roots")]
    chip_id: Option<HardwareId>,
    /// The TCB version of that VCEK: the 8 bytes of a report's REPORTED_TCB, 16 hexadecimal digits
    #[arg(long, value_name = "HEX", requires_all = ["product", "chip_id"])]
    tcb: Option<Hex<8>>,
    /// Fetch what is between AMD's roots and the keys, of every product
    #[arg(long)]
    all_roots: bool,
    /// Trust this root too, although it is not AMD's: a simulator's
    #[arg(long, value_name = "FILE")]
    trust_root: Vec<PathBuf>,
    /// Verify as of this time, such as 2026-01-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<UnixTime>,
    #[command(flatten)]
    store: StoreArguments,
}

#[derive(Serialize)]
struct Fetched {
    directory: String,
    certificates: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    #[serde(flatten)]
    shown: Shown,
    fetched: bool,
}

pub(crate) fn run(arguments: &Fetch, terminal: &Terminal) -> Result {
    let wanted = wanted(arguments)?;
    if matches!(wanted.as_slice(), [Resource::Chain { kind: KeyKind::Vlek, .. }, _]) {
        terminal.note(
            "a VLEK signed the report; AMD gives that certificate to the cloud provider only. Take \
             it from an extended report and `ravelin certs import` it",
        );
    }
    let roots = evidence::roots(&arguments.trust_root)
        .remedy("a root is a self-signed certificate of AMD's form, named ARK-PRODUCT")?;
    let store = arguments.store.open()?;
    let now = arguments.at.unwrap_or_else(evidence::now);
    let mut certificates = Vec::new();
    for resource in &wanted {
        certificates.push(one(&store, resource, &roots, now)?);
    }
    let mut text = Text::new();
    for Item { shown, fetched } in &certificates {
        shown.describe(&mut text);
        text.field("from", if *fetched { "the key service" } else { "the cache" });
    }
    let directory = printable(&store.directory().to_string_lossy());
    terminal.result("certs-fetch", &Fetched { directory, certificates }, &text)?;
    Ok(Exit::Success)
}

fn one(store: &Store, resource: &Resource, roots: &Roots, now: UnixTime) -> Result<Item> {
    let obtained = store.obtain(resource, roots, now).map_err(StoreError::failure)?;
    if let Some(error) = obtained.errors.into_iter().next() {
        return Err(Failure::new(error).help("check this machine's clock, or --at"));
    }
    let shown = Shown::new(store, resource, Some(&obtained.content));
    Ok(Item { shown, fetched: obtained.fetched })
}

/// What the options ask for.
fn wanted(arguments: &Fetch) -> Result<Vec<Resource>> {
    let kinds = [KeyKind::Vcek, KeyKind::Vlek];
    if arguments.all_roots {
        let of = |product| {
            kinds.into_iter().flat_map(move |kind| {
                [Resource::Chain { product, kind }, Resource::Crl { product, kind }]
            })
        };
        return Ok(Product::ALL.into_iter().flat_map(of).collect());
    }
    if let Some(path) = &arguments.report {
        let report = evidence::report(path)?.report;
        return of_report(&report, arguments.product);
    }
    let (Some(product), Some(hardware_id), Some(Hex(tcb))) =
        (arguments.product, arguments.chip_id, arguments.tcb)
    else {
        return Err(Failure::usage("nothing says what to fetch")
            .help("give --report FILE, or --product, --chip-id and --tcb, or --all-roots"));
    };
    if hardware_id.as_bytes().len() != product.hardware_id_length() {
        let digits = product.hardware_id_length() * 2;
        return Err(Failure::usage(format!("the chip id of a {product} has {digits} digits"))
            .help("of a Turin give the first 8 bytes of the report's CHIP_ID, else all 64"));
    }
    let kind = KeyKind::Vcek;
    Ok(vec![
        Resource::Vcek { product, hardware_id, tcb: Tcb(tcb) },
        Resource::Crl { product, kind },
    ])
}

fn of_report(report: &Report, given: Option<Product>) -> Result<Vec<Resource>> {
    let product = crate::certificates::product_of(report, given).map_err(StoreError::failure)?;
    if report.flags().signing_key() == SigningKey::Vlek {
        // The VLEK itself is the provider's to give; the rest is here.
        let kind = KeyKind::Vlek;
        return Ok(vec![Resource::Chain { product, kind }, Resource::Crl { product, kind }]);
    }
    let vcek =
        Resource::vcek_of(report, product).map_err(|error| StoreError::from(error).failure())?;
    Ok(vec![vcek, Resource::Crl { product, kind: KeyKind::Vcek }])
}
