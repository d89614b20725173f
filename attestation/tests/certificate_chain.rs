//! Validation of certificate chains: each thing that can be wrong with one,
//! alone, with its exact code.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests"
)]

mod verify_support;

use attestation::certificate::{
    Bundle, Certificate, CertificateError, CertificateTable, ChainError, ChainRejection, Crl,
    EntryKind, HardwareId, Link, Revocation, Role, RootOrigin, Roots, UnixTime, VerifiedChain,
    validate,
};
use attestation::product::Product;
use attestation::report::{Hex, KeyKind};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use verify_support::der::{bit_string, extension, integer, oid, pss, sequence, tlv};
use verify_support::{
    LeafSpec, Spec, TCB, TURIN_TCB, ca, chain, crl, current_crl, key_usage, keys, now, p384_key,
    roots, rsa_key, vcek,
};

const PRODUCT: Product = Product::Milan;

/// Leaf, intermediate and root, with what can be changed about them.
struct Case {
    leaf: Spec,
    intermediate: Spec,
    root: Spec,
}

impl Case {
    fn vcek() -> Self {
        let leaf = Spec::vcek(&LeafSpec::vcek(PRODUCT));
        Self { leaf, intermediate: Spec::ask(PRODUCT), root: Spec::ark(PRODUCT) }
    }

    fn run(&self) -> Result<VerifiedChain, ChainRejection> {
        let root = self.root.make(&keys().ark);
        let roots = Roots::none().with_given(root).unwrap();
        let candidates = [self.intermediate.make(&keys().ark)];
        validate(&self.leaf.make(&keys().ask), &candidates, &roots, &[], now())
    }
}

fn codes(result: Result<VerifiedChain, ChainRejection>) -> Vec<&'static str> {
    match result {
        Ok(_) => Vec::new(),
        Err(rejection) => rejection.errors().iter().map(ChainError::code).collect(),
    }
}

fn p256_key() -> Vec<u8> {
    let rng = ring::rand::SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &rng).unwrap();
    let algorithm = sequence(&[&oid("1.2.840.10045.2.1"), &oid("1.2.840.10045.3.1.7")]);
    sequence(&[&algorithm, &bit_string(key.public_key().as_ref())])
}

#[test]
fn a_good_chain_says_what_it_is() {
    for product in Product::ALL {
        let chain = chain(product);
        assert_eq!(chain.product(), product);
        assert_eq!(chain.root_origin(), RootOrigin::Given);
        assert_eq!(chain.revocation(), Revocation::NotChecked);
        assert_eq!(chain.check_time(now()), []);
        let leaf = chain.leaf();
        assert_eq!((leaf.kind(), leaf.csp_id()), (KeyKind::Vcek, None));
        assert_eq!(leaf.tcb().0, if product == Product::Turin { TURIN_TCB } else { TCB });
        let length = leaf.hardware_id().unwrap().as_bytes().len();
        assert_eq!(length, product.hardware_id_length());
        assert_eq!(leaf.public_key().as_slice(), vcek().public_key().as_ref());
    }
}

