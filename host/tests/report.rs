//! `ravelin report`: every form is read, every failing check is listed, and
//! nothing that fails is accepted.

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
use common::{Ran, codes, run};
use serde_json::{Value, json};
use verify_support::vectors::{folder, real};
use verify_support::{Draft, LeafSpec, Spec, TCB, crl, keys, snpguard_json, table};

const AT: &str = "2025-09-01T00:00:00Z";
const MEASUREMENT: &str = "3e";

/// A good report of the tests' own authority, and its certificates.
fn files(directory: &Path) {
    let product = Product::Milan;
    let write = |name: &str, bytes: &[u8]| fs::write(directory.join(name), bytes).unwrap();
    write("report.bin", &Draft::new(3, product).signed().0);
    write("vcek.der", &Spec::vcek(&LeafSpec::vcek(product)).der(&keys().ask));
    write("ask.der", &Spec::ask(product).der(&keys().ark));
    write("ark.der", &Spec::ark(product).der(&keys().ark));
}

fn accept() -> Vec<String> {
    let measurement = MEASUREMENT.repeat(48);
    let words = ["--trust-root", "ark.der", "--at", AT, "--certs", "vcek.der", "ask.der"];
    words
        .iter()
        .map(|word| (*word).to_owned())
        .chain(["--measurement".into(), measurement])
        .collect()
}

fn verify(directory: &Path, report: &str, arguments: &[String]) -> Ran {
    let mut all = vec!["report", "verify", "--json", report];
    all.extend(arguments.iter().map(String::as_str));
    run(directory, &all)
}

#[test]
fn a_good_report_is_accepted_and_its_foreign_root_is_told_every_time() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    let ran = verify(directory, "report.bin", &accept()).ok();
    let json = ran.json();
    assert_eq!((&json["kind"], &json["container"]), (&json!("report-verify"), &json!("bare")));
    assert_eq!((&json["accepted"], &json["authentic"]), (&json!(true), &json!(true)));
    assert_eq!(json["time"], AT);
    assert_eq!(json["identity"]["product"], "milan");
    assert_eq!(json["identity"]["measurement"], MEASUREMENT.repeat(48));
    assert!(json["checks"].as_array().unwrap().len() > 20, "{json}");
    assert!(ran.stderr.contains("NOT AMD's"), "{}", ran.stderr);
    let mut quiet = vec!["--quiet".to_owned()];
    quiet.extend(accept());
    assert!(verify(directory, "report.bin", &quiet).ok().stderr.contains("NOT AMD's"));

    let mut all = vec!["report", "verify", "report.bin"];
    let accept = accept();
    all.extend(accept.iter().map(String::as_str));
    let text = run(directory, &all).ok().stdout;
    assert!(text.ends_with("ACCEPTED\n") && text.contains("pass     signature"), "{text}");

    // Only by name: without the root it is nobody's report.
    let without: Vec<_> = accept.iter().skip(2).cloned().collect();
    let json = verify(directory, "report.bin", &without).code(1).json();
    assert_eq!(json["authentic"], false);
    assert!(!codes(&json).is_empty(), "{json}");
}

#[test]
fn every_failing_check_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    let mut draft = Draft::new(3, Product::Milan);
    draft.set(8, &[0x1f, 0, 0xb]).set(0x30, &[2]).set(0x90, &[0x77]).set(0x1f0, &[3]);
    fs::write(directory.join("bad.bin"), draft.signed().0).unwrap();
    let data = ["--report-data".to_owned(), "00".repeat(64)];
    let ran = verify(directory, "bad.bin", &[&accept()[..], &data].concat()).code(1);
    let codes = codes(&ran.json());
    for expected in
        ["debug.enabled", "vmpl.mismatch", "measurement.mismatch", "report-data.mismatch"]
    {
        assert!(codes.iter().any(|code| code == expected), "{expected} in {codes:?}");
    }
    assert_eq!(ran.json()["authentic"], true);
    // Each by its name, and only those.
    let allow = ["--allow", "debug", "nonzero-vmpl"].map(str::to_owned);
    let ran = verify(directory, "bad.bin", &[&accept()[..], &data, &allow].concat()).code(1);
    let left = self::codes(&ran.json());
    assert_eq!(left, ["report-data.mismatch", "measurement.mismatch"], "{}", ran.stdout);
    assert!(ran.stderr.contains("only because the policy allows debug"), "{}", ran.stderr);

    // A changed byte: not authentic, and still everything is listed.
    let mut changed = draft.signed().0;
    changed[0x91] ^= 1;
    fs::write(directory.join("changed.bin"), changed).unwrap();
    let json = verify(directory, "changed.bin", &accept()).code(1).json();
    assert_eq!((&json["authentic"], &json["accepted"]), (&json!(false), &json!(false)));
    let codes = self::codes(&json);
    assert!(codes.iter().any(|code| code.starts_with("signature")), "{codes:?}");
    assert!(codes.iter().any(|code| code == "debug.enabled"), "{codes:?}");
}

