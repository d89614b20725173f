//! Verification of reports under the tests' own chain: each thing that can be
//! wrong, alone, with its exact code.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests"
)]

mod verify_support;

use attestation::certificate::{UnixTime, validate};
use attestation::policy::{BitRules, Exception, MinimumLevels, MinimumTcb, Policy, TcbKind};
use attestation::product::Product;
use attestation::report::{GuestPolicyBit, Hex, KeyKind, PlatformInfoBit};
use attestation::verify::{
    Check, Finding, FindingCode, Outcome, ReportData, Request, Unchecked, Warning, verify,
};
use verify_support::{
    Draft, LeafSpec, Spec, chain, chain_of, codes, keys, new_p384, now, policy, request, roots,
    verdict,
};

/// The order of P-384's group, big-endian.
const ORDER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
                     581a0db248b0a77aecec196accc52973";

fn order() -> Vec<u8> {
    hex::decode(ORDER).unwrap()
}

#[test]
fn good_reports_of_every_version_product_and_key_are_accepted() {
    for product in Product::ALL {
        let vcek = chain(product);
        let vlek = chain_of(&LeafSpec::vlek(product));
        for version in 2..=5 {
            for (draft, chain) in
                [(Draft::new(version, product), &vcek), (Draft::vlek(version, product), &vlek)]
            {
                let verdict = verify(&draft.signed().report(), Ok(chain), &policy(), &request());
                assert!(
                    verdict.accepted() && verdict.authentic(),
                    "{product} {version}\n{verdict}"
                );
                assert_eq!(verdict.identity().product, Some(product));
                assert_eq!(verdict.identity().report_id, Hex([0x1d; 32]));
                let listed: Vec<_> = verdict.checks().iter().map(|result| result.check).collect();
                assert_eq!(listed, Check::ALL, "each check once, in order");
            }
        }
    }
}

