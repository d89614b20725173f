//! A certificate authority of the tests' own, in AMD's form, and reports that
//! its keys sign. Everything can be made wrong on purpose.

#![allow(missing_docs, reason = "a test")]
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests"
)]

pub(crate) mod der;
pub(crate) mod vectors;

use std::sync::OnceLock;

use attestation::certificate::{Certificate, Crl, Roots, UnixTime, VerifiedChain, validate};
use attestation::policy::{Exception, Policy};
use attestation::product::Product;
use attestation::report::Report;
use attestation::verify::{ReportData, Request, Verdict, verify};
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PSS_SHA256, RSA_PSS_SHA384,
};

use self::der::{bit_string, extension, integer, name, oid, pss, sequence, time, tlv};

/// A time at which everything made with [`Spec::new`] is valid.
pub(crate) fn now() -> UnixTime {
    "2025-09-01T00:00:00Z".parse().unwrap()
}

/// The RSA keys that sign certificates.
pub(crate) struct Keys {
    pub(crate) ark: rsa::KeyPair,
    pub(crate) ask: rsa::KeyPair,
    pub(crate) other: rsa::KeyPair,
}

pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let load = |bytes: &[u8]| rsa::KeyPair::from_pkcs8(bytes).unwrap();
        Keys {
            ark: load(include_bytes!("keys/ark.pk8")),
            ask: load(include_bytes!("keys/ask.pk8")),
            other: load(include_bytes!("keys/other.pk8")),
        }
    })
}

/// The key that signs reports.
pub(crate) fn vcek() -> &'static EcdsaKeyPair {
    static KEY: OnceLock<EcdsaKeyPair> = OnceLock::new();
    KEY.get_or_init(new_p384)
}

pub(crate) fn new_p384() -> EcdsaKeyPair {
    let rng = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &rng).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap()
}

pub(crate) fn rsa_key(key: &rsa::KeyPair) -> Vec<u8> {
    let algorithm = sequence(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]]);
    sequence(&[&algorithm, &bit_string(key.public_key().as_ref())])
}

pub(crate) fn p384_key(key: &EcdsaKeyPair) -> Vec<u8> {
    let algorithm = sequence(&[&oid("1.2.840.10045.2.1"), &oid("1.3.132.0.34")]);
    sequence(&[&algorithm, &bit_string(key.public_key().as_ref())])
}

/// What goes into a certificate.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) version: Option<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) not_before: String,
    pub(crate) not_after: String,
    pub(crate) key: Vec<u8>,
    pub(crate) extensions: Vec<Vec<u8>>,
    /// The AlgorithmIdentifier inside and outside.
    pub(crate) algorithm: Vec<u8>,
    pub(crate) outer_algorithm: Option<Vec<u8>>,
    /// Signs with SHA-256 instead.
    pub(crate) sha256: bool,
}

impl Spec {
    pub(crate) fn new(issuer: &str, subject: &str, key: Vec<u8>) -> Self {
        Self {
            version: Some(2),
            serial: vec![7, 0, 1],
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            not_before: "20240101000000Z".to_owned(),
            not_after: "20490101000000Z".to_owned(),
            key,
            extensions: Vec::new(),
            algorithm: pss(2, 48),
            outer_algorithm: None,
            sha256: false,
        }
    }

    pub(crate) fn ark(product: Product) -> Self {
        let name = product.ark_name();
        Self::new(name, name, rsa_key(&keys().ark)).with(ca(true))
    }

    pub(crate) fn ask(product: Product) -> Self {
        let key = rsa_key(&keys().ask);
        Self::new(product.ark_name(), product.ask_name(), key).with(ca(true)).with(key_usage(6))
    }

    pub(crate) fn asvk(product: Product) -> Self {
        Self { subject: product.asvk_name().to_owned(), ..Self::ask(product) }
    }

    pub(crate) fn vcek(leaf: &LeafSpec) -> Self {
        let product = leaf.product;
        let mut spec = Self::new(product.ask_name(), "SEV-VCEK", p384_key(vcek()));
        spec.serial = vec![0];
        spec.extensions = leaf.extensions();
        spec
    }

    pub(crate) fn vlek(leaf: &LeafSpec) -> Self {
        let product = leaf.product;
        let issuer = product.asvk_name().to_owned();
        Self { issuer, subject: "SEV-VLEK".to_owned(), ..Self::vcek(leaf) }
    }

