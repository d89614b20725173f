//! The checks that make up a verdict, and what can come of one.

use std::fmt;

use serde::{Serialize, Serializer};

use super::finding::Finding;
use crate::policy::Exception;

macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $title:literal;)*) => {
        /// One check of a verdict.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Check {
            $($(#[$doc])* $name,)*
        }

        impl Check {
            /// Every check, in the order in which verdicts list them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// A stable name, for scripts.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// A few words for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

checks! {
    /// Leaf, intermediate and root: shape, names, signatures, validity.
    Chain = "chain", "certificate chain";
    /// The root is AMD's.
    Root = "root", "root of trust";
    /// Revocation lists.
    Revocation = "revocation", "revocation list";
    /// SIGNATURE_ALGO and the signature itself.
    Signature = "signature", "signature";
    /// SIGNING_KEY against the leaf.
    SigningKey = "signing-key", "signing key";
    /// CPUID against the leaf's product.
    Product = "product", "product";
    /// REPORTED_TCB against the leaf's levels.
    TcbBinding = "tcb-binding", "TCB of the certificate";
    /// CHIP_ID against the leaf's hwID.
    ChipBinding = "chip-binding", "chip of the certificate";
    /// Reserved bits and bytes.
    Reserved = "reserved", "reserved bits";
    /// The policy's rules on product, kind of key and provider.
    Signer = "signer", "accepted signer";
    /// REPORT_DATA.
    ReportData = "report-data", "report data";
    /// MEASUREMENT.
    Measurement = "measurement", "measurement";
    /// ID_KEY_DIGEST.
    IdKey = "id-key", "ID key";
    /// AUTHOR_KEY_DIGEST.
    AuthorKey = "author-key", "author key";
    /// FAMILY_ID.
    FamilyId = "family-id", "family id";
    /// IMAGE_ID.
    ImageId = "image-id", "image id";
    /// GUEST_SVN.
    GuestSvn = "guest-svn", "guest SVN";
    /// HOST_DATA.
    HostData = "host-data", "host data";
    /// VMPL.
    Vmpl = "vmpl", "privilege level";
    /// POLICY: debugging.
    Debug = "debug", "debugging";
    /// POLICY and REPORT_ID_MA: migration.
    Migration = "migration", "migration agent";
    /// POLICY: everything else.
    GuestPolicy = "guest-policy", "guest policy";
    /// PLATFORM_INFO.
    PlatformInfo = "platform-info", "platform info";
    /// Minimum TCB versions.
    MinimumTcb = "minimum-tcb", "minimum TCB";
    /// Minimum firmware version.
    Firmware = "firmware", "firmware version";
    /// Current against committed firmware.
    Provisional = "provisional", "committed firmware";
    /// REPORT_ID and CHIP_ID of the one instance.
    Instance = "instance", "instance";
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed, in one way or several.
    Failed(Vec<Finding>),
    /// It failed, but in ways that the policy allows by name.
    Allowed(Vec<(Exception, Finding)>),
    /// It was not made.
    Unchecked(Unchecked),
}

/// Why a check was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unchecked {
    /// The policy has no rule on it.
    NoRule,
    /// No revocation list was given.
    NoCrl,
    /// The policy allows any measurement.
    AnyMeasurement,
    /// An ID key or author key vouches for what runs.
    ByKey,
    /// A VLEK belongs to no chip.
    VlekHasNoChip,
    /// A report of version 2 names no processor.
    NotInReport,
    /// It needs a leaf certificate that can be read. The chain failed.
    NoLeaf,
}

impl fmt::Display for Unchecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRule => "the policy has no rule on it",
            Self::NoCrl => "no revocation list of this root was given",
            Self::AnyMeasurement => "the policy allows any measurement",
            Self::ByKey => "the policy names no measurement, but the key that vouches for it",
            Self::VlekHasNoChip => "a VLEK belongs to a provider, not to a chip",
            Self::NotInReport => "a report of version 2 does not name its processor",
            Self::NoLeaf => "there is no usable leaf certificate",
        })
    }
}
