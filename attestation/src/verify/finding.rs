//! What failed: a code for scripts, what was expected and found for people,
//! and what to do about it where something can be done.

use std::fmt;

use crate::certificate::ChainError;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// With the certificate chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// With the report.
    #[error(transparent)]
    Report(#[from] Mismatch),
}

impl Finding {
    /// A stable name, for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Chain(error) => error.code(),
            Self::Report(mismatch) => mismatch.code.name(),
        }
    }

    /// What was expected, where the report was compared with something.
    #[must_use]
    pub fn expected(&self) -> Option<&str> {
        match self {
            Self::Chain(_) => None,
            Self::Report(mismatch) => Some(&mismatch.expected),
        }
    }

    /// What was found, where the report was compared with something.
    #[must_use]
    pub fn found(&self) -> Option<&str> {
        match self {
            Self::Chain(_) => None,
            Self::Report(mismatch) => Some(&mismatch.found),
        }
    }
}

/// A field of a report that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// What is wrong.
    pub code: FindingCode,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl Mismatch {
    pub(super) fn new(
        code: FindingCode,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Self { code, expected: expected.to_string(), found: found.to_string() }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, expected, found } = self;
        write!(f, "{}: expected {expected}, found {found}", code.message())?;
        match code.remedy() {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Mismatch {}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal $(, $remedy:literal)?;)*) => {
        /// What can be wrong with a report.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum FindingCode {
            $($(#[$doc])* $name,)*
        }

        impl FindingCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// A stable name, for scripts.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What is wrong, in words.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }

            /// What to do about it, where something can be done.
            #[must_use]
            pub const fn remedy(self) -> Option<&'static str> {
                match self { $(Self::$name => codes!(@remedy $($remedy)?),)* }
            }
        }
    };
    (@remedy) => { None };
    (@remedy $remedy:literal) => { Some($remedy) };
}

