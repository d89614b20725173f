//! One owner's session, from the handshake to the last status.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Instant;

use protocol::receipt::Head;
use protocol::release::{
    Evidence, FrameType, REPORT_EXPORTER, Refusal, Release, SIGNATURE_EXPORTER, SignedRelease,
    Status, VolumeName, digest, statement,
};
use protocol::report_data::{Binding, Nonce};

use super::Limits;
use super::agreement::Agreement;
use super::channel::{Channel, End};
use super::control::{Control, Stage};
use super::log::Log;
use super::quorum::{Count, Refused, Vote};
use super::reporter::Question;
use super::socket::Socket;
use super::table::Table;
use super::tls::Identity;
use super::verify::{self, Owner};
use crate::platform::Level;
use crate::reports::RawReport;

/// What all sessions have in common.
pub(super) struct Shared {
    pub(super) identity: Identity,
    pub(super) owners: Vec<Owner>,
    pub(super) need: u8,
    /// Ascending.
    pub(super) wanted: Vec<VolumeName>,
    pub(super) receipt_head: Head,
    pub(super) limits: Limits,
    pub(super) reports: SyncSender<Question>,
    pub(super) table: Table,
    pub(super) agreement: Agreement,
    pub(super) log: Log,
}

/// Serves whoever it is until the session is over.
pub(super) fn run(socket: Socket, control: &Arc<Control>, shared: &Shared) {
    let config = Arc::clone(&shared.identity.config);
    let budget = shared.limits.bytes;
    let Ok(mut channel) = Channel::new(socket, config, Arc::clone(control), budget) else { return };
    let last = match converse(&mut channel, control, shared) {
        Ok(last) => last,
        Err(End::Frame(error)) => Status::refused(Refusal::Malformed, &error.to_string()),
        // There is nobody who would hear of it.
        Err(_) => return,
    };
    let until = Instant::now() + shared.limits.step;
    if channel.send(FrameType::Status, &last.encode(), until).is_ok() {
        channel.finish(shared.limits.finish);
    }
}

/// The whole conversation; its last status.
fn converse(channel: &mut Channel, control: &Arc<Control>, shared: &Shared) -> Result<Status, End> {
    let limits = &shared.limits;
    channel.handshake(Instant::now() + limits.step)?;
    let tls_exporter = channel.exporter(REPORT_EXPORTER)?;
    let signature_exporter = channel.exporter(SIGNATURE_EXPORTER)?;

    let hello = channel.receive(FrameType::Hello, Instant::now() + limits.step)?;
    let Ok(nonce) = Nonce::try_from(hello.as_slice()) else {
        return Ok(Status::refused(Refusal::Malformed, "the nonce has to be of 32 bytes"));
    };

    let tls_public_key = &shared.identity.public_key_info;
    let binding = Binding::Release {
        nonce: &nonce,
        tls_exporter: &tls_exporter,
        tls_public_key,
        receipt_head: Some(&shared.receipt_head),
    };
    let report = match report(channel, control, shared, binding.report_data())? {
        Ok(report) => report,
        Err((why, text)) => {
            shared.log.stranger(&format!("no report for an owner: {text}"));
            return Ok(Status::refused(why, &text));
        }
    };
    let evidence = evidence(shared, report);
    channel.send(FrameType::Evidence, &evidence, Instant::now() + limits.step)?;
    control.reach(Stage::Attested);

    let content = channel.receive(FrameType::Release, Instant::now() + limits.release)?;
    match offer(&content, &signature_exporter, control, shared) {
        Ok(()) => {}
        Err((why, text)) => {
            shared.log.stranger(&format!("refused: {text}"));
            return Ok(Status::refused(why, &text));
        }
    }
    // Its copies are in the set alone now.
    drop(content);
    wait_for_answer(channel, control, shared)
}

