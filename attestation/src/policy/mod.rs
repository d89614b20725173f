//! Policies: what a report must say to be accepted.
//!
//! A policy is the owner's. It is read from TOML in which unknown keys are
//! errors, so that a misspelt rule cannot silently be no rule. What a policy
//! leaves out is either not checked (host data, family id, …) or checked
//! strictly: whatever weakens a guest is refused unless [`Exception`] allows it
//! by name. (`vmpl = 1` is such a name too: it accepts that level and no
//! other.)
//!
//! ```toml
//! product = ["milan", "genoa"]      # or one; none: any
//! measurement = ["<96 digits>"]     # or one; of the images that may run
//! vmpl = 0                          # exactly this level; default 0
//! allow = []                        # exceptions by name
//! signing_key = ["vcek", "vlek"]    # default both
//! csp_id = ["CN=…"]                 # providers whose VLEKs are accepted
//! minimum_guest_svn = 0
//! minimum_firmware = "1.55.22"      # of current and committed firmware
//! host_data = "<64 digits>"
//! family_id = "<32 digits>"
//! image_id = "<32 digits>"
//! report_data = "<128 digits>"      # where no caller binds a nonce
//! id_key_digest = ["<96 digits>"]
//! author_key_digest = ["<96 digits>"]
//! require_crl = false               # a current revocation list must be given
//!
//! [minimum_tcb]
//! which = ["current", "committed", "launch", "reported"]   # default all
//! bootloader = 4
//! tee = 0
//! snp = 24
//! microcode = 219
//! # fmc = 0                         # Turin
//!
//! [minimum_tcb.genoa]               # instead of the above, for one product
//! snp = 23
//!
//! [guest_policy]
//! required = ["single-socket"]
//! forbidden = ["smt", "cxl"]
//! minimum_abi = "1.51"
//! # exact = 0x30000
//!
//! [platform_info]
//! required = ["ecc", "alias-check"]
//! forbidden = ["tsme"]
//! # exact = 0x25
//!
//! [instance]
//! report_id = "<64 digits>"
//! chip_id = "<128 digits>"
//! ```
//!
//! A policy that names neither a measurement nor an ID key nor an author key
//! says nothing about what runs in the guest. It is complete only with the
//! exception `any-measurement`.
//!
//! SNPGuard's `vm-config.toml` is read too: see [`SnpguardConfig`].

mod error;
mod exception;
mod init;
mod raw;
mod rules;
mod snpguard;
mod tcb;
mod write;

pub use error::PolicyError;
pub use exception::{Exception, Exceptions, UnknownException};
pub use rules::BitRules;
pub use snpguard::SnpguardConfig;
pub use tcb::{MinimumLevels, MinimumTcb, TcbKind};

use crate::product::Product;
use crate::report::{FirmwareVersion, GuestPolicyBit, Hex, KeyKind, PlatformInfoBit};

/// What a report must say. The default accepts no report: it names no
/// measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Products that may sign; empty: any that is known.
    pub products: Vec<Product>,
    /// MEASUREMENT is one of these; empty: see the module's documentation.
    pub measurements: Vec<Hex<48>>,
    /// VMPL is exactly this. `None`: 0, or any with
    /// [`Exception::NonzeroVmpl`].
    pub vmpl: Option<u8>,
    /// What is allowed though it weakens the guest.
    pub allow: Exceptions,
    /// Kinds of keys that may sign; empty: both.
    pub signing_keys: Vec<KeyKind>,
    /// CSP_ID of a VLEK is one of these; empty: any.
    pub csp_ids: Vec<String>,
    /// Least GUEST_SVN.
    pub minimum_guest_svn: Option<u32>,
    /// Least version of the current and of the committed firmware.
    pub minimum_firmware: Option<FirmwareVersion>,
    /// Least TCB versions.
    pub minimum_tcb: MinimumTcb,
    /// HOST_DATA is this.
    pub host_data: Option<Hex<32>>,
    /// FAMILY_ID is this.
    pub family_id: Option<Hex<16>>,
    /// IMAGE_ID is this.
    pub image_id: Option<Hex<16>>,
    /// REPORT_DATA is this, besides what the caller expects.
    pub report_data: Option<Hex<64>>,
    /// ID_KEY_DIGEST is one of these; empty: not checked.
    pub id_key_digests: Vec<Hex<48>>,
    /// AUTHOR_KEY_DIGEST is one of these, and an author key was used; empty:
    /// not checked.
    pub author_key_digests: Vec<Hex<48>>,
    /// Whether a current revocation list must have been consulted.
    pub require_crl: bool,
    /// Rules on POLICY.
    pub guest_policy: BitRules<GuestPolicyBit>,
    /// Least ABI version (major, minor) that POLICY asks for.
    pub minimum_abi: Option<(u8, u8)>,
    /// Rules on PLATFORM_INFO.
    pub platform_info: BitRules<PlatformInfoBit>,
    /// REPORT_ID is this: the one guest.
    pub report_id: Option<Hex<32>>,
    /// CHIP_ID is this: the one processor.
    pub chip_id: Option<Hex<64>>,
}

impl Policy {
    /// Reads a policy from TOML.
    ///
    /// # Errors
    ///
    /// [`PolicyError`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        raw::parse(text)
    }

    /// Reads a policy, or SNPGuard's `vm-config.toml`, whichever it is.
    ///
    /// # Errors
    ///
    /// [`PolicyError`], of the form that was recognised.
    pub fn load(text: &str) -> Result<Loaded, PolicyError> {
        if SnpguardConfig::recognises(text) {
            Ok(Loaded::Snpguard(Box::new(SnpguardConfig::parse(text)?)))
        } else {
            Ok(Loaded::Policy(Box::new(Self::parse(text)?)))
        }
    }

    /// Whether the policy says what may run in the guest: by measurement, by
    /// key, or by saying that anything may.
    #[must_use]
    pub fn names_workload(&self) -> bool {
        !self.measurements.is_empty()
            || !self.id_key_digests.is_empty()
            || !self.author_key_digests.is_empty()
            || self.allow.contains(Exception::AnyMeasurement)
    }
}

/// What a policy file turned out to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Loaded {
    /// A policy.
    Policy(Box<Policy>),
    /// SNPGuard's description of a VM, from which
    /// [`SnpguardConfig::to_policy`] makes one.
    Snpguard(Box<SnpguardConfig>),
}