#[test]
fn one_change_one_code() {
    type Change = fn(&mut Draft);
    let product = Product::Milan;
    let before_signing: &[(&str, Change)] = &[
        ("signature.algorithm", |d| d.put(0x34, &[2])),
        ("signature.algorithm", |d| d.put(0x34, &[0])),
        ("signing-key.mismatch", |d| d.put(0x48, &[4])),
        ("signing-key.mismatch", |d| d.put(0x48, &[8])),
        ("signing-key.mismatch", |d| d.put(0x48, &[0x1c])),
        ("signing-key.masked", |d| d.put(0x48, &[2])),
        ("product.mismatch", |d| d.put(0x188, &[0x19, 0x11])),
        ("product.mismatch", |d| d.put(0x188, &[0x17, 0x31])),
        ("tcb-binding.mismatch", |d| d.put(0x180, &[3])),
        ("tcb-binding.mismatch", |d| d.put(0x182, &[1])),
        ("tcb-binding.mismatch", |d| d.put(0x187, &[218])),
        ("chip-binding.mismatch", |d| d.put(0x1a0, &[0xee])),
        ("chip-binding.mismatch", |d| d.put(0x1df, &[0xee])),
        ("chip-binding.masked", |d| d.put(0x1a0, &[0; 64])),
        ("reserved.flags", |d| d.put(0x4b, &[0x80])),
        ("reserved.flags", |d| d.put(0x48, &[0x20])),
        ("reserved.guest-policy", |d| d.put(0x0b, &[4])),
        ("reserved.guest-policy", |d| d.put(0x0f, &[0x80])),
        ("reserved.guest-policy-bit-17", |d| d.put(0x0a, &[1])),
        ("reserved.platform-info", |d| d.put(0x40, &[0x65])),
        ("reserved.platform-info", |d| d.put(0x41, &[1])),
        ("reserved.bytes", |d| d.put(0x4c, &[1])),
        ("reserved.bytes", |d| d.put(0x18b, &[1])),
        ("reserved.bytes", |d| d.put(0x19f, &[1])),
        ("reserved.bytes", |d| d.put(0x1eb, &[1])),
        ("reserved.bytes", |d| d.put(0x1ef, &[1])),
        ("reserved.bytes", |d| d.put(0x1f8, &[1])),
        ("reserved.bytes", |d| d.put(0x207, &[1])),
        ("reserved.bytes", |d| d.put(0x208, &[1])),
        ("reserved.bytes", |d| d.put(0x29f, &[1])),
        ("report-data.mismatch", |d| d.put(0x8f, &[0])),
        ("measurement.mismatch", |d| d.put(0xbf, &[0])),
        ("vmpl.mismatch", |d| d.put(0x30, &[1])),
        ("vmpl.mismatch", |d| d.put(0x30, &[3])),
        ("vmpl.range", |d| d.put(0x30, &[4])),
        ("vmpl.range", |d| d.put(0x30, &[0xff; 4])),
        ("debug.enabled", |d| d.put(0x0a, &[0xb])),
        ("migration.allowed", |d| d.put(0x0a, &[7])),
        ("migration.agent", |d| d.put(0x160, &[0xab; 32])),
        ("provisional.version", |d| d.put(0x1ec, &[28])),
        ("provisional.version", |d| d.put(0x1ee, &[2])),
        ("provisional.tcb", |d| d.put(0x1e0, &[3])),
        ("provisional.tcb", |d| d.put(0x1e6, &[23])),
    ];
    for (code, change) in before_signing {
        let mut draft = Draft::new(3, product);
        change(&mut draft);
        let verdict = verdict(&draft, product);
        assert_eq!(codes(&verdict), [*code]);
        assert!(!verdict.accepted() && verdict.clone().into_result().is_err(), "{verdict}");
        let unsigned = ["signature.algorithm"].contains(code);
        assert_eq!(verdict.authentic(), !unsigned, "{verdict}");
    }

    let after_signing: &[(&str, Change)] = &[
        ("signature.absent", |d| d.put(0x2a0, &[0; 512])),
        ("signature.r-overlong", |d| d.put(0x2d0, &[1])),
        ("signature.r-overlong", |d| d.put(0x2e7, &[0x80])),
        ("signature.s-overlong", |d| d.put(0x318, &[1])),
        ("signature.s-overlong", |d| d.put(0x32f, &[0x80])),
        ("signature.r-range", |d| d.put(0x2a0, &[0; 72])),
        ("signature.s-range", |d| d.put(0x2e8, &[0; 72])),
        ("signature.r-range", |d| d.put(0x2a0, &[0xff; 48])),
        ("signature.s-range", |d| d.put(0x2e8, &[0xff; 48])),
        ("signature.r-range", |d| {
            let order: Vec<u8> = order().into_iter().rev().collect();
            d.set(0x2a0, &order);
        }),
        ("signature.s-range", |d| {
            let order: Vec<u8> = order().into_iter().rev().collect();
            d.set(0x2e8, &order);
        }),
        ("signature.reserved", |d| d.put(0x330, &[1])),
        ("signature.reserved", |d| d.put(0x49f, &[1])),
        ("signature.invalid", |d| d.0[0x2a0] ^= 1),
        ("signature.invalid", |d| d.0[0x2e8] ^= 1),
        ("signature.invalid", |d| d.0[0x10] ^= 1),
        ("signature.invalid", |d| *d = Draft::new(3, Product::Milan).signed_by(&new_p384())),
    ];
    for (code, change) in after_signing {
        let mut draft = Draft::new(3, product).signed();
        change(&mut draft);
        let verdict = verify(&draft.report(), Ok(&chain(product)), &policy(), &request());
        assert_eq!(codes(&verdict), [*code]);
        assert!(!verdict.authentic() && !verdict.accepted());
    }
}

#[test]
fn version_decides_what_is_reserved() {
    let product = Product::Genoa;
    let mut cpuid = Draft::new(2, product);
    cpuid.set(0x188, &[0x19]);
    assert_eq!(codes(&verdict(&cpuid, product)), ["reserved.bytes"]);
    let mut vector = Draft::new(4, product);
    vector.set(0x200, &[1]);
    assert_eq!(codes(&verdict(&vector, product)), ["reserved.bytes"]);
    vector.set(0, &[5]);
    assert!(verdict(&vector, product).accepted());
}

