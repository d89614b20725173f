//! `ravelin certs` and what `report verify` gets by itself: against a key
//! service that is busy, broken and wrong.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
mod kds;
#[path = "../../attestation/tests/verify_support/mod.rs"]
mod verify_support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use attestation::product::Product;
use common::{Ran, names, ravelin};
use kds::{Answer, Kds};
use serde_json::json;
use tempfile::TempDir;
use verify_support::{Draft, LeafSpec, Spec, ca, crl, keys, rsa_key};

const AT: &str = "2025-09-01T00:00:00Z";
const PRODUCT: Product = Product::Milan;
const CHAIN: &str = "/vcek/v1/Milan/cert_chain";
const CRL: &str = "/vcek/v1/Milan/crl";

/// A directory with a report and the tests' root, an empty cache, a service
/// that has everything.
struct Setting {
    directory: TempDir,
    kds: Kds,
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    use base64ct::Encoding;
    let text = base64ct::Base64::encode_string(der);
    let lines: Vec<_> =
        text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}

fn vcek() -> Vec<u8> {
    Spec::vcek(&LeafSpec::vcek(PRODUCT)).der(&keys().ask)
}

fn ask() -> Vec<u8> {
    Spec::ask(PRODUCT).der(&keys().ark)
}

fn chain() -> Vec<u8> {
    let ark = Spec::ark(PRODUCT).der(&keys().ark);
    [pem("CERTIFICATE", &ask()), pem("CERTIFICATE", &ark)].concat()
}

fn list(next: &str, serials: &[&[u8]]) -> Vec<u8> {
    crl(PRODUCT.ark_name(), &keys().ark, ("20250101000000Z", Some(next)), serials)
}

/// Where the good report's VCEK is.
fn vcek_path() -> String {
    let chip: String = (1..=64_u8).map(|byte| format!("{byte:02x}")).collect();
    format!("/vcek/v1/Milan/{chip}?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219")
}

impl Setting {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let write =
            |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
        write("report.bin", &Draft::new(3, PRODUCT).signed().0);
        write("ark.der", &Spec::ark(PRODUCT).der(&keys().ark));
        let kds = Kds::new();
        kds.answer(&vcek_path(), &[Answer::Body(vcek())])
            .answer(CHAIN, &[Answer::Body(chain())])
            .answer(CRL, &[Answer::Body(list("20260101000000Z", &[]))]);
        Self { directory, kds }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn cache(&self) -> PathBuf {
        self.path().join("cache/ravelin/certificates")
    }

    /// The files that count, without locks.
    fn kept(&self) -> Vec<String> {
        names(&self.cache()).into_iter().filter(|name| !name.starts_with('.')).collect()
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = ravelin();
        command
            .current_dir(self.path())
            .env("XDG_CACHE_HOME", self.path().join("cache"))
            .env("RAVELIN_KDS_URL", &self.kds.url)
            .env("NO_PROXY", "127.0.0.1")
            .args(words);
        for proxy in
            ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        {
            command.env_remove(proxy);
        }
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.command(words).output().unwrap().into()
    }

    fn fetch(&self, more: &[&str]) -> Ran {
        self.run(&[&FETCH, more].concat())
    }

    fn verify(&self, more: &[&str]) -> Ran {
        let measurement = "3e".repeat(48);
        let words = ["report", "verify", "--json", "report.bin", "--trust-root", "ark.der"];
        let accept = ["--measurement", measurement.as_str()];
        self.run(&[&words, &accept[..], more].concat())
    }
}

const FETCH: [&str; 9] =
    ["certs", "fetch", "--json", "--report", "report.bin", "--trust-root", "ark.der", "--at", AT];

