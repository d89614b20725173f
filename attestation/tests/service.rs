//! The key service's resources and bundles: real and synthetic certificates are
//! what they are asked for as, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod verify_support;

use attestation::certificate::service::{Content, NoResource, Resource, Unfit};
use attestation::certificate::{
    Bundle, BundleError, Certificate, ChainError, Link, Roots, UnixTime,
};
use attestation::product::Product;
use attestation::report::{KeyKind, Report};
use verify_support::vectors::{folder, read, real};
use verify_support::{Draft, LeafSpec, Spec, crl, keys, now, roots};

fn at(text: &str) -> UnixTime {
    text.parse().unwrap()
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    use base64ct::Encoding;
    let text = base64ct::Base64::encode_string(der);
    let lines: Vec<&[u8]> = text.as_bytes().chunks(64).collect();
    let text = lines.join(&b'\n');
    [
        format!("-----BEGIN {label}-----\n").as_bytes(),
        &text,
        format!("\n-----END {label}-----\n").as_bytes(),
    ]
    .concat()
}

#[test]
fn real_leaves_are_the_resources_of_their_reports() {
    let Some(folder) = folder() else { return };
    let amd = Roots::amd().unwrap();
    let when = at("2025-09-01T00:00:00Z");
    let all = real(&folder);
    let (mut vceks, mut vleks, mut refused) = (0, 0, 0);
    for one in &all {
        let Ok(report) = Report::parse(&one.report) else { continue };
        let leaf = Certificate::load(&one.leaf).unwrap().leaf().unwrap();
        let resource = match Resource::vcek_of(&report, leaf.product()) {
            Ok(resource) => resource,
            Err(error) => {
                assert_eq!(error, NoResource::Vlek, "{}", one.name);
                assert_eq!(leaf.kind(), KeyKind::Vlek, "{}", one.name);
                vleks += 1;
                continue;
            }
        };
        vceks += 1;
        assert_eq!(Resource::of_leaf(&leaf), Some(resource), "{}", one.name);
        let content = resource.read(&one.leaf).unwrap();
        content.check(&[], &amd, when).unwrap();
        for other in all.iter().filter(|other| other.leaf != one.leaf) {
            let same = Certificate::load(&other.leaf).unwrap().leaf().unwrap();
            if Resource::of_leaf(&same) == Some(resource) {
                continue;
            }
            let error = resource.read(&other.leaf).unwrap_err();
            assert!(matches!(error, Unfit::Other { .. }), "{}: {error}", other.name);
            refused += 1;
        }
    }
    assert!(vceks >= 5 && vleks >= 1 && refused > 20, "{vceks} {vleks} {refused}");
}

#[test]
fn real_chains_and_lists_are_read_and_verified() {
    let Some(folder) = folder() else { return };
    let file = |name: &str| read(&folder.join("amd_ca").join(name));
    let amd = Roots::amd().unwrap();
    let when = at("2025-09-01T00:00:00Z");
    for (product, word) in
        [(Product::Milan, "milan"), (Product::Genoa, "genoa"), (Product::Turin, "turin")]
    {
        for (kind, prefix) in [(KeyKind::Vcek, "sev_"), (KeyKind::Vlek, "sev_vlek_")] {
            let (intermediate, root) = (format!("{prefix}{word}.pem"), format!("ark_{word}.pem"));
            let chain = [file(&intermediate), file(&root)].concat();
            let resource = Resource::Chain { product, kind };
            let content = resource.read(&chain).unwrap();
            content.check(&[], &amd, when).unwrap();
            let errors = content.check(&[], &roots(Product::Milan), when).unwrap_err();
            assert!(!errors.is_empty());
            let other = match kind {
                KeyKind::Vcek => KeyKind::Vlek,
                KeyKind::Vlek => KeyKind::Vcek,
            };
            let error = Resource::Chain { product, kind: other }.read(&chain).unwrap_err();
            assert!(matches!(error, Unfit::Other { field: "name", .. }), "{error}");
        }
    }
    let list = file("ark_milan_2022-05-09.crl");
    let resource = Resource::Crl { product: Product::Milan, kind: KeyKind::Vcek };
    let content = resource.read(&list).unwrap();
    content.check(&[], &amd, at("2022-05-10T00:00:00Z")).unwrap();
    let errors = content.check(&[], &amd, when).unwrap_err();
    assert!(matches!(*errors, [ChainError::Expired { link: Link::Crl, .. }]), "{errors:?}");
    let genoa = Resource::Crl { product: Product::Genoa, kind: KeyKind::Vcek };
    assert!(matches!(genoa.read(&list).unwrap_err(), Unfit::Other { field: "issuer", .. }));
}