codes! {
    /// The chain's root is not AMD's.
    ForeignRoot = "root.not-amd", "the chain ends in a root that is not AMD's",
        "a simulator's; allow it by name with \"simulator-root\", never for a real guest";
    /// No current revocation list, and the policy wants one.
    CrlMissing = "revocation.missing", "no current revocation list of the root was given",
        "fetch the product's CRL from AMD's key service";
    /// SIGNATURE_ALGO is not 1.
    SignatureAlgorithm = "signature.algorithm", "the signature algorithm is unknown";
    /// The signature is all zeros.
    SignatureAbsent = "signature.absent", "the report is not signed",
        "the host withholds the chip's key (MASK_CHIP_KEY); it must load a VLEK or unmask it";
    /// R has bits above 384.
    SignatureROverlong = "signature.r-overlong", "the signature's R has bits above 384";
    /// S has bits above 384.
    SignatureSOverlong = "signature.s-overlong", "the signature's S has bits above 384";
    /// R is zero or not below the group's order.
    SignatureRRange = "signature.r-range", "the signature's R is out of range";
    /// S is zero or not below the group's order.
    SignatureSRange = "signature.s-range", "the signature's S is out of range";
    /// Reserved bytes of the signature.
    SignatureReserved = "signature.reserved", "reserved bytes of the signature are not zero";
    /// The signature does not verify.
    SignatureInvalid = "signature.invalid", "the signature does not verify",
        "the report was changed, or another key signed it: fetch the VCEK for this chip id and \
         reported TCB";
    /// SIGNING_KEY does not fit the leaf.
    SigningKey = "signing-key.mismatch", "the report names another kind of key than signed it";
    /// MASK_CHIP_KEY in a report that a VCEK signed.
    ChipKeyMasked = "signing-key.masked",
        "MASK_CHIP_KEY says that the chip's key is withheld, and yet it signed",
        "unset MASK_CHIP_KEY on the host, or allow it by name with \"masked-chip-id\"";
    /// The policy does not accept this kind of key.
    SigningKeyPolicy = "signer.kind", "the policy does not accept this kind of key";
    /// The policy does not accept this provider.
    CspId = "signer.csp-id", "the policy does not accept this provider's keys";
    /// CPUID names another product than the leaf.
    ProductMismatch = "product.mismatch",
        "the report's processor is of another product than its certificate";
    /// The policy does not accept this product.
    ProductPolicy = "signer.product", "the policy does not accept this product";
    /// REPORTED_TCB is not the leaf's.
    TcbMismatch = "tcb-binding.mismatch", "the certificate is for another TCB version",
        "fetch the VCEK for the report's reported TCB";
    /// CHIP_ID is not the leaf's.
    ChipMismatch = "chip-binding.mismatch", "the certificate is another chip's",
        "fetch the VCEK for the report's chip id";
    /// CHIP_ID is zero.
    ChipMasked = "chip-binding.masked", "the host hides the chip id",
        "unset MASK_CHIP_ID on the host, or allow it by name with \"masked-chip-id\"";
    /// Reserved bytes of the report.
    ReservedBytes = "reserved.bytes", "reserved bytes of the report are not zero",
        "made by a newer firmware; a newer Ravelin may know them, or allow \"unknown-bits\"";
    /// Unknown bits of the flags word.
    ReservedFlags = "reserved.flags", "the flags word has unknown bits",
        "made by a newer firmware; a newer Ravelin may know them, or allow \"unknown-bits\"";
    /// Unknown bits of POLICY.
    ReservedGuestPolicy = "reserved.guest-policy", "the guest policy has unknown bits",
        "made by a newer firmware; a newer Ravelin may know them, or allow \"unknown-bits\"";
    /// Unknown bits of PLATFORM_INFO.
    ReservedPlatformInfo = "reserved.platform-info", "the platform info has unknown bits",
        "made by a newer firmware; a newer Ravelin may know them, or allow \"unknown-bits\"";
    /// Bit 17 of POLICY.
    GuestPolicyBit17 = "reserved.guest-policy-bit-17", "bit 17 of the guest policy is not one";
    /// REPORT_DATA is not what the caller expects.
    ReportData = "report-data.mismatch", "the report data is not what was asked for",
        "a replayed or relayed report, or another key than the one presented";
    /// REPORT_DATA is not what the policy names.
    ReportDataPolicy = "report-data.policy", "the report data is not what the policy names";
    /// MEASUREMENT is none of the policy's.
    Measurement = "measurement.mismatch", "the launch measurement is not the expected one",
        "`ravelin explain` finds the input that differs";
    /// The policy says nothing about what runs.
    MeasurementUnnamed = "measurement.unnamed", "the policy does not say what may run",
        "name a measurement or a key, or allow \"any-measurement\"";
    /// ID_KEY_DIGEST.
    IdKey = "id-key.mismatch", "the ID key is not an accepted one";
    /// No author key.
    AuthorKeyAbsent = "author-key.absent", "no author key certified the ID key";
    /// AUTHOR_KEY_DIGEST.
    AuthorKey = "author-key.mismatch", "the author key is not an accepted one";
    /// FAMILY_ID.
    FamilyId = "family-id.mismatch", "the family id is not the expected one";
    /// IMAGE_ID.
    ImageId = "image-id.mismatch", "the image id is not the expected one";
    /// GUEST_SVN.
    GuestSvn = "guest-svn.too-low", "the guest's security version is too low";
    /// HOST_DATA.
    HostData = "host-data.mismatch", "the host data is not the expected one";
    /// VMPL above 3.
    VmplRange = "vmpl.range", "there is no such privilege level",
        "all ones: the host asked for the report, not the guest";
    /// VMPL is not the expected one.
    Vmpl = "vmpl.mismatch", "the report is from another privilege level",
        "name the level in the policy, or allow any with \"nonzero-vmpl\"";
    /// DEBUG.
    Debug = "debug.enabled", "the host may read and write the guest's memory",
        "launch without the debug bit, or allow it by name with \"debug\"";
    /// MIGRATE_MA.
    MigrationAllowed = "migration.allowed", "a migration agent may move the guest's state",
        "launch without the bit, or allow it by name with \"migration-agent\"";
    /// REPORT_ID_MA.
    MigrationAgent = "migration.agent", "the guest has a migration agent",
        "allow it by name with \"migration-agent\"";
    /// A required bit of POLICY.
    GuestPolicyRequired = "guest-policy.required", "a bit of the guest policy is missing";
    /// A forbidden bit of POLICY.
    GuestPolicyForbidden = "guest-policy.forbidden", "a bit of the guest policy is forbidden";
    /// POLICY as a whole.
    GuestPolicyExact = "guest-policy.exact", "the guest policy is not exactly the expected one";
    /// The minimum ABI.
    GuestPolicyAbi = "guest-policy.abi", "the guest policy asks for too old an ABI";
    /// A required bit of PLATFORM_INFO.
    PlatformInfoRequired = "platform-info.required", "a bit of the platform info is missing",
        "a setting of the host's BIOS or firmware";
    /// A forbidden bit of PLATFORM_INFO.
    PlatformInfoForbidden = "platform-info.forbidden", "a bit of the platform info is forbidden",
        "a setting of the host's BIOS or firmware";
    /// PLATFORM_INFO as a whole.
    PlatformInfoExact = "platform-info.exact",
        "the platform info is not exactly the expected one";
    /// The policy has minimum levels for other products only.
    TcbNoMinimum = "minimum-tcb.no-minimum", "the policy has no minimum TCB for this product",
        "add levels for it, or leave the product out of the policy";
    /// CURRENT_TCB.
    TcbCurrent = "minimum-tcb.current", "the current TCB is too old", "update the host's firmware";
    /// COMMITTED_TCB.
    TcbCommitted = "minimum-tcb.committed", "the committed TCB is too old",
        "update the host's firmware and commit it";
    /// LAUNCH_TCB.
    TcbLaunch = "minimum-tcb.launch", "the TCB at launch was too old",
        "launch the guest anew on the updated host";
    /// REPORTED_TCB.
    TcbReported = "minimum-tcb.reported", "the reported TCB is too old",
        "raise the host's reported TCB to what it runs";
    /// Current firmware version.
    FirmwareCurrent = "firmware.current", "the firmware is too old", "update the host's firmware";
    /// Committed firmware version.
    FirmwareCommitted = "firmware.committed", "the committed firmware is too old",
        "update the host's firmware and commit it";
    /// Firmware version not committed.
    ProvisionalVersion = "provisional.version", "the running firmware was not committed",
        "commit it on the host, or allow it by name with \"provisional-firmware\"";
    /// Firmware levels not committed.
    ProvisionalTcb = "provisional.tcb", "the running firmware's levels were not committed",
        "commit it on the host, or allow it by name with \"provisional-firmware\"";
    /// REPORT_ID.
    ReportId = "instance.report-id", "this is another guest than the pinned one";
    /// CHIP_ID.
    ChipId = "instance.chip-id", "this is another processor than the pinned one";
}

impl fmt::Display for FindingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_and_messages_are_distinct() {
        let names: BTreeSet<_> = FindingCode::ALL.iter().map(|code| code.name()).collect();
        let messages: BTreeSet<_> = FindingCode::ALL.iter().map(|code| code.message()).collect();
        assert_eq!(names.len(), FindingCode::ALL.len());
        assert_eq!(messages.len(), FindingCode::ALL.len());
    }
}