#[test]
fn what_a_report_needs_is_fetched_once_and_kept_for_the_user_alone() {
    let setting = Setting::new();
    let json = setting.fetch(&[]).ok().json();
    assert_eq!(json["kind"], "certs-fetch");
    let kinds: Vec<_> =
        json["certificates"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, [&json!("vcek"), &json!("vcek-crl")]);
    assert!(json["certificates"].as_array().unwrap().iter().all(|one| one["fetched"] == true));
    let mut requests = setting.kds.requests();
    requests.sort();
    let mut expected = [vcek_path(), CHAIN.to_owned(), CRL.to_owned()];
    expected.sort();
    assert_eq!(requests, expected);
    assert_eq!(setting.kept().len(), 3, "{:?}", setting.kept());
    assert_eq!(setting.cache().metadata().unwrap().mode() & 0o777, 0o700);
    for name in names(&setting.cache()) {
        assert_eq!(setting.cache().join(&name).metadata().unwrap().mode() & 0o777, 0o600, "{name}");
    }

    let json = setting.fetch(&[]).ok().json();
    assert!(json["certificates"].as_array().unwrap().iter().all(|one| one["fetched"] == false));
    assert_eq!(setting.kds.count(), 0);

    let listed = setting.run(&["certs", "list", "--json"]).ok().json();
    let listed = listed["certificates"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    let leaf = listed.iter().find(|one| one["kind"] == "vcek").unwrap();
    assert_eq!((&leaf["product"], &leaf["tcb"]), (&json!("milan"), &json!("04000000000018db")));
    assert_eq!(leaf["not_before"], "2024-01-01T00:00:00Z");
    let text = setting.run(&["certs", "list"]).ok().stdout;
    assert!(text.contains("snp 24 microcode 219") && text.contains("Milan VCEK"), "{text}");
}

#[test]
fn a_busy_service_is_asked_again_but_not_for_ever() {
    let setting = Setting::new();
    let busy = Answer::Status(429, "Retry-After: 0");
    let answers = [busy, Answer::Status(503, ""), Answer::HangUp, Answer::Body(vcek())];
    setting.kds.answer(&vcek_path(), &answers);
    setting.fetch(&[]).ok();
    let asked = setting.kds.requests();
    assert_eq!(asked.iter().filter(|path| **path == vcek_path()).count(), 4, "{asked:?}");

    // Longer than anyone waits: no second request, and a way out.
    let setting = Setting::new();
    setting.kds.answer(&vcek_path(), &[Answer::Status(429, "Retry-After: 86400")]);
    let ran = setting.fetch(&[]).code(3);
    assert_eq!(setting.kds.count(), 1);
    assert!(ran.stderr.contains("status 429") && ran.stderr.contains("86400 s"), "{}", ran.stderr);
    let help = ran.json()["help"].as_str().unwrap().to_owned();
    assert!(help.contains("ravelin certs import") && help.contains(&vcek_path()), "{help}");
}

#[test]
fn wrong_answers_are_refused_by_name_and_not_kept() {
    let other_chip = LeafSpec { hardware_id: Some(vec![9; 64]), ..LeafSpec::vcek(PRODUCT) };
    let mut old = LeafSpec::vcek(PRODUCT);
    old.tcb[7] -= 1;
    let vlek = Spec::vlek(&LeafSpec::vlek(PRODUCT)).der(&keys().ask);
    let genoa = LeafSpec { product_name: "Genoa", ..LeafSpec::vcek(PRODUCT) };
    let leaf = |spec: &LeafSpec| Answer::Body(Spec::vcek(spec).der(&keys().ask));
    let forged = Spec::vcek(&LeafSpec::vcek(PRODUCT)).der(&keys().other);
    let mut trailing = vcek();
    trailing.push(0);
    for (answer, expected) in [
        (Answer::Status(404, ""), "status 404"),
        (Answer::Status(500, ""), "status 500"),
        (Answer::Status(302, "Location: http://127.0.0.1:1/x"), "redirects"),
        (Answer::Body(b"<html>hello</html>".to_vec()), "no certificate"),
        (Answer::Body(Vec::new()), "no certificate"),
        (Answer::Body(vcek()[..700].to_vec()), "no certificate"),
        (Answer::Body(trailing), "no certificate"),
        (Answer::Truncated(vcek()), "no complete answer"),
        (Answer::Body(vec![0x30; 70_000]), "longer than 65536 bytes"),
        (Answer::Endless, "longer than 65536 bytes"),
        (Answer::Silent, "no complete answer"),
        (leaf(&other_chip), "its chip is 0909"),
        (leaf(&old), "its TCB is 04000000000018da"),
        (leaf(&genoa), "its product is Genoa"),
        (Answer::Body(vlek), "its identity is"),
        (Answer::Body(forged), "does not verify"),
    ] {
        let setting = Setting::new();
        setting.kds.answer(&vcek_path(), std::slice::from_ref(&answer));
        let ran = setting.fetch(&["--kds-timeout", "1"]).code(3);
        assert!(ran.stderr.contains(expected), "{answer:?}: {}", ran.stderr);
        assert!(ran.json()["help"].is_string(), "{}", ran.stdout);
        let kept = setting.kept();
        assert!(!kept.iter().any(|name| name.starts_with("vcek-")), "{answer:?}: {kept:?}");
    }
}

#[test]
fn processes_and_threads_share_one_request() {
    let setting = Setting::new();
    setting.kds.answer(&vcek_path(), &[Answer::Gated(vcek())]);
    let spawn = || {
        let mut command = setting.command(&FETCH);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let children: Vec<_> = (0..4).map(|_| spawn()).collect();
    setting.kds.wait_for(1);
    setting.kds.open();
    for child in children {
        Ran::from(child.wait_with_output().unwrap()).ok();
    }
    let mut requests = setting.kds.requests();
    requests.sort();
    let mut expected = [vcek_path(), CHAIN.to_owned(), CRL.to_owned()];
    expected.sort();
    assert_eq!(requests, expected);

    let setting = Setting::new();
    let options = host::certificates::Options {
        url: setting.kds.url.clone(),
        cache: Some(setting.cache()),
        ..Default::default()
    };
    let store = host::certificates::Store::open(options).unwrap();
    let roots = verify_support::roots(PRODUCT);
    let report = Draft::new(3, PRODUCT).signed().report();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let request = host::certificates::ChainRequest {
                    report: &report,
                    certificates: &[],
                    crls: &[],
                    roots: &roots,
                    product: None,
                    now: verify_support::now(),
                };
                store.chain_for(&request).unwrap().chain.unwrap();
            });
        }
    });
    let mut requests = setting.kds.requests();
    requests.sort();
    assert_eq!(requests, expected);
}

