//! Servers that were put together, and what is no file.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use attestation::product::Product;
use attestation::tcb::Tcb;

use super::*;

include!("../../tests/servers/unpack.rs");

const GENOA: &str = include_str!("../../tests/servers/genoa.txt");
const SET_UP_OFF: &str = include_str!("../../tests/servers/set-up-off.txt");
const IOMMU_PT: &str = include_str!("../../tests/servers/iommu-pt.txt");
const OLD_KERNEL: &str = include_str!("../../tests/servers/old-kernel.txt");
const INTEL: &str = include_str!("../../tests/servers/intel.txt");

/// What a test gives instead of a machine.
#[derive(Clone, Copy, Default)]
struct Machine<'a> {
    cpuid: Option<&'a dyn Fn(u32) -> Registers>,
    platform: Option<&'a dyn Fn() -> Result<PlatformStatus, PlatformError>>,
    access: Option<Access<'a>>,
    qemu: Option<Program<'a>>,
    wanted: Wanted<'a>,
}

impl Machine<'_> {
    fn check(&self, text: &str) -> BTreeMap<&'static str, Check> {
        let directory = tempfile::tempdir().unwrap();
        unpack(text, directory.path());
        let Self { cpuid, platform, access, qemu, wanted } = *self;
        let view = View { root: directory.path(), cpuid, platform, access, qemu };
        check(&view, wanted).checks.into_iter().map(|check| (check.id, check)).collect()
    }
}

fn files(text: &str) -> BTreeMap<&'static str, Check> {
    Machine::default().check(text)
}

fn ids(checks: &BTreeMap<&'static str, Check>, outcome: Outcome) -> Vec<&'static str> {
    checks.values().filter(|check| check.outcome == outcome).map(|check| check.id).collect()
}

/// Replaces what is there exactly once.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from} is there once");
    text.replace(from, to)
}

#[test]
fn a_server_that_can() {
    let checks = files(GENOA);
    assert_eq!(ids(&checks, Outcome::Missing), ["ovmf"], "{checks:#?}");
    assert_eq!(ids(&checks, Outcome::Unknown), ["dev-kvm", "dev-sev", "qemu"]);
    assert_eq!(
        checks["processor"].found,
        "Genoa: AMD EPYC 9354 32-Core Processor, AuthenticAMD \
                                           family 0x19 model 0x11"
    );
    assert!(checks["rmp"].found.contains("0x0000000075bfffff"), "{:?}", checks["rmp"]);
    assert_eq!(checks["sev-firmware"].found, "API 1.55 build 24 (the kernel's log)");
    assert_eq!(checks["iommu"].found, "2 units; 2 groups are translated");
    assert!(checks["asids"].found.starts_with("99 for"), "{:?}", checks["asids"]);
}

/// Without the kernel's log, as for most users.
#[test]
fn what_cannot_be_seen_is_unknown_and_what_follows_is_not() {
    let (text, _log) = GENOA.split_once("==> var/log/dmesg").unwrap();
    let checks = files(text);
    assert_eq!(ids(&checks, Outcome::Unknown), ["dev-kvm", "dev-sev", "qemu", "sev-firmware"]);
    assert_eq!(checks["rmp"].found, "in use: KVM has SNP on");
    let checks = files(&changed(text, "parameters/sev_snp <==\nY", "parameters/sev_snp <==\nN"));
    assert!(checks["rmp"].found.contains("it lists the flag sev_snp"), "{:?}", checks["rmp"]);
    assert_eq!(checks["kvm-sev-snp"].outcome, Outcome::Missing);

    let checks = files("");
    assert_eq!(checks["processor"].outcome, Outcome::Unknown);
    assert_eq!(checks["kernel"].outcome, Outcome::Unknown);
    assert_eq!(ids(&checks, Outcome::Ok), [""; 0], "{checks:#?}");
}

