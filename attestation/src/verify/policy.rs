//! The policy against the report.

use super::check::{Check, Unchecked};
use super::checks::{Checks, Findings};
use super::finding::{FindingCode, Mismatch};
use super::{ReportData, Request};
use crate::certificate::Leaf;
use crate::policy::{Exception, Policy, TcbKind};
use crate::product::Product;
use crate::report::{Bit, GuestPolicy, GuestPolicyBit, Hex, Report};
use crate::tcb::Tcb;

/// Records every check that the policy has a say in.
pub(super) fn check(
    checks: &mut Checks,
    report: &Report,
    leaf: Option<&Leaf>,
    product: Option<Product>,
    policy: &Policy,
    request: &Request,
) {
    reserved(checks, report);
    report_data(checks, report, policy, request);
    signer(checks, leaf, policy);
    workload(checks, report, policy);
    identity(checks, report, policy);
    privileges(checks, report, policy);
    bits(checks, report, policy);
    minimum_tcb(checks, report, product, policy);
    firmware(checks, report, policy);
    instance(checks, report, policy);
}

fn reserved(checks: &mut Checks, report: &Report) {
    checks.make(Check::Reserved, |findings| {
        let mut unknown = |code, bits: u64| {
            if bits != 0 {
                let finding = Mismatch::new(code, "zeros", format_args!("{bits:#x}"));
                findings.fail_unless(Exception::UnknownBits, finding);
            }
        };
        unknown(FindingCode::ReservedFlags, report.flags().unknown().into());
        unknown(FindingCode::ReservedGuestPolicy, report.guest_policy().unknown());
        unknown(FindingCode::ReservedPlatformInfo, report.platform_info().unknown());
        if let Some(offset) = report.reserved_offsets().next() {
            let found = format_args!("a value at byte {offset:#x}");
            let finding = Mismatch::new(FindingCode::ReservedBytes, "zeros", found);
            findings.fail_unless(Exception::UnknownBits, finding);
        }
        if report.guest_policy().0 & GuestPolicy::RESERVED_ONE == 0 {
            findings.fail(Mismatch::new(FindingCode::GuestPolicyBit17, "1", "0"));
        }
    });
}

fn report_data(checks: &mut Checks, report: &Report, policy: &Policy, request: &Request) {
    let expected = match request.report_data {
        ReportData::Expected(bytes) => Some(Hex(bytes)),
        ReportData::Unchecked => None,
    };
    if expected.is_none() && policy.report_data.is_none() {
        checks.skip(Check::ReportData, Unchecked::NoRule);
        return;
    }
    checks.make(Check::ReportData, |findings| {
        let found = report.report_data();
        equal(findings, FindingCode::ReportData, expected, found);
        equal(findings, FindingCode::ReportDataPolicy, policy.report_data, found);
    });
}

/// Rules on the kind of key and its provider, which are the certificate's.
fn signer(checks: &mut Checks, leaf: Option<&Leaf>, policy: &Policy) {
    let Some(leaf) = leaf else {
        checks.skip(Check::Signer, Unchecked::NoLeaf);
        return;
    };
    checks.make(Check::Signer, |findings| {
        if !policy.products.is_empty() && !policy.products.contains(&leaf.product()) {
            let expected = words(&policy.products);
            findings.fail(Mismatch::new(FindingCode::ProductPolicy, expected, leaf.product()));
        }
        if !policy.signing_keys.is_empty() && !policy.signing_keys.contains(&leaf.kind()) {
            let expected = words(&policy.signing_keys);
            findings.fail(Mismatch::new(FindingCode::SigningKeyPolicy, expected, leaf.kind()));
        }
        if let Some(csp_id) = leaf.csp_id() {
            let accepted = |id: &String| id == csp_id;
            if !policy.csp_ids.is_empty() && !policy.csp_ids.iter().any(accepted) {
                let expected = words(&policy.csp_ids);
                findings.fail(Mismatch::new(FindingCode::CspId, expected, csp_id));
            }
        }
    });
}

/// What runs in the guest: by measurement, by key.
fn workload(checks: &mut Checks, report: &Report, policy: &Policy) {
    if !policy.measurements.is_empty() {
        checks.make(Check::Measurement, |findings| {
            one_of(findings, FindingCode::Measurement, &policy.measurements, report.measurement());
        });
    } else if !policy.names_workload() {
        checks.make(Check::Measurement, |findings| {
            let code = FindingCode::MeasurementUnnamed;
            findings.fail(Mismatch::new(code, "a measurement or a key", "neither"));
        });
    } else if policy.id_key_digests.is_empty() && policy.author_key_digests.is_empty() {
        checks.skip(Check::Measurement, Unchecked::AnyMeasurement);
    } else {
        checks.skip(Check::Measurement, Unchecked::ByKey);
    }
    if policy.id_key_digests.is_empty() {
        checks.skip(Check::IdKey, Unchecked::NoRule);
    } else {
        checks.make(Check::IdKey, |findings| {
            one_of(findings, FindingCode::IdKey, &policy.id_key_digests, report.id_key_digest());
        });
    }
    if policy.author_key_digests.is_empty() {
        checks.skip(Check::AuthorKey, Unchecked::NoRule);
    } else {
        checks.make(Check::AuthorKey, |findings| {
            if !report.flags().author_key() {
                let found = "AUTHOR_KEY_EN clear";
                let code = FindingCode::AuthorKeyAbsent;
                findings.fail(Mismatch::new(code, "an author key", found));
            }
            let found = report.author_key_digest();
            one_of(findings, FindingCode::AuthorKey, &policy.author_key_digests, found);
        });
    }
}