#[test]
fn one_change_one_code() {
    type Change = fn(&mut Case);
    let cases: &[(&[&str], Change)] = &[
        (&[], |_| {}),
        // Names.
        (&["chain.name"], |c| c.leaf.subject = "SEV-VCEK2".to_owned()),
        (&["chain.name"], |c| c.leaf.subject = "SEV-Milan".to_owned()),
        (&["chain.intermediate-missing"], |c| c.leaf.issuer = "SEV-Genoa".to_owned()),
        (&["chain.leaf-issued-by-root"], |c| c.leaf.issuer = "ARK-Milan".to_owned()),
        (&["chain.root-unknown"], |c| c.intermediate.issuer = "ARK-Genoa".to_owned()),
        (&["chain.name"], |c| {
            // A VCEK below an ASVK.
            c.intermediate.subject = "SEV-VLEK-Milan".to_owned();
            c.leaf.issuer = "SEV-VLEK-Milan".to_owned();
        }),
        (&["chain.name"], |c| {
            // Genoa's ASK below Milan's root.
            c.intermediate.subject = "SEV-Genoa".to_owned();
            c.leaf.issuer = "SEV-Genoa".to_owned();
        }),
        (&["chain.name"], |c| {
            c.intermediate.subject = "SEV-Rome".to_owned();
            c.leaf.issuer = "SEV-Rome".to_owned();
        }),
        // Validity, to the second.
        (&["chain.expired"], |c| c.leaf.not_after = "20250831235959Z".to_owned()),
        (&[], |c| c.leaf.not_after = "20250901000000Z".to_owned()),
        (&[], |c| c.leaf.not_before = "20250901000000Z".to_owned()),
        (&["chain.not-yet-valid"], |c| c.leaf.not_before = "20250901000001Z".to_owned()),
        (&["chain.expired"], |c| c.intermediate.not_after = "20250831235959Z".to_owned()),
        (&["chain.not-yet-valid"], |c| c.intermediate.not_before = "20260101000000Z".to_owned()),
        (&["chain.expired"], |c| c.root.not_after = "20250831235959Z".to_owned()),
        (&["chain.not-yet-valid"], |c| c.root.not_before = "20260101000000Z".to_owned()),
        (&[], |c| c.root.not_after = "20600101000000Z".to_owned()),
        // Algorithms and keys.
        (&["chain.algorithm", "chain.signature"], |c| c.leaf.algorithm = pss(1, 48)),
        (&["chain.algorithm", "chain.signature"], |c| c.leaf.algorithm = pss(2, 32)),
        (&["chain.algorithm", "chain.signature"], |c| {
            c.leaf.algorithm = sequence(&[&oid("1.2.840.113549.1.1.12"), &[5, 0]]);
        }),
        (&["chain.algorithm", "chain.signature"], |c| c.intermediate.algorithm = pss(3, 48)),
        (&["chain.signature"], |c| c.leaf.sha256 = true),
        (&["chain.signature"], |c| c.intermediate.sha256 = true),
        (&["chain.signature"], |c| c.intermediate.key = rsa_key(&keys().other)),
        (&["chain.key"], |c| c.leaf.key = p256_key()),
        (&["chain.key"], |c| c.leaf.key = rsa_key(&keys().other)),
        (&["chain.key", "chain.signature"], |c| c.intermediate.key = p384_key(vcek())),
        // Authority.
        (&["chain.leaf-is-authority"], |c| c.leaf.extensions.push(ca(true))),
        (&[], |c| c.leaf.extensions.push(ca(false))),
        (&["chain.not-authority"], |c| c.intermediate.extensions = vec![ca(false)]),
        (&["chain.not-authority"], |c| c.intermediate.extensions.clear()),
        (&["chain.key-usage"], |c| c.intermediate.extensions = vec![ca(true), key_usage(2)]),
        (&["chain.malformed-extension"], |c| {
            c.intermediate.extensions = vec![ca(true), extension("2.5.29.15", true, &[1])];
        }),
        (&["chain.malformed-extension"], |c| {
            c.intermediate.extensions = vec![extension("2.5.29.19", true, &[1])];
        }),
        (&["chain.malformed-extension"], |c| {
            c.leaf.extensions.push(extension("2.5.29.19", true, &[1]));
        }),
        // Extensions that are not known.
        (&["chain.critical-extension"], |c| {
            c.leaf.extensions.push(extension("1.2.3.4", true, &[5, 0]));
        }),
        (&["chain.critical-extension"], |c| {
            c.intermediate.extensions.push(extension("2.5.29.30", true, &[0x30, 0]));
        }),
        (&[], |c| c.leaf.extensions.push(extension("1.2.3.4", false, &[5, 0]))),
    ];
    for (index, (expected, change)) in cases.iter().enumerate() {
        let mut case = Case::vcek();
        change(&mut case);
        assert_eq!(codes(case.run()), *expected, "case {index}");
    }
}

