//! The simulated secure processor, seen from inside a VM and verified outside
//! of it. PID 1 has no part in these: `attest.mode=none`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use attestation::certificate::{
    Certificate, CertificateTable, EntryKind, Roots, UnixTime, VerifiedChain, validate,
};
use attestation::measurement::{
    CpuType, DirectBoot, GuestFeatures, Launch as LaunchMeasurement, VmmKind, prepare,
};
use attestation::policy::{Exception, Policy};
use attestation::report::{Hex, Report};
use attestation::verify::{ReportData, Request, Verdict, verify};
use vm_tests::{
    Environment, Launch, NO_TIMER_CHECK, Outcome, Running, Ssh, Stop, WorkDir, free_port,
};

use crate::debian;
use crate::fixtures::{Settings, SmallRoot, directory};

#[path = "../../../attestation/tests/measurement_common/mod.rs"]
mod measurement_common;

/// The simulator's keys, made once for all these tests.
fn state() -> PathBuf {
    directory().join("simulator")
}

/// A VM with the simulated secure processor, on one chip for all these tests.
pub(crate) fn simulated(vm: &Path) -> Launch {
    Launch::new(vm).simulator_argument("--state").simulator_argument(state())
}

/// The root that the simulator's reports chain to, for `--trust-root`.
pub(crate) fn root_file() -> PathBuf {
    state().join("milan/root.pem")
}

/// A firmware that is measured and never runs.
fn firmware() -> &'static Path {
    static FIRMWARE: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = directory().join("ovmf.fd");
        fs::write(&path, measurement_common::ovmf::Ovmf::default().image()).unwrap();
        path
    });
    &FIRMWARE
}

/// A VM as its owner describes it.
pub(crate) struct Described {
    pub(crate) cmdline: String,
    vcpus: u32,
    cpu: &'static str,
    policy: u64,
}

impl Described {
    fn new(actions: &str) -> Self {
        Self::with(&SmallRoot::get().settings, actions)
    }

    pub(crate) fn with(settings: &Settings, actions: &str) -> Self {
        Self::with_words(settings, &format!("probe.do={actions}"))
    }

    pub(crate) fn with_words(settings: &Settings, words: &str) -> Self {
        let cmdline = format!("{settings} {NO_TIMER_CHECK} {words}");
        Self { cmdline, vcpus: 1, cpu: "EPYC-v4", policy: 0x3_0000 }
    }

    /// Lets it boot, and waits for its end.
    fn run(&self, simulator: &[&str]) -> Outcome {
        let outcome = self.launch(simulator);
        outcome.booted();
        outcome
    }

    /// Starts it by `ravelin launch`, and waits for its end.
    pub(crate) fn launch(&self, simulator: &[&str]) -> Outcome {
        self.start(simulator).finish()
    }

    /// Starts it by `ravelin launch`.
    pub(crate) fn start(&self, simulator: &[&str]) -> Running {
        let root = SmallRoot::get();
        let work = WorkDir::new();
        let vm = work.join("vm.toml");
        let text = |path: &Path| format!("\"{}\"", path.display());
        let description = format!(
            "format = 1\nfirmware = {}\nkernel = {}\ninitrd = {}\ncmdline = \"{}\"\n\
             vcpus = {}\ncpu = \"{}\"\nmemory = \"512M\"\n\
             [[disks]]\nfile = {}\nserial = \"data\"\n\
             [[disks]]\nfile = {}\nserial = \"hash\"\n\
             [sev]\npolicy = {}\n[simulation]\nkernel_modules = {}\n",
            text(firmware()),
            text(&Environment::get().kernel()),
            text(&root.initramfs),
            self.cmdline,
            self.vcpus,
            self.cpu,
            text(&root.data),
            text(&root.hash),
            self.policy,
            text(&Environment::get().modules()),
        );
        fs::write(&vm, description).unwrap();
        let mut launch = simulated(&vm);
        for argument in simulator {
            launch = launch.simulator_argument(argument);
        }
        launch.start()
    }

    /// What the owner computes.
    pub(crate) fn measurement(&self) -> [u8; 48] {
        let (kernel, initrd) = (Environment::get().kernel(), &SmallRoot::get().initramfs);
        launch_digest(&kernel, initrd, &self.cmdline, self.vcpus, self.cpu)
    }
}

