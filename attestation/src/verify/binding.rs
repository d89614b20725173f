//! The leaf certificate against the report: kind, product, TCB, chip.
//!
//! A certificate of AMD's is genuine for one chip (or provider) and one TCB
//! version. A chain that verifies says nothing yet about this report's chip:
//! without these checks the certificate of any processor that was ever broken
//! would do.

use super::check::{Check, Unchecked};
use super::checks::Checks;
use super::finding::{FindingCode, Mismatch};
use crate::certificate::Leaf;
use crate::policy::Exception;
use crate::product::Product;
use crate::report::{KeyKind, Report, ReportVersion, SigningKey};

/// Records the four checks. Returns the product by which TCB versions read:
/// the leaf's; without a leaf the report's own claim, which then serves only
/// to explain a refusal.
pub(super) fn check(checks: &mut Checks, report: &Report, leaf: Option<&Leaf>) -> Option<Product> {
    let Some(leaf) = leaf else {
        for check in [Check::SigningKey, Check::Product, Check::TcbBinding, Check::ChipBinding] {
            checks.skip(check, Unchecked::NoLeaf);
        }
        return report.product();
    };
    signing_key(checks, report, leaf);
    product(checks, report, leaf);
    checks.make(Check::TcbBinding, |findings| {
        let (expected, found) = (leaf.tcb(), report.reported_tcb());
        if expected != found {
            let product = leaf.product();
            findings.fail(Mismatch::new(
                FindingCode::TcbMismatch,
                format_args!("{expected} ({})", expected.components(product)),
                format_args!("{found} ({})", found.components(product)),
            ));
        }
    });
    chip(checks, report, leaf);
    Some(leaf.product())
}

fn signing_key(checks: &mut Checks, report: &Report, leaf: &Leaf) {
    checks.make(Check::SigningKey, |findings| {
        let found = report.flags().signing_key();
        let fits = match leaf.kind() {
            KeyKind::Vcek => found == SigningKey::Vcek,
            KeyKind::Vlek => found == SigningKey::Vlek,
        };
        if !fits {
            findings.fail(Mismatch::new(FindingCode::SigningKey, leaf.kind(), found));
        }
        if leaf.kind() == KeyKind::Vcek && report.flags().mask_chip_key() {
            let finding = Mismatch::new(FindingCode::ChipKeyMasked, "clear", "set");
            findings.fail_unless(Exception::MaskedChipId, finding);
        }
    });
}

fn product(checks: &mut Checks, report: &Report, leaf: &Leaf) {
    if report.version() < ReportVersion::V3 {
        checks.skip(Check::Product, Unchecked::NotInReport);
        return;
    }
    checks.make(Check::Product, |findings| {
        if report.product() != Some(leaf.product()) {
            let [family, model, _] = report.cpuid().unwrap_or_default();
            let name = report.product().map_or("an unknown product", Product::name);
            let found = format_args!("{name} (CPUID family {family:02x}h, model {model:02x}h)");
            findings.fail(Mismatch::new(FindingCode::ProductMismatch, leaf.product(), found));
        }
    });
}

fn chip(checks: &mut Checks, report: &Report, leaf: &Leaf) {
    let Some(hardware_id) = leaf.hardware_id() else {
        checks.skip(Check::ChipBinding, Unchecked::VlekHasNoChip);
        return;
    };
    checks.make(Check::ChipBinding, |findings| {
        let found = report.chip_id();
        if found.is_zero() {
            let finding = Mismatch::new(FindingCode::ChipMasked, hardware_id, "zeros");
            findings.fail_unless(Exception::MaskedChipId, finding);
        } else if found.0 != hardware_id.chip_id() {
            findings.fail(Mismatch::new(FindingCode::ChipMismatch, hardware_id, found));
        }
    });
}
