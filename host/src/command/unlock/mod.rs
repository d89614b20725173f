//! `ravelin unlock`: the order of events. Nothing is sent before the VM has been
//! verified and recorded.

mod outcome;
mod print;
mod ready;
mod refusal;
mod volumes;

use std::path::PathBuf;
use std::time::Duration;

use attestation::policy::Policy;
use attestation::report::Report;
use attestation::verify::{ReportData, Request, Verdict};
use clap::Args;
use protocol::release::{Evidence, SignedRelease, VolumeName};

use self::outcome::{booting, opened, raise_epochs};
use self::print::Printed;
use self::ready::{Ready, identity_failure};
use self::volumes::{Planned, Volume, VolumeArguments};
use super::attest::target::{table, vm_path};
use super::guest::vm_file;
use super::judge::{Accepted, PolicyArguments, TrustArguments};
use super::launch::duration;
use super::report::verify::say_warnings;
use crate::attest::address::Address;
use crate::attest::digests::Digests;
use crate::attest::instance::Instance;
use crate::attest::patience::{Patience, patiently};
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::{Terminal, causes};
use crate::unlock::record::{self, Record};
use crate::unlock::session::Session;
use crate::vm::VmFile;

/// How long the VM may take to go on: it waits 10 s for the other owners.
const BOOTING: Duration = Duration::from_secs(20);

const EXAMPLES: &str = "\
Examples:
  ravelin unlock --wait                       # the VM of vm.toml here, as soon as it asks
  ravelin unlock --dry-run                    # only look: nothing is sent
  ravelin unlock --vm web/vm.toml --address web.example:4778 --identity ~/.ssh/owner.pub
  ravelin unlock --sidecar root.img.toml --key team.key --policy policy.toml
  ravelin unlock --new-instance --wait        # after you restarted the VM
  ravelin unlock --volume data=data.img.toml:data.key --provision data
  ravelin unlock --luks-header header.bin --passphrase     # a LUKS2 disk made elsewhere

What happens, in this order: a TLS 1.3 session with whoever answers; a fresh nonce; a report whose
REPORT_DATA has the nonce, this session and its public key, so that nobody stands between; its
verdict, exactly as of `ravelin attest`; the VM's REPORT_ID is written down; key, volume
specification and lowest epoch are sent, signed by your SSH key for this session alone. The VM
takes them only from the keys in `unlock.owners` of its measured configuration. When it has opened
the volumes, the epochs in the sidecars are raised; when it hears that they are, it boots on.

Your SSH key is --identity, else `identity` of [unlock] in vm.toml, else ~/.ssh/id_ed25519, else the
only key of your ssh-agent. With a public key (owner.pub) the agent signs.

One VM at a time: the file root.img.instance.toml beside the sidecar says which VM has the key.
Another one is refused, also a second copy that the host started, until you say --new-instance. A
restarted VM is another one.

With `unlock.threshold` = 2 or more, each owner runs this command; all have to send the same.

Exit code 1: the VM was refused, or refused the release. 4: nobody answered, or the VM could not
say what became of the release.

JSON (\"kind\": \"unlock\"): address, nonce, accepted, authentic, time, identity, warnings and checks as
of `ravelin report verify`, receipt_head (64 digits; null if refused or there is none), threshold,
wanted (names), dry_run, released, owner (the key's fingerprint, or null), instance (report_id,
chip_id or null, records, recorded: whether it was before), volumes (a list of name, format,
sidecar, min_epoch, provision, epoch: what the VM reports, or null).";

/// Release the keys of a VM's encrypted disks to it, once it is verified
///
/// Waits for the VM, verifies its evidence as `ravelin attest` does, and only then sends what opens
/// its volumes, over a session that the evidence is bound to and that your SSH key signs.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Unlock {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    volumes: VolumeArguments,
    #[command(flatten)]
    release: ReleaseArguments,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    policy: PolicyArguments,
}

/// Where the VM waits, and how long each part may take.
#[derive(Debug, Args)]
#[command(next_help_heading = "The VM")]
struct Place {
    /// Where the VM waits for keys: HOST:PORT
    ///
    /// Where neither this nor --vsock is given: `address` of `[unlock]` in vm.toml, else 127.0.0.1 and
    /// its `unlock_port`, else port 4778 there.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<Address>,
    /// The same over vsock, for a VM of this machine: its context id and port [default port: 4778]
    #[arg(long, value_name = "CID[:PORT]", value_parser = Address::unlock_vsock,
        conflicts_with = "address")]
    vsock: Option<Address>,
    /// How long connection and evidence may take, and how often a busy VM is asked again
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Keep trying while nobody answers, as of a VM that is still booting [default TIME: 5m]
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5m",
        value_parser = duration)]
    wait: Option<Duration>,
    /// How long the VM may take to open its volumes, other owners included
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    open_timeout: Duration,
}