#[test]
fn a_broken_entry_is_fetched_again() {
    let setting = Setting::new();
    setting.fetch(&[]).ok();
    setting.kds.requests();
    let name = setting.kept().into_iter().find(|name| name.starts_with("vcek-")).unwrap();
    let file = setting.cache().join(name);
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let forged = Spec::vcek(&LeafSpec::vcek(PRODUCT)).der(&keys().other);
    let elsewhere = setting.path().join("elsewhere");
    fs::write(&elsewhere, &good).unwrap();
    let damages: [&dyn Fn(); 6] = [
        &|| fs::write(&file, b"").unwrap(),
        &|| fs::write(&file, &good[..100]).unwrap(),
        &|| fs::write(&file, &flipped).unwrap(),
        &|| fs::write(&file, &forged).unwrap(),
        &|| fs::write(&file, vec![0x30; 1 << 20]).unwrap(),
        &|| {
            fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        },
    ];
    for damage in damages {
        damage();
        setting.verify(&["--at", AT]).ok();
        assert_eq!(setting.kds.requests(), [vcek_path()]);
        assert_eq!(fs::read(&file).unwrap(), good);
        assert!(file.symlink_metadata().unwrap().is_file());
    }
    // Damage is listed as such, and without a network it is an error.
    fs::write(&file, b"x").unwrap();
    let text = setting.run(&["certs", "list"]).ok().stdout;
    assert!(text.contains("damaged"), "{text}");
    setting.verify(&["--at", AT, "--offline"]).code(3);
}