fn identity(checks: &mut Checks, report: &Report, policy: &Policy) {
    let family = policy.family_id;
    rule(checks, Check::FamilyId, FindingCode::FamilyId, family, report.family_id());
    let image = policy.image_id;
    rule(checks, Check::ImageId, FindingCode::ImageId, image, report.image_id());
    match policy.minimum_guest_svn {
        None => checks.skip(Check::GuestSvn, Unchecked::NoRule),
        Some(least) => {
            checks.make(Check::GuestSvn, |findings| {
                let found = report.guest_svn();
                if found < least {
                    let expected = format_args!("{least} or more");
                    findings.fail(Mismatch::new(FindingCode::GuestSvn, expected, found));
                }
            });
        }
    }
    let host = policy.host_data;
    rule(checks, Check::HostData, FindingCode::HostData, host, report.host_data());
}

/// What weakens the guest: its privilege level, debugging, migration.
fn privileges(checks: &mut Checks, report: &Report, policy: &Policy) {
    checks.make(Check::Vmpl, |findings| {
        let found = report.vmpl();
        if found > 3 {
            findings.fail(Mismatch::new(FindingCode::VmplRange, "0 to 3", found));
        } else if let Some(expected) = policy.vmpl {
            if found != u32::from(expected) {
                findings.fail(Mismatch::new(FindingCode::Vmpl, expected, found));
            }
        } else if found != 0 {
            let finding = Mismatch::new(FindingCode::Vmpl, 0, found);
            findings.fail_unless(Exception::NonzeroVmpl, finding);
        }
    });
    let guest = report.guest_policy();
    checks.make(Check::Debug, |findings| {
        if guest.has(GuestPolicyBit::Debug) {
            let finding = Mismatch::new(FindingCode::Debug, "bit 19 clear", "set");
            findings.fail_unless(Exception::Debug, finding);
        }
    });
    checks.make(Check::Migration, |findings| {
        if guest.has(GuestPolicyBit::MigrationAgent) {
            let finding = Mismatch::new(FindingCode::MigrationAllowed, "bit 18 clear", "set");
            findings.fail_unless(Exception::MigrationAgent, finding);
        }
        let agent = report.report_id_ma();
        if !agent.is_zero() && agent != Hex([0xff; 32]) {
            let finding = Mismatch::new(FindingCode::MigrationAgent, "none", agent);
            findings.fail_unless(Exception::MigrationAgent, finding);
        }
    });
}

fn bits(checks: &mut Checks, report: &Report, policy: &Policy) {
    let guest = report.guest_policy();
    if policy.guest_policy.is_empty() && policy.minimum_abi.is_none() {
        checks.skip(Check::GuestPolicy, Unchecked::NoRule);
    } else {
        checks.make(Check::GuestPolicy, |findings| {
            let rules = &policy.guest_policy;
            all_set(findings, FindingCode::GuestPolicyRequired, &rules.required, guest.0);
            all_clear(findings, FindingCode::GuestPolicyForbidden, &rules.forbidden, guest.0);
            exactly(findings, FindingCode::GuestPolicyExact, rules.exact, guest.0);
            let (major, minor) = guest.abi();
            if let Some((least_major, least_minor)) = policy.minimum_abi
                && (major, minor) < (least_major, least_minor)
            {
                findings.fail(Mismatch::new(
                    FindingCode::GuestPolicyAbi,
                    format_args!("{least_major}.{least_minor} or later"),
                    format_args!("{major}.{minor}"),
                ));
            }
        });
    }
    let rules = &policy.platform_info;
    if rules.is_empty() {
        checks.skip(Check::PlatformInfo, Unchecked::NoRule);
        return;
    }
    let info = report.platform_info().0;
    checks.make(Check::PlatformInfo, |findings| {
        all_set(findings, FindingCode::PlatformInfoRequired, &rules.required, info);
        all_clear(findings, FindingCode::PlatformInfoForbidden, &rules.forbidden, info);
        exactly(findings, FindingCode::PlatformInfoExact, rules.exact, info);
    });
}

