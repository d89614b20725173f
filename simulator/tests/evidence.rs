//! What the signing side hands out is what a verifier takes for real, under
//! the simulator's root and under no other.

#![allow(missing_docs, reason = "a test")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use attestation::certificate::{
    Certificate, CertificateTable, ChainRejection, EntryKind, Roots, UnixTime, VerifiedChain,
    validate,
};
use attestation::measurement::{DirectBoot, GuestFeatures, Launch, VmmKind, prepare};
use attestation::policy::{Exception, Policy};
use attestation::product::Product;
use attestation::report::{GuestPolicy, Hex, KeyKind, Report, ReportVersion, SigningKey};
use attestation::tcb::Tcb;
use attestation::verify::{ReportData, Request, Verdict, verify};
use simulator::archive::Overlay;
use simulator::authority::{Authority, RsaKey};
use simulator::names;
use simulator::qemu::Started;
use simulator::report::usual_tcb;
use simulator::server::{Guest, LaunchError, Platform, Settings};
use simulator::state::{ProductState, State, validity};
use simulator::wire::{Answer, Ask, KeyRequest, Question, Status};
use tempfile::TempDir;

#[path = "../../attestation/tests/measurement_common/mod.rs"]
mod measurement_common;
use measurement_common::ovmf;

/// PKCS #8, made once: it takes seconds.
static KEYS: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let threads = [(), (), ()].map(|()| std::thread::spawn(|| RsaKey::make().unwrap().to_vec()));
    threads.map(|thread| thread.join().unwrap())
});

fn product_state(product: Product) -> ProductState {
    let [ark, ask, asvk] = KEYS.each_ref().map(|der| RsaKey::from_pkcs8(der).unwrap());
    let authority = Authority::new(product, ark, ask, asvk);
    let certificates = authority.certificates(validity(365)).unwrap();
    ProductState { authority, certificates, root: "root.pem".into() }
}

/// A VM as QEMU would have been started with it.
struct Vm {
    directory: TempDir,
    overlay: Overlay,
}

const CMDLINE: &str = "console=ttyS0 ravelin.root.mode=verity ";
const PRODUCTION: &[u8] = b"production initramfs, 33 bytes...";

impl Vm {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("vmlinuz"), b"a kernel").unwrap();
        fs::write(directory.path().join("ovmf"), ovmf::Ovmf::default().image()).unwrap();
        // Any static program will do: nothing runs it here.
        let guest = static_program();
        let overlay = Overlay::new(&guest, None).unwrap();
        let mut initramfs = PRODUCTION.to_vec();
        initramfs.extend(overlay.behind(PRODUCTION.len() as u64).unwrap());
        fs::write(directory.path().join("initrd"), initramfs).unwrap();
        Self { directory, overlay }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn started(&self, cmdline: &str, smp: &str, cpu: &str) -> Started {
        let (kernel, initrd) = (self.path("vmlinuz"), self.path("initrd"));
        let line = [
            "qemu", "-kernel", &kernel, "-initrd", &initrd, "-append", cmdline, "-smp", smp,
            "-cpu", cpu,
        ];
        let line: Vec<OsString> = line.iter().map(OsString::from).collect();
        Started::parse(&line, Path::new("/")).unwrap()
    }

    fn usual(&self) -> Started {
        self.started(&format!("{CMDLINE}{}", names::CMDLINE_SUFFIX), "2", "EPYC-Milan")
    }

    fn settings(&self, product: Product, key: KeyKind, version: ReportVersion) -> Settings {
        Settings {
            firmware: self.path("ovmf").into(),
            overlay: self.overlay.clone(),
            product,
            version,
            key,
            chip_id: None,
            tcb: usual_tcb(product),
            platform_info: 0x25,
            policy: 0x3_0000,
            features: GuestFeatures::default(),
            vmpl: 0,
            host_data: [0xd0; 32],
            id_block: None,
            author_key: true,
            faults: Vec::new(),
        }
    }

    /// What the owner computes for this VM.
    fn expected(&self) -> [u8; 48] {
        let boot = DirectBoot {
            kernel: &mut b"a kernel".as_slice(),
            initrd: Some(&mut &*PRODUCTION),
            cmdline: CMDLINE.as_bytes(),
        };
        let firmware = fs::read(self.path("ovmf")).unwrap();
        let (firmware, kernel) = prepare(firmware.as_slice(), Some(boot)).unwrap();
        let launch = Launch::new(&firmware, kernel.as_ref(), VmmKind::Qemu).unwrap();
        let cpu: attestation::measurement::CpuType = "EPYC-Milan".parse().unwrap();
        let digest = launch.digest("2".parse().unwrap(), cpu.signature(), GuestFeatures::default());
        *digest.as_bytes()
    }
}