#[test]
fn report_data_is_compared_when_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    fs::write(directory.join("data"), [0xda; 64]).unwrap();
    fs::write(directory.join("short"), [0xda; 63]).unwrap();
    let with = |data: &str| {
        let data = ["--report-data".to_owned(), data.to_owned()];
        verify(directory, "report.bin", &[&accept()[..], &data].concat())
    };
    for good in ["@data".to_owned(), "da".repeat(64)] {
        let ran = with(&good).ok();
        assert!(!ran.stderr.contains("compared with nothing"), "{}", ran.stderr);
    }
    with(&"db".repeat(64)).code(1);
    with("@short").code(3);
    with("da").code(2);
    let ran = verify(directory, "report.bin", &accept()).ok();
    assert!(ran.stderr.contains("compared with nothing"), "{}", ran.stderr);
}

#[test]
fn certificates_come_in_every_form() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    let read = |name: &str| fs::read(directory.join(name)).unwrap();
    let base64 = |bytes: &[u8]| {
        use base64ct::Encoding;
        base64ct::Base64::encode_string(bytes)
    };
    let pem = |bytes: &[u8]| {
        let text = base64(bytes);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    let (vcek, ask) = (read("vcek.der"), read("ask.der"));
    fs::write(directory.join("chain.pem"), pem(&ask) + &pem(&vcek)).unwrap();
    fs::write(directory.join("auxblob"), table(&ask, &vcek)).unwrap();
    let with = |certs: &[&str]| {
        let mut arguments: Vec<String> = accept();
        arguments.splice(4..7, ["--certs"].iter().chain(certs).map(|word| (*word).to_owned()));
        verify(directory, "report.bin", &arguments)
    };
    with(&["chain.pem"]).ok();
    with(&["auxblob"]).ok();
    with(&["ark.der", "ask.der", "auxblob", "chain.pem"]).ok();
    // Another chip's certificate does not stand in the way of the right one.
    let other = LeafSpec { hardware_id: Some(vec![9; 64]), ..LeafSpec::vcek(Product::Milan) };
    fs::write(directory.join("other.der"), Spec::vcek(&other).der(&keys().ask)).unwrap();
    with(&["other.der", "vcek.der", "ask.der"]).ok();
    let json = with(&["other.der", "ask.der"]).code(1).json();
    assert!(codes(&json).iter().any(|code| code.starts_with("chip")), "{:?}", codes(&json));

    let ran = with(&["ask.der"]).code(3);
    assert!(ran.stderr.contains("no certificate of the key that signed this report, a VCEK"));
    assert_eq!(ran.json()["kind"], "error");
    assert!(with(&["report.bin"]).code(3).stderr.contains("report.bin: no certificates"));
    assert!(with(&["none"]).code(3).stderr.contains("none: cannot be read"));
}

#[test]
fn time_and_revocation() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    let mut late = accept();
    late[3] = "2060-01-01T00:00:00Z".to_owned();
    let json = verify(directory, "report.bin", &late).code(1).json();
    assert!(codes(&json).iter().any(|code| code.contains("expired")), "{:?}", codes(&json));
    late[3] = "yesterday".to_owned();
    verify(directory, "report.bin", &late).code(2);

    let span = ("20250101000000Z", Some("20260101000000Z"));
    let list = |serials: &[&[u8]]| crl("ARK-Milan", &keys().ark, span, serials);
    fs::write(directory.join("clean.crl"), list(&[])).unwrap();
    fs::write(directory.join("revoked.crl"), list(&[&[7, 0, 1]])).unwrap();
    let with = |name: &str| {
        let arguments = [&accept()[..], &["--crl".to_owned(), name.to_owned()]].concat();
        verify(directory, "report.bin", &arguments)
    };
    with("clean.crl").ok();
    let json = with("revoked.crl").code(1).json();
    assert!(codes(&json).iter().any(|code| code.contains("revoked")), "{:?}", codes(&json));
    with("vcek.der").code(3);
    let root =
        ["report", "verify", "report.bin", "--trust-root", "vcek.der", "--certs", "vcek.der"];
    let ran = run(directory, &root).code(3);
    assert!(ran.stderr.contains("vcek.der: cannot be a root of trust"), "{}", ran.stderr);
}