#[test]
fn one_leaf_extension_one_code() {
    type Change = fn(&mut LeafSpec);
    let amd =
        |arc: &str, value: &[u8]| extension(&format!("1.3.6.1.4.1.3704.1.{arc}"), false, value);
    let missing = "chain.leaf-extension-missing";
    let malformed = "chain.leaf-extension-malformed";
    let unexpected = "chain.leaf-extension-unexpected";
    let cases: &[(Product, &[&str], Change)] = &[
        (Product::Milan, &[missing], |l| l.leave_out = &["1"]),
        (Product::Milan, &[missing], |l| l.leave_out = &["2"]),
        (Product::Milan, &[missing], |l| l.leave_out = &["3.1"]),
        (Product::Milan, &[missing], |l| l.leave_out = &["3.2"]),
        (Product::Milan, &[missing], |l| l.leave_out = &["3.3"]),
        (Product::Milan, &[missing], |l| l.leave_out = &["3.8"]),
        (Product::Milan, &[missing], |l| l.leave_out = &["4"]),
        (Product::Milan, &[], |l| l.leave_out = &["3.4", "3.5", "3.6", "3.7"]),
        (Product::Turin, &[missing], |l| l.leave_out = &["3.9"]),
        (Product::Turin, &[], |l| l.leave_out = &["3.5"]),
        (Product::Milan, &[], |l| l.struct_version = Some(0)),
        (Product::Milan, &["chain.leaf-struct-version"], |l| l.struct_version = Some(2)),
        (Product::Milan, &["chain.leaf-product"], |l| l.product_name = "Naples"),
        (Product::Milan, &["chain.leaf-product"], |l| l.product_name = "milan"),
        (Product::Milan, &["chain.product"], |l| l.product_name = "Genoa"),
        (Product::Genoa, &[], |l| l.product_name = "Siena-A0"),
        (Product::Milan, &["chain.leaf-hardware-id"], |l| l.hardware_id = Some(vec![1; 63])),
        (Product::Milan, &["chain.leaf-hardware-id"], |l| l.hardware_id = Some(vec![1; 8])),
        (Product::Milan, &["chain.leaf-hardware-id"], |l| l.hardware_id = Some(vec![])),
        (Product::Turin, &["chain.leaf-hardware-id"], |l| l.hardware_id = Some(vec![1; 64])),
        (Product::Milan, &[], |l| l.hardware_id = Some(tlv(4, &[&[1; 64]]))),
        (Product::Milan, &[unexpected], |l| l.csp_id = Some("CN=x")),
    ];
    for (index, (product, expected, change)) in cases.iter().enumerate() {
        let mut leaf = LeafSpec::vcek(*product);
        change(&mut leaf);
        let ask = Spec::ask(*product).make(&keys().ark);
        let leaf = Spec::vcek(&leaf).make(&keys().ask);
        let result = validate(&leaf, &[ask], &roots(*product), &[], now());
        assert_eq!(codes(result), *expected, "case {index}");
    }

    let more: &[(Product, &str, Vec<u8>)] = &[
        (Product::Milan, unexpected, amd("3.9", &integer(&[0]))),
        (Product::Turin, unexpected, amd("3.4", &integer(&[1]))),
    ];
    for (product, expected, extension) in more {
        let mut leaf = LeafSpec::vcek(*product);
        leaf.more.push(extension.clone());
        let ask = Spec::ask(*product).make(&keys().ark);
        let leaf = Spec::vcek(&leaf).make(&keys().ask);
        assert_eq!(codes(validate(&leaf, &[ask], &roots(*product), &[], now())), [*expected]);
    }

    // A value that is not of the form that AMD writes.
    let values: &[(&'static str, &[u8])] = &[
        ("1", &[2, 2, 1, 0]),
        ("2", &[0x16, 0]),
        ("2", &[0x16, 3, b'M', 0, b'n']),
        ("2", &[2, 1, 1]),
        ("3.1", &[2, 1, 0x80]),
        ("3.1", &[2, 2, 0, 4]),
        ("3.3", &[2, 2, 1, 0]),
        ("3.3", &[2, 1, 1, 0]),
        ("3.8", &[2, 0]),
        ("3.8", &[]),
        ("3.5", &[4, 1, 0]),
    ];
    for (arc, value) in values {
        let mut leaf = LeafSpec::vcek(PRODUCT);
        leaf.leave_out = std::slice::from_ref(arc);
        leaf.more.push(amd(arc, value));
        let mut case = Case::vcek();
        case.leaf = Spec::vcek(&leaf);
        assert_eq!(codes(case.run()), [malformed], "{arc} {value:02x?}");
    }
}

#[test]
fn vlek_chains() {
    let good = LeafSpec::vlek(PRODUCT);
    let run = |leaf: &LeafSpec, intermediate: Spec| {
        let leaf = Spec { issuer: intermediate.subject.clone(), ..Spec::vlek(leaf) };
        let candidates = [intermediate.make(&keys().ark)];
        validate(&leaf.make(&keys().ask), &candidates, &roots(PRODUCT), &[], now())
    };
    let chain = run(&good, Spec::asvk(PRODUCT)).unwrap();
    assert_eq!(chain.leaf().csp_id(), Some("CN=test.example"));
    assert_eq!((chain.leaf().kind(), chain.leaf().hardware_id()), (KeyKind::Vlek, None));
    assert_eq!(codes(run(&good, Spec::ask(PRODUCT))), ["chain.name"], "a VLEK below an ASK");
    let none = LeafSpec { csp_id: None, ..good.clone() };
    assert_eq!(codes(run(&none, Spec::asvk(PRODUCT))), ["chain.leaf-extension-missing"]);
    let chip = LeafSpec { hardware_id: Some(vec![1; 64]), ..good };
    assert_eq!(codes(run(&chip, Spec::asvk(PRODUCT))), ["chain.leaf-extension-unexpected"]);
}

/// The attack: a certificate authority of the host's own, with AMD's names.
/// Observed: AMD's roots do not answer for it, whoever else does.
#[test]
fn amds_roots_do_not_accept_a_chain_by_someone_else() {
    let amd = Roots::amd().unwrap();
    let leaf = Spec::vcek(&LeafSpec::vcek(PRODUCT)).make(&keys().ask);
    let candidates = [Spec::ask(PRODUCT).make(&keys().ark), Spec::ark(PRODUCT).make(&keys().ark)];
    let result = validate(&leaf, &candidates, &amd, &[], now());
    assert_eq!(codes(result), ["chain.root-unknown"]);
    // With another root of the same product named, each chain finds its own.
    let both = amd.with_given(Spec::ark(PRODUCT).make(&keys().ark)).unwrap();
    let chain = validate(&leaf, &candidates, &both, &[], now()).unwrap();
    assert_eq!(chain.root_origin(), RootOrigin::Given);
}

#[test]
fn amds_own_roots_are_pinned_and_stay_amds() {
    let roots = Roots::amd().unwrap();
    assert_eq!(roots.roots().len(), 3);
    for (root, product) in roots.roots().iter().zip(Product::ALL) {
        assert_eq!((root.product(), root.origin()), (product, RootOrigin::Amd));
        assert_eq!(root.certificate().role(), Some(Role::Ark(product)));
    }
    // Naming one of them makes it nobody else's.
    let milan = roots.roots()[0].certificate().clone();
    let again = roots.with_given(milan).unwrap();
    assert!(again.roots().iter().all(|root| root.origin() == RootOrigin::Amd));
    assert_eq!(again.roots().len(), 3);
}

#[test]
fn what_is_no_root() {
    let given = |certificate| Roots::none().with_given(certificate).map_err(|error| error.code());
    let ark = Spec::ark(PRODUCT);
    assert!(given(ark.make(&keys().ark)).is_ok());
    assert_eq!(given(Spec::ask(PRODUCT).make(&keys().ark)).unwrap_err(), "root.name");
    assert_eq!(given(ark.make(&keys().other)).unwrap_err(), "root.not-self-signed");
    let cross = Spec { issuer: "ARK-Genoa".to_owned(), ..ark.clone() };
    assert_eq!(given(cross.make(&keys().ark)).unwrap_err(), "root.not-self-signed");
    let weak = Spec { algorithm: pss(1, 48), ..ark.clone() };
    assert_eq!(given(weak.make(&keys().ark)).unwrap_err(), "root.not-self-signed");
    let leafy = Spec { extensions: vec![], ..ark.clone() };
    assert_eq!(given(leafy.make(&keys().ark)).unwrap_err(), "root.shape");
    let small = Spec { key: p384_key(vcek()), ..ark };
    assert_eq!(given(small.make(&keys().ark)).unwrap_err(), "root.shape");
}

#[test]
fn among_candidates_the_one_that_fits_is_taken() {
    let leaf = Spec::vcek(&LeafSpec::vcek(PRODUCT)).make(&keys().ask);
    let good = Spec::ask(PRODUCT).make(&keys().ark);
    let mut old = Spec::ask(PRODUCT);
    old.not_after = "20250101000000Z".to_owned();
    let old = old.make(&keys().ark);
    let mut wrong = Spec::ask(PRODUCT);
    wrong.key = rsa_key(&keys().other);
    let wrong = wrong.make(&keys().ark);
    let genoa = Spec::ask(Product::Genoa).make(&keys().ark);
    let roots = roots(PRODUCT);
    let run = |all: &[&Certificate]| {
        let all: Vec<_> = all.iter().copied().cloned().collect();
        codes(validate(&leaf, &all, &roots, &[], now()))
    };
    assert_eq!(run(&[&wrong, &genoa, &old, &good]), [""; 0]);
    assert_eq!(run(&[&wrong, &old]), ["chain.signature"]);
    assert_eq!(run(&[&genoa]), ["chain.intermediate-missing"]);
    // More of one name than are ever tried.
    let mut many = vec![&wrong; 8];
    many.push(&good);
    assert_eq!(run(&many), ["chain.signature"]);
}

#[test]
fn revocation() {
    let root = roots(PRODUCT);
    let ask = Spec::ask(PRODUCT);
    let leaf = Spec::vcek(&LeafSpec::vcek(PRODUCT)).make(&keys().ask);
    let candidates = [ask.make(&keys().ark)];
    let run = |crls: &[Crl]| validate(&leaf, &candidates, &root, crls, now());
    let load = |signer, span, serials: &[&[u8]]| {
        Crl::load(&crl(PRODUCT.ark_name(), signer, span, serials)).unwrap()
    };
    let current = ("20250101000000Z", Some("20260101000000Z"));
    let old = ("20230101000000Z", Some("20240101000000Z"));
    let early = ("20260101000000Z", Some("20270101000000Z"));
    let ark = &keys().ark;

    let chain = run(&[current_crl(PRODUCT, &[])]).unwrap();
    assert!(matches!(chain.revocation(), Revocation::Checked { .. }));
    let chain = run(&[current_crl(PRODUCT, &[&[7, 0, 2], &[1]])]).unwrap();
    assert!(matches!(chain.revocation(), Revocation::Checked { .. }));
    let chain = run(&[current_crl(Product::Genoa, &[&[7, 0, 1]])]).unwrap();
    assert_eq!(chain.revocation(), Revocation::NotChecked, "another root's list");

    let revoked = run(&[current_crl(PRODUCT, &[&[0, 7, 0, 1]])]).unwrap_err();
    let links: Vec<_> = revoked
        .errors()
        .iter()
        .map(|error| match error {
            ChainError::Revoked { link, serial, .. } => (*link, serial.as_str()),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(links, [(Link::Intermediate, "070001"), (Link::Root, "070001")]);

    assert_eq!(codes(run(&[load(ark, old, &[])])), ["chain.crl-expired"]);
    assert_eq!(codes(run(&[load(ark, early, &[])])), ["chain.crl-not-yet-valid"]);
    assert_eq!(codes(run(&[load(&keys().other, current, &[])])), ["chain.crl-signature"]);
    // An old list does not hurt a current one, and what it revoked stays so.
    assert!(run(&[load(ark, old, &[]), load(ark, current, &[])]).is_ok());
    let both = run(&[load(ark, current, &[]), load(ark, old, &[&[7, 0, 1]])]);
    assert_eq!(codes(both), ["chain.revoked"; 2]);
    // However many old lists there are.
    let mut many = vec![load(ark, current, &[]); 20];
    many.push(load(ark, current, &[&[7, 0, 1]]));
    assert_eq!(codes(run(&many)), ["chain.revoked"; 2]);
    // A forged list is refused even beside a good one.
    let both = run(&[load(ark, current, &[]), load(&keys().other, current, &[])]);
    assert_eq!(codes(both), ["chain.crl-signature"]);

    let endless = crl(PRODUCT.ark_name(), ark, ("20250101000000Z", None), &[]);
    assert!(matches!(Crl::load(&endless).unwrap_err(), CertificateError::NextUpdateMissing));
    assert!(Crl::load(&endless[..200]).is_err() && Crl::load(b"").is_err());
}

#[test]
fn what_is_no_certificate() {
    let good = Spec::vcek(&LeafSpec::vcek(PRODUCT)).der(&keys().ask);
    let error = |der: &[u8]| Certificate::from_der(der).unwrap_err();
    for length in 0..good.len() {
        assert!(Certificate::from_der(&good[..length]).is_err(), "{length} bytes");
    }
    let trailing = [good.as_slice(), &[0]].concat();
    assert!(matches!(error(&trailing), CertificateError::Der(_)));
    assert!(matches!(error(&vec![0x30; 20_000]), CertificateError::TooLarge { .. }));
    assert!(matches!(
        error(&Spec { version: None, ..Spec::ark(PRODUCT) }.der(&keys().ark)),
        CertificateError::Version | CertificateError::Der(_)
    ));
    let mut split = Spec::ark(PRODUCT);
    split.outer_algorithm = Some(pss(3, 64));
    assert!(matches!(error(&split.der(&keys().ark)), CertificateError::AlgorithmMismatch));
    let twice = Spec::ark(PRODUCT).with(ca(false));
    assert!(matches!(error(&twice.der(&keys().ark)), CertificateError::DuplicateExtension(_)));
    // Any one byte of the signed part changed: no panic, and no valid chain.
    let ask = Spec::ask(PRODUCT).make(&keys().ark);
    let roots = roots(PRODUCT);
    for index in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[index] ^= 0x01;
        if let Ok(leaf) = Certificate::from_der(&bad) {
            let result = validate(&leaf, std::slice::from_ref(&ask), &roots, &[], now());
            assert!(result.is_err(), "byte {index}");
        }
    }
}

#[test]
fn pem_and_bundles() {
    let pem = |der: &[u8], label: &str| {
        x509_cert::der::pem::encode_string(label, x509_cert::der::pem::LineEnding::LF, der).unwrap()
    };
    let ask = Spec::ask(PRODUCT).der(&keys().ark);
    let ark = Spec::ark(PRODUCT).der(&keys().ark);
    let text = pem(&ask, "CERTIFICATE") + "\r\n" + &pem(&ark, "CERTIFICATE") + "\n\n";
    let bundle = Certificate::load_bundle(text.as_bytes()).unwrap();
    let names: Vec<_> = bundle.iter().map(|one| one.common_name().unwrap()).collect();
    assert_eq!(names, ["SEV-Milan", "ARK-Milan"]);
    assert_eq!(bundle[0].as_der(), ask);
    assert_eq!(Certificate::load_bundle(&ark).unwrap().len(), 1);
    assert_eq!(Certificate::load(pem(&ark, "CERTIFICATE").as_bytes()).unwrap().as_der(), ark);
    assert!(matches!(
        Certificate::load(pem(&ark, "X509 CRL").as_bytes()).unwrap_err(),
        CertificateError::PemLabel(label) if label == "X509 CRL"
    ));
    let many = pem(&ark, "CERTIFICATE").repeat(65);
    assert!(matches!(
        Certificate::load_bundle(many.as_bytes()).unwrap_err(),
        CertificateError::Bundle { limit: 64, .. }
    ));
    assert!(Certificate::load_bundle(b"").is_err());
    assert!(Certificate::load_bundle(b"-----BEGIN CERTIFICATE-----").is_err());
    let span = ("20250101000000Z", Some("20260101000000Z"));
    let list = crl(PRODUCT.ark_name(), &keys().ark, span, &[]);
    let list = Crl::load(pem(&list, "X509 CRL").as_bytes()).unwrap();
    assert_eq!(list.issuer_name(), Some("ARK-Milan"));
    let day = |text: &str| text.parse::<UnixTime>().unwrap();
    assert_eq!(list.validity(), (day("2025-01-01T00:00:00Z"), day("2026-01-01T00:00:00Z")));
}

#[test]
fn a_certificate_table_gives_a_chain() {
    let guids: [u128; 3] = [
        0x63da_758d_e664_4564_adc5_f4b9_3be8_accd,
        0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782,
        0x92f8_1bc3_5811_4d3d_97ff_d19f_88dc_67ea,
    ];
    let span = ("20250101000000Z", Some("20260101000000Z"));
    let parts = [
        Spec::vcek(&LeafSpec::vcek(PRODUCT)).der(&keys().ask),
        Spec::ask(PRODUCT).der(&keys().ark),
        crl(PRODUCT.ark_name(), &keys().ark, span, &[]),
    ];
    let mut bytes = Vec::new();
    let mut offset = 24 * 4;
    for (guid, part) in guids.iter().zip(&parts) {
        bytes.extend(guid.to_be_bytes());
        bytes.extend(u32::try_from(offset).unwrap().to_le_bytes());
        bytes.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
        offset += part.len();
    }
    bytes.extend([0; 24]);
    bytes.extend(parts.concat());
    bytes.resize(0x4000, 0);
    let table = CertificateTable::parse(&bytes).unwrap();
    let leaf = table.certificate(EntryKind::Vcek).unwrap().unwrap();
    let ask = table.certificate(EntryKind::Ask).unwrap().unwrap();
    let crl = table.crl().unwrap().unwrap();
    let chain = validate(&leaf, &[ask], &roots(PRODUCT), &[crl], now()).unwrap();
    assert!(matches!(chain.revocation(), Revocation::Checked { .. }));
    // Attack: the host's table has a genuine list from before a revocation.
    // Closed: of a table, only the certificates are taken.
    let bundle = Bundle::read(&bytes).unwrap();
    assert_eq!((bundle.certificates.len(), bundle.crls.len()), (2, 0));
}

#[test]
fn hardware_ids_have_two_lengths() {
    assert_eq!(HardwareId::new(&[7; 8]).unwrap().chip_id()[..9], [7, 7, 7, 7, 7, 7, 7, 7, 0]);
    assert_eq!(HardwareId::new(&[7; 64]).unwrap().to_string(), "07".repeat(64));
    for length in [0, 7, 9, 63, 65] {
        assert!(HardwareId::new(&vec![1; length]).is_none());
    }
    let certificate = Spec::ark(PRODUCT).make(&keys().ark);
    assert_ne!(certificate.fingerprint(), Hex([0; 32]));
}