    pub(crate) fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    pub(crate) fn der(&self, signer: &rsa::KeyPair) -> Vec<u8> {
        let version =
            self.version.map(|number| tlv(0xa0, &[&integer(&[number])])).unwrap_or_default();
        let validity = sequence(&[&time(&self.not_before), &time(&self.not_after)]);
        let all: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        let extensions = match all.as_slice() {
            [] => Vec::new(),
            all => tlv(0xa3, &[&sequence(all)]),
        };
        let body = sequence(&[
            &version,
            &integer(&self.serial),
            &self.algorithm,
            &name(&self.issuer),
            &validity,
            &name(&self.subject),
            &self.key,
            &extensions,
        ]);
        let outer = self.outer_algorithm.as_ref().unwrap_or(&self.algorithm);
        let signature = sign_rsa(signer, &body, self.sha256);
        sequence(&[&body, outer, &bit_string(&signature)])
    }

    pub(crate) fn make(&self, signer: &rsa::KeyPair) -> Certificate {
        Certificate::from_der(&self.der(signer)).unwrap()
    }
}

pub(crate) fn sign_rsa(signer: &rsa::KeyPair, message: &[u8], sha256: bool) -> Vec<u8> {
    let mut signature = vec![0; signer.public().modulus_len()];
    let rng = SystemRandom::new();
    let padding: &dyn ring::signature::RsaEncoding =
        if sha256 { &RSA_PSS_SHA256 } else { &RSA_PSS_SHA384 };
    signer.sign(padding, &rng, message, &mut signature).unwrap();
    signature
}

/// Basic constraints.
pub(crate) fn ca(authority: bool) -> Vec<u8> {
    let flag: &[u8] = if authority { &[1, 1, 0xff] } else { &[] };
    extension("2.5.29.19", true, &sequence(&[flag]))
}

/// Key usage, one byte of it: 4 is keyCertSign, 2 cRLSign.
pub(crate) fn key_usage(bits: u8) -> Vec<u8> {
    extension("2.5.29.15", true, &tlv(3, &[&[bits.trailing_zeros() as u8, bits]]))
}

/// What AMD's extensions of a leaf say.
#[derive(Clone, Debug)]
pub(crate) struct LeafSpec {
    pub(crate) product: Product,
    pub(crate) product_name: &'static str,
    pub(crate) tcb: [u8; 8],
    pub(crate) hardware_id: Option<Vec<u8>>,
    pub(crate) csp_id: Option<&'static str>,
    pub(crate) struct_version: Option<u8>,
    pub(crate) leave_out: &'static [&'static str],
    pub(crate) more: Vec<Vec<u8>>,
}

pub(crate) const TCB: [u8; 8] = [4, 0, 0, 0, 0, 0, 24, 219];
pub(crate) const TURIN_TCB: [u8; 8] = [1, 2, 3, 4, 0, 0, 0, 71];

impl LeafSpec {
    pub(crate) fn vcek(product: Product) -> Self {
        let (tcb, product_name, length) = match product {
            Product::Turin => (TURIN_TCB, "Turin", 8),
            Product::Genoa => (TCB, "Genoa", 64),
            _ => (TCB, "Milan-B0", 64),
        };
        Self {
            product,
            product_name,
            tcb,
            hardware_id: Some((1..=length).collect()),
            csp_id: None,
            struct_version: Some(1),
            leave_out: &[],
            more: Vec::new(),
        }
    }

    pub(crate) fn vlek(product: Product) -> Self {
        let csp_id = Some("CN=test.example");
        Self { hardware_id: None, csp_id, ..Self::vcek(product) }
    }

    pub(crate) fn extensions(&self) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut add = |arc: &str, value: Vec<u8>| {
            if !self.leave_out.contains(&arc) {
                out.push(extension(&format!("1.3.6.1.4.1.3704.1.{arc}"), false, &value));
            }
        };
        if let Some(version) = self.struct_version {
            add("1", integer(&[version]));
        }
        add("2", tlv(0x16, &[self.product_name.as_bytes()]));
        let arcs: [&str; 8] = match self.product {
            Product::Turin => ["3.9", "3.1", "3.2", "3.3", "3.5", "3.6", "3.7", "3.8"],
            _ => ["3.1", "3.2", "3.4", "3.5", "3.6", "3.7", "3.3", "3.8"],
        };
        for (arc, level) in arcs.into_iter().zip(self.tcb) {
            add(arc, integer(&[level]));
        }
        if let Some(id) = &self.hardware_id {
            add("4", id.clone());
        }
        if let Some(id) = self.csp_id {
            add("5", tlv(0x16, &[id.as_bytes()]));
        }
        out.extend(self.more.iter().cloned());
        out
    }
}

