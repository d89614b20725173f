//! Which VM is asked and what of its answer is accepted: the part that `attest`,
//! `ssh-known-hosts` and `ssh-config` have in common.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestation::certificate::CertificateTable;
use attestation::policy::Policy;
use attestation::report::Report;
use attestation::verify::{ReportData, Request, Verdict};
use clap::Args;
use protocol::report_data::Binding;
use protocol::responder::Evidence;

use crate::attest::address::Address;
use crate::attest::digests::Digests;
use crate::attest::exchange::{Answer, AskError};
use crate::attest::instance::Instance;
use crate::attest::patience::{Patience, ask_patiently};
use crate::attest::verdicts::Key;
use crate::command::guest::vm_file;
use crate::command::judge::{Accepted, PolicyArguments, TrustArguments};
use crate::command::launch::duration;
use crate::evidence::{self, Material};
use crate::failure::{Failure, Result};
use crate::terminal::Terminal;
use crate::vm::VmFile;

/// The description that is looked for where no option names what is accepted.
const VM: &str = "vm.toml";

/// Which VM, and what is accepted of it.
#[derive(Debug, Args)]
pub(crate) struct Target {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    policy: PolicyArguments,
    /// Accept only the VM that this file pins (`ravelin attest --pin` writes it)
    #[arg(long, value_name = "FILE", help_heading = "What is accepted")]
    instance: Option<PathBuf>,
}

/// The path of the VM description: the one named, or the one here if there is one
/// and no option says what is accepted instead.
pub(crate) fn vm_path(policy: &PolicyArguments) -> Option<PathBuf> {
    if let Some(path) = policy.vm() {
        return Some(path.to_owned());
    }
    let here = Path::new(VM);
    (!policy.names_something() && here.exists()).then(|| here.to_owned())
}

/// The certificates that came with a report, from the host. What cannot be read of
/// them is told and left out: other certificates may do without it.
pub(crate) fn table(bytes: Option<&[u8]>, terminal: &Terminal) -> Option<CertificateTable> {
    let table = CertificateTable::parse(bytes?)
        .and_then(|table| Material::default().add_table(&table).map(|()| table));
    table
        .map_err(|error| {
            let error = crate::terminal::causes(&error);
            terminal.warning(&format!("the VM's certificate table is not used: {error}"));
        })
        .ok()
}

/// Where the VM answers, and how long that may take.
#[derive(Debug, Args)]
#[command(next_help_heading = "The VM")]
struct Place {
    /// Where the VM's responder is: HOST:PORT
    ///
    /// Where neither this nor --vsock is given: `address` of `[attest]` in vm.toml, else 127.0.0.1
    /// and its `attest_port`, else localhost:8080, which is SNPGuard's.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<Address>,
    /// The same over vsock, for a VM of this machine: its context id and port [default port: 4777]
    #[arg(long, value_name = "CID[:PORT]", value_parser = Address::vsock, conflicts_with = "address")]
    vsock: Option<Address>,
    /// How long one question and its answer may take, and how often a busy VM is asked again
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Keep asking while nobody answers, as of a VM that is still booting [default TIME: 5m]
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        default_missing_value = "5m",
        value_parser = duration
    )]
    wait: Option<Duration>,
}

/// All that is known before the VM is asked.
pub(crate) struct Prepared<'a> {
    pub(crate) address: Address,
    policy: Policy,
    patience: Patience,
    trust: &'a TrustArguments,
}

/// An answer and what came of it.
pub(crate) struct Attested {
    pub(crate) nonce: [u8; 32],
    pub(crate) evidence: Evidence,
    pub(crate) verdict: Verdict,
    /// What to know of the certificates.
    pub(crate) notes: Vec<String>,
}

