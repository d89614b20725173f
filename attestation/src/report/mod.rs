//! Attestation reports: the 1184 bytes that the secure processor signs.
//!
//! The bytes come from a host that may have changed any of them. Parsing
//! therefore settles only what cannot be settled later: the exact length and
//! the version, which says what the other bytes mean. A version that this
//! crate does not know is refused before anything else is read (the `sev` crate
//! reads such a report as version 5, and refuses a report of version 2 with a
//! masked chip id; so its types are not used here). Everything else, reserved
//! bytes that are not zero too, is for [`crate::verify`] to judge, so that all
//! that is wrong can be listed at once.
//!
//! A [`Report`] holds nothing but the bytes; each accessor reads its field out
//! of them. What a policy looks at can thus never differ from what the
//! signature covers.
//!
//! 56860 revision 1.58, section 7.3, Table 23; the offsets are in [`layout`].

mod bits;
mod error;
mod flags;
mod hex;
pub mod layout;
mod snpguard;
mod version;
mod view;
mod wrapped;

pub use bits::{Bit, GuestPolicy, GuestPolicyBit, PlatformInfo, PlatformInfoBit};
pub use error::ReportError;
pub use flags::{Flags, KeyKind, SigningKey};
pub use hex::{Hex, HexError};
pub use layout::{LENGTH, SIGNED_LENGTH};
pub use version::{FirmwareVersion, ParseVersionError, ReportVersion};
pub use view::View;
pub use wrapped::{Container, Unwrapped};

use self::layout::field;
use crate::product::Product;
use crate::tcb::Tcb;

/// An attestation report of a known version. Nothing about it is
/// authenticated: that is what [`crate::verify::verify`] is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    raw: Box<[u8; LENGTH]>,
    version: ReportVersion,
}

