//! Faults on request: what a host, or a fault in the guest's surroundings,
//! could do to evidence, for tests of what notices it.

use std::str::FromStr;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The host throttles: no report, "busy".
    Busy,
    /// A report with another REPORT_DATA than was asked for.
    WrongNonce,
    /// The first report again, whatever is asked for.
    StaleReport,
    /// A report cut off in its middle.
    Truncated,
    /// A report of another VM: its REPORT_ID and MEASUREMENT.
    OtherVm,
    /// Something else changes the report's inputs while it is read.
    Generation,
}

impl FaultKind {
    const ALL: [(&'static str, Self); 6] = [
        ("busy", Self::Busy),
        ("wrong-nonce", Self::WrongNonce),
        ("stale-report", Self::StaleReport),
        ("truncated", Self::Truncated),
        ("other-vm", Self::OtherVm),
        ("generation", Self::Generation),
    ];
}

/// A fault and the reports that it befalls, counted from 1 for each VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    first: u32,
    last: u32,
}

impl Fault {
    /// Whether it befalls this report.
    #[must_use]
    pub fn befalls(&self, report: u32) -> bool {
        (self.first..=self.last).contains(&report)
    }
}

/// Text that names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no fault; there are {names}, alone or with the reports that they befall: busy@2, \
     busy@2-3",
    names = FaultKind::ALL.map(|(name, _)| name).join(", ")
)]
pub struct FaultError(String);

impl FromStr for Fault {
    type Err = FaultError;

    /// `NAME`, `NAME@FIRST` or `NAME@FIRST-LAST`.
    fn from_str(text: &str) -> Result<Self, FaultError> {
        let wrong = || FaultError(text.to_owned());
        let (name, range) = match text.split_once('@') {
            Some((name, range)) => (name, Some(range)),
            None => (text, None),
        };
        let kind = FaultKind::ALL.iter().find(|(known, _)| *known == name);
        let (_, kind) = kind.ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<u32>().map_err(|_no_number| wrong());
        let (first, last) = match range.map(|range| range.split_once('-').ok_or(range)) {
            None => (1, u32::MAX),
            Some(Err(first)) => (number(first)?, u32::MAX),
            Some(Ok((first, last))) => (number(first)?, number(last)?),
        };
        if first == 0 || first > last {
            return Err(wrong());
        }
        Ok(Self { kind: *kind, first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ranges() {
        let fault: Fault = "busy@2-3".parse().unwrap();
        assert_eq!(fault.kind, FaultKind::Busy);
        assert_eq!([1, 2, 3, 4].map(|n| fault.befalls(n)), [false, true, true, false]);
        assert!("wrong-nonce@2".parse::<Fault>().unwrap().befalls(9));
        assert!("generation".parse::<Fault>().unwrap().befalls(1));
        for bad in ["", "busy@", "busy@0", "busy@3-2", "busy@x", "late", "Busy"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }
}