/// This test itself is not static; a head that says it is one suffices.
fn static_program() -> Vec<u8> {
    let mut elf = vec![0; 120];
    elf[..20].copy_from_slice(&[
        0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x3e, 0,
    ]);
    elf[20] = 1;
    elf[32] = 64;
    elf[52] = 64;
    elf[54] = 56;
    elf[56] = 1;
    // One loadable, executable segment, with the entry point in it.
    elf[64] = 1;
    elf[68] = 5;
    for address in [24, 80, 88] {
        elf[address + 2] = 0x40;
    }
    elf[96] = 120;
    elf[104] = 120;
    elf
}

fn platform(settings: Settings) -> Platform {
    let state = TempDir::new().unwrap();
    let state = State::open(Some(state.path())).unwrap();
    let product = product_state(settings.product);
    Platform::new(settings, &state, &product).unwrap()
}

fn now() -> UnixTime {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    UnixTime::from_secs(seconds)
}

fn table(certificates: &[u8], kind: EntryKind) -> Certificate {
    let table = CertificateTable::parse(certificates).unwrap();
    table.certificate(kind).unwrap().unwrap()
}

fn chain(
    certificates: &[u8],
    key: KeyKind,
    roots: &Roots,
) -> Result<VerifiedChain, ChainRejection> {
    let kind = if key == KeyKind::Vcek { EntryKind::Vcek } else { EntryKind::Vlek };
    let leaf = table(certificates, kind);
    validate(&leaf, &[table(certificates, EntryKind::Ask)], roots, &[], now())
}

fn given_root(certificates: &[u8]) -> Roots {
    Roots::none().with_given(table(certificates, EntryKind::Ark)).unwrap()
}

fn ask(guest: &mut Guest<'_>, data: [u8; 64]) -> Answer {
    guest.answer(&Question { number: 7, vmpl: 0, ask: Ask::Report(data) })
}

fn verdict(answer: &Answer, key: KeyKind, measurement: [u8; 48], data: [u8; 64]) -> Verdict {
    let report = Report::from_tsm(&answer.main).unwrap();
    let chain = chain(&answer.certificates, key, &given_root(&answer.certificates)).unwrap();
    let mut policy = Policy::default();
    policy.measurements = vec![measurement.into()];
    policy.allow.insert(Exception::SimulatorRoot);
    let request = Request::new(now(), ReportData::Expected(data));
    verify(&report, Ok(&chain), &policy, &request)
}

