//! The options by which commands say what is trusted and what is accepted.
//!
//! A report is accepted only if it satisfies everything that is named here:
//! where both a policy and `--vm` name measurements, it must have one that is in
//! both. Nothing that was named can come out as "no rule".

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use attestation::certificate::{CertificateTable, UnixTime};
use attestation::measurement::{LaunchDigest, Manifest};
use attestation::policy::{Exception, Loaded, Policy};
use attestation::product::Product;
use attestation::report::{Hex, Report};
use attestation::verify::{Request, verify};
use clap::Args;

use super::guest::{failure, vm_file};
use super::store::StoreArguments;
use crate::attest::digests::Digests;
use crate::certificates::{ChainRequest, StoreError};
use crate::evidence::{self, EvidenceError, Judged, Material};
use crate::failure::{Failure, Remedy, Result};
use crate::measure::{Guest, Overrides};
use crate::terminal::{causes, printable};
use crate::vm::VmFile;

/// Certificates, roots and time.
#[derive(Debug, Args)]
#[command(next_help_heading = "Certificates")]
pub(crate) struct TrustArguments {
    /// Certificates: DER, PEM, or the certificate table of an extended report (auxblob)
    ///
    /// In any order; those that do not belong to the report are ignored. AMD's roots and ASKs are
    /// built in, so a VCEK alone is enough; a VLEK needs the ASVK too. Without this option they are
    /// taken from the cache (`ravelin certs`), else from AMD's key service.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    certs: Vec<PathBuf>,
    /// Revocation lists of the root, DER or PEM
    #[arg(long, value_name = "FILE", num_args = 1..)]
    crl: Vec<PathBuf>,
    /// Trust this root too, although it is not AMD's: a simulator's
    ///
    /// Whoever holds its key can make any report. A warning says so every time.
    #[arg(long, value_name = "FILE")]
    trust_root: Vec<PathBuf>,
    /// Verify as of this time, such as 2026-01-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<UnixTime>,
    /// The product, for a report of version 2, which does not name it: milan, genoa or turin
    ///
    /// Says which certificate to get; the verdict does not rest on it. A policy with one product
    /// says it too.
    #[arg(long, value_name = "NAME")]
    product: Option<Product>,
    #[command(flatten)]
    store: StoreArguments,
}

impl TrustArguments {
    /// The time for which the verdict is made.
    pub(crate) fn time(&self) -> UnixTime {
        self.at.unwrap_or_else(evidence::now)
    }

    /// The product that was named.
    pub(crate) fn product(&self) -> Option<Product> {
        self.product
    }

    /// Whether certificates were named.
    pub(crate) fn names_certificates(&self) -> bool {
        !self.certs.is_empty()
    }

    /// What the verdict depends on besides the report: all files that are named,
    /// and the time if it is.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn inputs(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let mut inputs = Vec::new();
        for (name, paths) in [
            ("certificate", &self.certs),
            ("revocation list", &self.crl),
            ("root", &self.trust_root),
        ] {
            for path in paths {
                inputs.push((name, evidence::bytes(path)?));
            }
        }
        inputs.extend(self.at.map(|time| ("time", time.to_string().into_bytes())));
        Ok(inputs)
    }

    /// The options as they are repeated in another command line, with absolute
    /// paths.
    ///
    /// # Errors
    /// If there is no current directory.
    pub(crate) fn words(&self) -> Result<Vec<OsString>> {
        let mut words = Vec::new();
        for (option, paths) in
            [("--certs", &self.certs), ("--crl", &self.crl), ("--trust-root", &self.trust_root)]
        {
            for path in paths {
                words.extend([option.into(), std::path::absolute(path)?.into_os_string()]);
            }
        }
        if let Some(time) = self.at {
            words.extend(["--at".into(), time.to_string().into()]);
        }
        if let Some(product) = self.product {
            words.extend(["--product".into(), product.to_string().into()]);
        }
        words.extend(self.store.words());
        Ok(words)
    }

    /// The certificates for a report: those in the files and those that came with
    /// it. Where no files are named, a table that cannot be read is told and
    /// left out: there is another source.
    fn material(
        &self,
        table: Option<&CertificateTable>,
        notes: &mut Vec<String>,
    ) -> Result<Material> {
        let mut material = Material::default();
        for path in &self.certs {
            material.add_certificates(path)?;
        }
        for path in &self.crl {
            material.add_crl(path)?;
        }
        if let Some(table) = table {
            match material.add_table(table) {
                Err(error) if self.certs.is_empty() => {
                    let why = printable(&causes(&error));
                    notes.push(format!("certificates that came with the report: {why}"));
                }
                added => added?,
            }
        }
        Ok(material)
    }

    /// Verifies a report. `table` came with it, from the host. Without --certs,
    /// what is not in the table is had from the cache or the key service; with
    /// it, nothing but the files and the table is used.
    ///
    /// # Errors
    /// If a file cannot be read or no leaf certificate can be had. A report
    /// that is refused is none.
    pub(crate) fn verify(
        &self,
        report: &Report,
        table: Option<&CertificateTable>,
        policy: &Policy,
        request: &Request,
    ) -> Result<Judged> {
        let mut notes = Vec::new();
        let material = self.material(table, &mut notes)?;
        let roots = evidence::roots(&self.trust_root)
            .remedy("a root is a self-signed certificate of AMD's form, named ARK-PRODUCT")?;
        if self.names_certificates() {
            return material.verify(report, &roots, policy, request).map_err(without_leaf);
        }
        let product = match policy.products.as_slice() {
            [product] => Some(*product),
            _ => None,
        };
        let found = self
            .store
            .open()?
            .chain_for(&ChainRequest {
                report,
                certificates: &material.certificates,
                crls: &material.crls,
                roots: &roots,
                product: self.product.or(product),
                now: request.now,
            })
            .map_err(StoreError::failure)?;
        notes.extend(found.no_crl.iter().chain(&found.not_replaced).map(|error| causes(error)));
        let verdict = verify(report, found.chain.as_ref(), policy, request);
        Ok(Judged { chain: found.chain, verdict, notes })
    }
}

