//! How many reports a second are verified on one core, with a chain that was
//! validated before, and how much of that is the P-384 signature itself.
//!
//! `cargo bench -p attestation --bench verification` prints a table; `--json`
//! prints the same for scripts; the feature `bench-alternatives` adds the
//! implementations that were not chosen. All rows are measured in one run, in
//! turns, and the best of several rounds counts, so that whatever else the
//! machine does weighs on all of them alike.

#![allow(clippy::expect_used, reason = "a benchmark stops at the first surprise")]

#[path = "../tests/verify_support/mod.rs"]
mod verify_support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use attestation::product::Product;
use attestation::report::Report;
use attestation::verify::signature::{fixed_signature, verifies};
use attestation::verify::verify;
use verify_support::{Draft, LeafSpec, Spec, chain, keys, now, policy, request, roots};

const ROUNDS: usize = 12;
const ROUND: Duration = Duration::from_millis(250);

struct Row {
    name: &'static str,
    run: Box<dyn FnMut() -> bool>,
    best: f64,
}

impl Row {
    fn new(name: &'static str, run: impl FnMut() -> bool + 'static) -> Self {
        Self { name, run: Box::new(run), best: f64::INFINITY }
    }

    /// Runs for one round; keeps the best time of a single call, in seconds.
    fn round(&mut self) {
        let start = Instant::now();
        while start.elapsed() < ROUND {
            let before = Instant::now();
            assert!((self.run)(), "{} failed", self.name);
            self.best = self.best.min(before.elapsed().as_secs_f64());
        }
    }
}

fn main() {
    let product = Product::Milan;
    let chain = chain(product);
    let bytes = Draft::new(3, product).signed().0;
    let report = Report::parse(&bytes).expect("a good report");
    let key = *chain.leaf().public_key();
    let message = report.signed_bytes();
    let signature = fixed_signature(&report).expect("a good signature");

    let mut rows = vec![Row::new("ring (in use), raw", move || {
        verifies(black_box(&key), black_box(&message), black_box(&signature))
    })];
    let (policy, request) = (policy(), request());
    let warm = chain.clone();
    rows.push(Row::new("whole verification, warm chain", move || {
        let report = Report::parse(black_box(&bytes)).expect("a good report");
        verify(&report, Ok(&warm), &policy, &request).accepted()
    }));
    rows.extend(alternatives(key, message, signature));
    let leaf = Spec::vcek(&LeafSpec::vcek(product)).der(&keys().ask);
    let ask = Spec::ask(product).make(&keys().ark);
    let roots = roots(product);
    rows.push(Row::new("chain validation, from DER", move || {
        let leaf = attestation::certificate::Certificate::from_der(black_box(&leaf));
        let candidates = std::slice::from_ref(&ask);
        let leaf = leaf.expect("a good certificate");
        attestation::certificate::validate(&leaf, candidates, &roots, &[], now()).is_ok()
    }));
    for _ in 0..ROUNDS {
        rows.iter_mut().for_each(Row::round);
    }
    print(&rows);
}

fn print(rows: &[Row]) {
    let raw = rows.first().map_or(f64::NAN, |row| row.best);
    if std::env::args().any(|argument| argument == "--json") {
        for Row { name, best, .. } in rows {
            println!(
                "{{\"name\": \"{name}\", \"per_second\": {:.1}, \"of_raw\": {:.4}}}",
                1.0 / best,
                raw / best
            );
        }
        return;
    }
    println!("| | per second | µs | of the raw rate |");
    println!("|---|---|---|---|");
    for Row { name, best, .. } in rows {
        println!("| {name} | {:.0} | {:.1} | {:.1} % |", 1.0 / best, best * 1e6, raw / best * 1e2);
    }
}

/// The implementations that were not chosen.
fn alternatives(key: [u8; 97], message: [u8; 672], signature: [u8; 96]) -> Vec<Row> {
    use p384::ecdsa::signature::Verifier;
    let parsed = p384::ecdsa::VerifyingKey::from_sec1_bytes(&key).expect("a point");
    let mut rows = vec![Row::new("p384 0.13, raw", move || {
        let signature = p384::ecdsa::Signature::from_slice(black_box(&signature));
        signature.is_ok_and(|signature| parsed.verify(black_box(&message), &signature).is_ok())
    })];
    #[cfg(feature = "bench-alternatives")]
    {
        use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, ParsedPublicKey};
        use graviola::{hashing::Sha384, signing::ecdsa};
        let parsed = ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key).expect("a point");
        rows.push(Row::new("aws-lc-rs 1, raw", move || {
            parsed.verify_sig(black_box(&message), black_box(&signature)).is_ok()
        }));
        let parsed = ecdsa::VerifyingKey::<ecdsa::P384>::from_x962_uncompressed(&key);
        let parsed = parsed.expect("a point");
        rows.push(Row::new("graviola 0.3, raw", move || {
            let message: &[u8] = black_box(&message);
            parsed.verify::<Sha384>(&[message], black_box(&signature)).is_ok()
        }));
    }
    rows.shrink_to_fit();
    rows
}