impl Report {
    /// Takes exactly the 1184 bytes of a report of version 2 to 5.
    ///
    /// For reports inside something else see [`Unwrapped::read`].
    ///
    /// # Errors
    ///
    /// [`ReportError::Length`] or [`ReportError::Version`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        let raw: &[u8; LENGTH] =
            bytes.try_into().map_err(|_err| ReportError::Length { found: bytes.len() })?;
        let number = u32::from_le_bytes(field::<{ layout::VERSION }, 4>(raw));
        let version =
            ReportVersion::from_number(number).ok_or(ReportError::Version { found: number })?;
        Ok(Self { raw: Box::new(*raw), version })
    }

    /// Takes what configfs-tsm's `outblob` holds for the provider `sev_guest`:
    /// the bare report.
    ///
    /// # Errors
    ///
    /// As [`Report::parse`].
    pub fn from_tsm(outblob: &[u8]) -> Result<Self, ReportError> {
        Self::parse(outblob)
    }

    /// The bytes, as they were given.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.raw
    }

    /// The part that the signature covers, the first 672 bytes.
    #[must_use]
    pub fn signed_bytes(&self) -> [u8; SIGNED_LENGTH] {
        field::<0, SIGNED_LENGTH>(&self.raw)
    }

    /// VERSION.
    #[must_use]
    pub const fn version(&self) -> ReportVersion {
        self.version
    }

    /// GUEST_SVN: security version of the guest, from its ID block.
    #[must_use]
    pub fn guest_svn(&self) -> u32 {
        u32::from_le_bytes(field::<{ layout::GUEST_SVN }, 4>(&self.raw))
    }

    /// POLICY: the guest policy given at launch.
    #[must_use]
    pub fn guest_policy(&self) -> GuestPolicy {
        GuestPolicy(u64::from_le_bytes(field::<{ layout::POLICY }, 8>(&self.raw)))
    }

    /// FAMILY_ID of the ID block; zero without one.
    #[must_use]
    pub fn family_id(&self) -> Hex<16> {
        Hex(field::<{ layout::FAMILY_ID }, 16>(&self.raw))
    }

    /// IMAGE_ID of the ID block; zero without one.
    #[must_use]
    pub fn image_id(&self) -> Hex<16> {
        Hex(field::<{ layout::IMAGE_ID }, 16>(&self.raw))
    }

    /// VMPL: the privilege level that the report was asked for, 0 the highest
    /// to 3; all ones in a report that the host asked for.
    #[must_use]
    pub fn vmpl(&self) -> u32 {
        u32::from_le_bytes(field::<{ layout::VMPL }, 4>(&self.raw))
    }

    /// SIGNATURE_ALGO: 1 is ECDSA P-384 with SHA-384, the only one defined.
    #[must_use]
    pub fn signature_algorithm(&self) -> u32 {
        u32::from_le_bytes(field::<{ layout::SIGNATURE_ALGO }, 4>(&self.raw))
    }

    /// CURRENT_TCB: what runs now.
    #[must_use]
    pub fn current_tcb(&self) -> Tcb {
        Tcb(field::<{ layout::CURRENT_TCB }, 8>(&self.raw))
    }

    /// PLATFORM_INFO.
    #[must_use]
    pub fn platform_info(&self) -> PlatformInfo {
        PlatformInfo(u64::from_le_bytes(field::<{ layout::PLATFORM_INFO }, 8>(&self.raw)))
    }

    /// AUTHOR_KEY_EN, MASK_CHIP_KEY and SIGNING_KEY.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags(u32::from_le_bytes(field::<{ layout::FLAGS }, 4>(&self.raw)))
    }

    /// REPORT_DATA: 64 bytes that the guest chose.
    #[must_use]
    pub fn report_data(&self) -> Hex<64> {
        Hex(field::<{ layout::REPORT_DATA }, 64>(&self.raw))
    }

    /// MEASUREMENT: the launch digest.
    #[must_use]
    pub fn measurement(&self) -> Hex<48> {
        Hex(field::<{ layout::MEASUREMENT }, 48>(&self.raw))
    }

    /// HOST_DATA: 32 bytes that the host chose at launch.
    #[must_use]
    pub fn host_data(&self) -> Hex<32> {
        Hex(field::<{ layout::HOST_DATA }, 32>(&self.raw))
    }

    /// ID_KEY_DIGEST: SHA-384 of the key that signed the ID block; zero
    /// without one.
    #[must_use]
    pub fn id_key_digest(&self) -> Hex<48> {
        Hex(field::<{ layout::ID_KEY_DIGEST }, 48>(&self.raw))
    }

    /// AUTHOR_KEY_DIGEST: SHA-384 of the key that certified the ID key; zero
    /// unless [`Flags::author_key`].
    #[must_use]
    pub fn author_key_digest(&self) -> Hex<48> {
        Hex(field::<{ layout::AUTHOR_KEY_DIGEST }, 48>(&self.raw))
    }

    /// REPORT_ID: random, the same for all of one guest's life.
    #[must_use]
    pub fn report_id(&self) -> Hex<32> {
        Hex(field::<{ layout::REPORT_ID }, 32>(&self.raw))
    }

    /// REPORT_ID_MA: the migration agent's; all ones without one.
    #[must_use]
    pub fn report_id_ma(&self) -> Hex<32> {
        Hex(field::<{ layout::REPORT_ID_MA }, 32>(&self.raw))
    }

    /// REPORTED_TCB: the version whose endorsement key signed the report.
    #[must_use]
    pub fn reported_tcb(&self) -> Tcb {
        Tcb(field::<{ layout::REPORTED_TCB }, 8>(&self.raw))
    }

    /// CPUID family, model and stepping; `None` before version 3.
    #[must_use]
    pub fn cpuid(&self) -> Option<[u8; 3]> {
        (self.version >= ReportVersion::V3).then(|| field::<{ layout::CPUID }, 3>(&self.raw))
    }

    /// The product that [`Report::cpuid`] names; `None` before version 3 and
    /// for an unknown processor.
    #[must_use]
    pub fn product(&self) -> Option<Product> {
        let [family, model, _stepping] = self.cpuid()?;
        Product::from_cpuid(family, model)
    }

    /// CHIP_ID; zero if the host masks it. Turin uses the first 8 bytes.
    #[must_use]
    pub fn chip_id(&self) -> Hex<64> {
        Hex(field::<{ layout::CHIP_ID }, 64>(&self.raw))
    }

    /// COMMITTED_TCB: below this the host cannot go back.
    #[must_use]
    pub fn committed_tcb(&self) -> Tcb {
        Tcb(field::<{ layout::COMMITTED_TCB }, 8>(&self.raw))
    }

    /// Version of the firmware that runs now.
    #[must_use]
    pub fn current_firmware(&self) -> FirmwareVersion {
        let [build, minor, major] = field::<{ layout::CURRENT_VERSION }, 3>(&self.raw);
        FirmwareVersion { major, minor, build }
    }

    /// Version of the firmware that was committed.
    #[must_use]
    pub fn committed_firmware(&self) -> FirmwareVersion {
        let [build, minor, major] = field::<{ layout::COMMITTED_VERSION }, 3>(&self.raw);
        FirmwareVersion { major, minor, build }
    }

    /// LAUNCH_TCB: what ran when the guest was launched or migrated in.
    #[must_use]
    pub fn launch_tcb(&self) -> Tcb {
        Tcb(field::<{ layout::LAUNCH_TCB }, 8>(&self.raw))
    }

    /// LAUNCH_MIT_VECTOR; `None` before version 5.
    #[must_use]
    pub fn launch_mitigations(&self) -> Option<u64> {
        (self.version >= ReportVersion::V5)
            .then(|| u64::from_le_bytes(field::<{ layout::LAUNCH_MIT_VECTOR }, 8>(&self.raw)))
    }

    /// CURRENT_MIT_VECTOR; `None` before version 5.
    #[must_use]
    pub fn current_mitigations(&self) -> Option<u64> {
        (self.version >= ReportVersion::V5)
            .then(|| u64::from_le_bytes(field::<{ layout::CURRENT_MIT_VECTOR }, 8>(&self.raw)))
    }

    /// The signature's R: 72 bytes, little-endian, zero-extended from 48.
    #[must_use]
    pub fn signature_r(&self) -> [u8; 72] {
        field::<{ layout::SIGNATURE_R }, 72>(&self.raw)
    }

    /// The signature's S, as [`Report::signature_r`].
    #[must_use]
    pub fn signature_s(&self) -> [u8; 72] {
        field::<{ layout::SIGNATURE_S }, 72>(&self.raw)
    }

    /// Offsets of the bytes that are reserved in this version, signed, and not
    /// zero: fields of a firmware newer than the report's version admits.
    pub fn reserved_offsets(&self) -> impl Iterator<Item = usize> {
        let before_3 = (self.version < ReportVersion::V3).then_some(layout::RESERVED_BEFORE_3);
        let before_5 = (self.version < ReportVersion::V5).then_some(layout::RESERVED_BEFORE_5);
        layout::RESERVED
            .into_iter()
            .chain(before_3)
            .chain(before_5)
            .flat_map(|range| self.set_bytes(range))
    }

    /// Offsets of the signature's reserved bytes that are not zero. Nothing
    /// signs these bytes.
    pub fn reserved_signature_offsets(&self) -> impl Iterator<Item = usize> {
        self.set_bytes(layout::RESERVED_SIGNATURE)
    }

    /// Offsets of the bytes in a range (offset, length) that are not zero.
    fn set_bytes(&self, (start, length): (usize, usize)) -> impl Iterator<Item = usize> {
        let bytes = self.raw.iter().enumerate().skip(start).take(length);
        bytes.filter(|(_, byte)| **byte != 0).map(|(offset, _)| offset)
    }
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Report")
            .field("version", &self.version)
            .field("measurement", &self.measurement())
            .field("report_id", &self.report_id())
            .finish_non_exhaustive()
    }
}
