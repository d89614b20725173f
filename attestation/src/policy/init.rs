//! A first policy, made from a report that the owner trusts.

use super::{BitRules, MinimumLevels, MinimumTcb, Policy};
use crate::product::Product;
use crate::report::{Bit, GuestPolicyBit, PlatformInfoBit, Report};

/// Bits of the guest policy that protect the guest when set.
const PROTECTING: [GuestPolicyBit; 5] = [
    GuestPolicyBit::SingleSocket,
    GuestPolicyBit::Aes256Xts,
    GuestPolicyBit::RaplDisabled,
    GuestPolicyBit::CiphertextHiding,
    GuestPolicyBit::PageSwapDisabled,
];
/// Bits of the platform info that protect the guest when set.
const PROTECTING_PLATFORM: [PlatformInfoBit; 4] = [
    PlatformInfoBit::Ecc,
    PlatformInfoBit::RaplDisabled,
    PlatformInfoBit::CiphertextHiding,
    PlatformInfoBit::AliasCheck,
];

impl Policy {
    /// A policy that a report like `report` meets: its measurement, product,
    /// keys and ids; at least the lowest of its four TCB versions; the
    /// protecting bits that it has; none of the weakening guest policy bits
    /// that it has not. REPORT_DATA is left out, and so is the instance: both
    /// change from boot to boot.
    ///
    /// No exception is put in, so a debug guest's policy still refuses debug
    /// guests. `product` is the certificate's, since a report of version 2
    /// does not name one.
    #[must_use]
    pub fn from_report(report: &Report, product: Product) -> Self {
        let lowest = [report.committed_tcb(), report.launch_tcb(), report.reported_tcb()]
            .into_iter()
            .fold(report.current_tcb().components(product), |lowest, tcb| {
                lowest.minimum(tcb.components(product))
            });
        let policy = report.guest_policy();
        let info = report.platform_info();
        let (current, committed) = (report.current_firmware(), report.committed_firmware());
        let vmpl = u8::try_from(report.vmpl()).ok().filter(|level| (1..=3).contains(level));
        let author = Some(report.author_key_digest()).filter(|_| report.flags().author_key());
        Self {
            products: vec![product],
            measurements: vec![report.measurement()],
            vmpl,
            minimum_guest_svn: Some(report.guest_svn()).filter(|svn| *svn > 0),
            minimum_firmware: Some(current.min(committed)),
            minimum_tcb: MinimumTcb {
                any: Some(MinimumLevels::from(lowest)),
                ..MinimumTcb::default()
            },
            host_data: Some(report.host_data()).filter(|data| !data.is_zero()),
            family_id: Some(report.family_id()).filter(|id| !id.is_zero()),
            image_id: Some(report.image_id()).filter(|id| !id.is_zero()),
            id_key_digests: Some(report.id_key_digest())
                .filter(|digest| !digest.is_zero())
                .into_iter()
                .collect(),
            author_key_digests: author.into_iter().collect(),
            guest_policy: BitRules {
                required: PROTECTING.into_iter().filter(|bit| policy.has(*bit)).collect(),
                forbidden: GuestPolicyBit::ALL
                    .iter()
                    .copied()
                    .filter(|bit| !PROTECTING.contains(bit) && !policy.has(*bit))
                    .collect(),
                exact: None,
            },
            platform_info: BitRules {
                required: PROTECTING_PLATFORM.into_iter().filter(|bit| info.has(*bit)).collect(),
                ..BitRules::default()
            },
            ..Self::default()
        }
    }
}