/// Says where a leaf certificate is to be had.
fn without_leaf(error: EvidenceError) -> Failure {
    let missing = matches!(error, EvidenceError::NoLeaf(_));
    let failure = Failure::from(error);
    if !missing {
        return failure;
    }
    failure.help(
        "leave --certs out, and the certificate is fetched from AMD's key service; or name it \
         too: it comes with an extended report (configfs-tsm's auxblob)",
    )
}

/// What a report must say.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is accepted")]
pub(crate) struct PolicyArguments {
    /// The policy, or SNPGuard's vm-config.toml
    ///
    /// Of a vm-config.toml the measurement is computed from the files that it names, unless
    /// --vm, --manifest or --measurement says what to accept.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Accept the launch digest of this VM, computed from its files
    #[arg(long, value_name = "FILE")]
    vm: Option<PathBuf>,
    /// Accept the launch digests of a manifest, TOML or JSON (`ravelin measure --matrix`)
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Accept this launch digest, 96 hexadecimal digits
    #[arg(long, value_name = "DIGEST", num_args = 1..)]
    measurement: Vec<LaunchDigest>,
    /// Allow something that weakens the guest, by name
    ///
    /// debug, migration-agent, nonzero-vmpl, masked-chip-id, provisional-firmware, unknown-bits or
    /// any-measurement.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    allow: Vec<Exception>,
}

/// A complete policy, and what the user should know of how it came about.
pub(crate) struct Accepted {
    pub(crate) policy: Policy,
    pub(crate) notes: Vec<String>,
}

impl PolicyArguments {
    /// Puts the policy together.
    ///
    /// # Errors
    /// If a file cannot be used, or two of the sources exclude each other.
    pub(crate) fn policy(&self, trust: &TrustArguments) -> Result<Accepted> {
        let mut sources = Vec::new();
        if let Some(path) = &self.vm {
            sources.push(of_vm(&vm_file(path)?, None)?);
        }
        sources.extend(self.named_measurements()?);
        self.combine(trust, self.policy.as_deref(), sources)
    }

    /// Puts the policy together for the VM of a description: `[attest]` of it
    /// names the policy where no option does. Its launch digest is computed and
    /// must be among those that the policy names, if it names any; only
    /// `--manifest` and `--measurement` take its place.
    ///
    /// # Errors
    /// As [`PolicyArguments::policy`].
    pub(crate) fn policy_of(
        &self,
        trust: &TrustArguments,
        file: Option<&VmFile>,
        digests: Option<&Digests>,
    ) -> Result<Accepted> {
        let of_file = file.and_then(|file| Some(file.resolve(file.vm().attest.policy.as_ref()?)));
        let path = self.policy.as_ref().or(of_file.as_ref());
        let mut sources = self.named_measurements()?;
        if let Some(file) = file.filter(|_| sources.is_empty()) {
            sources.push(of_vm(file, digests)?);
        }
        self.combine(trust, path.map(PathBuf::as_path), sources)
    }

    /// `--vm`.
    pub(crate) fn vm(&self) -> Option<&Path> {
        self.vm.as_deref()
    }

    /// Whether an option says what is accepted.
    pub(crate) fn names_something(&self) -> bool {
        self.policy.is_some() || self.manifest.is_some() || !self.measurement.is_empty()
    }