/// By whom, and to which VM.
#[derive(Debug, Args)]
#[command(next_help_heading = "The release")]
struct ReleaseArguments {
    /// Your SSH key: a private key, or a public one whose private key your agent has
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Stop before the release: nothing is sent or written, and no key is read
    #[arg(long)]
    dry_run: bool,
    /// Release to this VM although another one is recorded
    ///
    /// Say it when you know why it is another: you restarted the VM, or made a new one in its place.
    /// If you did not, the host runs a second one or a copy of it.
    #[arg(long)]
    new_instance: bool,
    /// Where the VM that got the keys is recorded
    ///
    /// Default: beside each sidecar, for root.img.toml root.img.instance.toml; without a sidecar
    /// beside vm.toml.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Unlock, terminal: &Terminal) -> Result {
    let file = vm_path(&arguments.policy).map(|path| vm_file(&path)).transpose()?;
    let file = file.as_ref();
    let dry_run = arguments.release.dry_run;
    let address = address(&arguments.place, file);
    let planned = arguments.volumes.plan(file)?;
    let records = records(arguments.release.record.as_ref(), &planned, file)?;
    let Accepted { policy, notes } =
        arguments.policy.policy_of(&arguments.trust, file, Digests::of_user().as_ref())?;
    notes.iter().for_each(|note| terminal.note(note));
    arguments.policy.require_workload(&policy)?;
    // Until the end: two at once could release to two VMs.
    let _locks = if dry_run { None } else { Some(record::lock(&records)?) };
    let volumes = planned.into_iter().map(Planned::load).collect::<Result<Vec<_>>>()?;
    // Before the VM is asked, which does not wait for a passphrase.
    let mut ready =
        if dry_run { None } else { Some(Ready::new(arguments, file, &volumes, terminal)?) };

    let patience = Patience {
        attempt: arguments.place.timeout,
        wait: arguments.place.wait.unwrap_or(Duration::ZERO),
    };
    let asked = patiently(
        patience,
        |limit| Session::open(&address, limit),
        |error| {
            terminal.note(&format!("{}; trying again", causes(error)));
        },
    );
    let (mut session, evidence) = asked.map_err(refusal::broken)?;
    let verdict = judge(arguments, &policy, &session, &evidence, &address, terminal)?;
    say_warnings(&verdict, terminal);
    let found = Instance {
        report_id: verdict.identity().report_id,
        chip_id: Some(verdict.identity().chip_id).filter(|chip| !chip.is_zero()),
    };
    let mut printed = Printed::new(&address, &session, &evidence, &verdict, &volumes, &records);
    printed.dry_run = dry_run;
    printed.verdict(terminal)?;
    if !verdict.accepted() {
        printed.end(terminal)?;
        return Ok(Exit::CheckFailed);
    }
    same_volumes(&volumes, &evidence.wanted)?;
    printed.instance.recorded = check_instance(&records, &found, arguments, terminal)?;
    if evidence.threshold > 1 {
        terminal.note(&format!("{} owners have to release; this is one", evidence.threshold));
    }
    let Some(ready) = &mut ready else {
        terminal.note("dry run: nothing was sent");
        printed.end(terminal)?;
        return Ok(Exit::Success);
    };

    if ready.identity.is_in_agent() {
        terminal.note("asking the agent to sign; confirm it, or touch the security key");
    }
    let release = ready.release.encode();
    let statement = session.statement(&release).map_err(refusal::broken)?;
    let signature = ready.identity.sign(&statement).map_err(identity_failure)?;
    // Before the release, which may arrive whatever we hear of it.
    record::write(&records, &found).remedy("nothing was sent: the VM could not be recorded")?;
    session
        .release(&SignedRelease { release, signature }, arguments.place.timeout)
        .map_err(refusal::cut)?;
    terminal.note("the release was sent; waiting for the VM to open its volumes");
    let epochs = opened(&mut session, arguments.place.open_timeout, terminal)?;
    raise_epochs(&volumes, &epochs, terminal)?;
    booting(&mut session, arguments.place.timeout.max(BOOTING))?;
    session.close();
    printed.opened(&ready.identity.fingerprint(), &epochs);
    printed.end(terminal)?;
    Ok(Exit::Success)
}

