//! A policy from what a server says of itself.

use attestation::policy::{MinimumTcb, Policy};
use attestation::product::Product;
use attestation::report::FirmwareVersion;

use super::PlatformStatus;

/// A policy that reports of this server meet: its product, its firmware, and its
/// reported TCB as the minimum.
///
/// It is the server's word. An owner compares it with what AMD publishes.
#[must_use]
pub fn policy(status: &PlatformStatus, product: Product) -> Policy {
    let (major, minor) = status.api;
    let mut policy = Policy::default();
    policy.products = vec![product];
    policy.minimum_firmware =
        u8::try_from(status.build).ok().map(|build| FirmwareVersion { major, minor, build });
    policy.minimum_tcb = MinimumTcb::of(product, status.reported.into());
    policy
}

#[cfg(test)]
mod tests {
    use attestation::tcb::Tcb;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let status = |product, bytes| PlatformStatus {
            api: (1, 58),
            build: 2,
            current: Tcb([9; 8]).components(product),
            reported: Tcb(bytes).components(product),
        };
        let genoa = policy(&status(Product::Genoa, [10, 0, 0, 0, 0, 0, 23, 84]), Product::Genoa);
        assert_eq!(
            genoa.to_string(),
            "product = [\"genoa\"]\nminimum_firmware = \"1.58.2\"\n\n[minimum_tcb.genoa]\n\
             bootloader = 10\ntee = 0\nsnp = 23\nmicrocode = 84\n"
        );
        let turin = policy(&status(Product::Turin, [1, 2, 3, 4, 0, 0, 0, 72]), Product::Turin);
        assert!(turin.to_string().contains("[minimum_tcb.turin]\nfmc = 1\nbootloader = 2\n"));
        for policy in [genoa, turin] {
            assert_eq!(Policy::parse(&policy.to_string()).unwrap(), policy);
        }
    }
}