/// The launch measurement with the firmware of these tests.
pub(crate) fn launch_digest(
    kernel: &Path,
    initrd: &Path,
    cmdline: &str,
    vcpus: u32,
    cpu: &str,
) -> [u8; 48] {
    let open = |path: &Path| fs::File::open(path).unwrap();
    let boot = DirectBoot {
        kernel: &mut open(kernel),
        initrd: Some(&mut open(initrd)),
        cmdline: cmdline.as_bytes(),
    };
    let (firmware, kernel) = prepare(open(firmware()), Some(boot)).unwrap();
    let launch = LaunchMeasurement::new(&firmware, kernel.as_ref(), VmmKind::Qemu).unwrap();
    let cpu: CpuType = cpu.parse().unwrap();
    *launch.digest(vcpus.try_into().unwrap(), cpu.signature(), GuestFeatures::default()).as_bytes()
}

/// What one `tsm` action gave.
struct Evidence {
    generations: [String; 2],
    report: Vec<u8>,
    certificates: Vec<u8>,
}

fn tsm(outcome: &Outcome, action: &str) -> Evidence {
    let said = outcome.console.probe(action);
    let fields: Vec<&str> = said.split(' ').collect();
    let [provider, before, after, report, certificates] = fields.try_into().unwrap();
    assert_eq!(provider, "sev_guest");
    Evidence {
        generations: [before.to_owned(), after.to_owned()],
        report: hex::decode(report).unwrap(),
        certificates: hex::decode(certificates).unwrap(),
    }
}

/// The root that the simulator told its user of.
fn root() -> Certificate {
    Certificate::load(&fs::read(root_file()).unwrap()).unwrap()
}

fn chain(certificates: &[u8], roots: &Roots) -> Option<VerifiedChain> {
    let table = CertificateTable::parse(certificates).unwrap();
    let certificate = |kind| table.certificate(kind).unwrap().unwrap();
    let (leaf, ask) = (certificate(EntryKind::Vcek), certificate(EntryKind::Ask));
    validate(&leaf, &[ask], roots, &[], now()).ok()
}

