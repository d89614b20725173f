//! vCPU types: QEMU's CPU models, or a CPUID signature.
//!
//! QEMU puts the signature of the vCPU's model (CPUID Fn0000_0001_EAX; AMD
//! 25481, "Family, Model, Stepping Identifiers") in RDX at reset, and RDX is in
//! the measured initial state of every vCPU. It is the *model's* signature, not
//! that of the processor the VM runs on. All versions of one model share it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text or numbers that name no vCPU type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CpuError {
    /// Not a model that QEMU has.
    #[error(
        "'{0}' is no vCPU type; use one of QEMU's models ({names}), a signature (0x00a00f11) or \
         FAMILY/MODEL/STEPPING (25/1/1)", names = known_names()
    )]
    Unknown(String),
    /// A model that is whatever the host is.
    #[error(
        "with -cpu {0} the measurement depends on the host's processor; start the VM with a named \
         model (EPYC-v4, for one), or give the host's FAMILY/MODEL/STEPPING"
    )]
    HostDependent(String),
    /// A family, model or stepping that a signature has no room for.
    #[error("a {field} of {value} does not fit in a CPU signature; the largest is {max}")]
    OutOfRange {
        /// Which of the three.
        field: &'static str,
        /// Its value.
        value: u32,
        /// The largest that fits.
        max: u32,
    },
}

/// A CPUID signature: family, model and stepping as in CPUID Fn0000_0001_EAX.
///
/// | bits | field |
/// |---|---|
/// | 3:0 | stepping |
/// | 7:4 | model, low half |
/// | 11:8 | base family |
/// | 19:16 | model, high half |
/// | 27:20 | extended family, added to a base family of 15 |
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuSignature(u32);

impl CpuSignature {
    /// The signature with this value; all are accepted.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The signature of a processor.
    ///
    /// # Errors
    /// A family above 270, a model above 255 or a stepping above 15.
    pub fn from_family(family: u32, model: u32, stepping: u32) -> Result<Self, CpuError> {
        let limits = [("family", family, 270), ("model", model, 255), ("stepping", stepping, 15)];
        for (field, value, max) in limits {
            if value > max {
                return Err(CpuError::OutOfRange { field, value, max });
            }
        }
        Ok(Self::encode(family, model, stepping))
    }

    const fn encode(family: u32, model: u32, stepping: u32) -> Self {
        let (base, extended) = if family > 15 { (15, family - 15) } else { (family, 0) };
        Self(extended << 20 | (model >> 4) << 16 | base << 8 | (model & 15) << 4 | stepping)
    }

    /// Its value.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// Family, model and stepping.
    #[must_use]
    pub const fn family_model_stepping(self) -> (u32, u32, u32) {
        let base = self.0 >> 8 & 15;
        let family = if base == 15 { 15 + (self.0 >> 20 & 255) } else { base };
        (family, (self.0 >> 16 & 15) << 4 | self.0 >> 4 & 15, self.0 & 15)
    }

    /// The models of QEMU that have this signature, in version order.
    pub fn models(self) -> impl Iterator<Item = &'static QemuModel> {
        MODELS.iter().filter(move |model| model.signature == self)
    }
}

/// As `0x00a00f11`.
impl fmt::Display for CpuSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl fmt::Debug for CpuSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSignature({self})")
    }
}

/// A CPU model of QEMU on which an SEV-SNP guest can run.
#[derive(Debug, PartialEq, Eq)]
pub struct QemuModel {
    name: &'static str,
    signature: CpuSignature,
}

impl QemuModel {
    /// All that QEMU 10.2 has, and EPYC-Turin-v2, which the `sev` crate knows.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &MODELS
    }

    /// Its name on QEMU's command line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The signature that its vCPUs have.
    #[must_use]
    pub const fn signature(&self) -> CpuSignature {
        self.signature
    }
}

const NAPLES: CpuSignature = CpuSignature::encode(23, 1, 2);
const ROME: CpuSignature = CpuSignature::encode(23, 49, 0);
const MILAN: CpuSignature = CpuSignature::encode(25, 1, 1);
const GENOA: CpuSignature = CpuSignature::encode(25, 17, 0);
const TURIN: CpuSignature = CpuSignature::encode(26, 0, 0);

const fn model(name: &'static str, signature: CpuSignature) -> QemuModel {
    QemuModel { name, signature }
}

static MODELS: [QemuModel; 23] = [
    model("EPYC", NAPLES),
    model("EPYC-v1", NAPLES),
    model("EPYC-v2", NAPLES),
    model("EPYC-IBPB", NAPLES),
    model("EPYC-v3", NAPLES),
    model("EPYC-v4", NAPLES),
    model("EPYC-v5", NAPLES),
    model("EPYC-Rome", ROME),
    model("EPYC-Rome-v1", ROME),
    model("EPYC-Rome-v2", ROME),
    model("EPYC-Rome-v3", ROME),
    model("EPYC-Rome-v4", ROME),
    model("EPYC-Rome-v5", ROME),
    model("EPYC-Milan", MILAN),
    model("EPYC-Milan-v1", MILAN),
    model("EPYC-Milan-v2", MILAN),
    model("EPYC-Milan-v3", MILAN),
    model("EPYC-Genoa", GENOA),
    model("EPYC-Genoa-v1", GENOA),
    model("EPYC-Genoa-v2", GENOA),
    model("EPYC-Turin", TURIN),
    model("EPYC-Turin-v1", TURIN),
    model("EPYC-Turin-v2", TURIN),
];

