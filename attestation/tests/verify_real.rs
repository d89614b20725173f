//! Real reports and certificates of AMD's processors, from the public test
//! material (skipped, loudly, where it is not present).

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests"
)]

mod verify_support;

use attestation::certificate::{
    Certificate, ChainError, Crl, Link, Revocation, Roots, UnixTime, VerifiedChain, validate,
};
use attestation::policy::{Exception, Policy};
use attestation::product::Product;
use attestation::report::{GuestPolicyBit, Report, View};
use attestation::verify::{ReportData, Request, Verdict, verify};
use verify_support::codes;
use verify_support::vectors::{folder, read, real};

/// All certificates of the material are valid then.
const NOW: &str = "2025-09-01T00:00:00Z";

fn now() -> UnixTime {
    NOW.parse().unwrap()
}

/// AMD's ASVKs, which are not compiled in.
fn asvks(folder: &std::path::Path) -> Vec<Certificate> {
    ["milan", "genoa", "turin"]
        .map(|product| {
            let path = folder.join(format!("amd_ca/sev_vlek_{product}.der"));
            Certificate::from_der(&read(&path)).unwrap()
        })
        .to_vec()
}

fn policy(exceptions: &[Exception]) -> Policy {
    let mut policy = Policy::default();
    policy.allow = exceptions.iter().copied().collect();
    policy
}

fn check(report: &Report, chain: &VerifiedChain, policy: &Policy) -> Verdict {
    verify(report, Ok(chain), policy, &Request::new(now(), ReportData::Unchecked))
}

/// The exceptions that a real report needs, as its folder's README says.
fn needs(name: &str) -> &'static [Exception] {
    match name {
        "milan_v2_66f23ab2" | "milan_v3_decdab94" => &[Exception::NonzeroVmpl],
        "milan_v2_377e6241" => &[Exception::Debug],
        _ => &[],
    }
}

#[test]
fn every_real_report_verifies_with_only_its_named_exception() {
    let Some(folder) = folder() else { return };
    let roots = Roots::amd().unwrap();
    let candidates = asvks(&folder);
    let all = real(&folder);
    assert!(all.len() >= 13, "only {} reports", all.len());
    for real in all {
        let report = Report::parse(&real.report).unwrap();
        let leaf = Certificate::from_der(&real.leaf).unwrap();
        let chain = validate(&leaf, &candidates, &roots, &[], now()).unwrap();
        let named = if real.name.starts_with("genoa") { Product::Genoa } else { Product::Milan };
        assert_eq!(chain.product(), named);

        // By its measurement, and by a policy made from the report itself.
        let mut by_measurement = policy(needs(&real.name));
        by_measurement.measurements = vec![report.measurement()];
        let verdict = check(&report, &chain, &by_measurement);
        assert!(verdict.accepted(), "{}\n{verdict}", real.name);
        let mut made = Policy::from_report(&report, chain.product());
        made.allow = by_measurement.allow;
        let read_back = Policy::parse(&made.to_string()).unwrap();
        assert_eq!(read_back, made);
        let verdict = check(&report, &chain, &read_back);
        assert!(verdict.accepted(), "{}\n{verdict}", real.name);

        // Without its exception it is refused for that reason alone.
        let mut strict = policy(&[]);
        strict.measurements = vec![report.measurement()];
        let expected: &[&str] = match needs(&real.name) {
            [Exception::NonzeroVmpl] => &["vmpl.mismatch"],
            [Exception::Debug] => &["debug.enabled"],
            _ => &[],
        };
        assert_eq!(codes(&check(&report, &chain, &strict)), expected, "{}", real.name);
    }
}