#[test]
fn offline_says_what_to_download_and_import_takes_it() {
    let setting = Setting::new();
    let ran = setting.verify(&["--at", AT, "--offline"]).code(3);
    let help = ran.json()["help"].as_str().unwrap().to_owned();
    assert!(help.contains(&format!("{}{}", setting.kds.url, vcek_path())), "{help}");
    assert!(help.contains("ravelin certs import"), "{help}");
    assert_eq!(setting.kds.count(), 0);

    let write = |name: &str, bytes: &[u8]| fs::write(setting.path().join(name), bytes).unwrap();
    write("vcek.pem", &pem("CERTIFICATE", &vcek()));
    let import = |more: &[&str]| {
        let words = ["certs", "import", "--json", "--trust-root", "ark.der", "--at", AT];
        setting.run(&[&words, more].concat())
    };
    // Without the ASK nobody vouches for it.
    let ran = import(&["vcek.pem"]).code(1);
    assert_eq!(ran.json()["kept"], json!([]));
    assert!(ran.json()["refused"][0]["reasons"].as_str().unwrap().contains("SEV-Milan"));
    let list = list("20260101000000Z", &[]);
    let all =
        [b"some text\n".to_vec(), pem("CERTIFICATE", &vcek()), chain(), pem("X509 CRL", &list)];
    write("bundle.pem", &all.concat());
    let json = import(&["bundle.pem"]).ok().json();
    let kinds: Vec<_> = json["kept"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, [&json!("ask"), &json!("vcek"), &json!("vcek-crl"), &json!("vlek-crl")]);
    assert_eq!(json["roots"], json!(["milan"]));
    let json = setting.verify(&["--at", AT, "--offline"]).ok().json();
    assert_eq!(json["accepted"], true);
    assert_eq!(setting.kds.count(), 0);

    // Nothing that does not verify.
    write("forged.der", &Spec::vcek(&LeafSpec::vcek(PRODUCT)).der(&keys().other));
    import(&["forged.der"]).code(1);
    write("garbage", b"-----BEGIN nothing");
    assert!(import(&["garbage"]).code(3).stderr.contains("byte 0"));
    write("empty", b"");
    import(&["empty"]).code(3);
}

#[test]
fn revocation_lists_are_kept_until_the_next_is_due() {
    let setting = Setting::new();
    setting.verify(&["--at", AT]).ok();
    setting.kds.requests();
    setting.verify(&["--at", "2025-12-31T00:00:00Z"]).ok();
    assert_eq!(setting.kds.count(), 0);
    // The next one revokes the ASK.
    let revoked: &[u8] = &[7, 0, 1];
    setting.kds.answer(CRL, &[Answer::Body(list("20270101000000Z", &[revoked]))]);
    let json = setting.verify(&["--at", "2026-06-01T00:00:00Z"]).code(1).json();
    assert_eq!(setting.kds.requests(), [CRL]);
    assert!(json.to_string().contains("chain.revoked"), "{json}");
    assert_eq!(json["authentic"], false);
}

#[test]
fn without_a_list_the_verdict_says_so_and_the_service_is_left_in_peace() {
    let setting = Setting::new();
    setting.kds.answer(CRL, &[Answer::Status(404, "")]);
    let ran = setting.verify(&["--at", AT]).ok();
    assert!(ran.stderr.contains("revocation list of Milan"), "{}", ran.stderr);
    setting.kds.requests();
    let ran = setting.verify(&["--at", AT]).ok();
    assert!(ran.stderr.contains("not tried again yet"), "{}", ran.stderr);
    assert_eq!(setting.kds.count(), 0);
    let policy = format!("measurement = [\"{}\"]\nrequire_crl = true\n", "3e".repeat(48));
    fs::write(setting.path().join("policy.toml"), policy).unwrap();
    let json = setting.verify(&["--at", AT, "--policy", "policy.toml"]).code(1).json();
    assert!(json.to_string().contains("revocation.missing"), "{json}");
}

#[test]
fn a_version_2_report_needs_a_product() {
    let setting = Setting::new();
    let report = Draft::new(2, PRODUCT).signed().0;
    fs::write(setting.path().join("report.bin"), report).unwrap();
    for ran in [setting.fetch(&[]), setting.verify(&["--at", AT])] {
        let help = ran.code(3).json()["help"].as_str().unwrap().to_owned();
        assert!(help.contains("--product milan, genoa or turin"), "{help}");
    }
    assert_eq!(setting.kds.count(), 0);
    setting.verify(&["--at", AT, "--product", "milan"]).ok();
    // The wrong one is asked for, and not there.
    let setting = Setting::new();
    fs::write(setting.path().join("report.bin"), Draft::new(2, PRODUCT).signed().0).unwrap();
    assert!(setting.fetch(&["--product", "genoa"]).code(3).stderr.contains("status 404"));
}