#[test]
fn policies_and_manifests_narrow_and_never_widen() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    let base: Vec<String> = accept().into_iter().take(7).collect();
    let measurement = MEASUREMENT.repeat(48);
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    write("good.toml", &format!("measurement = \"{measurement}\"\nproduct = \"milan\"\n"));
    write("other.toml", &format!("measurement = \"{}\"\n", "11".repeat(48)));
    write("new-tcb.toml", &format!("measurement = \"{measurement}\"\n[minimum_tcb]\nsnp = 25\n"));
    write("typo.toml", "measurment = \"00\"\n");
    let manifest = |digest: &str| {
        json!({
            "format": 1, "vmm": "qemu", "firmware": "00".repeat(48),
            "measurement": [{ "vcpus": 1, "cpu": "EPYC-v4", "guest_features": "0x1", "digest": digest }],
        })
        .to_string()
    };
    write("fleet.json", &manifest(&measurement));
    write("elsewhere.json", &manifest(&"22".repeat(48)));
    let with = |arguments: &[&str]| {
        let more: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        verify(directory, "report.bin", &[&base[..], &more].concat())
    };
    with(&["--policy", "good.toml"]).ok();
    with(&["--manifest", "fleet.json"]).ok();
    with(&["--policy", "good.toml", "--manifest", "fleet.json"]).ok();
    assert_eq!(codes(&with(&["--policy", "other.toml"]).code(1).json()), ["measurement.mismatch"]);
    let codes_of = |arguments: &[&str]| codes(&with(arguments).code(1).json());
    assert_eq!(codes_of(&["--manifest", "elsewhere.json"]), ["measurement.mismatch"]);
    assert_eq!(codes_of(&[]), ["measurement.unnamed"]);
    assert_eq!(codes_of(&["--policy", "new-tcb.toml"]).len(), 4, "all four TCBs are too old");
    let ran = with(&["--policy", "other.toml", "--manifest", "fleet.json"]).code(3);
    assert!(ran.stderr.contains("no report could satisfy both"), "{}", ran.stderr);
    let ran = with(&["--policy", "typo.toml"]).code(3);
    assert!(
        ran.stderr.contains("typo.toml") && ran.stderr.contains("measurment"),
        "{}",
        ran.stderr
    );
    with(&["--manifest", "good.toml"]).code(3);
    with(&["--allow", "everything"]).code(2);
    with(&["--allow", "any-measurement"]).ok();
}

#[test]
fn every_form_of_report_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory);
    let bare = fs::read(directory.join("report.bin")).unwrap();
    let mut response = vec![0; 32];
    response[4..8].copy_from_slice(&1184_u32.to_le_bytes());
    response.extend(&bare);
    fs::write(directory.join("response"), response).unwrap();
    let mut hcl = b"HCLA".to_vec();
    hcl.resize(32, 1);
    hcl.extend(&bare);
    for number in [22_u32, 1, 2, 1, 2] {
        hcl.extend(number.to_le_bytes());
    }
    hcl.extend(b"{}");
    fs::write(directory.join("hcl"), hcl).unwrap();
    let show = |name: &str| run(directory, &["report", "show", "--json", name]);
    let first = show("report.bin").ok().json();
    assert_eq!((&first["kind"], &first["container"]), (&json!("report"), &json!("bare")));
    assert_eq!(first["report"]["version"], 3);
    assert_eq!(first["report"]["reported_tcb"]["snp"], TCB[6]);
    assert!(first["runtime_data"].is_null() && first["runtime_data_bound"].is_null());
    fs::write(directory.join("report.json"), snpguard_json(&bare).to_string()).unwrap();
    for (name, container) in
        [("response", "response"), ("hcl", "hcl"), ("report.json", "snpguard-json")]
    {
        let json = show(name).ok().json();
        assert_eq!(json["container"], container);
        assert_eq!(json["report"], first["report"]);
        verify(directory, name, &accept()).ok();
    }
    let ran = show("hcl").ok();
    assert_eq!(ran.json()["runtime_data_bound"], false);
    assert!(ran.stderr.contains("not the SHA-256 of the runtime data"), "{}", ran.stderr);
    let text = run(directory, &["report", "show", "report.bin"]).ok();
    assert!(text.stdout.contains("\nmeasurement          3e3e"), "{}", text.stdout);
    assert!(text.stderr.contains("nothing of this is verified"), "{}", text.stderr);

    // Versions that are not known are refused before anything is read.
    for version in [0_u8, 1, 6, 99] {
        let mut other = bare.clone();
        other[0] = version;
        fs::write(directory.join("other"), other).unwrap();
        let ran = show("other").code(3);
        assert!(ran.stderr.contains(&format!("version {version}")), "{}", ran.stderr);
        verify(directory, "other", &accept()).code(3);
    }
    fs::write(directory.join("other"), &bare[..1183]).unwrap();
    show("other").code(3);
    fs::write(directory.join("other"), [&bare[..], b"\n"].concat()).unwrap();
    show("other").code(3);
    show("none").code(3);
    // Version 2 names no product.
    let old = Draft::new(2, Product::Milan).signed().0;
    fs::write(directory.join("old"), old).unwrap();
    assert!(show("old").ok().json()["report"]["product"].is_null());
    let named = run(directory, &["report", "show", "--json", "old", "--product", "milan"]).ok();
    assert_eq!(named.json()["report"]["product"], "milan");
}

