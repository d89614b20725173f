//! What `attest` keeps: evidence and verdict in a directory, a pinned VM in a
//! file. Each file appears whole or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use attestation::verify::Verdict;
use image_builder::output::{Output, commit_all};
use serde::Serialize;

use super::target::Attested;
use crate::attest::instance::Instance;
use crate::evidence;
use crate::failure::{Failure, Remedy, Result};

/// Writes the evidence, and the verdict last.
pub(super) fn store(directory: &Path, attested: &Attested, verdict: &impl Serialize) -> Result<()> {
    fs::create_dir_all(directory)
        .map_err(|error| Failure::new(error).named(directory))
        .remedy("name a directory that can be made or written to with --output")?;
    let mut outputs = vec![
        written(&directory.join("report.bin"), attested.evidence.report.as_slice())?,
        written(&directory.join("evidence.bin"), &attested.evidence.encode())?,
        written(&directory.join("nonce"), &attested.nonce)?,
    ];
    let certificates = directory.join("certificates.bin");
    match &attested.evidence.certificates {
        Some(table) => outputs.push(written(&certificates, table)?),
        // Those of an earlier answer do not belong to this one.
        None => match fs::remove_file(&certificates) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::new(error).named(&certificates));
            }
            Ok(()) | Err(_) => {}
        },
    }
    let mut json = serde_json::to_vec_pretty(verdict)?;
    json.push(b'\n');
    outputs.push(written(&directory.join("verdict.json"), &json)?);
    Ok(commit_all(outputs)?)
}

/// Pins an accepted VM. Another one that the file pins already stays.
pub(super) fn pin(path: &Path, verdict: &Verdict, chip: bool) -> Result<()> {
    let identity = verdict.identity();
    if chip && identity.chip_id.is_zero() {
        return Err(Failure::refused("the report does not say which processor made it")
            .help("the host masks CHIP_ID, or a VLEK signed: leave --pin-chip out"));
    }
    let mut pin =
        Instance { report_id: identity.report_id, chip_id: chip.then_some(identity.chip_id) };
    if path.exists() {
        let before = Instance::parse(&evidence::text(path)?).map_err(|error| {
            let error = crate::terminal::causes(&error);
            Failure::new(error).named(path)
        });
        let before = before.remedy("--pin does not replace a file that it did not write")?;
        if before.report_id != pin.report_id {
            return Err(Failure::refused(format!(
                "{} pins the VM {}, and this one is {}",
                path.display(),
                before.report_id,
                pin.report_id
            ))
            .help("a restarted VM is another one; to pin it, remove the file first"));
        }
        // Never looser than before.
        pin.chip_id = pin.chip_id.or(before.chip_id);
    }
    Ok(written(path, pin.to_string().as_bytes())?.commit()?)
}

fn written(path: &Path, bytes: &[u8]) -> Result<Output> {
    let output = Output::create(path)?;
    output.file().write_all(bytes).map_err(|error| Failure::new(error).named(path))?;
    Ok(output)
}
