//! Attestation reports as PID 1 gets them: what a source answers, and the few
//! things that are looked at before a report is passed on.
//!
//! **Threat.** A report comes from the secure processor, encrypted for this
//! guest (AMD 56860, MSG_REPORT_RSP), through a host that can delay or drop it,
//! and through kernel interfaces that another program of this guest may use at
//! the same time. PID 1 verifies no signature: that is the owner's part. It
//! makes sure that what it leaves behind answers what it asked.

use std::io;
use std::sync::{Arc, OnceLock};

use protocol::report_data;
use protocol::responder::REPORT;

/// Offsets in ATTESTATION_REPORT (56860, section 7.3): VERSION, REPORT_DATA,
/// REPORT_ID.
const VERSION: usize = 0x00;
const REPORT_DATA: usize = 0x50;
const REPORT_ID: usize = 0x140;

/// The versions of the report that the owner's side reads.
const KNOWN_VERSIONS: std::ops::RangeInclusive<u32> = 2..=5;

/// A report that answers what was asked, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawReport {
    /// ATTESTATION_REPORT.
    pub report: Box<[u8; REPORT]>,
    /// The host's certificate table, where the source gives it and it is not
    /// too large.
    pub certificates: Option<Vec<u8>>,
}

impl RawReport {
    /// Takes a source's answer to `asked`.
    ///
    /// # Errors
    /// [`ReportError::Length`], [`ReportError::Version`], [`ReportError::OtherData`].
    pub fn check(
        answer: &[u8],
        certificates: Option<Vec<u8>>,
        asked: &[u8; report_data::LENGTH],
    ) -> Result<Self, ReportError> {
        let report: Box<[u8; REPORT]> = Box::new(
            answer.try_into().map_err(|_err| ReportError::Length { found: answer.len() })?,
        );
        let version = u32::from_le_bytes(field(&report, VERSION));
        if !KNOWN_VERSIONS.contains(&version) {
            return Err(ReportError::Version { found: version });
        }
        if field::<{ report_data::LENGTH }>(&report, REPORT_DATA) != *asked {
            return Err(ReportError::OtherData);
        }
        Ok(Self { report, certificates })
    }

    /// REPORT_ID: the same for all of one guest's life.
    #[must_use]
    pub fn report_id(&self) -> [u8; 32] {
        field(&self.report, REPORT_ID)
    }
}

/// Whose reports these are: REPORT_ID of the first of this boot, whoever asked for it.
#[derive(Debug, Clone, Default)]
pub struct Guest(Arc<OnceLock<[u8; 32]>>);

impl Guest {
    /// Takes a report of this guest.
    ///
    /// # Errors
    /// [`ReportError::OtherGuest`].
    pub fn admit(&self, report: RawReport) -> Result<RawReport, ReportError> {
        if *self.0.get_or_init(|| report.report_id()) == report.report_id() {
            Ok(report)
        } else {
            Err(ReportError::OtherGuest)
        }
    }
}

/// A field of the report; zeros past its end, where no field is.
fn field<const N: usize>(report: &[u8; REPORT], offset: usize) -> [u8; N] {
    report.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// None of the sources that the configuration allows is there.
    #[error("no source of attestation reports: {looked_at}")]
    NoSource {
        /// What was looked at, and what was found there.
        looked_at: String,
    },
    /// A system call on the source failed.
    #[error("{action} of the report source")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// configfs-tsm speaks for another technology.
    #[error("the report source is {found:?}, not sev_guest")]
    Provider {
        /// Its name, cut.
        found: String,
    },
    /// The secure processor or the kernel's driver refused.
    #[error("the secure processor gives no report: {0}")]
    Device(String),
    /// The same for a derived key.
    #[error("the secure processor derives no key: {0}")]
    DerivedKey(String),
    /// No answer in time.
    #[error("no report within {deadline}")]
    Deadline {
        /// How long was waited.
        deadline: String,
    },
    /// Not the length of a report.
    #[error("the report has {found} bytes instead of {REPORT}")]
    Length {
        /// What came.
        found: usize,
    },
    /// A version that no verifier of this project reads.
    #[error("the report has version {found}; known are 2 to 5")]
    Version {
        /// What it says.
        found: u32,
    },
    /// It answers another question.
    #[error("the report's REPORT_DATA is not what was asked for: another question's answer")]
    OtherData,
    /// Two reports of this boot name two guests.
    #[error("the report's REPORT_ID changed within one boot: another guest's report")]
    OtherGuest,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report that answers `asked`, by nobody.
    pub(crate) fn report(asked: &[u8; 64]) -> Vec<u8> {
        let mut report = vec![0; REPORT];
        report[VERSION] = 3;
        report[REPORT_DATA..REPORT_DATA + 64].copy_from_slice(asked);
        report[REPORT_ID..REPORT_ID + 32].fill(0x1d);
        report
    }

    #[test]
    fn a_report_that_answers_is_taken() {
        let asked = [7; 64];
        let taken = RawReport::check(&report(&asked), Some(vec![1]), &asked).unwrap();
        assert_eq!(taken.report.as_slice(), report(&asked));
        assert_eq!(taken.report_id(), [0x1d; 32]);
    }

    #[test]
    fn all_reports_of_a_boot_are_of_one_guest() {
        let taken = |first: u8| {
            let mut answer = report(&[7; 64]);
            answer[REPORT_ID] = first;
            RawReport::check(&answer, None, &[7; 64]).unwrap()
        };
        let guest = Guest::default();
        assert!(guest.admit(taken(1)).is_ok());
        // Of a thread of its own, too.
        let other = guest.clone();
        let refused = std::thread::spawn(move || other.admit(taken(2))).join().unwrap();
        assert!(matches!(refused, Err(ReportError::OtherGuest)));
        assert!(guest.admit(taken(1)).is_ok());
    }

    #[test]
    fn every_other_answer_is_refused_by_name() {
        let asked = [7; 64];
        let check = |bytes: &[u8]| RawReport::check(bytes, None, &asked).unwrap_err();
        let good = report(&asked);
        assert!(matches!(check(&good[..REPORT - 1]), ReportError::Length { found: 1183 }));
        assert!(matches!(check(&[good.clone(), vec![0]].concat()), ReportError::Length { .. }));
        assert!(matches!(check(b""), ReportError::Length { found: 0 }));
        for version in [0, 1, 6, 99] {
            let mut other = good.clone();
            other[0] = version;
            assert!(matches!(check(&other), ReportError::Version { .. }), "{version}");
        }
        for index in [REPORT_DATA, REPORT_DATA + 63] {
            let mut other = good.clone();
            other[index] ^= 1;
            assert!(matches!(check(&other), ReportError::OtherData), "{index}");
        }
    }
}