/// The attack: one bit of a genuine report is changed. Every bit of one report
/// is tried, and every 31st of the others; all of all with
/// `RAVELIN_EXHAUSTIVE=1`.
#[test]
fn flipped_bits_of_real_reports_are_refused() {
    let Some(folder) = folder() else { return };
    let roots = Roots::amd().unwrap();
    let candidates = asvks(&folder);
    let exhaustive = std::env::var_os("RAVELIN_EXHAUSTIVE").is_some();
    let mut work = Vec::new();
    for real in real(&folder) {
        let leaf = Certificate::from_der(&real.leaf).unwrap();
        let chain = validate(&leaf, &candidates, &roots, &[], now()).unwrap();
        let all = exhaustive || real.name == "genoa_v5_6d1ceffa";
        work.extend((0..0x2a0 * 8).step_by(if all { 1 } else { 31 }).map(|bit| {
            let mut bytes = real.report.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            (bytes, chain.clone(), format!("{} bit {bit}", real.name))
        }));
    }
    let all_allowed: Vec<_> = Exception::ALL.to_vec();
    let policy = policy(&all_allowed);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for part in work.chunks(work.len().div_ceil(threads)) {
            let policy = &policy;
            scope.spawn(move || {
                for (bytes, chain, name) in part {
                    let Ok(report) = Report::parse(bytes) else { continue };
                    let verdict = check(&report, chain, policy);
                    assert!(!verdict.authentic() && !verdict.accepted(), "{name}");
                }
            });
        }
    });
}

#[test]
fn a_certificate_of_another_chip_or_time_or_with_a_bad_signature_is_refused() {
    let Some(folder) = folder() else { return };
    let roots = Roots::amd().unwrap();
    let load = |path: &str| Certificate::from_der(&read(&folder.join(path))).unwrap();

    // Two chips with the same TCB: each report under the other's certificate.
    let other = load("project-oak_oak/milan_v3_40a2778d.vcek.der");
    let chain = validate(&other, &[], &roots, &[], now()).unwrap();
    let path = "confidential-containers_trustee/milan_v3_14fd2b6e.report.bin";
    let report = Report::parse(&read(&folder.join(path))).unwrap();
    let mut policy = policy(&[]);
    policy.measurements = vec![report.measurement()];
    let verdict = check(&report, &chain, &policy);
    assert_eq!(codes(&verdict), ["signature.invalid", "chip-binding.mismatch"]);

    // The same certificate before and after its validity.
    for (time, error) in
        [("2025-01-01T00:00:00Z", "chain.not-yet-valid"), ("2033-01-01T00:00:00Z", "chain.expired")]
    {
        let rejection = validate(&other, &[], &roots, &[], time.parse().unwrap()).unwrap_err();
        assert_eq!(rejection.errors().iter().map(ChainError::code).collect::<Vec<_>>(), [error]);
    }

    let bad = load("confidential-containers_trustee/cert_milan-b0_cee96955_INVALIDSIG.der");
    let rejection = validate(&bad, &[], &roots, &[], now()).unwrap_err();
    assert_eq!(
        rejection.errors(),
        [ChainError::Signature { link: Link::Leaf, issuer: "SEV-Milan".to_owned() }]
    );

    // A VLEK without the ASVK that issued it.
    let vlek = load("confidential-containers_trustee/milan_v3_decdab94.vlek.der");
    let rejection = validate(&vlek, &[], &roots, &[], now()).unwrap_err();
    assert_eq!(
        rejection.errors(),
        [ChainError::IntermediateMissing { issuer: "SEV-VLEK-Milan".to_owned() }]
    );
}

#[test]
fn real_leaves_without_reports_validate() {
    let Some(folder) = folder() else { return };
    let roots = Roots::amd().unwrap();
    for (path, product) in [
        ("virtee_sev/cert_turin_a4a6abff.der", Product::Turin),
        ("Fraunhofer-AISEC_cmc/cert_milan-b0_2246133e.der", Product::Milan),
        ("automata-network_amd-sev-snp-attestation-sdk/cert_milan-b0_ba8f0e99.der", Product::Milan),
    ] {
        let leaf = Certificate::from_der(&read(&folder.join(path))).unwrap();
        let chain = validate(&leaf, &[], &roots, &[], now()).unwrap();
        assert_eq!(chain.product(), product);
    }
    let turin = Certificate::from_der(&read(&folder.join("virtee_sev/cert_turin_a4a6abff.der")));
    let chain = validate(&turin.unwrap(), &[], &roots, &[], now()).unwrap();
    let levels = chain.leaf().tcb().components(Product::Turin).to_string();
    assert_eq!(levels, "fmc 0 bootloader 0 tee 0 snp 0 microcode 9");
    assert_eq!(chain.leaf().hardware_id().unwrap().to_string(), "1e550a8ee5cf9f4d");
}