fn minimum_tcb(checks: &mut Checks, report: &Report, product: Option<Product>, policy: &Policy) {
    if policy.minimum_tcb.is_empty() {
        checks.skip(Check::MinimumTcb, Unchecked::NoRule);
        return;
    }
    let Some(product) = product else {
        checks.skip(Check::MinimumTcb, Unchecked::NoLeaf);
        return;
    };
    let Some(least) = policy.minimum_tcb.levels(product) else {
        checks.make(Check::MinimumTcb, |findings| {
            let code = FindingCode::TcbNoMinimum;
            findings.fail(Mismatch::new(code, "minimum levels for it", product));
        });
        return;
    };
    checks.make(Check::MinimumTcb, |findings| {
        for kind in policy.minimum_tcb.kinds() {
            let (code, tcb): (_, Tcb) = match kind {
                TcbKind::Current => (FindingCode::TcbCurrent, report.current_tcb()),
                TcbKind::Committed => (FindingCode::TcbCommitted, report.committed_tcb()),
                TcbKind::Launch => (FindingCode::TcbLaunch, report.launch_tcb()),
                TcbKind::Reported => (FindingCode::TcbReported, report.reported_tcb()),
            };
            for (name, level) in tcb.components(product).iter() {
                let wanted = least.of(name);
                if level < wanted {
                    let expected = format_args!("{name} {wanted} or more");
                    findings.fail(Mismatch::new(code, expected, level));
                }
            }
        }
    });
}

/// Firmware versions, and whether what runs was committed.
///
/// Microcode is left out of the comparison of current and committed levels: an
/// operating system may load newer microcode than was committed, and does on
/// real hosts; the running level then only rises. A policy's minimum applies
/// to the committed level all the same.
fn firmware(checks: &mut Checks, report: &Report, policy: &Policy) {
    let (current, committed) = (report.current_firmware(), report.committed_firmware());
    match policy.minimum_firmware {
        None => checks.skip(Check::Firmware, Unchecked::NoRule),
        Some(least) => {
            checks.make(Check::Firmware, |findings| {
                let expected = format_args!("{least} or later");
                if current < least {
                    findings.fail(Mismatch::new(FindingCode::FirmwareCurrent, expected, current));
                }
                if committed < least {
                    let code = FindingCode::FirmwareCommitted;
                    findings.fail(Mismatch::new(code, expected, committed));
                }
            });
        }
    }
    checks.make(Check::Provisional, |findings| {
        if current != committed {
            let finding = Mismatch::new(FindingCode::ProvisionalVersion, committed, current);
            findings.fail_unless(Exception::ProvisionalFirmware, finding);
        }
        let running = report.current_tcb().without_microcode();
        let kept = report.committed_tcb().without_microcode();
        if running != kept {
            let finding = Mismatch::new(FindingCode::ProvisionalTcb, kept, running);
            findings.fail_unless(Exception::ProvisionalFirmware, finding);
        }
    });
}

fn instance(checks: &mut Checks, report: &Report, policy: &Policy) {
    if policy.report_id.is_none() && policy.chip_id.is_none() {
        checks.skip(Check::Instance, Unchecked::NoRule);
        return;
    }
    checks.make(Check::Instance, |findings| {
        equal(findings, FindingCode::ReportId, policy.report_id, report.report_id());
        equal(findings, FindingCode::ChipId, policy.chip_id, report.chip_id());
    });
}

/// A check of its own for one field and the value that the policy may name.
fn rule<const N: usize>(
    checks: &mut Checks,
    check: Check,
    code: FindingCode,
    expected: Option<Hex<N>>,
    found: Hex<N>,
) {
    match expected {
        None => checks.skip(check, Unchecked::NoRule),
        Some(_) => {
            checks.make(check, |findings| equal(findings, code, expected, found));
        }
    }
}

fn equal<const N: usize>(
    findings: &mut Findings,
    code: FindingCode,
    expected: Option<Hex<N>>,
    found: Hex<N>,
) {
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        findings.fail(Mismatch::new(code, expected, found));
    }
}

fn one_of(findings: &mut Findings, code: FindingCode, accepted: &[Hex<48>], found: Hex<48>) {
    if !accepted.contains(&found) {
        findings.fail(Mismatch::new(code, words(accepted), found));
    }
}

fn all_set<T: Bit>(findings: &mut Findings, code: FindingCode, bits: &[T], field: u64) {
    for bit in bits.iter().filter(|bit| field & bit.mask() == 0) {
        findings.fail(Mismatch::new(code, format_args!("{bit} set"), "clear"));
    }
}

fn all_clear<T: Bit>(findings: &mut Findings, code: FindingCode, bits: &[T], field: u64) {
    for bit in bits.iter().filter(|bit| field & bit.mask() != 0) {
        findings.fail(Mismatch::new(code, format_args!("{bit} clear"), "set"));
    }
}

fn exactly(findings: &mut Findings, code: FindingCode, exact: Option<u64>, field: u64) {
    if let Some(exact) = exact.filter(|exact| *exact != field) {
        let found = format_args!("{field:#x}");
        findings.fail(Mismatch::new(code, format_args!("{exact:#x}"), found));
    }
}

/// Values with "or" between them; of many, the first few.
fn words<T: std::fmt::Display>(values: &[T]) -> String {
    let mut shown: Vec<_> = values.iter().take(4).map(ToString::to_string).collect();
    if values.len() > shown.len() {
        shown.push(format!("one of {} more", values.len() - shown.len()));
    }
    shown.join(" or ")
}