/// The certificate table of an extended report, with an ASK and a VCEK.
pub(crate) fn table(ask: &[u8], vcek: &[u8]) -> Vec<u8> {
    let mut table = Vec::new();
    let mut offset = 72;
    for (guid, bytes) in [
        (0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782_u128, ask),
        (0x63da_758d_e664_4564_adc5_f4b9_3be8_accd, vcek),
    ] {
        let length = bytes.len() as u32;
        table.extend(guid.to_be_bytes());
        table.extend(u32::to_le_bytes(offset));
        table.extend(length.to_le_bytes());
        offset += length;
    }
    table.extend([0; 24]);
    table.extend([ask, vcek].concat());
    table
}

/// A revocation list by `signer` in the name of `issuer`.
pub(crate) fn crl(
    issuer: &str,
    signer: &rsa::KeyPair,
    span: (&str, Option<&str>),
    serials: &[&[u8]],
) -> Vec<u8> {
    let entries: Vec<_> = serials
        .iter()
        .map(|serial| sequence(&[&integer(serial), &time("20240601000000Z")]))
        .collect();
    let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let entries = if entries.is_empty() { Vec::new() } else { sequence(&entries) };
    let body = sequence(&[
        &integer(&[1]),
        &pss(2, 48),
        &name(issuer),
        &time(span.0),
        &span.1.map(time).unwrap_or_default(),
        &entries,
    ]);
    let signature = sign_rsa(signer, &body, false);
    sequence(&[&body, &pss(2, 48), &bit_string(&signature)])
}

/// A revocation list that is current at [`now`].
pub(crate) fn current_crl(product: Product, serials: &[&[u8]]) -> Crl {
    let span = ("20250101000000Z", Some("20260101000000Z"));
    Crl::load(&crl(product.ark_name(), &keys().ark, span, serials)).unwrap()
}

/// The tests' root for `product`, and no other.
pub(crate) fn roots(product: Product) -> Roots {
    Roots::none().with_given(Spec::ark(product).make(&keys().ark)).unwrap()
}

/// A good VCEK chain of `product`.
pub(crate) fn chain(product: Product) -> VerifiedChain {
    chain_of(&LeafSpec::vcek(product))
}

/// A good chain with this leaf, a VLEK if it has a provider.
pub(crate) fn chain_of(leaf: &LeafSpec) -> VerifiedChain {
    let product = leaf.product;
    let (issuer, spec) = if leaf.csp_id.is_some() {
        (Spec::asvk(product), Spec::vlek(leaf))
    } else {
        (Spec::ask(product), Spec::vcek(leaf))
    };
    let issuer = issuer.make(&keys().ark);
    let leaf = spec.make(&keys().ask);
    validate(&leaf, &[issuer], &roots(product), &[], now()).unwrap()
}

/// A report's bytes, to be changed and signed.
#[derive(Clone)]
pub(crate) struct Draft(pub(crate) Vec<u8>);

impl Draft {
    /// A good report of this version, for [`chain`] of `product`.
    pub(crate) fn new(version: u8, product: Product) -> Self {
        let leaf = LeafSpec::vcek(product);
        let mut draft = Self(vec![0; 1184]);
        draft.set(0, &[version]).set(4, &[2]).set(8, &[0x1f, 0, 3]).set(0x34, &[1]);
        draft.set(0x10, &[0xf1; 16]).set(0x20, &[0x11; 16]).set(0x40, &[0x25]);
        for tcb in [0x38, 0x180, 0x1e0, 0x1f0] {
            draft.set(tcb, &leaf.tcb);
        }
        draft.set(0x50, &[0xda; 64]).set(0x90, &[0x3e; 48]).set(0xc0, &[0x40; 32]);
        draft.set(0x140, &[0x1d; 32]).set(0x160, &[0xff; 32]);
        draft.set(0x1a0, &leaf.hardware_id.unwrap());
        draft.set(0x1e8, &[29, 55, 1]).set(0x1ec, &[29, 55, 1]);
        if version >= 3 {
            draft.set(
                0x188,
                match product {
                    Product::Milan => &[0x19, 1, 1],
                    Product::Genoa => &[0x19, 0xa0, 2],
                    _ => &[0x1a, 2, 1],
                },
            );
        }
        if version >= 5 {
            draft.set(0x1f8, &[1]).set(0x200, &[3]);
        }
        draft
    }

