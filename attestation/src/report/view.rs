//! A report for people and for scripts.
//!
//! The JSON's field names are stable: fields may be added, none is renamed or
//! taken away. Byte strings are hexadecimal, bit fields are given whole
//! (`raw`, hexadecimal with `0x`) and as the list of the named bits that are
//! set. Nothing in a view is authenticated.

use std::fmt;

use serde::Serialize;

use super::{
    Bit, FirmwareVersion, GuestPolicyBit, Hex, PlatformInfoBit, Report, ReportVersion, SigningKey,
};
use crate::product::Product;
use crate::tcb::{Components, Tcb};

/// A report, decoded field by field. Prints as a table, serializes as JSON.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct View {
    /// VERSION.
    pub version: u32,
    /// The product, from the CPUID bytes or as the caller said.
    pub product: Option<Product>,
    /// GUEST_SVN.
    pub guest_svn: u32,
    /// POLICY.
    pub guest_policy: GuestPolicyView,
    /// FAMILY_ID.
    pub family_id: Hex<16>,
    /// IMAGE_ID.
    pub image_id: Hex<16>,
    /// VMPL.
    pub vmpl: u32,
    /// SIGNATURE_ALGO.
    pub signature_algorithm: u32,
    /// CURRENT_TCB.
    pub current_tcb: TcbView,
    /// COMMITTED_TCB.
    pub committed_tcb: TcbView,
    /// LAUNCH_TCB.
    pub launch_tcb: TcbView,
    /// REPORTED_TCB.
    pub reported_tcb: TcbView,
    /// PLATFORM_INFO.
    pub platform_info: PlatformInfoView,
    /// SIGNING_KEY.
    pub signing_key: SigningKey,
    /// MASK_CHIP_KEY.
    pub mask_chip_key: bool,
    /// AUTHOR_KEY_EN.
    pub author_key_enabled: bool,
    /// REPORT_DATA.
    pub report_data: Hex<64>,
    /// MEASUREMENT.
    pub measurement: Hex<48>,
    /// HOST_DATA.
    pub host_data: Hex<32>,
    /// ID_KEY_DIGEST.
    pub id_key_digest: Hex<48>,
    /// AUTHOR_KEY_DIGEST.
    pub author_key_digest: Hex<48>,
    /// REPORT_ID.
    pub report_id: Hex<32>,
    /// REPORT_ID_MA.
    pub report_id_ma: Hex<32>,
    /// CPUID_FAM_ID, CPUID_MOD_ID and CPUID_STEP, before version 3 absent.
    pub cpuid: Option<CpuidView>,
    /// CHIP_ID.
    pub chip_id: Hex<64>,
    /// CURRENT_MAJOR, CURRENT_MINOR, CURRENT_BUILD.
    pub current_firmware: FirmwareVersion,
    /// COMMITTED_MAJOR, COMMITTED_MINOR, COMMITTED_BUILD.
    pub committed_firmware: FirmwareVersion,
    /// LAUNCH_MIT_VECTOR, before version 5 absent.
    pub launch_mitigations: Option<String>,
    /// CURRENT_MIT_VECTOR, before version 5 absent.
    pub current_mitigations: Option<String>,
    /// Offsets of reserved bytes that are not zero.
    pub reserved_offsets: Vec<usize>,
}

/// A guest policy.
#[derive(Clone, Debug, Serialize)]
pub struct GuestPolicyView {
    /// All 64 bits.
    pub raw: String,
    /// The minimum ABI version, `major.minor`.
    pub minimum_abi: String,
    /// The named bits that are set.
    pub set: Vec<GuestPolicyBit>,
}

/// PLATFORM_INFO.
#[derive(Clone, Debug, Serialize)]
pub struct PlatformInfoView {
    /// All 64 bits.
    pub raw: String,
    /// The named bits that are set.
    pub set: Vec<PlatformInfoBit>,
}

/// A TCB version.
#[derive(Clone, Debug, Serialize)]
pub struct TcbView {
    /// The eight bytes in the report's order.
    pub raw: Tcb,
    /// The levels, if the product is known.
    #[serde(flatten)]
    pub components: Option<Components>,
}

/// CPUID of the processor.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CpuidView {
    /// Combined family.
    pub family: u8,
    /// Combined model.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