    /// Refuses a policy that no VM satisfies, before one is asked.
    ///
    /// # Errors
    /// One that says nothing about what runs in the VM.
    pub(crate) fn require_workload(&self, policy: &Policy) -> Result<()> {
        if policy.names_workload() {
            return Ok(());
        }
        let failure =
            Failure::usage("nothing says which VM is accepted: every one would be refused");
        Err(failure.help(if self.names_something() {
            "the policy names no measurement and no key: add one, or name the VM with --vm, \
             --manifest or --measurement"
        } else {
            "there is no vm.toml here: name the VM with --vm, --policy, --manifest or --measurement"
        }))
    }

    /// The options but `--vm` as they are repeated in another command line.
    ///
    /// # Errors
    /// If there is no current directory.
    pub(crate) fn words(&self) -> Result<Vec<OsString>> {
        let mut words: Vec<OsString> = Vec::new();
        for (option, path) in [("--policy", &self.policy), ("--manifest", &self.manifest)] {
            if let Some(path) = path {
                words.extend([option.into(), std::path::absolute(path)?.into_os_string()]);
            }
        }
        for digest in &self.measurement {
            words.extend(["--measurement".into(), digest.to_string().into()]);
        }
        for exception in &self.allow {
            words.extend(["--allow".into(), exception.to_string().into()]);
        }
        Ok(words)
    }

    fn combine(
        &self,
        trust: &TrustArguments,
        path: Option<&Path>,
        mut sources: Vec<Source>,
    ) -> Result<Accepted> {
        let mut notes = Vec::new();
        let mut policy = Policy::default();
        if let Some(path) = path {
            let loaded = load(path)?;
            if let Loaded::Snpguard(config) = loaded {
                policy = config.to_policy();
                if sources.is_empty() {
                    let digest = Guest::of_snpguard(&config, path)
                        .and_then(|guest| guest.digest())
                        .map_err(failure)
                        .remedy(
                            "the vm-config.toml has no measurement, but the files that are \
                             measured; correct their names, or give --measurement",
                        )?;
                    notes.push(format!("measured from {}: {digest}", path.display()));
                    sources.push((path.display().to_string(), vec![digest]));
                }
            } else if let Loaded::Policy(read) = loaded {
                policy = *read;
            }
        }
        self.allow.iter().for_each(|exception| policy.allow.insert(*exception));
        for (name, digests) in sources {
            let digests: Vec<Hex<48>> =
                digests.iter().map(|digest| Hex(*digest.as_bytes())).collect();
            if policy.measurements.is_empty() {
                policy.measurements = digests;
                continue;
            }
            policy.measurements.retain(|digest| digests.contains(digest));
            if policy.measurements.is_empty() {
                return Err(Failure::new(format!(
                    "no measurement of {name} is among those that the policy or another option \
                     accepts; no report could satisfy both"
                ))
                .help("`ravelin measure` prints the VM's; renew the policy or leave one out"));
            }
        }
        if !trust.trust_root.is_empty() {
            policy.allow.insert(Exception::SimulatorRoot);
        }
        Ok(Accepted { policy, notes })
    }

    /// Each source of accepted launch digests but a VM, by name.
    fn named_measurements(&self) -> Result<Vec<Source>> {
        let mut sources = Vec::new();
        if let Some(path) = &self.manifest {
            let digests = manifest(path)?.measurements().iter().map(|one| one.digest).collect();
            sources.push((path.display().to_string(), digests));
        }
        if !self.measurement.is_empty() {
            sources.push(("--measurement".to_owned(), self.measurement.clone()));
        }
        Ok(sources)
    }
}

/// Accepted launch digests, and what names them.
type Source = (String, Vec<LaunchDigest>);

fn of_vm(file: &VmFile, digests: Option<&Digests>) -> Result<Source> {
    let overrides = Overrides { digests: digests.cloned(), ..Overrides::default() };
    let digest = Guest::of(file, &overrides).and_then(|guest| guest.digest()).map_err(failure)?;
    Ok((file.path().display().to_string(), vec![digest]))
}

/// Reads a policy, or SNPGuard's file.
///
/// # Errors
/// If it is none.
pub(crate) fn load(path: &Path) -> Result<Loaded> {
    let text = evidence::text(path)?;
    Policy::load(&text).map_err(|error| {
        let error = crate::terminal::causes(&error);
        Failure::new(format!("{}: {error}", path.display()))
            .help("`ravelin policy init` writes one with comments")
    })
}

/// Reads a manifest, TOML or JSON.
///
/// # Errors
/// If it is none.
pub(crate) fn manifest(path: &Path) -> Result<Manifest> {
    let text = evidence::text(path)?;
    let read = if text.trim_start().starts_with('{') {
        Manifest::from_json(&text)
    } else {
        Manifest::from_toml(&text)
    };
    read.map_err(|error| {
        Failure::new(format!("{}: {}", path.display(), crate::terminal::causes(&error)))
            .help("`ravelin measure --matrix --output FILE` writes one")
    })
}