fn now() -> UnixTime {
    UnixTime::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

fn verdict(report: &[u8], certificates: &[u8], measurement: [u8; 48], byte: u8) -> Verdict {
    verdict_of(report, certificates, measurement, [byte; 64])
}

/// What the owner makes of it, with the simulator's root trusted by name.
pub(crate) fn verdict_of(
    report: &[u8],
    certificates: &[u8],
    measurement: [u8; 48],
    report_data: [u8; 64],
) -> Verdict {
    let report = Report::parse(report).unwrap();
    let roots = Roots::none().with_given(root()).unwrap();
    let chain = chain(certificates, &roots).unwrap();
    let mut policy = Policy::default();
    policy.measurements = vec![measurement.into()];
    policy.allow.insert(Exception::SimulatorRoot);
    let request = Request::new(now(), ReportData::Expected(report_data));
    verify(&report, Ok(&chain), &policy, &request)
}

pub(crate) fn codes(verdict: &Verdict) -> Vec<String> {
    verdict.findings().map(|finding| finding.code().to_owned()).collect()
}

#[test]
fn a_simulated_vm_has_evidence_that_verifies() {
    let vm = Described::new("tsm:aa,sev:bb,sev-key:08,sev-key:09,tsm:cc");
    let outcome = vm.run(&[]);
    let first = tsm(&outcome, "tsm:aa");
    assert_eq!(first.generations, ["1", "1"]);
    let measurement = vm.measurement();
    let good = verdict(&first.report, &first.certificates, measurement, 0xaa);
    assert!(good.accepted(), "{:?}", codes(&good));
    assert!(chain(&first.certificates, &Roots::amd().unwrap()).is_none());

    let said = outcome.console.probe("sev:bb").to_owned();
    let fields: Vec<&str> = said.split(' ').collect();
    let [report, extended, kinds] = fields.try_into().unwrap();
    assert_eq!(kinds, "ARK+VCEK+ASK");
    for report in [report, extended] {
        let report = hex::decode(report).unwrap();
        let good = verdict(&report, &first.certificates, measurement, 0xbb);
        assert!(good.accepted(), "{:?}", codes(&good));
    }
    let id = |report: &[u8]| Report::parse(report).unwrap().report_id();
    assert_eq!(id(&first.report), id(&tsm(&outcome, "tsm:cc").report));
    let (one, other) = (outcome.console.probe("sev-key:08"), outcome.console.probe("sev-key:09"));
    assert!(one.len() == 64 && other.len() == 64 && one != other, "{one} {other}");
}

#[test]
fn a_changed_vm_reports_what_it_is() {
    let owner = Described::new("tsm:aa");
    let host = Described {
        cmdline: format!("{} quiet", owner.cmdline),
        vcpus: 2,
        policy: 0xb_0000,
        ..Described::new("")
    };
    let outcome = host.run(&["--tcb", "0200000000000007", "--report-version", "5"]);
    let evidence = tsm(&outcome, "tsm:aa");
    let refused = verdict(&evidence.report, &evidence.certificates, owner.measurement(), 0xaa);
    assert_eq!(codes(&refused), ["measurement.mismatch", "debug.enabled"]);
    let report = Report::parse(&evidence.report).unwrap();
    assert_eq!(report.measurement(), Hex(host.measurement()));
    assert_eq!(report.reported_tcb().to_string(), "0200000000000007");
    for (vcpus, cpu) in [(1, "EPYC-v4"), (2, "EPYC-Milan")] {
        let other = Described { vcpus, cpu, cmdline: host.cmdline.clone(), ..Described::new("") };
        assert_ne!(report.measurement(), Hex(other.measurement()));
    }
}

/// It was started before PID 1, needs nothing of the initramfs, and is none of
/// systemd's business.
#[test]
fn it_lives_through_the_boot_of_systemd() {
    let port = free_port();
    let vm = debian::Image::get().vm_on_port(port);
    let mut machine = simulated(&vm).time_limit(debian::LIMIT).start();
    let ssh = Ssh::wait(&mut machine, port);
    assert_eq!(ssh.run("systemctl is-system-running --wait"), "running");
    let report = "cd /sys/kernel/config/tsm/report && mkdir owner && \
                  head -c 64 /dev/zero > owner/inblob && wc -c < owner/outblob && rmdir owner";
    assert_eq!(ssh.run(report), "1184");
    assert_eq!(ssh.run("stat -c '%F %a %U' /dev/sev-guest"), "character special file 600 root");
    let daemon = "for p in /proc/[0-9]*; do case $(tr '\\0' ' ' < $p/cmdline) in \
                  @ravelin-sim*) stat -c %n $p; readlink $p/root; esac; done";
    assert_eq!(ssh.run(daemon).lines().count(), 2);
    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    machine.finish().stopped(Stop::PowerOff).never_said("the emulated secure processor stopped");
}

#[test]
fn each_fault_is_seen_inside_and_outside() {
    let vm = Described::new("tsm:01,tsm:02,tsm:03,tsm:04,tsm:05,tsm:06,tsm:07");
    let outcome = vm.run(&[
        "--fault=busy@2-2",
        "--fault=wrong-nonce@3-3",
        "--fault=stale-report@4-4",
        "--fault=truncated@5-5",
        "--fault=other-vm@6-6",
        "--fault=generation@7-7",
    ]);
    let of = |action: &str, byte: u8| {
        let evidence = tsm(&outcome, action);
        codes(&verdict(&evidence.report, &evidence.certificates, vm.measurement(), byte))
    };
    assert!(of("tsm:01", 1).is_empty());
    assert_eq!(outcome.console.probe("tsm:02"), "ResourceBusy 16");
    assert_eq!(of("tsm:03", 3), ["report-data.mismatch"]);
    assert_eq!(of("tsm:04", 4), ["report-data.mismatch"]);
    assert!(of("tsm:04", 1).is_empty(), "the first report again");
    assert_eq!(tsm(&outcome, "tsm:05").report.len(), 1000);
    assert_eq!(of("tsm:06", 6), ["measurement.mismatch"]);
    assert_eq!(tsm(&outcome, "tsm:07").generations, ["1", "2"]);
}