/// AMD's own list for Milan, which names nothing; the one for Genoa is not in
/// the material.
#[test]
fn amds_real_revocation_list() {
    let Some(folder) = folder() else { return };
    let roots = Roots::amd().unwrap();
    let crl = Crl::load(&read(&folder.join("amd_ca/ark_milan_2022-05-09.crl"))).unwrap();
    let leaf = read(&folder.join("virtee_sev/milan_v2_120d77b2.vcek.der"));
    let leaf = Certificate::from_der(&leaf).unwrap();

    let then: UnixTime = "2023-05-01T00:00:00Z".parse().unwrap();
    let chain = validate(&leaf, &[], &roots, std::slice::from_ref(&crl), then).unwrap();
    assert!(matches!(chain.revocation(), Revocation::Checked { .. }));
    let late = chain.check_time(now());
    assert_eq!(late.iter().map(ChainError::code).collect::<Vec<_>>(), ["chain.crl-expired"]);

    let rejection = validate(&leaf, &[], &roots, std::slice::from_ref(&crl), now()).unwrap_err();
    let found: Vec<_> = rejection.errors().iter().map(ChainError::code).collect();
    assert_eq!(found, ["chain.crl-expired"]);

    // Of another product's chain it is no list at all.
    let genoa = read(&folder.join("project-oak_oak/genoa_v5_6d1ceffa.vcek.der"));
    let genoa = Certificate::from_der(&genoa).unwrap();
    let chain = validate(&genoa, &[], &roots, &[crl], now()).unwrap();
    assert_eq!(chain.revocation(), Revocation::NotChecked);
}

#[test]
fn the_compiled_in_certificates_are_amds() {
    let Some(folder) = folder() else { return };
    let roots = Roots::amd().unwrap();
    for (root, product) in roots.roots().iter().zip(["milan", "genoa", "turin"]) {
        let published =
            Certificate::from_der(&read(&folder.join(format!("amd_ca/ark_{product}.der"))));
        assert_eq!(root.certificate().key_fingerprint(), published.unwrap().key_fingerprint());
    }
}

#[test]
fn every_real_report_can_be_shown() {
    let Some(folder) = folder() else { return };
    for real in real(&folder) {
        let report = Report::parse(&real.report).unwrap();
        let view = View::new(&report, Some(Product::Milan));
        assert!(view.to_string().contains(&report.measurement().to_string()));
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["measurement"], report.measurement().to_string());
        assert_eq!(json["version"], report.version().number());
    }
}

#[test]
fn versions_that_are_not_known_are_refused_before_anything_else() {
    let Some(folder) = folder() else { return };
    let path = "microsoft_confidential-sidecar-containers/unknown_v1_c0b201f6.report.bin";
    let error = Report::parse(&read(&folder.join(path))).unwrap_err();
    assert_eq!(error.code(), "report.version");
    let path = "microsoft_confidential-sidecar-containers/unknown_v2_62213a90.report.bin";
    let report = Report::parse(&read(&folder.join(path))).unwrap();
    assert_eq!(report.reserved_offsets().count(), 0);
}

/// Another maker's synthetic chains and reports, 42 cases for each of two
/// products, under their own root.
#[test]
fn synthetic_cases_have_their_outcome() {
    let Some(folder) = folder() else { return };
    for product in ["milan", "turin"] {
        let folder = folder.join("synthetic").join(product);
        let manifest: serde_json::Value =
            serde_json::from_slice(&read(&folder.join("manifest.json"))).unwrap();
        let cases = manifest["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 42);
        for case in cases {
            let found = outcome(&folder, case);
            let file = case["file"].as_str().unwrap().strip_suffix(".report.bin").unwrap();
            assert_eq!(found, expected(file), "{product} {file}: {}", case["why"]);
        }
    }
}

/// The codes that a case ends in.
fn outcome(folder: &std::path::Path, case: &serde_json::Value) -> Vec<&'static str> {
    let text = |key: &str| case[key].as_str().unwrap_or_default();
    let certificate = |name: &str| Certificate::from_der(&read(&folder.join(name))).unwrap();
    let (root, intermediate) = text("chain").split_once(',').unwrap();
    let report = match Report::parse(&read(&folder.join(text("file")))) {
        Ok(report) => report,
        Err(error) => return vec![error.code()],
    };
    // `real_root` is for a verifier that trusts AMD alone.
    let roots = if text("file").starts_with("real_root") {
        Roots::amd().unwrap()
    } else {
        match Roots::none().with_given(certificate(root)) {
            Ok(roots) => roots,
            Err(error) => return vec![error.code()],
        }
    };
    let crls: Vec<_> = case["crl"]
        .as_str()
        .map(|name| Crl::load(&read(&folder.join(name))).unwrap())
        .into_iter()
        .collect();
    let leaf = certificate(text("vcek"));
    let chain = validate(&leaf, &[certificate(intermediate)], &roots, &crls, now());
    let mut policy = Policy::parse(
        "allow = ['simulator-root']\n[minimum_tcb.milan]\nsnp = 24\nmicrocode = 219\n\
         [minimum_tcb.turin]\nsnp = 2\nmicrocode = 71\n",
    )
    .unwrap();
    if text("expect").contains("forbids-SMT") {
        policy.guest_policy.forbidden.push(GuestPolicyBit::Smt);
    }
    policy.measurements = vec![report.measurement()];
    let request = Request::new(now(), ReportData::Unchecked);
    codes(&verify(&report, chain.as_ref(), &policy, &request))
}

