//! SNPGuard's `report.json`: the structure of `sev` 4.0.0, in which a byte
//! array is an array of integers.
//!
//! Its fields stand in the order of the report's bytes and cover them all
//! (`_author_key_en` is the whole flags word, `_reserved_1` holds the CPUID
//! bytes of newer versions, `_reserved_4` the mitigation vectors), so that
//! writing them one after another gives back the signed report.

use serde::Deserialize;

use super::{LENGTH, Report, ReportError};

/// Rebuilds the report's bytes and parses them.
pub(super) fn parse(json: &[u8]) -> Result<Report, ReportError> {
    let raw: Raw = serde_json::from_slice(json).map_err(ReportError::SnpguardJson)?;
    Report::parse(&raw.to_bytes()?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    version: u32,
    guest_svn: u32,
    policy: u64,
    family_id: Vec<u8>,
    image_id: Vec<u8>,
    vmpl: u32,
    sig_algo: u32,
    current_tcb: RawTcb,
    plat_info: u64,
    _author_key_en: u32,
    _reserved_0: u32,
    report_data: Vec<u8>,
    measurement: Vec<u8>,
    host_data: Vec<u8>,
    id_key_digest: Vec<u8>,
    author_key_digest: Vec<u8>,
    report_id: Vec<u8>,
    report_id_ma: Vec<u8>,
    reported_tcb: RawTcb,
    _reserved_1: Vec<u8>,
    chip_id: Vec<u8>,
    committed_tcb: RawTcb,
    current_build: u8,
    current_minor: u8,
    current_major: u8,
    _reserved_2: u8,
    committed_build: u8,
    committed_minor: u8,
    committed_major: u8,
    _reserved_3: u8,
    launch_tcb: RawTcb,
    _reserved_4: Vec<u8>,
    signature: RawSignature,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTcb {
    bootloader: u8,
    tee: u8,
    _reserved: [u8; 4],
    snp: u8,
    microcode: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignature {
    r: Vec<u8>,
    s: Vec<u8>,
    _reserved: Vec<u8>,
}

impl Raw {
    fn to_bytes(&self) -> Result<Vec<u8>, ReportError> {
        let mut out = Vec::with_capacity(LENGTH);
        out.extend(self.version.to_le_bytes());
        out.extend(self.guest_svn.to_le_bytes());
        out.extend(self.policy.to_le_bytes());
        out.extend(sized("family_id", &self.family_id, 16)?);
        out.extend(sized("image_id", &self.image_id, 16)?);
        out.extend(self.vmpl.to_le_bytes());
        out.extend(self.sig_algo.to_le_bytes());
        out.extend(self.current_tcb.to_bytes());
        out.extend(self.plat_info.to_le_bytes());
        out.extend(self._author_key_en.to_le_bytes());
        out.extend(self._reserved_0.to_le_bytes());
        out.extend(sized("report_data", &self.report_data, 64)?);
        out.extend(sized("measurement", &self.measurement, 48)?);
        out.extend(sized("host_data", &self.host_data, 32)?);
        out.extend(sized("id_key_digest", &self.id_key_digest, 48)?);
        out.extend(sized("author_key_digest", &self.author_key_digest, 48)?);
        out.extend(sized("report_id", &self.report_id, 32)?);
        out.extend(sized("report_id_ma", &self.report_id_ma, 32)?);
        out.extend(self.reported_tcb.to_bytes());
        out.extend(sized("_reserved_1", &self._reserved_1, 24)?);
        out.extend(sized("chip_id", &self.chip_id, 64)?);
        out.extend(self.committed_tcb.to_bytes());
        out.extend([self.current_build, self.current_minor, self.current_major, self._reserved_2]);
        out.extend([self.committed_build, self.committed_minor, self.committed_major]);
        out.push(self._reserved_3);
        out.extend(self.launch_tcb.to_bytes());
        out.extend(sized("_reserved_4", &self._reserved_4, 168)?);
        out.extend(sized("signature.r", &self.signature.r, 72)?);
        out.extend(sized("signature.s", &self.signature.s, 72)?);
        out.extend(sized("signature._reserved", &self.signature._reserved, 368)?);
        Ok(out)
    }
}

impl RawTcb {
    const fn to_bytes(&self) -> [u8; 8] {
        let [r0, r1, r2, r3] = self._reserved;
        [self.bootloader, self.tee, r0, r1, r2, r3, self.snp, self.microcode]
    }
}

/// The array's bytes, if there are as many as the field has.
fn sized<'a>(
    field: &'static str,
    bytes: &'a [u8],
    expected: usize,
) -> Result<impl Iterator<Item = u8> + use<'a>, ReportError> {
    if bytes.len() == expected {
        Ok(bytes.iter().copied())
    } else {
        Err(ReportError::SnpguardField { field, expected, found: bytes.len() })
    }
}