#[test]
fn a_set_up_that_has_it_off() {
    let checks = files(SET_UP_OFF);
    let missing = ids(&checks, Outcome::Missing);
    assert_eq!(missing, ["asids", "kvm-sev-es", "kvm-sev-snp", "ovmf", "rmp", "sev-snp"]);
    let remedy = |id: &str| checks[id].remedy.clone().unwrap();
    assert!(remedy("rmp").contains("SNP Memory (RMP Table) Coverage"), "{}", remedy("rmp"));
    assert!(remedy("sev-snp").contains("Auto leaves it off"), "{}", remedy("sev-snp"));
    assert!(remedy("asids").contains("SEV-ES ASID space limit"), "{}", remedy("asids"));

    // The same without the log: the flag that the kernel dropped tells.
    let (text, _log) = SET_UP_OFF.split_once("==> var/log/dmesg").unwrap();
    assert_eq!(files(text)["rmp"].outcome, Outcome::Missing);
    // Memory encryption off altogether: no flag is left, the processor has them all.
    let nothing = text.replace(" sme sev sev_es\n", "\n");
    let cpuid = genoa_cpuid(100);
    let machine = Machine { cpuid: Some(&cpuid), ..Machine::default() };
    let checks = machine.check(&nothing);
    assert!(checks["sev-snp"].remedy.as_ref().unwrap().contains("SMEE"), "{checks:#?}");
    let word = changed(text, " ro quiet", " ro sev=debug,nosnp");
    let remedy = files(&word)["sev-snp"].remedy.clone().unwrap();
    assert!(remedy.contains("take sev=debug,nosnp off"), "{remedy}");
}

#[test]
fn passthrough() {
    let iommu = |text: &str| files(text)["iommu"].clone();
    let check = iommu(IOMMU_PT);
    assert_eq!(check.found, "the kernel command line has iommu=pt");
    assert_eq!(check.remedy.unwrap(), "take iommu=pt off it and reboot");
    // A kernel whose default it is: the log tells, or the groups do.
    let default = changed(IOMMU_PT, " iommu=pt\n", "\n");
    assert!(iommu(&default).found.contains("SNP: IOMMU disabled or configured"));
    assert!(iommu(&default).remedy.unwrap().contains("iommu=nopt"));
    let (silent, _log) = default.split_once("==> var/log/dmesg").unwrap();
    assert_eq!(iommu(silent).found, "2 units; all 3 groups pass through");
    assert_eq!(iommu(silent).outcome, Outcome::Missing);

    for (words, outcome) in [
        ("iommu=pt iommu=nopt", Outcome::Ok),
        ("iommu.passthrough=1", Outcome::Missing),
        ("iommu.passthrough=1 iommu.passthrough=0", Outcome::Ok),
        ("iommu=nopt iommu=force,pt", Outcome::Missing),
        ("amd_iommu=off iommu=nopt", Outcome::Missing),
        ("amd_iommu=force_enable,pgtbl_v2", Outcome::Missing),
        ("amd_iommu=pgtbl_v1 iommu.strict=1", Outcome::Ok),
    ] {
        let check = iommu(&changed(GENOA, " ro quiet", &format!(" ro {words}")));
        assert_eq!(check.outcome, outcome, "{words}: {check:?}");
    }
    let off = changed(
        GENOA,
        "AMD-Vi: IOMMU SNP support enabled.",
        "AMD-Vi: SNP: IOMMU SNP feature not enabled, SNP cannot be supported.",
    );
    assert!(iommu(&off).remedy.unwrap().contains("SEV-SNP support to Enabled"));
    let absent = GENOA.replace("sys/class/iommu/ivhd", "sys/class/iommu/other");
    assert_eq!(iommu(&absent).found, "no AMD IOMMU is in use");
}

#[test]
fn an_old_kernel() {
    let checks = files(OLD_KERNEL);
    let missing = ids(&checks, Outcome::Missing);
    assert_eq!(missing, ["kernel", "kvm-sev-snp", "ovmf", "sev-firmware"], "{checks:#?}");
    assert_eq!(checks["sev-snp"].outcome, Outcome::Unknown, "this kernel does not tell");
    assert_eq!(checks["rmp"].outcome, Outcome::Unknown);
    assert!(checks["sev-firmware"].found.contains("API 1.49 build 6"));
    assert_eq!(checks["processor"].found.split(':').next(), Some("Milan"));
}