#[test]
fn real_reports() {
    let Some(folder) = folder() else { return };
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let all = real(&folder);
    assert!(all.len() >= 13, "only {} reports", all.len());
    let asvk = folder.join("amd_ca/sev_vlek_milan.der").to_str().unwrap().to_owned();
    for real in all {
        fs::write(directory.join("report"), &real.report).unwrap();
        fs::write(directory.join("leaf"), &real.leaf).unwrap();
        let words = ["--at", AT, "--allow", "any-measurement", "--certs", "leaf", &asvk];
        let mut arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let exception = match real.name.as_str() {
            "milan_v2_66f23ab2" | "milan_v3_decdab94" => Some(("nonzero-vmpl", "vmpl.mismatch")),
            "milan_v2_377e6241" => Some(("debug", "debug.enabled")),
            _ => None,
        };
        if let Some((name, code)) = exception {
            let json = verify(directory, "report", &arguments).code(1).json();
            assert_eq!(codes(&json), [code], "{}", real.name);
            arguments.extend(["--allow".to_owned(), name.to_owned()]);
        }
        let ran = verify(directory, "report", &arguments);
        assert_eq!(ran.code, Some(0), "{}: {}", real.name, ran.stdout);
        assert!(!ran.stderr.contains("NOT AMD's"));
        // Bits here and there; the library's tests flip every one.
        for bit in [0x20 * 8, 0x50 * 8 + 7, 0x90 * 8 + 3, 0x188 * 8 + 1, 0x29f * 8, 0x2a0 * 8] {
            let mut flipped = real.report.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(directory.join("flipped"), flipped).unwrap();
            let json = verify(directory, "flipped", &arguments).code(1).json();
            assert_eq!(json["authentic"], false, "{} bit {bit}", real.name);
        }
    }
}

/// Chains and reports of another maker, with what is to come of each.
#[test]
fn synthetic_cases_of_another_maker() {
    let Some(folder) = folder() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut judged = 0;
    for family in ["milan", "turin"] {
        let folder = folder.join("synthetic").join(family);
        let manifest = fs::read(folder.join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let measurement = manifest["measurement"].as_str().unwrap();
        for case in manifest["cases"].as_array().unwrap() {
            let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
            let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
            let (file, chain) = (text("file"), text("chain"));
            let mut arguments =
                ["--at", AT, "--measurement", measurement].map(str::to_owned).to_vec();
            // The first of the chain is named as the root, but where AMD's alone count.
            if !file.starts_with("real_root") {
                let root = chain.split(',').next().map(path).unwrap();
                arguments.extend(["--trust-root".to_owned(), root]);
            }
            arguments.push("--certs".to_owned());
            arguments.push(path(&text("vcek")));
            arguments.extend(chain.split(',').map(path));
            if let Some(list) = case["crl"].as_str() {
                arguments.extend(["--crl".to_owned(), path(list)]);
            }
            let ran = verify(directory.path(), &path(&file), &arguments);
            let why = format!("{family} {file}: {}\n{}", text("why"), ran.stdout);
            match text("expect").as_str() {
                "accept" => assert_eq!(ran.code, Some(0), "{why}"),
                // The program takes this form, too.
                "reject as raw report" => assert_eq!(ran.code, Some(0), "{why}"),
                "reject"
                | "reject-by-default"
                | "reject-with-crl"
                | "reject-or-document"
                | "reject-unless-vmpl-allowed"
                | "reject-for-vcek-or-policy"
                | "reject-or-warn" => {
                    assert!(matches!(ran.code, Some(1 | 3)), "{why}");
                }
                _ => continue,
            }
            judged += 1;
        }
    }
    assert!(judged >= 70, "only {judged} cases were judged");
}