impl Target {
    /// Reads and measures everything that the verdict needs.
    ///
    /// # Errors
    /// If a file cannot be used, or no VM at all would be accepted.
    pub(crate) fn prepare(&self, terminal: &Terminal) -> Result<Prepared<'_>> {
        let file = self.vm()?;
        let digests = Digests::of_user();
        let Accepted { mut policy, notes } =
            self.policy.policy_of(&self.trust, file.as_ref(), digests.as_ref())?;
        notes.iter().for_each(|note| terminal.note(note));
        self.policy.require_workload(&policy)?;
        if let Some(path) = &self.instance {
            let refused = |error: &dyn std::error::Error| {
                let causes = crate::terminal::causes(error);
                Failure::new(format!("{}: {causes}", path.display()))
                    .help("`ravelin attest --pin FILE` writes such a file for an accepted VM")
            };
            let instance =
                Instance::parse(&evidence::text(path)?).map_err(|error| refused(&error))?;
            instance.pin(&mut policy).map_err(|error| refused(&error))?;
        }
        let patience = Patience {
            attempt: self.place.timeout,
            wait: self.place.wait.unwrap_or(Duration::ZERO),
        };
        Ok(Prepared { address: self.address(file.as_ref()), policy, patience, trust: &self.trust })
    }

    /// The VM description, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn vm(&self) -> Result<Option<VmFile>> {
        self.vm_path().map(|path| vm_file(&path)).transpose()
    }

    /// Its path.
    pub(crate) fn vm_path(&self) -> Option<PathBuf> {
        vm_path(&self.policy)
    }

    fn address(&self, file: Option<&VmFile>) -> Address {
        let given = self.place.address.as_ref().or(self.place.vsock.as_ref()).cloned();
        given
            .or_else(|| file?.vm().attest.address.clone())
            .or_else(|| file?.vm().network.as_ref()?.attest_port.map(Address::loopback))
            .unwrap_or_else(Address::snpguard)
    }

    /// The options as they are repeated in another command line, with absolute
    /// paths, so that they mean the same from every directory.
    ///
    /// # Errors
    /// If there is no current directory.
    pub(crate) fn words(&self) -> Result<Vec<OsString>> {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(path) = self.vm_path() {
            words.extend(["--vm".into(), std::path::absolute(path)?.into_os_string()]);
        }
        words.extend(self.policy.words()?);
        if let Some(path) = &self.instance {
            words.extend(["--instance".into(), std::path::absolute(path)?.into_os_string()]);
        }
        words.extend(self.trust.words()?);
        if self.place.address.is_some() || self.place.vsock.is_some() || self.vm_path().is_none() {
            words.push("--address".into());
            words.push(self.address(None).to_string().into());
        }
        for (option, time) in [("--timeout", Some(self.place.timeout)), ("--wait", self.place.wait)]
        {
            if let Some(time) = time {
                words.extend([option.into(), format!("{}s", time.as_secs()).into()]);
            }
        }
        Ok(words)
    }
}

impl Prepared<'_> {
    /// What an accepted verdict depends on, for remembering it.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn key(&self) -> Result<Key> {
        let mut key = Key::default()
            .with("address", self.address.to_string().as_bytes())
            // Every rule, the measurements that were computed among them.
            .with("policy", format!("{:?}", self.policy).as_bytes());
        for (name, bytes) in self.trust.inputs()? {
            key = key.with(name, &bytes);
        }
        Ok(key)
    }

    /// Asks the VM and judges its answer.
    ///
    /// # Errors
    /// If there is no answer or nothing that could be judged. A report that is
    /// refused is none.
    pub(crate) fn attest(&self, terminal: &Terminal) -> Result<Attested> {
        let answer = ask_patiently(&self.address, self.patience, |error| {
            let error = crate::terminal::causes(error);
            terminal.note(&format!("{error}; asking again"));
        });
        let Answer { nonce, evidence } = answer.map_err(|error| self.unanswered(error))?;
        let report = Report::parse(evidence.report.as_slice()).map_err(|error| {
            let error = crate::terminal::causes(&error);
            Failure::no_answer(format!("{}: the answer has no report: {error}", self.address))
        })?;
        let table = table(evidence.certificates.as_deref(), terminal);
        let binding = Binding::Responder {
            nonce: &nonce,
            host_keys: &evidence.host_keys,
            receipt_head: evidence.receipt_head.as_ref(),
        };
        let request = Request::new(self.trust.time(), ReportData::Expected(binding.report_data()));
        let judged = self.trust.verify(&report, table.as_ref(), &self.policy, &request)?;
        Ok(Attested { nonce, evidence, verdict: judged.verdict, notes: judged.notes })
    }

    fn unanswered(&self, error: AskError) -> Failure {
        let help = match &error {
            AskError::Connect { .. } | AskError::Closed { .. } | AskError::TimedOut { .. } => {
                "--wait waits for a VM that is still booting; --address, --vsock or vm.toml say \
                 where its responder is (attest.mode = \"responder\" starts it in the VM)"
            }
            AskError::Resolve { .. } => "correct the name, or give an IP address",
            AskError::Busy { .. } | AskError::Unavailable { .. } => "ask again, with --wait",
            AskError::Random(_) => "wait until the kernel has gathered entropy",
            AskError::Truncated { .. }
            | AskError::Trailing { .. }
            | AskError::Malformed { .. }
            | AskError::Version { .. } => {
                "another service listens there, another release runs in the VM, or someone on \
                 the way changed the answer"
            }
        };
        Failure::no_answer(error).help(help)
    }
}

impl Attested {
    /// What a mismatch of REPORT_DATA means here, as far as can be told.
    pub(crate) fn unbound(&self) -> Option<&'static str> {
        let other = self.verdict.findings().any(|finding| finding.code() == "report-data.mismatch");
        if !other {
            return None;
        }
        let evidence = &self.evidence;
        let boot = Binding::Boot {
            host_keys: &evidence.host_keys,
            receipt_head: evidence.receipt_head.as_ref(),
        };
        let is_boot = Report::parse(evidence.report.as_slice())
            .is_ok_and(|report| report.report_data().0 == boot.report_data());
        Some(if is_boot {
            "this is the report that a VM made at its boot, not an answer to this question: it \
             is replayed"
        } else {
            "the report does not bind this question's nonce together with these host keys: it is \
             an old answer, another VM's, or the keys are not the VM's"
        })
    }
}