fn known_names() -> String {
    MODELS.iter().map(QemuModel::name).collect::<Vec<_>>().join(", ")
}

/// A vCPU type: a model by name, or a signature.
///
/// As text: a model's name (`EPYC-Milan-v2`), a signature (`0x00a00f11`), or
/// on input also `FAMILY/MODEL/STEPPING` (`25/1/1`), each number decimal or with
/// a leading `0x`. Names are accepted in any case and kept as QEMU writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuType {
    /// One of QEMU's models.
    Model(&'static QemuModel),
    /// A signature.
    Signature(CpuSignature),
}

impl CpuType {
    /// The signature that is measured.
    #[must_use]
    pub const fn signature(&self) -> CpuSignature {
        match self {
            Self::Model(model) => model.signature,
            Self::Signature(signature) => *signature,
        }
    }
}

impl From<CpuSignature> for CpuType {
    fn from(signature: CpuSignature) -> Self {
        Self::Signature(signature)
    }
}

impl FromStr for CpuType {
    type Err = CpuError;

    fn from_str(text: &str) -> Result<Self, CpuError> {
        if let Some(model) = MODELS.iter().find(|model| model.name.eq_ignore_ascii_case(text)) {
            return Ok(Self::Model(model));
        }
        if ["host", "max", "base"].contains(&text) {
            return Err(CpuError::HostDependent(text.to_owned()));
        }
        let unknown = || CpuError::Unknown(text.to_owned());
        let numbers: Option<Vec<u32>> = text.split('/').map(number).collect();
        match numbers.as_deref() {
            Some([signature]) => Ok(Self::Signature(CpuSignature(*signature))),
            Some([family, model, stepping]) => {
                CpuSignature::from_family(*family, *model, *stepping).map(Self::Signature)
            }
            _ => Err(unknown()),
        }
    }
}

/// Digits only, decimal or after `0x`; no sign.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
    u32::from_str_radix(digits, radix).ok()
}

impl fmt::Display for CpuType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(model) => f.pad(model.name),
            Self::Signature(signature) => f.pad(&signature.to_string()),
        }
    }
}

impl Serialize for CpuType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CpuType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(text: &str) -> u32 {
        text.parse::<CpuType>().unwrap().signature().value()
    }

    #[test]
    fn models_have_their_signatures() {
        assert_eq!(signature("EPYC"), 0x0080_0f12);
        assert_eq!(signature("EPYC-v4"), 0x0080_0f12);
        assert_eq!(signature("epyc-ibpb"), 0x0080_0f12);
        assert_eq!(signature("EPYC-Rome-v4"), 0x0083_0f10);
        assert_eq!(signature("EPYC-Milan-v2"), 0x00a0_0f11);
        assert_eq!(signature("EPYC-Genoa"), 0x00a1_0f10);
        assert_eq!(signature("EPYC-Turin-v1"), 0x00b0_0f00);
    }

    #[test]
    fn the_sev_crate_agrees() {
        for model in QemuModel::all() {
            let Ok(theirs) = sev::measurement::vcpu_types::CpuType::try_from(model.name) else {
                assert!(
                    ["EPYC-v5", "EPYC-Rome-v4", "EPYC-Rome-v5", "EPYC-Milan-v3", "EPYC-Genoa-v2"]
                        .contains(&model.name)
                );
                continue;
            };
            assert_eq!(i64::from(model.signature.0), i64::from(theirs.sig()), "{}", model.name);
        }
        for (family, model, stepping) in [(6, 0, 0), (15, 255, 15), (23, 49, 0), (270, 1, 7)] {
            let ours = CpuSignature::from_family(family, model, stepping).unwrap();
            let theirs = sev::measurement::vcpu_types::cpu_sig(
                i32::try_from(family).unwrap(),
                i32::try_from(model).unwrap(),
                i32::try_from(stepping).unwrap(),
            );
            assert_eq!(i64::from(ours.0), i64::from(theirs));
            assert_eq!(ours.family_model_stepping(), (family, model, stepping));
        }
    }

    #[test]
    fn numbers_are_signatures() {
        assert_eq!(signature("0x800f12"), 0x0080_0f12);
        assert_eq!(signature("8392466"), 0x0080_0f12);
        assert_eq!(signature("25/1/1"), 0x00a0_0f11);
        assert_eq!(signature("0x19/0x11/0"), 0x00a1_0f10);
        assert_eq!("0x00a00f11".parse::<CpuType>().unwrap().to_string(), "0x00a00f11");
        assert_eq!("EPYC-MILAN".parse::<CpuType>().unwrap().to_string(), "EPYC-Milan");
    }

    #[test]
    fn the_rest_is_refused_with_a_remedy() {
        for text in
            ["", "EPYC-v99", "Skylake", "25/1", "25/1/1/1", "-1", "+1", "0x", "1e", "0x1ffffffff"]
        {
            let error = text.parse::<CpuType>().unwrap_err();
            assert!(matches!(error, CpuError::Unknown(_)), "{text}: {error}");
            assert!(error.to_string().contains("EPYC-Turin"));
        }
        assert!(matches!("host".parse::<CpuType>(), Err(CpuError::HostDependent(_))));
        for (text, field) in [("271/0/0", "family"), ("25/256/0", "model"), ("25/1/16", "stepping")]
        {
            let error = text.parse::<CpuType>().unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