#[test]
fn reports_of_all_products_versions_and_keys_verify() {
    let vm = Vm::new();
    let mut tried = 0;
    for product in Product::ALL {
        for key in [KeyKind::Vcek, KeyKind::Vlek] {
            for version in [ReportVersion::V2, ReportVersion::V3, ReportVersion::V5] {
                let platform = platform(vm.settings(product, key, version));
                let mut guest = platform.launch(&vm.usual()).unwrap();
                let answer = ask(&mut guest, [0x5a; 64]);
                let verdict = verdict(&answer, key, vm.expected(), [0x5a; 64]);
                let masked = key == KeyKind::Vlek;
                let findings: Vec<_> = verdict.findings().map(ToString::to_string).collect();
                assert!(verdict.accepted(), "{product} {key} {version}: {findings:?} {masked}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 18);
}

#[test]
fn each_field_is_where_a_verifier_looks_for_it() {
    let vm = Vm::new();
    let mut settings = vm.settings(Product::Turin, KeyKind::Vcek, ReportVersion::V5);
    settings.tcb = Tcb([1, 2, 3, 4, 0, 0, 0, 8]);
    settings.policy = 0xb_0000;
    settings.chip_id = Some({
        let mut id = [0; 64];
        id[..8].copy_from_slice(&[9; 8]);
        id
    });
    let platform = platform(settings);
    let mut guest = platform.launch(&vm.usual()).unwrap();
    let report = Report::parse(&ask(&mut guest, [0x77; 64]).main).unwrap();
    assert_eq!(report.version(), ReportVersion::V5);
    assert_eq!(report.guest_policy(), GuestPolicy(0xb_0000));
    assert_eq!((report.vmpl(), report.signature_algorithm(), report.guest_svn()), (0, 1, 0));
    let tcb = Tcb([1, 2, 3, 4, 0, 0, 0, 8]);
    for found in
        [report.current_tcb(), report.reported_tcb(), report.committed_tcb(), report.launch_tcb()]
    {
        assert_eq!(found, tcb);
    }
    assert_eq!(report.platform_info().0, 0x25);
    assert_eq!(report.flags().signing_key(), SigningKey::Vcek);
    assert_eq!(report.report_data(), Hex([0x77; 64]));
    assert_eq!(report.host_data(), Hex([0xd0; 32]));
    assert_eq!(report.measurement(), Hex(vm.expected()));
    assert_eq!(report.report_id(), Hex(*guest.report_id()));
    assert_eq!(report.report_id_ma(), Hex([0xff; 32]));
    assert_eq!(report.product(), Some(Product::Turin));
    assert_eq!(report.chip_id().0[..9], [9, 9, 9, 9, 9, 9, 9, 9, 0]);
    assert_eq!(report.current_firmware().to_string(), "1.55.30");
    assert_eq!(report.reserved_offsets().count() + report.reserved_signature_offsets().count(), 0);
}

#[test]
fn no_other_root_vouches_for_the_simulator() {
    let vm = Vm::new();
    let settings = vm.settings(Product::Milan, KeyKind::Vcek, ReportVersion::V3);
    let certificates = platform(settings).certificates().to_vec();
    assert!(chain(&certificates, KeyKind::Vcek, &given_root(&certificates)).is_ok());
    assert!(chain(&certificates, KeyKind::Vcek, &Roots::amd().unwrap()).is_err());
    let other = platform(vm.settings(Product::Genoa, KeyKind::Vcek, ReportVersion::V3));
    let other = given_root(other.certificates());
    assert!(chain(&certificates, KeyKind::Vcek, &other).is_err());
    for kind in [EntryKind::Ark, EntryKind::Ask, EntryKind::Vcek] {
        let der = table(&certificates, kind).as_der().to_vec();
        let mark = names::ORGANIZATION.as_bytes();
        let marks = der.windows(mark.len()).filter(|window| *window == mark).count();
        assert_eq!(marks, 2, "issuer and subject of {kind} say whose they are");
    }
}

#[test]
fn a_changed_vm_has_another_measurement() {
    let vm = Vm::new();
    let platform = platform(vm.settings(Product::Milan, KeyKind::Vcek, ReportVersion::V3));
    let suffix = names::CMDLINE_SUFFIX;
    let measurement = |started: &Started| *platform.launch(started).unwrap().measurement();
    assert_eq!(measurement(&vm.usual()), vm.expected());
    let cmdline = format!("{CMDLINE}{suffix}");
    let changed = [
        vm.started(&format!("{} {suffix}", CMDLINE.trim_end().to_uppercase()), "2", "EPYC-Milan"),
        // Only a space less: nothing is trimmed.
        vm.started(&format!("{}{suffix}", CMDLINE.trim_end()), "2", "EPYC-Milan"),
        vm.started(&cmdline, "3", "EPYC-Milan"),
        vm.started(&cmdline, "2", "EPYC-Genoa"),
    ];
    for started in &changed {
        assert_ne!(measurement(started), vm.expected(), "{started:?}");
    }
    fs::write(vm.path("vmlinuz"), b"A kernel").unwrap();
    assert_ne!(measurement(&vm.usual()), vm.expected());
    fs::write(vm.path("vmlinuz"), b"a kernel").unwrap();
    let mut initramfs = fs::read(vm.path("initrd")).unwrap();
    initramfs[0] ^= 1;
    fs::write(vm.path("initrd"), initramfs).unwrap();
    assert_ne!(measurement(&vm.usual()), vm.expected());
}

#[test]
fn what_is_not_exactly_a_simulated_vm_is_not_served() {
    let vm = Vm::new();
    let platform = platform(vm.settings(Product::Milan, KeyKind::Vcek, ReportVersion::V3));
    let refused = |started: &Started| match platform.launch(started) {
        Ok(_) => String::new(),
        Err(LaunchError::Measured(error)) => error.to_string(),
        Err(error) => panic!("{error}"),
    };
    for cmdline in [CMDLINE.to_owned(), format!("{CMDLINE}{} ", names::CMDLINE_SUFFIX)] {
        let error = refused(&vm.started(&cmdline, "2", "EPYC-Milan"));
        assert!(error.contains("does not end in exactly"), "{error}");
    }
    let mut initramfs = fs::read(vm.path("initrd")).unwrap();
    let last = initramfs.len() - 1;
    initramfs[last] ^= 1;
    fs::write(vm.path("initrd"), initramfs).unwrap();
    assert_eq!(refused(&vm.usual()), vm.path("initrd"));
}

#[test]
fn each_fault_shows() {
    let vm = Vm::new();
    let expected = vm.expected();
    let with = |fault: &str| {
        let mut settings = vm.settings(Product::Milan, KeyKind::Vcek, ReportVersion::V3);
        settings.faults = vec![fault.parse().unwrap()];
        platform(settings)
    };
    let codes = |verdict: &Verdict| -> Vec<String> {
        verdict.findings().map(|finding| finding.code().to_owned()).collect()
    };
    let second = |fault: &str| {
        let platform = with(fault);
        let mut guest = platform.launch(&vm.usual()).unwrap();
        let first = ask(&mut guest, [1; 64]);
        assert!(verdict(&first, KeyKind::Vcek, expected, [1; 64]).accepted());
        ask(&mut guest, [2; 64])
    };
    assert_eq!(second("busy@2").status, Status::Busy);
    let stale = second("stale-report@2");
    assert!(verdict(&stale, KeyKind::Vcek, expected, [1; 64]).accepted());
    assert_eq!(codes(&verdict(&stale, KeyKind::Vcek, expected, [2; 64])), ["report-data.mismatch"]);
    let wrong = second("wrong-nonce@2");
    assert_eq!(codes(&verdict(&wrong, KeyKind::Vcek, expected, [2; 64])), ["report-data.mismatch"]);
    let other = second("other-vm@2");
    assert_eq!(codes(&verdict(&other, KeyKind::Vcek, expected, [2; 64])), ["measurement.mismatch"]);
    assert!(Report::parse(&second("truncated@2").main).is_err());
    assert!(second("generation@2").disturbed);
}

#[test]
fn keys_are_derived_and_refused_over_the_wire() {
    let vm = Vm::new();
    let platform = platform(vm.settings(Product::Milan, KeyKind::Vcek, ReportVersion::V3));
    let mut guest = platform.launch(&vm.usual()).unwrap();
    let mut key = |request| {
        let question = Question { number: 3, vmpl: 0, ask: Ask::Key(request) };
        guest.answer(&question)
    };
    let selected = KeyRequest { guest_field_select: 0b1000, ..KeyRequest::default() };
    let answer = key(selected);
    assert_eq!(
        (answer.status, answer.main.len(), answer.certificates.len()),
        (Status::Done, 32, 0)
    );
    assert_eq!(key(selected).main, answer.main);
    let refused = key(KeyRequest { guest_svn: 1, ..selected });
    assert_eq!((refused.status, refused.firmware), (Status::Refused, 0x16));
}