#[test]
fn another_processor() {
    let checks = files(INTEL);
    for id in ["processor", "sev-snp", "rmp", "iommu", "kvm-sev-snp", "dev-sev"] {
        assert_eq!(checks[id].outcome, Outcome::Missing, "{id}");
    }
    assert_eq!(checks["kernel"].outcome, Outcome::Ok);
    assert_eq!(checks["kvm-sev"].found, "kvm_amd is not loaded");
    // Rome has SEV and SEV-ES, and the same vendor.
    let rome = GENOA.replace("cpu family\t: 25\nmodel\t\t: 17", "cpu family\t: 23\nmodel\t\t: 49");
    assert_eq!(files(&rome)["processor"].outcome, Outcome::Missing);
    // A product of the future is not called unfit.
    let future =
        GENOA.replace("cpu family\t: 25\nmodel\t\t: 17", "cpu family\t: 26\nmodel\t\t: 80");
    let cpuid = genoa_cpuid(100);
    let machine = Machine { cpuid: Some(&cpuid), ..Machine::default() };
    assert_eq!(machine.check(&future)["processor"].outcome, Outcome::Unknown);
}

#[test]
fn a_virtual_machine_is_no_server() {
    let text = GENOA.replace(" svm npt", " svm hypervisor npt");
    assert_eq!(files(&text)["bare-metal"].outcome, Outcome::Missing);
}

/// CPUID of a Genoa whose set-up gives SNP the ASIDs below `first_sev_asid`.
fn genoa_cpuid(first_sev_asid: u32) -> impl Fn(u32) -> Registers {
    move |function| match function {
        0x8000_0000 => Registers { eax: 0x8000_0028, ..Registers::default() },
        0x8000_001f => Registers { eax: 0x0101_fd3f, ebx: 0x4173, ecx: 1006, edx: first_sev_asid },
        _ => Registers::default(),
    }
}

#[test]
fn what_cpuid_says() {
    let encryption = MemoryEncryption::of(&genoa_cpuid(100)).unwrap();
    assert!(encryption.sme && encryption.sev && encryption.sev_es && encryption.sev_snp);
    assert_eq!((encryption.cbit, encryption.guests, encryption.snp_guests()), (51, 1006, 99));
    assert_eq!(MemoryEncryption::of(&|_| Registers::default()), None);

    let cpuid = genoa_cpuid(1);
    let machine = Machine { cpuid: Some(&cpuid), ..Machine::default() };
    let checks = machine.check(GENOA);
    assert_eq!(checks["asids"].outcome, Outcome::Missing, "the processor's word counts");
    assert_eq!(
        checks["sev-snp"].found,
        "the processor has SEV, SEV-ES, SEV-SNP; the kernel uses: sme sev sev_es sev_snp"
    );
}

#[test]
fn what_the_secure_processor_says() {
    let status = |api| PlatformStatus {
        api,
        build: 7,
        current: Tcb([0; 8]).components(Product::Genoa),
        reported: Tcb([0; 8]).components(Product::Genoa),
    };
    let firmware = |api, wanted| {
        let ask = move || Ok(status(api));
        let machine = Machine { platform: Some(&ask), wanted, ..Machine::default() };
        machine.check(GENOA)["sev-firmware"].clone()
    };
    let any = Wanted::default();
    assert_eq!(firmware((1, 58), any).found, "API 1.58 build 7 (the secure processor)");
    assert_eq!(firmware((1, 51), any).outcome, Outcome::Ok);
    assert_eq!(firmware((1, 50), any).outcome, Outcome::Missing);
    assert_eq!(firmware((2, 0), any).outcome, Outcome::Ok);
    // 1.55 in the policy's lowest bytes.
    let policy = Policy::try_from(0x3_0137).unwrap();
    let wanted = Wanted { policy: Some(policy), ..Wanted::default() };
    assert_eq!(firmware((1, 55), wanted).outcome, Outcome::Ok);
    assert_eq!(firmware((1, 54), wanted).outcome, Outcome::Missing);

    // It may not be asked: the log does.
    let refuse = || Err(PlatformError::Open(io::ErrorKind::PermissionDenied.into()));
    let machine = Machine { platform: Some(&refuse), ..Machine::default() };
    assert_eq!(machine.check(GENOA)["sev-firmware"].outcome, Outcome::Ok);
    assert_eq!(machine.check(INTEL)["sev-firmware"].outcome, Outcome::Missing);
    let (silent, _log) = GENOA.split_once("==> var/log/dmesg").unwrap();
    let check = machine.check(silent)["sev-firmware"].clone();
    assert_eq!(check.outcome, Outcome::Unknown);
    assert!(check.found.contains("permission denied"), "{check:?}");
}