#[test]
fn every_product_s_vcek_is_checked_field_by_field() {
    for product in Product::ALL {
        let spec = LeafSpec::vcek(product);
        let report = Draft::new(3, product).report();
        let resource = Resource::vcek_of(&report, product).unwrap();
        let der = |spec: &LeafSpec| Spec::vcek(spec).der(&keys().ask);
        let content = resource.read(&der(&spec)).unwrap();
        let ask = Spec::ask(product).make(&keys().ark);
        content.check(std::slice::from_ref(&ask), &roots(product), now()).unwrap();
        assert!(content.check(&[], &roots(product), now()).is_err());

        for index in [0, 1, 7] {
            let mut changed = spec.clone();
            changed.tcb[index] ^= 1;
            let error = resource.read(&der(&changed)).unwrap_err();
            assert!(matches!(error, Unfit::Other { field: "TCB", .. }), "{product}: {error}");
        }
        let mut changed = spec.clone();
        changed.hardware_id.as_mut().unwrap()[7] ^= 1;
        let error = resource.read(&der(&changed)).unwrap_err();
        assert!(matches!(error, Unfit::Other { field: "chip", .. }), "{product}: {error}");
    }
    let mut masked = Draft::new(3, Product::Milan);
    masked.set(0x1a0, &[0; 64]);
    let error = Resource::vcek_of(&masked.report(), Product::Milan).unwrap_err();
    assert_eq!(error, NoResource::ChipIdMasked);
    let mut unsigned = Draft::new(3, Product::Milan);
    unsigned.set(0x48, &[7 << 2]);
    let error = Resource::vcek_of(&unsigned.report(), Product::Milan).unwrap_err();
    assert_eq!(error, NoResource::NoKey);
}

#[test]
fn bundles_come_in_every_form() {
    let product = Product::Milan;
    let vcek = Spec::vcek(&LeafSpec::vcek(product)).der(&keys().ask);
    let ask = Spec::ask(product).der(&keys().ark);
    let list =
        crl(product.ark_name(), &keys().ark, ("20250101000000Z", Some("20260101000000Z")), &[]);
    let counts = |bytes: &[u8]| {
        let bundle = Bundle::read(bytes).unwrap();
        (bundle.certificates.len(), bundle.crls.len())
    };
    assert_eq!(counts(&vcek), (1, 0));
    assert_eq!(counts(&list), (0, 1));
    let text = [
        b"Subject: SEV-VCEK\r\n".to_vec(),
        pem("CERTIFICATE", &vcek),
        b"-- and --\n".to_vec(),
        pem("X509 CRL", &list),
        pem("CERTIFICATE", &ask),
    ]
    .concat();
    assert_eq!(counts(&text), (2, 1));
    // A certificate table: VCEK, CRL, and a kind that nobody knows. It is the host's,
    // so the list is left out.
    let entries: [(u128, &[u8]); 3] = [
        (0x63da_758d_e664_4564_adc5_f4b9_3be8_accd, &vcek),
        (0x92f8_1bc3_5811_4d3d_97ff_d19f_88dc_67ea, &list),
        (7, b"other"),
    ];
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    for (guid, bytes) in entries {
        let offset = u32::try_from(24 * 4 + tail.len()).unwrap();
        head.extend(guid.to_be_bytes());
        head.extend(offset.to_le_bytes());
        head.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        tail.extend(bytes);
    }
    assert_eq!(counts(&[head, vec![0; 24], tail].concat()), (1, 0));

    let error = |bytes: &[u8]| Bundle::read(bytes).unwrap_err();
    assert!(matches!(error(b""), BundleError::Empty));
    assert!(matches!(error(&[0; 4096]), BundleError::Empty));
    assert!(matches!(error(&vcek[..50]), BundleError::Item { offset: 0, .. }));
    assert!(matches!(error(b"hello, this is no certificate"), BundleError::Table(_)));
    assert!(matches!(error(&vec![0x30; (1 << 20) + 1]), BundleError::TooLarge { .. }));
    let cut = text.len() - 40;
    assert!(matches!(error(&text[..cut]), BundleError::Item { offset, .. } if offset > 2000));
    let key = pem("PRIVATE KEY", &vcek);
    assert!(matches!(error(&key), BundleError::Item { offset: 0, .. }));
    let one = pem("CERTIFICATE", &ask);
    assert!(matches!(
        error(&one.repeat(513)),
        BundleError::TooMany { .. } | BundleError::TooLarge { .. }
    ));
    assert!(matches!(error(b"-----BEGIN CERTIFICATE-----"), BundleError::Item { .. }));
    let content = Resource::Chain { product, kind: KeyKind::Vcek }.read(&one).unwrap();
    assert!(matches!(content, Content::Chain(all) if all.len() == 1));
}
