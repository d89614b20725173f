//! Why bytes are no report.

use super::layout::LENGTH;

/// Why bytes are not an attestation report, or no wrapping that is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Not 1184 bytes.
    #[error("a report has exactly {LENGTH} bytes, this has {found}{}", length_hint(*.found))]
    Length {
        /// Bytes given.
        found: usize,
    },
    /// A version this crate does not know; the rest was not read.
    #[error(
        "report version {found} is not known; versions 2 to 5 are (a newer Ravelin may know it)"
    )]
    Version {
        /// VERSION.
        found: u32,
    },
    /// A file that is none of the forms in which reports come.
    #[error(
        "{found} bytes that are no report in any known form: the bare {LENGTH} bytes, a \
         MSG_REPORT_RSP of /dev/sev-guest, an Azure HCL blob, or SNPGuard's JSON"
    )]
    UnknownForm {
        /// Bytes given.
        found: usize,
    },
    /// A file too large to be a report in any form.
    #[error("{found} bytes are too many for a report in any form; at most {limit} are read")]
    TooLarge {
        /// Bytes given.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The firmware answered with an error instead of a report.
    #[error("the secure processor answered with status {status:#x} instead of a report")]
    ResponseStatus {
        /// STATUS of MSG_REPORT_RSP.
        status: u32,
    },
    /// MSG_REPORT_RSP announces a report of another length.
    #[error("the response announces a report of {found} bytes instead of {LENGTH}")]
    ResponseSize {
        /// REPORT_SIZE of MSG_REPORT_RSP.
        found: u32,
    },
    /// Bytes that must be zero in or after MSG_REPORT_RSP are not.
    #[error("byte {offset:#x} of the response is not zero, but reserved or padding")]
    ResponseReserved {
        /// Offset from the response's start.
        offset: usize,
    },
    /// A wrapping that ends before it is complete.
    #[error("{container} of {found} bytes ends too early: at least {needed} are needed")]
    Truncated {
        /// Which wrapping.
        container: &'static str,
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        found: usize,
    },
    /// An HCL blob that holds something other than an SNP report.
    #[error("the HCL blob holds a report of type {found}; SEV-SNP's is 2")]
    HclType {
        /// The report type of its request data.
        found: u32,
    },
    /// Text that is not SNPGuard's JSON.
    #[error("this is not SNPGuard's report JSON")]
    SnpguardJson(#[source] serde_json::Error),
    /// A byte array of SNPGuard's JSON has the wrong length.
    #[error("field {field} of SNPGuard's report JSON has {found} bytes instead of {expected}")]
    SnpguardField {
        /// The field's name.
        field: &'static str,
        /// Bytes wanted.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
}

impl ReportError {
    /// A stable name for this error, for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Length { .. } => "report.length",
            Self::Version { .. } => "report.version",
            Self::UnknownForm { .. } => "report.form",
            Self::TooLarge { .. } => "report.too-large",
            Self::ResponseStatus { .. } => "report.response-status",
            Self::ResponseSize { .. } => "report.response-size",
            Self::ResponseReserved { .. } => "report.response-reserved",
            Self::Truncated { .. } => "report.truncated",
            Self::HclType { .. } => "report.hcl-type",
            Self::SnpguardJson(_) => "report.snpguard-json",
            Self::SnpguardField { .. } => "report.snpguard-field",
        }
    }
}

/// What a wrong length suggests.
const fn length_hint(found: usize) -> &'static str {
    if found == LENGTH + 32 {
        "; the 32 bytes too many are likely MSG_REPORT_RSP's header"
    } else {
        ""
    }
}
