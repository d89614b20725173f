//! Reports from the secure processor, as a program of the guest's gets them.

use std::fs;
use std::io;
use std::path::Path;

use sev::firmware::guest::{DerivedKey, Firmware, GuestFieldSelect};

const REPORTS: &str = "/sys/kernel/config/tsm/report";

/// By configfs-tsm: the generation before and after, and both blobs.
pub(crate) fn tsm(byte: u8) -> io::Result<String> {
    let directory = Path::new(REPORTS).join("probe");
    fs::create_dir(&directory)?;
    let result = tsm_in(&directory, byte);
    fs::remove_dir(&directory)?;
    result
}

fn tsm_in(directory: &Path, byte: u8) -> io::Result<String> {
    let text = |name: &str| fs::read_to_string(directory.join(name));
    fs::write(directory.join("inblob"), [byte; 64])?;
    let before = text("generation")?;
    let report = fs::read(directory.join("outblob"))?;
    let certificates = fs::read(directory.join("auxblob"))?;
    let after = text("generation")?;
    Ok(format!(
        "{} {} {} {} {}",
        text("provider")?.trim(),
        before.trim(),
        after.trim(),
        hex::encode(report),
        hex::encode(certificates)
    ))
}

/// By `/dev/sev-guest`: the report, and how many certificates come with it.
pub(crate) fn device(byte: u8) -> io::Result<String> {
    let mut device = Firmware::open()?;
    let report = device.get_report(None, Some([byte; 64]), Some(0)).map_err(io::Error::other)?;
    let extended =
        device.get_ext_report(None, Some([byte; 64]), Some(0)).map_err(io::Error::other)?;
    let (again, certificates) = extended;
    let certificates = certificates.unwrap_or_default();
    let kinds: Vec<String> =
        certificates.iter().map(|entry| format!("{:?}", entry.cert_type)).collect();
    Ok(format!("{} {} {}", hex::encode(report), hex::encode(again), kinds.join("+")))
}

/// A derived key that depends on these fields (GUEST_FIELD_SELECT).
pub(crate) fn key(fields: u8) -> io::Result<String> {
    let request = DerivedKey::new(false, GuestFieldSelect(fields.into()), 0, 0, 0, None);
    let key = Firmware::open()?.get_derived_key(Some(1), request).map_err(io::Error::other)?;
    Ok(hex::encode(key))
}
