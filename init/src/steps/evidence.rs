//! Evidence: a report that binds the machine's SSH host keys, left for the
//! booted system, and the responder that answers the owner's nonces later.
//!
//! What is written to `/run/ravelin` is public: a report says something only
//! to who verifies it, and the keys are public halves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::config::{Attest, Config};
use protocol::host_keys::HostKeys;
use protocol::layout;
use protocol::receipt::{Event, Receipt};
use protocol::report_data::Binding;
use sha2::{Digest as _, Sha256};

use super::identity::Identity;
use super::kind;
use super::mounts;
use crate::boot::{Progress, log};
use crate::failure::{self, Failure};
use crate::platform::{Level, Platform};
use crate::reports::{Guest, RawReport, ReportError};
use crate::snpguard;

/// Where the kernel has configfs, if it does.
const CONFIGFS: &str = "/sys/kernel/config";

/// SNPGuard's place for its report.
const SNPGUARD_REPORT: &str = "etc/report.json";

/// Opens the source of reports, once; what is asked of it.
///
/// # Errors
/// If there is none, or nothing may be asked.
pub fn open<'a>(
    platform: &impl Platform,
    config: &'a Config,
    progress: &mut Progress,
) -> Result<&'a Attest, Failure> {
    let Some(attest) = &config.attest else {
        // The configuration refuses what needs evidence then.
        let looked_at = "attest.mode=none asks for none".to_owned();
        return Err(Failure::Report(ReportError::NoSource { looked_at }));
    };
    if progress.reports.is_none() {
        // A kernel without configfs has another source, or none.
        mounts::mount_in_sysfs(platform, "configfs", CONFIGFS)?;
        let source = platform.open_reports(attest.source).map_err(Failure::Report)?;
        progress.receipt.push(&Event::Reports { source: source.to_owned() });
        progress.reports = Some(source);
    }
    Ok(attest)
}

/// Asks for what the configuration wants and leaves it behind; returns what
/// the log says.
///
/// # Errors
/// If evidence is wanted and there is no source, no report, or not the right
/// one.
pub fn leave(
    platform: &impl Platform,
    config: &Config,
    identity: &Identity,
    progress: &mut Progress,
) -> Result<String, Failure> {
    if config.attest.is_none() {
        return Ok("not asked for".to_owned());
    }
    let attest = open(platform, config, progress)?;
    let source = progress.reports.unwrap_or_default();
    let until = platform.elapsed() + attest.deadline.duration();

    let blobs = identity.host_keys.iter().map(|key| key.blob.clone());
    // Keys that were made here are few; those of an encrypted root are bounded.
    let host_keys = HostKeys::new(blobs).map_err(|error| Failure::Responder(error.into()))?;
    progress.receipt.push(&Event::Keys {
        count: host_keys.blobs().len().to_string(),
        keys: hex::encode(Sha256::digest(host_keys.encode())),
    });
    // It ends here: what is done later is in no report.
    let receipt = &progress.receipt;
    let binding = Binding::Boot { host_keys: &host_keys, receipt_head: Some(receipt.head()) };
    let data = binding.report_data();
    let report = report(platform, &data, &progress.guest, until)?;
    let id = hex::encode(report.report_id());
    log(platform, Level::Info, &format!("evidence: report id {id}"));
    write(platform, identity, &report, source, receipt)?;
    let mut summary = format!("report by {source} in {}", layout::EVIDENCE);
    if attest.snpguard && snpguard_report(platform, identity, &progress.guest, until)? {
        summary.push_str(", /etc/report.json for SNPGuard");
    }
    if let Some(port) = attest.responder_port {
        let empty = Path::new(layout::EMPTY);
        platform
            .create_directory(empty, 0o555)
            .map_err(failure::path("making the directory", empty))?;
        let listening = platform
            .start_responder(
                port,
                &host_keys,
                receipt,
                attest.deadline.duration(),
                &report.report_id(),
            )
            .map_err(Failure::Responder)?;
        summary.push_str(&format!(", responder on {listening}"));
    }
    Ok(summary)
}

/// A report over `data`, of the guest whose reports all others of this boot are.
fn report(
    platform: &impl Platform,
    data: &[u8; 64],
    guest: &Guest,
    until: Duration,
) -> Result<RawReport, Failure> {
    let report = platform.report(data, until).and_then(|report| guest.admit(report));
    report.map_err(Failure::Report)
}

/// The files of the boot report.
fn write(
    platform: &impl Platform,
    identity: &Identity,
    report: &RawReport,
    source: &str,
    receipt: &Receipt,
) -> Result<(), Failure> {
    let directory = Path::new(layout::EVIDENCE);
    platform
        .create_directory(directory, 0o755)
        .map_err(failure::path("making the directory", directory))?;
    let file = |name: &str, content: &[u8]| {
        let path = directory.join(name);
        platform.create_file(&path, 0o444, content).map_err(failure::path("making", &path))
    };
    file("report.bin", report.report.as_slice())?;
    if let Some(certificates) = &report.certificates {
        file("certificates.bin", certificates)?;
    }
    let lines: String = identity.host_keys.iter().map(|key| format!("{}\n", key.line)).collect();
    file("ssh_host_keys", lines.as_bytes())?;
    file("receipt", receipt.as_str().as_bytes())?;
    file("evidence.json", json(identity, report, source, receipt).as_bytes())
}

/// The same in one file, for programs. Nothing in it needs escaping: names of
/// this program, hexadecimal and base64.
fn json(identity: &Identity, report: &RawReport, source: &str, receipt: &Receipt) -> String {
    let keys: Vec<String> =
        identity.host_keys.iter().map(|key| format!("\"{}\"", key.line)).collect();
    let certificates = match &report.certificates {
        Some(table) => format!("\"{}\"", hex::encode(table)),
        None => "null".to_owned(),
    };
    format!(
        "{{\"kind\":\"boot-evidence\",\"format\":1,\"role\":\"boot\",\"source\":\"{source}\",\
         \"ssh_host_keys\":[{}],\"receipt_head\":\"{}\",\"report\":\"{}\",\"certificates\":{certificates}}}\n",
        keys.join(","),
        hex::encode(receipt.head()),
        hex::encode(report.report.as_slice()),
    )
}

/// A second report in SNPGuard's form: REPORT_DATA is SHA-256 of the ecdsa host
/// key's blob and 32 zeros, which is what its `verify_report` compares. False if
/// there is no such key, because the root has no `/etc/ssh`.
fn snpguard_report(
    platform: &impl Platform,
    identity: &Identity,
    guest: &Guest,
    until: Duration,
) -> Result<bool, Failure> {
    // Whatever the image has in its place is not of this boot.
    let path: PathBuf = Path::new(layout::SYSROOT).join(SNPGUARD_REPORT);
    if kind(platform, &path)?.is_some() {
        platform.remove_file(&path).map_err(failure::path("removing", &path))?;
    }
    let ecdsa = identity.host_keys.iter().find(|key| key.is_ecdsa_p256());
    let Some(key) = ecdsa else {
        let line = "evidence: no ecdsa-p256 host key was made, so no /etc/report.json either";
        log(platform, Level::Error, line);
        return Ok(false);
    };
    let mut data = [0; 64];
    for (to, from) in data.iter_mut().zip(Sha256::digest(&key.blob)) {
        *to = from;
    }
    let report = report(platform, &data, guest, until)?;
    let text = snpguard::json(&report.report);
    platform.create_file(&path, 0o444, text.as_bytes()).map_err(failure::path("making", &path))?;
    Ok(true)
}
