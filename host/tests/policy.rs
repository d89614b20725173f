//! `ravelin policy`: what `init` writes accepts what it was made from, and
//! `check` says what a policy leaves open.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "../../attestation/tests/verify_support/mod.rs"]
mod verify_support;

use std::fs;
use std::path::Path;

use attestation::product::Product;
use common::run;
use serde_json::json;
use verify_support::{Draft, LeafSpec, Spec, keys};

const AT: &str = "2025-09-01T00:00:00Z";

fn files(directory: &Path, version: u8) {
    let product = Product::Genoa;
    let write = |name: &str, bytes: &[u8]| fs::write(directory.join(name), bytes).unwrap();
    let mut draft = Draft::new(version, product);
    draft.set(0xe0, &[0x55; 48]).set(4, &[9]);
    write("report.bin", &draft.signed().0);
    draft.set(0x1f0, &[0; 8]);
    write("old.bin", &draft.signed().0);
    write("vcek.der", &Spec::vcek(&LeafSpec::vcek(product)).der(&keys().ask));
    write("ask.der", &Spec::ask(product).der(&keys().ark));
    write("ark.der", &Spec::ark(product).der(&keys().ark));
}

const TRUST: [&str; 7] = ["--trust-root", "ark.der", "--at", AT, "--certs", "vcek.der", "ask.der"];

#[test]
fn a_policy_from_a_report_accepts_it_and_not_an_older_one() {
    for version in [2, 3, 5] {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        files(directory, version);
        let init = ["policy", "init", "--report", "report.bin", "--output", "p.toml", "--json"];
        let ran = run(directory, &[&init[..], &TRUST].concat()).ok();
        assert!(!ran.stderr.contains("was not verified"), "{}", ran.stderr);
        let json = ran.json();
        assert_eq!((&json["kind"], &json["file"]), (&json!("policy-init"), &json!("p.toml")));
        let text = fs::read_to_string(directory.join("p.toml")).unwrap();
        assert_eq!(json["policy"], text);
        for line in [
            "product = [\"genoa\"]",
            "minimum_guest_svn = 9",
            "snp = 24",
            "# Launch digests of what may run; `ravelin measure` computes them.",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(text.contains(&"55".repeat(48)) && !text.contains("allow ="), "{text}");
        let verify = |report| {
            let verify = ["report", "verify", report, "--policy", "p.toml"];
            run(directory, &[&verify[..], &TRUST].concat())
        };
        verify("report.bin").ok();
        let refused = verify("old.bin").code(1).stdout;
        assert!(refused.contains("[minimum-tcb.launch]"), "{refused}");
        let checked = run(directory, &["policy", "check", "p.toml", "--json"]).ok().json();
        assert_eq!((&checked["form"], &checked["complete"]), (&json!("ravelin"), &json!(true)));
    }
}

#[test]
fn no_policy_is_made_from_what_is_not_genuine() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory, 2);
    let mut forged = fs::read(directory.join("report.bin")).unwrap();
    forged.splice(0x90..0x91, [0x3f]);
    fs::write(directory.join("forged.bin"), forged).unwrap();
    let init = |report: &str, more: &[&str]| {
        run(directory, &[&["policy", "init", "--report", report], more].concat())
    };
    let ran = init("forged.bin", &TRUST).code(3);
    assert!(ran.stderr.contains("no policy is made") && ran.stdout.is_empty(), "{}", ran.stderr);
    init("report.bin", &TRUST[2..]).code(3);
    // Unverified: only with a warning, and version 2 does not say its product.
    let ran = init("report.bin", &[]).code(3);
    assert!(ran.stderr.contains("does not name its product"), "{}", ran.stderr);
    let ran = init("report.bin", &["--product", "genoa"]).ok();
    assert!(ran.stderr.contains("was not verified"), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("# What an attestation report must say"), "{}", ran.stdout);
    run(directory, &["policy", "init"]).code(2);
}

#[test]
fn check_says_what_a_policy_leaves_open() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let check = |text: &str| {
        fs::write(directory.join("p.toml"), text).unwrap();
        run(directory, &["policy", "check", "p.toml", "--json"])
    };
    let digest = "ab".repeat(48);
    let ran = check("allow = [\"debug\"]\n").code(1);
    assert!(ran.stderr.contains("accepts no report by itself"), "{}", ran.stderr);
    let json = ran.json();
    assert_eq!((&json["kind"], &json["complete"]), (&json!("policy-check"), &json!(false)));
    assert!(json["warnings"].to_string().contains("allows debug"), "{json}");
    let json = check(&format!("id_key_digest = \"{digest}\"\n")).ok().json();
    assert!(json["warnings"].to_string().contains("whatever the holder of the ID key"), "{json}");
    let json = check(&format!("measurement = \"{digest}\"\n")).ok().json();
    assert!(json["warnings"].to_string().contains("no [minimum_tcb]"), "{json}");
    assert!(json["unchecked"].to_string().contains("host data"), "{json}");
    let strict = format!(
        "measurement = \"{digest}\"\n[minimum_tcb]\nsnp = 8\n[instance]\nreport_id = \"{}\"\n",
        "cd".repeat(32)
    );
    let json = check(&strict).ok().json();
    assert_eq!(json["warnings"], json!([]));

    let ran = check("measurment = \"00\"\n").code(3);
    assert!(ran.stderr.contains("p.toml") && ran.stderr.contains("line 1"), "{}", ran.stderr);
    check("measurement = []\n").code(3);
    check("vmpl = 4\n").code(3);
    check("measurement = \"00\"\n").code(3);
    check("\u{0}").code(3);
    run(directory, &["policy", "check", "none.toml"]).code(3);
    fs::write(directory.join("binary"), [0xff; 9]).unwrap();
    let ran = run(directory, &["policy", "check", "binary"]).code(3);
    assert!(ran.stderr.contains("binary: not UTF-8 at byte 0"), "{}", ran.stderr);
}
