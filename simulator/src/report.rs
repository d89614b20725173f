//! ATTESTATION_REPORT, byte for byte (56860 revision 1.58, section 7.3, Table
//! 23). The offsets are written down here a second time on purpose: were they
//! those of the reader, one mistake would pass on both sides.

use attestation::product::Product;
use attestation::report::{KeyKind, LENGTH, ReportVersion};
use attestation::tcb::Tcb;
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};

/// Where the signature begins.
const SIGNED: usize = 0x2a0;

/// What a report says. Whatever is absent here is zero.
#[derive(Debug, Clone)]
pub struct Content {
    /// The report's format.
    pub version: ReportVersion,
    /// The product, for the CPUID bytes from version 3 on.
    pub product: Product,
    /// GUEST_SVN.
    pub guest_svn: u32,
    /// POLICY.
    pub policy: u64,
    /// FAMILY_ID.
    pub family_id: [u8; 16],
    /// IMAGE_ID.
    pub image_id: [u8; 16],
    /// VMPL.
    pub vmpl: u32,
    /// CURRENT_TCB, REPORTED_TCB, COMMITTED_TCB and LAUNCH_TCB.
    pub tcb: Tcb,
    /// PLATFORM_INFO.
    pub platform_info: u64,
    /// AUTHOR_KEY_EN is set if there is an author key's digest.
    pub author_key_digest: Option<[u8; 48]>,
    /// Which key signs.
    pub key: KeyKind,
    /// REPORT_DATA.
    pub report_data: [u8; 64],
    /// MEASUREMENT.
    pub measurement: [u8; 48],
    /// HOST_DATA.
    pub host_data: [u8; 32],
    /// ID_KEY_DIGEST.
    pub id_key_digest: [u8; 48],
    /// REPORT_ID.
    pub report_id: [u8; 32],
    /// CHIP_ID.
    pub chip_id: [u8; 64],
}

/// The firmware's version, current and committed: build, minor, major.
const FIRMWARE: [u8; 3] = [30, 55, 1];

impl Content {
    /// The report's bytes, signed.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        let mut raw = vec![0; LENGTH];
        let mut put = |offset: usize, bytes: &[u8]| {
            for (to, from) in raw.iter_mut().skip(offset).zip(bytes) {
                *to = *from;
            }
        };
        put(0x000, &self.version.number().to_le_bytes());
        put(0x004, &self.guest_svn.to_le_bytes());
        put(0x008, &self.policy.to_le_bytes());
        put(0x010, &self.family_id);
        put(0x020, &self.image_id);
        put(0x030, &self.vmpl.to_le_bytes());
        put(0x034, &1_u32.to_le_bytes());
        put(0x040, &self.platform_info.to_le_bytes());
        let signing_key = match self.key {
            KeyKind::Vcek => 0,
            KeyKind::Vlek => 1_u32 << 2,
        };
        put(0x048, &(signing_key | u32::from(self.author_key_digest.is_some())).to_le_bytes());
        put(0x050, &self.report_data);
        put(0x090, &self.measurement);
        put(0x0c0, &self.host_data);
        put(0x0e0, &self.id_key_digest);
        put(0x110, &self.author_key_digest.unwrap_or([0; 48]));
        put(0x140, &self.report_id);
        put(0x160, &[0xff; 32]);
        for offset in [0x038, 0x180, 0x1e0, 0x1f0] {
            put(offset, &self.tcb.0);
        }
        if self.version >= ReportVersion::V3 {
            put(0x188, &cpuid(self.product));
        }
        // A VLEK belongs to no chip, and providers who load one mask the id.
        if self.key == KeyKind::Vcek {
            put(0x1a0, &self.chip_id);
        }
        put(0x1e8, &FIRMWARE);
        put(0x1ec, &FIRMWARE);
        let signature: Signature = key.sign(raw.get(..SIGNED).unwrap_or_default());
        let (r, s) = signature.split_bytes();
        for (offset, number) in [(SIGNED, r), (SIGNED + 72, s)] {
            for (to, from) in raw.iter_mut().skip(offset).zip(number.iter().rev()) {
                *to = *from;
            }
        }
        raw
    }
}

/// Family, model and stepping of a processor of this product.
fn cpuid(product: Product) -> [u8; 3] {
    if product == Product::Turin {
        [0x1a, 0x02, 1]
    } else if product == Product::Genoa {
        [0x19, 0x11, 1]
    } else {
        [0x19, 0x01, 1]
    }
}

/// The TCB version of a platform that is up to date, for the simulator.
#[must_use]
pub fn usual_tcb(product: Product) -> Tcb {
    if product == Product::Turin {
        Tcb([1, 1, 1, 4, 0, 0, 0, 72])
    } else if product == Product::Genoa {
        Tcb([10, 0, 0, 0, 0, 0, 23, 84])
    } else {
        Tcb([4, 0, 0, 0, 0, 0, 24, 219])
    }
}