    /// A good report of this version, for a VLEK of `product`.
    pub(crate) fn vlek(version: u8, product: Product) -> Self {
        let mut draft = Self::new(version, product);
        draft.set(0x48, &[4]).set(0x1a0, &[0; 64]);
        draft
    }

    pub(crate) fn set(&mut self, offset: usize, bytes: &[u8]) -> &mut Self {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// [`Draft::set`], for a table of changes.
    pub(crate) fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.set(offset, bytes);
    }

    /// Signs with [`vcek`].
    pub(crate) fn signed(&self) -> Self {
        self.signed_by(vcek())
    }

    pub(crate) fn signed_by(&self, key: &EcdsaKeyPair) -> Self {
        let mut signed = self.clone();
        let signature = key.sign(&SystemRandom::new(), &self.0[..0x2a0]).unwrap();
        let (r, s) = signature.as_ref().split_at(48);
        let little = |part: &[u8]| part.iter().rev().copied().collect::<Vec<_>>();
        signed.set(0x2a0, &little(r)).set(0x2e8, &little(s));
        signed
    }

    pub(crate) fn report(&self) -> Report {
        Report::parse(&self.0).unwrap()
    }
}

/// A policy that accepts the good report under the tests' root.
pub(crate) fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.measurements = vec![[0x3e; 48].into()];
    policy.allow.insert(Exception::SimulatorRoot);
    policy
}

/// A request that binds the good report's data.
pub(crate) fn request() -> Request {
    Request::new(now(), ReportData::Expected([0xda; 64]))
}

/// Verifies the draft, signed, under [`chain`] and [`policy`].
pub(crate) fn verdict(draft: &Draft, product: Product) -> Verdict {
    verify(&draft.signed().report(), Ok(&chain(product)), &policy(), &request())
}

/// The codes of all findings.
pub(crate) fn codes(verdict: &Verdict) -> Vec<&'static str> {
    verdict.findings().map(attestation::verify::Finding::code).collect()
}

/// A report as SNPGuard's JSON has it.
pub(crate) fn snpguard_json(report: &[u8]) -> serde_json::Value {
    let tcb = |at: usize| {
        let b = &report[at..at + 8];
        serde_json::json!({
            "bootloader": b[0], "tee": b[1], "_reserved": b[2..6], "snp": b[6], "microcode": b[7]
        })
    };
    let word = |at: usize| u32::from_le_bytes(report[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(report[at..at + 8].try_into().unwrap());
    let bytes = |at: usize, length: usize| report[at..at + length].to_vec();
    serde_json::json!({
        "version": word(0), "guest_svn": word(4), "policy": long(8),
        "family_id": bytes(0x10, 16), "image_id": bytes(0x20, 16), "vmpl": word(0x30),
        "sig_algo": word(0x34), "current_tcb": tcb(0x38), "plat_info": long(0x40),
        "_author_key_en": word(0x48), "_reserved_0": word(0x4c),
        "report_data": bytes(0x50, 64), "measurement": bytes(0x90, 48),
        "host_data": bytes(0xc0, 32), "id_key_digest": bytes(0xe0, 48),
        "author_key_digest": bytes(0x110, 48), "report_id": bytes(0x140, 32),
        "report_id_ma": bytes(0x160, 32), "reported_tcb": tcb(0x180),
        "_reserved_1": bytes(0x188, 24), "chip_id": bytes(0x1a0, 64),
        "committed_tcb": tcb(0x1e0), "current_build": report[0x1e8],
        "current_minor": report[0x1e9], "current_major": report[0x1ea],
        "_reserved_2": report[0x1eb], "committed_build": report[0x1ec],
        "committed_minor": report[0x1ed], "committed_major": report[0x1ee],
        "_reserved_3": report[0x1ef], "launch_tcb": tcb(0x1f0),
        "_reserved_4": bytes(0x1f8, 168),
        "signature": {
            "r": bytes(0x2a0, 72), "s": bytes(0x2e8, 72), "_reserved": bytes(0x330, 368)
        }
    })
}
