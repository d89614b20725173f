//! The file that pins one VM: a policy that has `[instance]` and nothing else.
//!
//! VMs of one image are interchangeable to a policy of measurements. REPORT_ID
//! (AMD 56860, ATTESTATION_REPORT) is chosen by the secure processor at launch
//! and stays until the VM ends: with it pinned, the host cannot lead a
//! connection to another VM of the owner's, and a restarted VM is another one.

use std::fmt;

use attestation::policy::{Policy, PolicyError};
use attestation::report::Hex;

/// One VM, and if wanted one processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance {
    /// REPORT_ID.
    pub report_id: Hex<32>,
    /// CHIP_ID.
    pub chip_id: Option<Hex<64>>,
}

/// Why a file pins no VM, or not together with a policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// Not TOML of that form.
    #[error("not a file that pins a VM")]
    Policy(#[from] PolicyError),
    /// No REPORT_ID.
    #[error("it names no `report_id` under [instance]")]
    NoReportId,
    /// Other rules than the instance: they would be ignored.
    #[error("it has other rules than [instance]; give it as --policy")]
    MoreThanInstance,
    /// The policy pins another VM.
    #[error("the policy pins the {what} {policy} and this file {file}; no VM could satisfy both")]
    Contradiction {
        /// `REPORT_ID` or `CHIP_ID`.
        what: &'static str,
        /// The policy's.
        policy: String,
        /// The file's.
        file: String,
    },
}

impl Instance {
    /// Reads what [`Instance`]'s `Display` wrote.
    ///
    /// # Errors
    /// If it pins no VM, or has other rules too.
    pub fn parse(text: &str) -> Result<Self, InstanceError> {
        let mut policy = Policy::parse(text)?;
        let report_id = policy.report_id.take().ok_or(InstanceError::NoReportId)?;
        let chip_id = policy.chip_id.take();
        if policy != Policy::default() {
            return Err(InstanceError::MoreThanInstance);
        }
        Ok(Self { report_id, chip_id })
    }

    /// Makes a policy pin this VM.
    ///
    /// # Errors
    /// [`InstanceError::Contradiction`].
    pub fn pin(&self, policy: &mut Policy) -> Result<(), InstanceError> {
        set("REPORT_ID", &mut policy.report_id, self.report_id)?;
        self.chip_id.map_or(Ok(()), |chip| set("CHIP_ID", &mut policy.chip_id, chip))
    }
}

fn set<const N: usize>(
    what: &'static str,
    rule: &mut Option<Hex<N>>,
    value: Hex<N>,
) -> Result<(), InstanceError> {
    if let Some(policy) = rule.filter(|policy| *policy != value) {
        let (policy, file) = (policy.to_string(), value.to_string());
        return Err(InstanceError::Contradiction { what, policy, file });
    }
    *rule = Some(value);
    Ok(())
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# One VM, until it ends; written by `ravelin attest --pin` or `ravelin unlock`."
        )?;
        writeln!(f, "[instance]\nreport_id = \"{}\"", self.report_id)?;
        self.chip_id.map_or(Ok(()), |chip| writeln!(f, "chip_id = \"{chip}\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_come_back_and_narrow() {
        for chip_id in [None, Some(Hex([7; 64]))] {
            let pin = Instance { report_id: Hex([3; 32]), chip_id };
            assert_eq!(Instance::parse(&pin.to_string()).unwrap(), pin);
            let mut policy = Policy::default();
            pin.pin(&mut policy).unwrap();
            pin.pin(&mut policy).unwrap();
            assert_eq!((policy.report_id, policy.chip_id), (Some(Hex([3; 32])), chip_id));
            let other = Instance { report_id: Hex([4; 32]), chip_id: None };
            assert!(matches!(other.pin(&mut policy), Err(InstanceError::Contradiction { .. })));
        }
        assert!(matches!(Instance::parse(""), Err(InstanceError::NoReportId)));
        let more = format!("vmpl = 1\n[instance]\nreport_id = \"{}\"", "00".repeat(32));
        assert!(matches!(Instance::parse(&more), Err(InstanceError::MoreThanInstance)));
        assert!(matches!(Instance::parse("[instance"), Err(InstanceError::Policy(_))));
    }
}