#[test]
fn a_masked_chip_and_a_provider_s_key_cannot_be_looked_up() {
    let setting = Setting::new();
    let write = |draft: &Draft| {
        fs::write(setting.path().join("report.bin"), draft.signed().0).unwrap();
    };
    let mut masked = Draft::new(3, PRODUCT);
    masked.set(0x1a0, &[0; 64]);
    write(&masked);
    assert!(setting.fetch(&[]).code(3).stderr.contains("masks the chip id"));
    write(&Draft::vlek(3, PRODUCT));
    assert!(setting.verify(&["--at", AT]).code(3).stderr.contains("cloud provider only"));
    assert_eq!(setting.kds.requests(), Vec::<String>::new());

    // Imported, it verifies without a network.
    let asvk = Spec::asvk(PRODUCT).der(&keys().ark);
    let vlek = Spec::vlek(&LeafSpec::vlek(PRODUCT)).der(&keys().ask);
    let bundle = [pem("CERTIFICATE", &vlek), pem("CERTIFICATE", &asvk)].concat();
    fs::write(setting.path().join("vlek.pem"), bundle).unwrap();
    let words = ["certs", "import", "vlek.pem", "--trust-root", "ark.der", "--at", AT];
    setting.run(&words).ok();
    let json = setting.verify(&["--at", AT, "--offline"]).ok().json();
    assert_eq!(json["identity"]["csp_id"], "CN=test.example");
}

#[test]
fn certificates_at_hand_come_first() {
    let setting = Setting::new();
    let options = host::certificates::Options {
        url: setting.kds.url.clone(),
        cache: Some(setting.cache()),
        ..Default::default()
    };
    let store = host::certificates::Store::open(options).unwrap();
    let roots = verify_support::roots(PRODUCT);
    let report = Draft::new(3, PRODUCT).signed().report();
    let leaf = Spec::vcek(&LeafSpec::vcek(PRODUCT));
    let load = |der: &[u8]| attestation::certificate::Certificate::load(der).unwrap();
    let good = [load(&vcek()), load(&ask())];
    let forged = [leaf.make(&keys().other), load(&ask())];
    let current = [verify_support::current_crl(PRODUCT, &[])];
    let chain_for = |certificates: &[_]| {
        let request = host::certificates::ChainRequest {
            report: &report,
            certificates,
            crls: &current,
            roots: &roots,
            product: None,
            now: verify_support::now(),
        };
        store.chain_for(&request).unwrap()
    };
    let found = chain_for(&good);
    assert_eq!(found.source, host::certificates::Source::Given);
    found.chain.unwrap();
    assert_eq!(setting.kds.count(), 0);
    // What does not verify is replaced.
    let found = chain_for(&forged);
    assert_eq!(found.source, host::certificates::Source::Service);
    found.chain.unwrap();
    assert!(setting.kds.requests().contains(&vcek_path()));
    assert_eq!(chain_for(&forged).source, host::certificates::Source::Cache);
}

#[test]
fn everything_between_roots_and_keys_of_every_product() {
    let setting = Setting::new();
    // Each root has a key of its own.
    for (product, key) in Product::ALL.into_iter().zip([&keys().ark, &keys().ask, &keys().other]) {
        let name = product.ark_name();
        let ark = Spec::new(name, name, rsa_key(key)).with(ca(true)).der(key);
        fs::write(setting.path().join(format!("ark-{product}.der")), &ark).unwrap();
        let span = ("20250101000000Z", Some("20260101000000Z"));
        let list = crl(name, key, span, &[]);
        for (word, spec) in [("vcek", Spec::ask(product)), ("vlek", Spec::asvk(product))] {
            let chain = [pem("CERTIFICATE", &spec.der(key)), pem("CERTIFICATE", &ark)];
            let path = |what: &str| format!("/{word}/v1/{product}/{what}");
            setting.kds.answer(&path("cert_chain"), &[Answer::Body(chain.concat())]);
            setting.kds.answer(&path("crl"), &[Answer::Body(list.clone())]);
        }
    }
    let mut words = vec!["certs", "fetch", "--all-roots", "--json", "--at", AT];
    for name in ["ark-Milan.der", "ark-Genoa.der", "ark-Turin.der"] {
        words.extend(["--trust-root", name]);
    }
    let json = setting.run(&words).ok().json();
    assert_eq!(json["certificates"].as_array().unwrap().len(), 12);
    assert_eq!((setting.kds.requests().len(), setting.kept().len()), (12, 12));
    setting.run(&words).ok();
    assert_eq!(setting.kds.count(), 0);
    // Nobody vouches for them but the owner.
    setting.run(&["certs", "fetch", "--all-roots", "--at", AT]).code(3);
}