/// The codes that a case must end in: nothing more, nothing less.
fn expected(file: &str) -> Vec<&'static str> {
    let all = [
        "minimum-tcb.current",
        "minimum-tcb.current",
        "minimum-tcb.committed",
        "minimum-tcb.committed",
        "minimum-tcb.launch",
        "minimum-tcb.launch",
        "minimum-tcb.reported",
        "minimum-tcb.reported",
    ];
    match file {
        "ok_v2" | "ok_v3" | "ok_v5" | "sig_malleable" => vec![],
        "debug_policy" => vec!["debug.enabled"],
        "migrate_ma" => vec!["migration.allowed"],
        "smt_on" => vec!["guest-policy.forbidden"],
        "policy_bit17_clear" => vec!["reserved.guest-policy-bit-17"],
        "vmpl2" => vec!["vmpl.mismatch"],
        "vmpl_bad" => vec!["vmpl.range"],
        "old_tcb" => all.to_vec(),
        "tcb_mismatch" => [&["tcb-binding.mismatch"], all.as_slice()].concat(),
        "rollback_reported_only" => vec!["minimum-tcb.reported"; 2],
        "alg_bad" => vec!["signature.algorithm"],
        "ver0" | "ver99" => vec!["report.version"],
        "wrong_key" | "sha512_sig" | "flip_sig_r" | "flip_sig_s" | "flip_report_data"
        | "flip_measurement" | "flip_policy" => vec!["signature.invalid"],
        "flip_chip_id" => vec!["signature.invalid", "chip-binding.mismatch"],
        "flip_reported_tcb" => vec!["signature.invalid", "tcb-binding.mismatch"],
        "vcek_noext" => vec!["chain.leaf-extension-missing"],
        "vcek_product" => vec!["chain.leaf-product"],
        "vcek_p256" => vec!["chain.key"],
        "chip_mismatch" => vec!["chip-binding.mismatch"],
        "chip_masked" => vec!["signing-key.masked", "chip-binding.masked"],
        "expired_vcek" => vec!["chain.expired"],
        "truncated" | "empty" | "trailing" | "sevguest_wrapped" => vec!["report.length"],
        "sig_zero" => vec!["signature.absent"],
        "sig_r_overlong" => vec!["signature.r-overlong"],
        "sig_reserved_nonzero" => vec!["signature.reserved"],
        "revoked_ask" => vec!["chain.revoked"],
        "swapped_chain" => vec!["root.name"],
        "real_root" => vec!["chain.root-unknown"],
        "vcek_by_ark" => vec!["chain.leaf-issued-by-root"],
        other => panic!("{other}: no expectation"),
    }
}

#[test]
fn wrapped_forms_of_the_material() {
    let Some(folder) = folder() else { return };
    for product in ["milan", "turin"] {
        let bytes = read(&folder.join(format!("synthetic/{product}/sevguest_wrapped.report.bin")));
        let unwrapped = attestation::report::Unwrapped::read(&bytes).unwrap();
        assert_eq!(unwrapped.container, attestation::report::Container::Response);
        assert_eq!(&bytes[32..], unwrapped.report.as_bytes());
    }
}
