//! Reports as bytes: what parses, what every field reads, and agreement with
//! the `sev` crate where that crate can be asked.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests")]

mod verify_support;

use attestation::product::Product;
use attestation::report::{Container, Hex, Report, ReportVersion, SigningKey, Unwrapped, View};
use sev::parser::ByteParser;
use verify_support::{Draft, snpguard_json};

#[test]
fn every_field_is_read_from_its_offset() {
    // Byte n of the report is n mod 251, so that each field has its own value.
    let mut bytes: Vec<u8> = (0..1184_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    bytes[..4].copy_from_slice(&[5, 0, 0, 0]);
    let report = Report::parse(&bytes).unwrap();
    let at = |offset: usize, length: usize| bytes[offset..offset + length].to_vec();
    let number = |offset: usize, length: usize| {
        at(offset, length).iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    assert_eq!(report.version(), ReportVersion::V5);
    assert_eq!(u64::from(report.guest_svn()), number(0x4, 4));
    assert_eq!(report.guest_policy().0, number(0x8, 8));
    assert_eq!(report.family_id().0.to_vec(), at(0x10, 16));
    assert_eq!(report.image_id().0.to_vec(), at(0x20, 16));
    assert_eq!(u64::from(report.vmpl()), number(0x30, 4));
    assert_eq!(u64::from(report.signature_algorithm()), number(0x34, 4));
    assert_eq!(report.current_tcb().0.to_vec(), at(0x38, 8));
    assert_eq!(report.platform_info().0, number(0x40, 8));
    assert_eq!(u64::from(report.flags().0), number(0x48, 4));
    assert_eq!(report.report_data().0.to_vec(), at(0x50, 64));
    assert_eq!(report.measurement().0.to_vec(), at(0x90, 48));
    assert_eq!(report.host_data().0.to_vec(), at(0xc0, 32));
    assert_eq!(report.id_key_digest().0.to_vec(), at(0xe0, 48));
    assert_eq!(report.author_key_digest().0.to_vec(), at(0x110, 48));
    assert_eq!(report.report_id().0.to_vec(), at(0x140, 32));
    assert_eq!(report.report_id_ma().0.to_vec(), at(0x160, 32));
    assert_eq!(report.reported_tcb().0.to_vec(), at(0x180, 8));
    assert_eq!(report.cpuid().unwrap().to_vec(), at(0x188, 3));
    assert_eq!(report.chip_id().0.to_vec(), at(0x1a0, 64));
    assert_eq!(report.committed_tcb().0.to_vec(), at(0x1e0, 8));
    let current = report.current_firmware();
    assert_eq!(vec![current.build, current.minor, current.major], at(0x1e8, 3));
    let committed = report.committed_firmware();
    assert_eq!(vec![committed.build, committed.minor, committed.major], at(0x1ec, 3));
    assert_eq!(report.launch_tcb().0.to_vec(), at(0x1f0, 8));
    assert_eq!(report.launch_mitigations(), Some(number(0x1f8, 8)));
    assert_eq!(report.current_mitigations(), Some(number(0x200, 8)));
    assert_eq!(report.signature_r().to_vec(), at(0x2a0, 72));
    assert_eq!(report.signature_s().to_vec(), at(0x2e8, 72));
    assert_eq!(report.signed_bytes().to_vec(), at(0, 0x2a0));
    assert_eq!(report.as_bytes().to_vec(), bytes);
}

#[test]
fn fields_of_newer_versions_are_absent_before() {
    for (version, cpuid, vectors) in
        [(2, false, false), (3, true, false), (4, true, false), (5, true, true)]
    {
        let mut draft = Draft::new(version, Product::Genoa);
        draft.set(0x188, &[0x19, 0x11, 1]).set(0x1f8, &[1]);
        let report = draft.report();
        assert_eq!(report.cpuid().is_some(), cpuid);
        assert_eq!(report.product(), cpuid.then_some(Product::Genoa));
        assert_eq!(report.launch_mitigations().is_some(), vectors);
        assert_eq!(
            report.reserved_offsets().count(),
            match version {
                2 => 4,
                3 | 4 => 1,
                _ => 0,
            }
        );
    }
}

#[test]
fn lengths_and_versions() {
    let good = Draft::new(3, Product::Milan).0;
    for length in [0, 1, 4, 671, 672, 1183, 1185, 1216, 4000] {
        let mut bytes = good.clone();
        bytes.resize(length, 0);
        let error = Report::parse(&bytes).unwrap_err();
        assert_eq!(error.code(), "report.length");
        assert_eq!(error.to_string().contains("MSG_REPORT_RSP"), length == 1216);
        assert_eq!(Report::from_tsm(&bytes).unwrap_err().code(), "report.length");
    }
    for version in [[0, 0, 0, 0], [1, 0, 0, 0], [6, 0, 0, 0], [2, 0, 0, 1], [0xff; 4]] {
        let mut bytes = good.clone();
        bytes[..4].copy_from_slice(&version);
        assert_eq!(Report::parse(&bytes).unwrap_err().code(), "report.version", "{version:?}");
    }
}

/// The `sev` crate reads every field the same way, in the versions and
/// products that it reads right.
#[test]
fn agrees_with_the_sev_crate() {
    for product in Product::ALL {
        for version in [2, 3, 5] {
            let draft = Draft::new(version, product).signed();
            let ours = draft.report();
            let theirs = sev::firmware::guest::AttestationReport::from_bytes(&draft.0).unwrap();
            assert_eq!(theirs.version, ours.version().number());
            assert_eq!(theirs.guest_svn, ours.guest_svn());
            assert_eq!(u64::from(theirs.policy), ours.guest_policy().0);
            assert_eq!(theirs.vmpl, ours.vmpl());
            assert_eq!(u64::from(theirs.plat_info), ours.platform_info().0);
            assert_eq!(u32::from(theirs.key_info), ours.flags().0);
            assert_eq!(theirs.measurement, ours.measurement().0);
            assert_eq!(theirs.report_data, ours.report_data().0);
            assert_eq!(theirs.host_data, ours.host_data().0);
            assert_eq!(theirs.id_key_digest, ours.id_key_digest().0);
            assert_eq!(theirs.author_key_digest, ours.author_key_digest().0);
            assert_eq!(theirs.report_id, ours.report_id().0);
            assert_eq!(theirs.chip_id, ours.chip_id().0);
            assert_eq!(theirs.cpuid_fam_id, ours.cpuid().map(|[family, ..]| family));
            assert_eq!(theirs.launch_mit_vector, ours.launch_mitigations());
            assert_eq!(theirs.current_mit_vector, ours.current_mitigations());
            assert_eq!(theirs.current.to_string(), ours.current_firmware().to_string());
            for (theirs, ours) in [
                (theirs.current_tcb, ours.current_tcb()),
                (theirs.committed_tcb, ours.committed_tcb()),
                (theirs.launch_tcb, ours.launch_tcb()),
                (theirs.reported_tcb, ours.reported_tcb()),
            ] {
                let ours = ours.components(product);
                assert_eq!(theirs.fmc, ours.fmc);
                let theirs = (theirs.bootloader, theirs.tee, theirs.snp, theirs.microcode);
                assert_eq!(theirs, (ours.bootloader, ours.tee, ours.snp, ours.microcode));
            }
        }
    }
}

/// Where the `sev` crate goes wrong, and why its parser is not used.
#[test]
fn differs_from_the_sev_crate_where_that_is_wrong() {
    let theirs = |draft: &Draft| sev::firmware::guest::AttestationReport::from_bytes(&draft.0);
    let mut unknown = Draft::new(5, Product::Milan);
    unknown.set(0, &[99]);
    assert!(theirs(&unknown).is_ok(), "read as version 5");
    assert_eq!(Report::parse(&unknown.0).unwrap_err().code(), "report.version");
    let mut masked = Draft::new(2, Product::Milan);
    masked.set(0x1a0, &[0; 64]);
    assert!(theirs(&masked).is_err(), "a valid report of version 2");
    assert!(masked.report().chip_id().is_zero());
}

#[test]
fn snpguards_json_gives_back_every_byte() {
    // All bytes differ, so that a swapped pair of fields would show.
    let mut bytes: Vec<u8> = (0..1184_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    bytes[..4].copy_from_slice(&[3, 0, 0, 0]);
    let json = snpguard_json(&bytes);
    for text in [json.to_string(), format!("\n {json:#}")] {
        let unwrapped = Unwrapped::read(text.as_bytes()).unwrap();
        assert_eq!(unwrapped.container, Container::SnpguardJson);
        assert_eq!(unwrapped.report.as_bytes().to_vec(), bytes);
    }
}

#[test]
fn damaged_json_is_refused() {
    let good = snpguard_json(&Draft::new(3, Product::Milan).0);
    let code =
        |json: &serde_json::Value| Unwrapped::read(json.to_string().as_bytes()).unwrap_err().code();
    for key in good.as_object().unwrap().keys() {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(key);
        assert_eq!(code(&without), "report.snpguard-json", "{key}");
    }
    let mut more = good.clone();
    more["extra"] = 1.into();
    assert_eq!(code(&more), "report.snpguard-json");
    let mut short = good.clone();
    short["chip_id"] = vec![1; 63].into();
    assert_eq!(code(&short), "report.snpguard-field");
    let mut large = good.clone();
    large["vmpl"] = u64::MAX.into();
    assert_eq!(code(&large), "report.snpguard-json");
    let mut version = good;
    version["version"] = 6.into();
    assert_eq!(code(&version), "report.version");
    let text = format!("{}{{}}", snpguard_json(&Draft::new(3, Product::Milan).0));
    assert_eq!(Unwrapped::read(text.as_bytes()).unwrap_err().code(), "report.snpguard-json");
}

#[test]
fn the_views_name_everything() {
    let mut draft = Draft::new(5, Product::Turin);
    draft.set(0x0a, &[0xb]).set(0x48, &[5]);
    let report = draft.report();
    let json = serde_json::to_value(View::new(&report, None)).unwrap();
    assert_eq!(json["product"], "turin");
    assert_eq!(json["guest_policy"]["raw"], "0xb001f");
    assert_eq!(json["guest_policy"]["minimum_abi"], "0.31");
    assert_eq!(json["guest_policy"]["set"], serde_json::json!(["smt", "debug"]));
    let info = serde_json::json!({ "raw": "0x25", "set": ["smt", "ecc", "alias-check"] });
    assert_eq!(json["platform_info"], info);
    assert_eq!(
        json["current_tcb"],
        serde_json::json!({
            "raw": "0102030400000047",
            "fmc": 1, "bootloader": 2, "tee": 3, "snp": 4, "microcode": 71
        })
    );
    assert_eq!(json["signing_key"], "vlek");
    assert_eq!(json["author_key_enabled"], true);
    assert_eq!(json["launch_mitigations"], "0x1");
    assert_eq!(json["current_firmware"], "1.55.29");
    assert_eq!(report.flags().signing_key(), SigningKey::Vlek);

    let text = View::new(&report, None).to_string();
    assert!(text.contains("fmc 1 bootloader 2 tee 3 snp 4 microcode 71"), "{text}");
    assert!(text.contains("0xb001f (ABI 0.31; smt debug)"), "{text}");

    // Version 2 names no product; the caller may.
    let old = Draft::new(2, Product::Milan).report();
    let unnamed = View::new(&old, None);
    assert!(unnamed.product.is_none() && unnamed.current_tcb.components.is_none());
    assert!(unnamed.to_string().contains("the product is not known"));
    let named = View::new(&old, Some(Product::Milan));
    assert_eq!(named.current_tcb.components.unwrap().microcode, 219);
    assert_eq!(old.host_data(), Hex([0x40; 32]));
}