fn address(place: &Place, file: Option<&VmFile>) -> Address {
    let given = place.address.as_ref().or(place.vsock.as_ref()).cloned();
    given
        .or_else(|| file?.vm().unlock.address.clone())
        .or_else(|| file?.vm().network.as_ref()?.unlock_port.map(Address::loopback))
        .unwrap_or_else(Address::usual_unlock)
}

fn records(
    given: Option<&PathBuf>,
    planned: &[Planned<'_>],
    file: Option<&VmFile>,
) -> Result<Vec<Record>> {
    if let Some(path) = given {
        return Ok(vec![Record::at(path)]);
    }
    let beside: Vec<Record> = planned.iter().filter_map(Planned::record).collect();
    match (beside.is_empty(), file) {
        (false, _) => Ok(beside),
        (true, Some(file)) => Ok(vec![Record::beside(file.path())]),
        (true, None) => Err(Failure::usage("there is no place to record the VM that gets the key")
            .help("name a file with --record")),
    }
}

/// Verifies the report, REPORT_DATA first: of a report that is not about the other
/// end of this session nothing else is looked at.
fn judge(
    arguments: &Unlock,
    policy: &Policy,
    session: &Session<'_>,
    evidence: &Evidence,
    address: &Address,
    terminal: &Terminal,
) -> Result<Verdict> {
    let report = Report::parse(evidence.report.as_slice()).map_err(|error| {
        let error = causes(&error);
        Failure::no_answer(format!("{address}: the evidence has no report: {error}"))
    })?;
    let expected = session.report_data(evidence.receipt_head.as_ref());
    if report.report_data().0 != expected {
        return Err(Failure::refused(format!(
            "{address}: the report is not about this session: a man in the middle, or another \
             session's report"
        ))
        .help("nothing was released; look at who stands between you and the VM"));
    }
    let table = table(evidence.certificates.as_deref(), terminal);
    let request = Request::new(arguments.trust.time(), ReportData::Expected(expected));
    let judged = arguments.trust.verify(&report, table.as_ref(), policy, &request)?;
    judged.notes.iter().for_each(|note| terminal.warning(note));
    Ok(judged.verdict)
}

/// Whether the VM waits for these volumes and no others.
fn same_volumes(given: &[Volume<'_>], wanted: &[VolumeName]) -> Result<()> {
    let is_given = |name: &&VolumeName| given.iter().any(|volume| volume.planned.name == **name);
    let missing: Vec<&VolumeName> = wanted.iter().filter(|name| !is_given(name)).collect();
    let others: Vec<&VolumeName> = given
        .iter()
        .map(|volume| &volume.planned.name)
        .filter(|name| !wanted.contains(name))
        .collect();
    let list = |names: &[&VolumeName]| {
        names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let message = match (missing.as_slice(), others.as_slice()) {
        ([], []) => return Ok(()),
        ([], others) => format!("the VM does not wait for {}", list(others)),
        (missing, []) => format!("the VM waits for {} too", list(missing)),
        (missing, others) => {
            format!("the VM waits for {} and not for {}", list(missing), list(others))
        }
    };
    Err(Failure::new(message).help(
        "nothing was sent; release exactly what it waits for: --sidecar and --luks-header are the \
         root's, --volume and --luks-volume name the others",
    ))
}

/// Whether these disks' keys may go to this VM; and whether they already did.
fn check_instance(
    records: &[Record],
    found: &Instance,
    arguments: &Unlock,
    terminal: &Terminal,
) -> Result<bool> {
    let mut recorded = true;
    for record in records {
        let path = record.path().display();
        let before = record.read().remedy("remove it if no VM has this disk's key any more")?;
        let Some(before) = before else {
            recorded = false;
            continue;
        };
        if record::is_same(&before, found) {
            continue;
        }
        recorded = false;
        if !arguments.release.new_instance {
            return Err(Failure::refused(format!(
                "{path}: the VM {} has this disk's key, and this one is {}",
                before.report_id, found.report_id
            ))
            .help(
                "nothing was released. If you restarted the VM or replaced it: --new-instance. If \
                 not, the host runs a second one, or a copy of it and of its disk",
            ));
        }
        terminal.note(&format!("{path}: from now on this VM instead of {}", before.report_id));
    }
    Ok(recorded)
}
