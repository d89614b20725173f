//! Whatever the host sends: every parser answers with a value or a typed error,
//! and what it lets through verifies as nothing.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests")]

mod verify_support;

use attestation::certificate::{Certificate, CertificateTable, Crl, EntryKind, validate};
use attestation::policy::Policy;
use attestation::product::Product;
use attestation::report::{Unwrapped, View};
use attestation::verify::verify;
use verify_support::{Draft, LeafSpec, Spec, chain, crl, keys, now, policy, request, roots};

const PRODUCT: Product = Product::Genoa;

/// A small generator of repeatable noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % below
    }

    /// A few bytes changed, and now and then cut, doubled or filled.
    fn damage(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..=self.next(4) {
            let at = self.next(bytes.len());
            let value = [0, 1, 0x7f, 0x80, 0xff, 0x30, 0x82][self.next(7)];
            match self.next(8) {
                0 => bytes.truncate(at + 1),
                1 => drop(bytes.splice(at..at, [value; 9])),
                2 => bytes[at..].fill(value),
                3 => bytes[at] ^= 1 << self.next(8),
                _ => bytes[at] = value,
            }
        }
        bytes
    }
}

#[test]
fn reports() {
    let good = Draft::new(5, PRODUCT).signed().0;
    let chain = chain(PRODUCT);
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut response = vec![0; 32];
    response[4..8].copy_from_slice(&1184_u32.to_le_bytes());
    response.extend(&good);
    let mut hcl = b"HCLA".to_vec();
    hcl.resize(32, 0);
    hcl.extend(&good);
    hcl.extend([9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, b'{', b'}']);
    for form in [&good, &response, &hcl] {
        for _ in 0..1500 {
            let Ok(unwrapped) = Unwrapped::read(&noise.damage(form)) else { continue };
            let report = unwrapped.report;
            let _ = View::new(&report, Some(PRODUCT)).to_string();
            if report.as_bytes().as_slice() != good {
                let verdict = verify(&report, Ok(&chain), &policy(), &request());
                assert!(!verdict.accepted(), "{verdict}");
                assert!(verdict.to_string().ends_with("REFUSED"));
            }
        }
    }
}

#[test]
fn certificates_lists_and_tables() {
    let leaf = Spec::vcek(&LeafSpec::vcek(PRODUCT)).der(&keys().ask);
    let ask = Spec::ask(PRODUCT).make(&keys().ark);
    let span = ("20250101000000Z", Some("20260101000000Z"));
    let list = crl(PRODUCT.ark_name(), &keys().ark, span, &[&[5]]);
    let roots = roots(PRODUCT);
    let mut noise = Noise(0x2545_f491_4f6c_dd1d);
    let candidates = std::slice::from_ref(&ask);
    for _ in 0..3000 {
        let bytes = noise.damage(&leaf);
        if let Ok(damaged) = Certificate::load(&bytes)
            && bytes != leaf
        {
            let rejection = validate(&damaged, candidates, &roots, &[], now()).unwrap_err();
            assert!(!rejection.errors().is_empty());
        }
        let bytes = noise.damage(&list);
        let good = Certificate::from_der(&leaf).unwrap();
        if let Ok(damaged) = Crl::load(&bytes)
            && bytes != list
        {
            // A list of no root of the chain's is ignored; any other is refused.
            let own = damaged.issuer_name() == Some(PRODUCT.ark_name());
            let outcome = validate(&good, candidates, &roots, &[damaged], now());
            assert!(outcome.is_err() || !own || outcome.unwrap().revocation() == NOT_CHECKED);
        }
    }
    let guid = 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd_u128;
    let mut table = guid.to_be_bytes().to_vec();
    table.extend(48_u32.to_le_bytes());
    table.extend(u32::try_from(leaf.len()).unwrap().to_le_bytes());
    table.extend([0; 24]);
    table.extend(&leaf);
    for _ in 0..3000 {
        if let Ok(table) = CertificateTable::parse(&noise.damage(&table)) {
            let _ = table.certificate(EntryKind::Vcek);
        }
    }
}

const NOT_CHECKED: attestation::certificate::Revocation =
    attestation::certificate::Revocation::NotChecked;

#[test]
fn policies() {
    let good = "product = ['milan']\nvmpl = 1\nallow = ['debug']\n[minimum_tcb]\nsnp = 3\n\
                [guest_policy]\nrequired = ['smt']\nexact = 0x30000\n";
    let mut noise = Noise(0xdead_beef_cafe_f00d);
    for _ in 0..3000 {
        if let Ok(text) = String::from_utf8(noise.damage(good.as_bytes())) {
            let _ = Policy::load(&text);
        }
    }
}