#[test]
fn turin_has_its_own_layout_and_a_short_chip_id() {
    let product = Product::Turin;
    let mut beyond = Draft::new(3, product);
    beyond.set(0x1a8, &[1]);
    assert_eq!(codes(&verdict(&beyond, product)), ["chip-binding.mismatch"]);

    let mut policy = policy();
    policy.minimum_tcb.turin =
        Some(MinimumLevels { fmc: 1, bootloader: 2, tee: 3, snp: 4, microcode: 71 });
    let chain = chain(product);
    let report = Draft::new(2, product).signed().report();
    assert!(verify(&report, Ok(&chain), &policy, &request()).accepted());
    policy.minimum_tcb.turin =
        Some(MinimumLevels { fmc: 2, bootloader: 3, tee: 4, snp: 5, microcode: 72 });
    policy.minimum_tcb.which = vec![TcbKind::Launch];
    let verdict = verify(&report, Ok(&chain), &policy, &request());
    let texts: Vec<_> = verdict.findings().map(|f| f.expected().unwrap().to_owned()).collect();
    let wanted = ["fmc 2", "bootloader 3", "tee 4", "snp 5", "microcode 72"];
    assert_eq!(texts, wanted.map(|text| format!("{text} or more")));
    assert_eq!(codes(&verdict), ["minimum-tcb.launch"; 5]);
}