/// The firmware was there and did not start: its message counts, not its version. Nor does the
/// message once the secure processor answers.
#[test]
fn a_firmware_that_failed() {
    let failed =
        changed(GENOA, "SEV-SNP API:1.55 build:24", "SEV-SNP: failed to INIT rc -5, error 0x3");
    let check = files(&failed)["sev-firmware"].clone();
    assert!(check.outcome == Outcome::Missing && check.found.contains("error 0x3"), "{check:?}");
    let levels = Tcb([0; 8]).components(Product::Genoa);
    let ask = || Ok(PlatformStatus { api: (1, 55), build: 1, current: levels, reported: levels });
    let machine = Machine { platform: Some(&ask), ..Machine::default() };
    assert_eq!(machine.check(&failed)["sev-firmware"].outcome, Outcome::Ok);
}

#[test]
fn devices_of_a_machine() {
    let access = |path: &Path| match path.to_str() {
        Some("/dev/kvm") => Ok(()),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    };
    let machine = Machine { access: Some(&access), ..Machine::default() };
    let checks = machine.check(GENOA);
    assert_eq!(checks["dev-kvm"].outcome, Outcome::Ok);
    assert_eq!(checks["dev-sev"].outcome, Outcome::Missing);
    assert!(checks["dev-sev"].remedy.as_ref().unwrap().contains("udev"));
}

#[test]
fn qemu_of_a_machine() {
    let qemu = |version: &'static str, object: bool| {
        let run = move |arguments: &[&str]| {
            let (success, stdout) = match arguments {
                ["--version"] => (true, format!("{version}\nCopyright\n")),
                ["-object", "sev-snp-guest,help"] => (object, "  id-block=<string>\n".to_owned()),
                _ => (false, String::new()),
            };
            Ok(Answer { success, stdout })
        };
        Machine { qemu: Some(&run), ..Machine::default() }.check(GENOA)["qemu"].clone()
    };
    assert_eq!(qemu("QEMU emulator version 10.0.2 (Debian)", true).outcome, Outcome::Ok);
    let old = qemu("QEMU emulator version 7.2.9", false);
    assert_eq!(
        (old.outcome, old.found.as_str()),
        (Outcome::Missing, "QEMU emulator version 7.2.9")
    );
    let without = qemu("QEMU emulator version 9.2.0", false);
    assert!(without.found.ends_with("built without the object sev-snp-guest"), "{without:?}");
    assert_eq!(qemu("qemu-img version 9.2.0", true).outcome, Outcome::Missing);
    let absent = |_: &[&str]| Err(io::ErrorKind::NotFound.into());
    let machine = Machine { qemu: Some(&absent), ..Machine::default() };
    assert_eq!(machine.check(GENOA)["qemu"].outcome, Outcome::Missing);
}

#[test]
fn smt_and_the_policy() {
    let smt = |text: &str, policy| {
        let wanted =
            Wanted { policy: Some(Policy::try_from(policy).unwrap()), ..Wanted::default() };
        Machine { wanted, ..Machine::default() }.check(text)["smt"].outcome
    };
    assert_eq!(smt(GENOA, 0x3_0000), Outcome::Ok);
    assert_eq!(smt(GENOA, 0x2_0000), Outcome::Missing);
    let off = changed(GENOA, "smt/active <==\n1", "smt/active <==\n0");
    assert_eq!(smt(&off, 0x2_0000), Outcome::Ok);
}

#[test]
fn files_that_lie_or_are_endless() {
    let directory = tempfile::tempdir().unwrap();
    unpack(GENOA, directory.path());
    let long = std::fs::File::create(directory.path().join("proc/cpuinfo")).unwrap();
    long.set_len(1 << 40).unwrap();
    let log = std::fs::File::create(directory.path().join("var/log/dmesg")).unwrap();
    log.set_len(1 << 40).unwrap();
    std::fs::write(directory.path().join("proc/sys/kernel/osrelease"), [0xff; 100]).unwrap();
    let pipe = directory.path().join("proc/cmdline");
    std::fs::remove_file(&pipe).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let none =
        View { root: directory.path(), cpuid: None, platform: None, access: None, qemu: None };
    let report = check(&none, Wanted::default());
    let outcome = |id| report.checks.iter().find(|check| check.id == id).unwrap().outcome;
    assert_eq!(outcome("processor"), Outcome::Unknown);
    assert_eq!(outcome("kernel"), Outcome::Unknown);
    assert_eq!(report.outcome(), Outcome::Missing);
}