#[test]
fn turin_is_asked_for_with_its_fmc_and_short_chip_id() {
    let setting = Setting::new();
    let product = Product::Turin;
    let vcek = Spec::vcek(&LeafSpec::vcek(product)).der(&keys().ask);
    let path = "/vcek/v1/Turin/0102030405060708?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=71";
    let chain = pem("CERTIFICATE", &Spec::ask(product).der(&keys().ark));
    let span = ("20250101000000Z", Some("20260101000000Z"));
    let list = crl(product.ark_name(), &keys().ark, span, &[]);
    setting
        .kds
        .answer(path, &[Answer::Body(vcek)])
        .answer("/vcek/v1/Turin/cert_chain", &[Answer::Body(chain)])
        .answer("/vcek/v1/Turin/crl", &[Answer::Body(list)]);
    fs::write(setting.path().join("ark.der"), Spec::ark(product).der(&keys().ark)).unwrap();
    fs::write(setting.path().join("report.bin"), Draft::new(5, product).signed().0).unwrap();
    let ran = setting.verify(&["--at", AT]);
    assert_eq!(ran.json()["authentic"], true, "{ran:?}");
    assert_eq!(setting.kds.requests()[0], path);
    let words = ["certs", "fetch", "--json", "--at", AT, "--trust-root", "ark.der"];
    let which =
        ["--product", "turin", "--chip-id", "0102030405060708", "--tcb", "0102030400000047"];
    let json = setting.run(&[&words[..], &which].concat()).ok().json();
    assert_eq!(json["certificates"][0]["fetched"], false);
    assert_eq!(setting.kds.count(), 0);
}

#[test]
fn real_reports_verify_offline_from_imported_certificates() {
    let Some(folder) = verify_support::vectors::folder() else { return };
    let setting = Setting::new();
    let write = |name: &str, bytes: &[u8]| fs::write(setting.path().join(name), bytes).unwrap();
    let mut done = 0;
    for one in verify_support::vectors::real(&folder) {
        if !(one.name.starts_with("milan_v3") || one.name.starts_with("genoa_v3")) {
            continue;
        }
        write("leaf.der", &one.leaf);
        write("real.bin", &one.report);
        let product = one.name.split('_').next().unwrap();
        let asvk = folder.join(format!("amd_ca/sev_vlek_{product}.der"));
        let words = ["certs", "import", "leaf.der", asvk.to_str().unwrap(), "--at", AT];
        setting.run(&words).ok();
        let words = ["report", "verify", "--json", "real.bin", "--offline", "--at", AT];
        let ran = setting.run(&[&words[..], &["--allow", "any-measurement"]].concat());
        assert_eq!(ran.json()["authentic"], true, "{}: {ran:?}", one.name);
        done += 1;
    }
    assert!(done >= 5, "{done} reports");
    assert_eq!(setting.kds.count(), 0);
}

#[test]
fn a_cache_that_others_can_write_is_not_used() {
    let setting = Setting::new();
    fs::create_dir_all(setting.cache()).unwrap();
    fs::set_permissions(setting.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    let ran = setting.run(&["certs", "list"]).code(3);
    assert!(ran.stderr.contains("chmod go-w"), "{}", ran.stderr);
}

#[test]
fn wrong_arguments_are_usage_errors() {
    let setting = Setting::new();
    setting.run(&["certs", "fetch"]).code(2);
    setting.run(&["certs", "import"]).code(2);
    setting.run(&["certs", "fetch", "--product", "milan", "--chip-id", "00"]).code(2);
    let chip = "ab".repeat(64);
    let tcb = "0102030400000047";
    let words = ["certs", "fetch", "--product", "turin", "--chip-id", &chip, "--tcb", tcb];
    assert!(setting.run(&words).code(2).stderr.contains("16 digits"));
    setting.run(&["certs", "fetch", "--all-roots", "--kds-url", "ftp://x"]).code(3);
}