#[test]
fn a_signature_verifies_with_either_s() {
    let product = Product::Milan;
    let signed = Draft::new(3, product).signed();
    let s: Vec<u8> = signed.0[0x2e8..0x318].iter().rev().copied().collect();
    let mut negated = vec![0; 48];
    let mut borrow = 0;
    for (index, digit) in order().iter().enumerate().rev() {
        let difference = i16::from(*digit) - i16::from(s[index]) - borrow;
        borrow = i16::from(difference < 0);
        negated[index] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    negated.reverse();
    let mut other = signed.clone();
    other.set(0x2e8, &negated);
    assert_ne!(other.0, signed.0);
    assert!(verify(&other.report(), Ok(&chain(product)), &policy(), &request()).accepted());
}

#[test]
fn newer_microcode_than_committed_is_not_provisional() {
    let mut draft = Draft::new(3, Product::Milan);
    draft.set(0x3f, &[250]);
    assert!(verdict(&draft, Product::Milan).accepted());
}

#[test]
fn an_exception_allows_what_it_names_and_nothing_else() {
    type Change = fn(&mut Draft);
    let product = Product::Milan;
    let cases: [(Exception, Change); 9] = [
        (Exception::MaskedChipId, |d| d.put(0x48, &[2])),
        (Exception::Debug, |d| d.put(0x0a, &[0xb])),
        (Exception::MigrationAgent, |d| d.put(0x0a, &[7])),
        (Exception::MigrationAgent, |d| d.put(0x160, &[1])),
        (Exception::NonzeroVmpl, |d| d.put(0x30, &[2])),
        (Exception::MaskedChipId, |d| d.put(0x1a0, &[0; 64])),
        (Exception::ProvisionalFirmware, |d| d.put(0x1e8, &[30])),
        (Exception::ProvisionalFirmware, |d| d.put(0x38, &[5])),
        (Exception::UnknownBits, |d| d.set(0x4b, &[1]).set(0x47, &[1]).put(0x1eb, &[1])),
    ];
    let chain = chain(product);
    for (named, change) in cases {
        let mut draft = Draft::new(3, product);
        change(&mut draft);
        let report = draft.signed().report();
        for exception in Exception::ALL {
            let mut policy = policy();
            policy.allow.insert(exception);
            let verdict = verify(&report, Ok(&chain), &policy, &request());
            assert_eq!(verdict.accepted(), exception == named, "{named} {exception}\n{verdict}");
            let warned = verdict.warnings().contains(&Warning::Allowed(named));
            assert_eq!(warned, exception == named);
        }
    }
}

#[test]
fn a_foreign_root_needs_its_name_and_is_always_warned_of() {
    let product = Product::Milan;
    let report = Draft::new(3, product).signed().report();
    let chain = chain(product);
    for allowed in [false, true] {
        let mut policy = Policy::default();
        policy.measurements = vec![[0x3e; 48].into()];
        if allowed {
            policy.allow.insert(Exception::SimulatorRoot);
        }
        let verdict = verify(&report, Ok(&chain), &policy, &request());
        assert_eq!(verdict.accepted(), allowed);
        assert_eq!(verdict.warnings(), [Warning::ForeignRoot(chain.root_fingerprint())]);
        assert!(verdict.to_string().starts_with("WARNING: the root of trust is NOT AMD's"));
        let expected: &[&str] = if allowed { &[] } else { &["root.not-amd"] };
        assert_eq!(codes(&verdict), expected);
    }
}

#[test]
fn what_the_policy_names_is_compared() {
    type Rule = fn(&mut Policy);
    let product = Product::Milan;
    let mut draft = Draft::vlek(3, product);
    draft.set(0x48, &[5]).set(0xe0, &[0x1e; 48]).set(0x110, &[0xa7; 48]);
    let report = draft.signed().report();
    let chain = chain_of(&LeafSpec::vlek(product));

    let passing: &[Rule] = &[
        |p| p.products = vec![Product::Genoa, Product::Milan],
        |p| p.signing_keys = vec![KeyKind::Vlek],
        |p| p.csp_ids = vec!["CN=a".to_owned(), "CN=test.example".to_owned()],
        |p| p.vmpl = Some(0),
        |p| p.minimum_guest_svn = Some(2),
        |p| p.minimum_firmware = Some("1.55.29".parse().unwrap()),
        |p| p.host_data = Some(Hex([0x40; 32])),
        |p| p.family_id = Some(Hex([0xf1; 16])),
        |p| p.image_id = Some(Hex([0x11; 16])),
        |p| p.report_data = Some(Hex([0xda; 64])),
        |p| p.id_key_digests = vec![Hex([0; 48]), Hex([0x1e; 48])],
        |p| p.author_key_digests = vec![Hex([0xa7; 48])],
        |p| p.guest_policy.required = vec![GuestPolicyBit::Smt],
        |p| p.guest_policy.forbidden = vec![GuestPolicyBit::SingleSocket],
        |p| p.guest_policy.exact = Some(0x3001f),
        |p| p.minimum_abi = Some((0, 31)),
        |p| p.platform_info.required = vec![PlatformInfoBit::Ecc, PlatformInfoBit::AliasCheck],
        |p| p.platform_info.forbidden = vec![PlatformInfoBit::Tsme, PlatformInfoBit::Tio],
        |p| p.platform_info.exact = Some(0x25),
        |p| p.report_id = Some(Hex([0x1d; 32])),
        |p| p.chip_id = Some(Hex([0; 64])),
        |p| p.minimum_tcb.any = Some(MinimumLevels { snp: 24, ..MinimumLevels::default() }),
    ];
    for (index, rule) in passing.iter().enumerate() {
        let mut policy = policy();
        rule(&mut policy);
        let verdict = verify(&report, Ok(&chain), &policy, &request());
        assert!(verdict.accepted(), "rule {index}\n{verdict}");
    }

    let failing: &[(&str, Rule)] = &[
        ("signer.product", |p| p.products = vec![Product::Genoa]),
        ("signer.kind", |p| p.signing_keys = vec![KeyKind::Vcek]),
        ("signer.csp-id", |p| p.csp_ids = vec!["CN=test.exampl".to_owned()]),
        ("vmpl.mismatch", |p| p.vmpl = Some(1)),
        ("guest-svn.too-low", |p| p.minimum_guest_svn = Some(3)),
        ("host-data.mismatch", |p| p.host_data = Some(Hex([0x41; 32]))),
        ("family-id.mismatch", |p| p.family_id = Some(Hex([0; 16]))),
        ("image-id.mismatch", |p| p.image_id = Some(Hex([0; 16]))),
        ("report-data.policy", |p| p.report_data = Some(Hex([0; 64]))),
        ("measurement.mismatch", |p| p.measurements = vec![Hex([0; 48]), Hex([1; 48])]),
        ("measurement.unnamed", |p| p.measurements.clear()),
        ("id-key.mismatch", |p| p.id_key_digests = vec![Hex([0; 48])]),
        ("author-key.mismatch", |p| p.author_key_digests = vec![Hex([0; 48])]),
        ("guest-policy.required", |p| p.guest_policy.required = vec![GuestPolicyBit::Aes256Xts]),
        ("guest-policy.forbidden", |p| p.guest_policy.forbidden = vec![GuestPolicyBit::Smt]),
        ("guest-policy.exact", |p| p.guest_policy.exact = Some(0x30000)),
        ("guest-policy.abi", |p| p.minimum_abi = Some((0, 32))),
        ("guest-policy.abi", |p| p.minimum_abi = Some((1, 0))),
        ("platform-info.required", |p| p.platform_info.required = vec![PlatformInfoBit::Tio]),
        ("platform-info.forbidden", |p| p.platform_info.forbidden = vec![PlatformInfoBit::Smt]),
        ("platform-info.exact", |p| p.platform_info.exact = Some(0x24)),
        ("instance.report-id", |p| p.report_id = Some(Hex([0; 32]))),
        ("instance.chip-id", |p| p.chip_id = Some(Hex([1; 64]))),
        ("minimum-tcb.no-minimum", |p| p.minimum_tcb.turin = Some(MinimumLevels::default())),
        ("revocation.missing", |p| p.require_crl = true),
    ];
    for (code, rule) in failing {
        let mut policy = policy();
        rule(&mut policy);
        let verdict = verify(&report, Ok(&chain), &policy, &request());
        assert_eq!(codes(&verdict), [*code]);
        assert!(!verdict.accepted() && verdict.authentic());
    }
    let mut policy = policy();
    policy.minimum_firmware = Some("1.55.30".parse().unwrap());
    let verdict = verify(&report, Ok(&chain), &policy, &request());
    assert_eq!(codes(&verdict), ["firmware.current", "firmware.committed"]);
}

#[test]
fn each_tcb_version_is_compared_by_itself() {
    let product = Product::Milan;
    let kinds = [
        (0x38, TcbKind::Current, "minimum-tcb.current"),
        (0x1e0, TcbKind::Committed, "minimum-tcb.committed"),
        (0x1f0, TcbKind::Launch, "minimum-tcb.launch"),
    ];
    let any = Some(MinimumLevels { microcode: 219, ..MinimumLevels::default() });
    for (offset, kind, code) in kinds {
        let mut draft = Draft::new(3, product);
        draft.set(offset + 7, &[218]);
        let report = draft.signed().report();
        let mut policy = policy();
        policy.minimum_tcb = MinimumTcb { any, ..MinimumTcb::default() };
        let verdict = verify(&report, Ok(&chain(product)), &policy, &request());
        assert_eq!(codes(&verdict), [code]);
        policy.minimum_tcb.which = TcbKind::ALL.into_iter().filter(|k| *k != kind).collect();
        assert!(verify(&report, Ok(&chain(product)), &policy, &request()).accepted());
    }
    // A whole chain at an older version: everything is bound, only old.
    let mut old = LeafSpec::vcek(product);
    old.tcb[7] = 218;
    let mut draft = Draft::new(3, product);
    draft.set(0x187, &[218]);
    let mut policy = policy();
    policy.minimum_tcb = MinimumTcb { any, ..MinimumTcb::default() };
    let verdict = verify(&draft.signed().report(), Ok(&chain_of(&old)), &policy, &request());
    assert_eq!(codes(&verdict), ["minimum-tcb.reported"]);
}

#[test]
fn an_author_key_must_have_been_used() {
    let product = Product::Milan;
    let mut policy = policy();
    policy.author_key_digests = vec![Hex([0; 48])];
    let report = Draft::new(3, product).signed().report();
    let verdict = verify(&report, Ok(&chain(product)), &policy, &request());
    assert_eq!(codes(&verdict), ["author-key.absent"]);
}

#[test]
fn a_key_may_vouch_instead_of_a_measurement() {
    let product = Product::Milan;
    let mut draft = Draft::new(3, product);
    draft.set(0xe0, &[0x1e; 48]);
    let report = draft.signed().report();
    let mut policy = policy();
    policy.measurements.clear();
    policy.id_key_digests = vec![Hex([0x1e; 48])];
    let verdict = verify(&report, Ok(&chain(product)), &policy, &request());
    assert!(verdict.accepted());
    let skipped = Outcome::Unchecked(Unchecked::ByKey);
    assert_eq!(verdict.outcome(Check::Measurement), Some(&skipped));
}

#[test]
fn unbound_and_unmeasured_reports_are_warned_of() {
    let product = Product::Milan;
    let report = Draft::new(3, product).signed().report();
    let mut policy = policy();
    policy.measurements.clear();
    policy.allow.insert(Exception::AnyMeasurement);
    let request = Request::new(now(), ReportData::Unchecked);
    let verdict = verify(&report, Ok(&chain(product)), &policy, &request);
    assert!(verdict.accepted());
    assert!(verdict.warnings().contains(&Warning::UnboundReportData));
    assert!(verdict.warnings().contains(&Warning::AnyMeasurement));
    policy.report_data = Some(Hex([0xda; 64]));
    let verdict = verify(&report, Ok(&chain(product)), &policy, &request);
    assert!(!verdict.warnings().contains(&Warning::UnboundReportData));
}

#[test]
fn the_default_policy_accepts_nothing() {
    let product = Product::Milan;
    let report = Draft::new(3, product).signed().report();
    let verdict = verify(&report, Ok(&chain(product)), &Policy::default(), &request());
    assert_eq!(codes(&verdict), ["root.not-amd", "measurement.unnamed"]);
}

#[test]
fn everything_wrong_is_listed_at_once() {
    let product = Product::Milan;
    let mut draft = Draft::new(3, product);
    draft.set(0x0a, &[0xf]).set(0x30, &[1]).set(0x90, &[0; 48]).set(0x50, &[0; 64]);
    draft.set(0x1a0, &[9; 64]);
    let mut report = draft.signed();
    report.0[0x2a0] ^= 1;
    let mut spec = Spec::vcek(&LeafSpec::vcek(product));
    spec.not_after = "20250101000000Z".to_owned();
    let leaf = spec.make(&keys().other);
    let ask = Spec::ask(product).make(&keys().ark);
    let rejection = validate(&leaf, &[ask], &roots(product), &[], now()).unwrap_err();
    let mut policy = policy();
    policy.guest_policy = BitRules { forbidden: vec![GuestPolicyBit::Smt], ..BitRules::default() };
    let verdict = verify(&report.report(), Err(&rejection), &policy, &request());
    assert_eq!(
        codes(&verdict),
        [
            "chain.expired",
            "chain.signature",
            "signature.invalid",
            "chip-binding.mismatch",
            "report-data.mismatch",
            "measurement.mismatch",
            "vmpl.mismatch",
            "debug.enabled",
            "migration.allowed",
            "guest-policy.forbidden",
        ]
    );
    assert!(!verdict.authentic());
    let text = verdict.to_string();
    assert!(text.contains("NOT AUTHENTIC") && text.ends_with("REFUSED"), "{text}");
    let error = verdict.into_result().unwrap_err().to_string();
    assert!(error.contains("does not verify") && error.contains("another chip's"), "{error}");
}

#[test]
fn nothing_is_allowed_on_a_chain_that_does_not_hold() {
    let product = Product::Milan;
    let report = Draft::new(3, product).signed().report();
    let leaf = Spec::vcek(&LeafSpec::vcek(product)).make(&keys().other);
    let ask = Spec::ask(product).make(&keys().ark);
    let rejection = validate(&leaf, &[ask], &roots(product), &[], now()).unwrap_err();
    let mut policy = policy();
    Exception::ALL.into_iter().for_each(|exception| policy.allow.insert(exception));
    let verdict = verify(&report, Err(&rejection), &policy, &request());
    assert!(!verdict.accepted() && !verdict.authentic());
    assert_eq!(codes(&verdict), ["chain.signature"]);
}

#[test]
fn a_chain_kept_too_long_is_refused() {
    let product = Product::Milan;
    let report = Draft::new(3, product).signed().report();
    let chain = chain(product);
    for (time, code) in
        [("2049-01-01T00:00:01Z", "chain.expired"), ("2023-12-31T23:59:59Z", "chain.not-yet-valid")]
    {
        let now: UnixTime = time.parse().unwrap();
        let request = Request::new(now, ReportData::Expected([0xda; 64]));
        let verdict = verify(&report, Ok(&chain), &policy(), &request);
        assert_eq!(codes(&verdict), [code; 3], "root, intermediate and leaf");
        assert!(!verdict.authentic());
    }
    for time in ["2049-01-01T00:00:00Z", "2024-01-01T00:00:00Z"] {
        let request = Request::new(time.parse().unwrap(), ReportData::Expected([0xda; 64]));
        assert!(verify(&report, Ok(&chain), &policy(), &request).accepted());
    }
}

#[test]
fn the_verdict_is_json_with_stable_names() {
    let product = Product::Milan;
    let mut draft = Draft::new(3, product);
    draft.set(0x0a, &[0xb]);
    let json = serde_json::to_value(verdict(&draft, product)).unwrap();
    assert_eq!(json["accepted"], false);
    assert_eq!(json["authentic"], true);
    assert_eq!(json["time"], "2025-09-01T00:00:00Z");
    assert_eq!(json["identity"]["product"], "milan");
    assert_eq!(json["identity"]["signing_key"], "vcek");
    let checks = json["checks"].as_array().unwrap();
    let debug = checks.iter().find(|check| check["check"] == "debug").unwrap();
    assert_eq!(debug["outcome"], "failed");
    assert_eq!(debug["findings"][0]["code"], "debug.enabled");
    assert_eq!(debug["findings"][0]["expected"], "bit 19 clear");
    let root = checks.iter().find(|check| check["check"] == "root").unwrap();
    assert_eq!(root["outcome"], "allowed");
    assert_eq!(root["findings"][0]["allowed_as"], "simulator-root");
}

/// The attack: the host changes any one bit of what was signed. Observed: the
/// report no longer parses, or the signature does not verify. Proof by trying
/// all of them, on a report of each version's layout.
#[test]
fn every_flipped_bit_of_the_signed_part_is_refused() {
    let product = Product::Turin;
    let chain = chain(product);
    let signed = Draft::new(5, product).signed();
    assert!(verify(&signed.report(), Ok(&chain), &policy(), &request()).accepted());
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (signed, chain) = (&signed, &chain);
            scope.spawn(move || {
                for bit in (thread..0x2a0 * 8).step_by(threads) {
                    let mut flipped = signed.clone();
                    flipped.0[bit / 8] ^= 1 << (bit % 8);
                    let Ok(report) = attestation::report::Report::parse(&flipped.0) else {
                        assert!(bit < 32, "only the version can make a report unreadable");
                        continue;
                    };
                    let verdict = verify(&report, Ok(chain), &policy(), &request());
                    assert!(!verdict.authentic() && !verdict.accepted(), "bit {bit}");
                    let invalid = |finding: &Finding| {
                        matches!(finding, Finding::Report(mismatch)
                            if mismatch.code == FindingCode::SignatureInvalid)
                    };
                    assert!(verdict.findings().any(invalid), "bit {bit}\n{verdict}");
                }
            });
        }
    });
}