/// A report, or why there is none.
fn report(
    channel: &mut Channel,
    control: &Arc<Control>,
    shared: &Shared,
    data: [u8; protocol::report_data::LENGTH],
) -> Result<Result<RawReport, Refused>, End> {
    let until = Instant::now() + shared.limits.evidence;
    let question = Question { data, until, session: Arc::clone(control) };
    let refused = |why, text: &str| Ok(Err((why, text.to_owned())));
    match shared.reports.try_send(question) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => return refused(Refusal::Busy, "too many ask for reports"),
        Err(TrySendError::Disconnected(_)) => {
            return refused(Refusal::NoReport, "nobody asks for reports any more");
        }
    }
    loop {
        if let Some(answer) = control.answered() {
            return Ok(answer.map_err(|text| (Refusal::NoReport, text)));
        }
        match channel.step(Some(until)) {
            Ok(()) => {}
            Err(End::Late) => {
                return refused(Refusal::NoReport, "the secure processor gave no report in time");
            }
            Err(end) => return Err(end),
        }
    }
}

/// The content of the evidence frame; without the host's certificates where they
/// make it too long: the owner fetches them itself then.
fn evidence(shared: &Shared, report: RawReport) -> Vec<u8> {
    let mut evidence = Evidence {
        report: report.report,
        certificates: report.certificates,
        receipt_head: Some(shared.receipt_head),
        threshold: shared.need,
        wanted: shared.wanted.clone(),
    };
    let content = evidence.encode();
    if content.len() <= FrameType::Evidence.max_content() {
        return content;
    }
    evidence.certificates = None;
    evidence.encode()
}

/// Checks a release frame, and offers what is in it. Nothing of the release is read
/// before its signature is good.
fn offer(
    content: &[u8],
    exporter: &[u8; 32],
    control: &Arc<Control>,
    shared: &Shared,
) -> Result<(), Refused> {
    let malformed =
        |error: protocol::release::ReleaseError| (Refusal::Malformed, error.to_string());
    let SignedRelease { release, signature } = SignedRelease::decode(content).map_err(malformed)?;
    let signed = statement(exporter, &release);
    let index = verify::signer(&shared.owners, &signature, &signed)
        .map_err(|(why, text)| (why, text.to_owned()))?;
    let Some(owner) = shared.owners.get(index) else {
        return Err((Refusal::UnknownOwner, "the key is of no owner".to_owned()));
    };
    let fingerprint = owner.fingerprint().to_owned();
    let named = |(why, text): Refused| (why, format!("{text} ({fingerprint})"));
    let digest = digest(&release);
    let release = check(&release, &shared.wanted).map_err(named)?;

    control.reach(Stage::Signed);
    let vote = Vote {
        owner: index,
        fingerprint: fingerprint.clone(),
        session: Arc::clone(control),
        digest,
        release,
    };
    let Count { have, others } = shared.agreement.offer(vote).map_err(named)?;
    let mut line = format!("{fingerprint} releases keys, {have} of {}", shared.need);
    if others > 0 {
        line.push_str(&format!("; other keys than {others} of the owners"));
    }
    shared.log.line(Level::Info, &line);
    Ok(())
}

/// Reads a release, which has to be of exactly the volumes that are waited for.
fn check(release: &[u8], wanted: &[VolumeName]) -> Result<Release, Refused> {
    let release =
        Release::decode(release).map_err(|error| (Refusal::Malformed, error.to_string()))?;
    if release.volumes().iter().map(|volume| &volume.name).eq(wanted) {
        return Ok(release);
    }
    let names: Vec<&str> = wanted.iter().map(VolumeName::as_str).collect();
    Err((Refusal::Volumes, format!("keys are waited for of exactly {}", names.join(", "))))
}

/// Passes on what the owner is told, until the last word, and that he has recorded what
/// was opened. How long that takes is the set's and the boot's to say; here only a peer
/// that is gone ends it.
fn wait_for_answer(
    channel: &mut Channel,
    control: &Arc<Control>,
    shared: &Shared,
) -> Result<Status, End> {
    let mut may_record = false;
    loop {
        match control.told() {
            Some(last) if last.is_final() => return Ok(last),
            Some(status) => {
                let until = Instant::now() + shared.limits.step;
                channel.send(FrameType::Status, &status.encode(), until)?;
                may_record = matches!(status, Status::Opened { .. });
            }
            None if control.is_ending() => return Err(End::Stopped),
            None => channel.step(None)?,
        }
        if channel.is_unread() && may_record {
            channel.receive(FrameType::Recorded, Instant::now() + shared.limits.step)?;
            may_record = false;
            shared.agreement.record(control);
        } else if channel.is_unread() {
            let text = "nothing has to come now";
            return Ok(Status::refused(Refusal::Malformed, text));
        }
    }
}