impl View {
    /// Decodes `report`. A report of version 2 does not name its product;
    /// `product` then decides how TCB versions read, and without it they are
    /// shown as bytes only. From version 3 on the report's own CPUID decides.
    #[must_use]
    pub fn new(report: &Report, product: Option<Product>) -> Self {
        let product =
            if report.version() >= ReportVersion::V3 { report.product() } else { product };
        let tcb = |raw: Tcb| TcbView { raw, components: product.map(|p| raw.components(p)) };
        let policy = report.guest_policy();
        let (major, minor) = policy.abi();
        let info = report.platform_info();
        let flags = report.flags();
        let vector = |bits: Option<u64>| bits.map(|bits| format!("{bits:#x}"));
        Self {
            version: report.version().number(),
            product,
            guest_svn: report.guest_svn(),
            guest_policy: GuestPolicyView {
                raw: format!("{:#x}", policy.0),
                minimum_abi: format!("{major}.{minor}"),
                set: GuestPolicyBit::ALL.iter().copied().filter(|bit| policy.has(*bit)).collect(),
            },
            family_id: report.family_id(),
            image_id: report.image_id(),
            vmpl: report.vmpl(),
            signature_algorithm: report.signature_algorithm(),
            current_tcb: tcb(report.current_tcb()),
            committed_tcb: tcb(report.committed_tcb()),
            launch_tcb: tcb(report.launch_tcb()),
            reported_tcb: tcb(report.reported_tcb()),
            platform_info: PlatformInfoView {
                raw: format!("{:#x}", info.0),
                set: PlatformInfoBit::ALL.iter().copied().filter(|bit| info.has(*bit)).collect(),
            },
            signing_key: flags.signing_key(),
            mask_chip_key: flags.mask_chip_key(),
            author_key_enabled: flags.author_key(),
            report_data: report.report_data(),
            measurement: report.measurement(),
            host_data: report.host_data(),
            id_key_digest: report.id_key_digest(),
            author_key_digest: report.author_key_digest(),
            report_id: report.report_id(),
            report_id_ma: report.report_id_ma(),
            cpuid: report.cpuid().map(|[family, model, stepping]| CpuidView {
                family,
                model,
                stepping,
            }),
            chip_id: report.chip_id(),
            current_firmware: report.current_firmware(),
            committed_firmware: report.committed_firmware(),
            launch_mitigations: vector(report.launch_mitigations()),
            current_mitigations: vector(report.current_mitigations()),
            reserved_offsets: report.reserved_offsets().collect(),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &dyn fmt::Display| writeln!(f, "{name:<20} {value}");
        row("version", &self.version)?;
        match self.product {
            Some(product) => row("product", &product)?,
            None => row("product", &"not named by the report")?,
        }
        if let Some(CpuidView { family, model, stepping }) = self.cpuid {
            row("cpuid", &format_args!("family {family:02x}h model {model:02x}h step {stepping}"))?;
        }
        row("measurement", &self.measurement)?;
        row("report data", &self.report_data)?;
        row("host data", &OrNone(self.host_data))?;
        let policy = &self.guest_policy;
        row(
            "guest policy",
            &format_args!("{} (ABI {}; {})", policy.raw, policy.minimum_abi, Words(&policy.set)),
        )?;
        let info = &self.platform_info;
        row("platform info", &format_args!("{} ({})", info.raw, Words(&info.set)))?;
        row("vmpl", &self.vmpl)?;
        row("guest svn", &self.guest_svn)?;
        row("family id", &OrNone(self.family_id))?;
        row("image id", &OrNone(self.image_id))?;
        row("id key digest", &OrNone(self.id_key_digest))?;
        row("author key digest", &OrNone(self.author_key_digest))?;
        row("report id", &self.report_id)?;
        let agent = self.report_id_ma.0.iter().any(|byte| *byte != 0xff);
        let none: &dyn fmt::Display = &"none";
        row("report id of agent", if agent { &self.report_id_ma } else { none })?;
        row("chip id", &OrNone(self.chip_id))?;
        row("signing key", &self.signing_key)?;
        row("author key enabled", &self.author_key_enabled)?;
        row("chip key masked", &self.mask_chip_key)?;
        row("signature algorithm", &self.signature_algorithm)?;
        row("current TCB", &self.current_tcb)?;
        row("committed TCB", &self.committed_tcb)?;
        row("launch TCB", &self.launch_tcb)?;
        row("reported TCB", &self.reported_tcb)?;
        row("current firmware", &self.current_firmware)?;
        row("committed firmware", &self.committed_firmware)?;
        if let Some(vector) = &self.launch_mitigations {
            row("launch mitigations", vector)?;
        }
        if let Some(vector) = &self.current_mitigations {
            row("current mitigations", vector)?;
        }
        for offset in &self.reserved_offsets {
            row("reserved, not zero", &format_args!("byte {offset:#05x}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for TcbView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.components {
            Some(components) => components.fmt(f),
            None => write!(f, "{} (bytes; the product is not known)", self.raw),
        }
    }
}

/// A byte string of which all zeros mean that there is none.
struct OrNone<const N: usize>(Hex<N>);

impl<const N: usize> fmt::Display for OrNone<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() { f.write_str("none") } else { self.0.fmt(f) }
    }
}

/// Words with spaces between them.
struct Words<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Words<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no bits");
        }
        for (index, word) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{word}")?;
        }
        Ok(())
    }
}
