//! Explaining a digest that does not match: every input, one at a time and in
//! pairs, is found and named, and what does not fit is said not to.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod measurement_common;

use attestation::measurement::explain::{
    Boot, Candidates, Description, Difference, Explanation, Input, Limits, Named, explain,
};
use attestation::measurement::{
    CpuType, Firmware, GuestFeatures, KernelHashes, Launch, LaunchDigest, Sha256Digest, VcpuCount,
    VmmKind,
};
use measurement_common::ovmf::{KERNEL_HASHES, Ovmf};

const LINE: &str = "console=ttyS0 panic=-1 ravelin.verity.roothash=aa";

fn description() -> Description {
    Description {
        firmware: Named::new("OVMF.amdsev.fd", Firmware::new(&Ovmf::default().image()).unwrap()),
        boot: Some(Boot {
            kernel: Named::new("vmlinuz-6.12", Sha256Digest::of(b"kernel")),
            initrd: Named::new("initrd.img", Sha256Digest::of(b"initrd")),
            cmdline: LINE.as_bytes().to_vec(),
        }),
        vmm: VmmKind::Qemu,
        vcpus: VcpuCount::try_from(4).unwrap(),
        cpu: "EPYC-v4".parse().unwrap(),
        features: GuestFeatures::default(),
    }
}

fn other_firmware() -> Firmware {
    Firmware::new(&Ovmf { seed: 2, ..Ovmf::default() }.image()).unwrap()
}

fn candidates() -> Candidates {
    Candidates {
        firmware: vec![Named::new("OVMF-2025.fd", other_firmware())],
        kernels: vec![
            Named::new("vmlinuz-6.1", Sha256Digest::of(b"old kernel")),
            Named::new("vmlinuz-6.13", Sha256Digest::of(b"new kernel")),
        ],
        initrds: vec![Named::new("initrd.old", Sha256Digest::of(b"old initrd"))],
        root_hashes: vec!["bb".to_owned(), "cc".to_owned()],
        cmdlines: vec![b"root=/dev/vda1".to_vec()],
        words: vec!["console=ttyS0".to_owned(), "quiet".to_owned()],
        max_vcpus: 40,
        ..Candidates::default()
    }
}

/// The digest of a description.
fn digest(of: &Description) -> LaunchDigest {
    let kernel = of.boot.as_ref().map(|boot| KernelHashes {
        kernel: boot.kernel.value,
        initrd: boot.initrd.value,
        cmdline: Sha256Digest::of_command_line(&boot.cmdline).unwrap(),
    });
    let launch = Launch::new(&of.firmware.value, kernel.as_ref(), of.vmm).unwrap();
    launch.digest(of.vcpus, of.cpu.signature(), of.features)
}

/// Explains the digest of the description that `change` changed.
fn changed(change: impl FnOnce(&mut Description)) -> Explanation {
    let mut started = description();
    change(&mut started);
    explain(digest(&started), &description(), &candidates(), Limits::default())
}

fn with_boot(change: impl FnOnce(&mut Boot)) -> Explanation {
    changed(|started| change(started.boot.as_mut().unwrap()))
}

fn with_line(line: &str) -> Explanation {
    with_boot(|boot| boot.cmdline = line.as_bytes().to_vec())
}

/// The one difference that must have been found.
fn single(explanation: &Explanation) -> &Difference {
    let Explanation::Differs { differences, .. } = explanation else { panic!("{explanation}") };
    let [difference] = &differences[..] else { panic!("{explanation}") };
    difference
}

#[track_caller]
fn assert_single(explanation: &Explanation, input: Input, measured: &str) {
    let difference = single(explanation);
    assert_eq!(difference.input, input);
    assert!(difference.measured.contains(measured), "{difference}");
    assert!(!difference.advice.is_empty());
    assert!(explanation.to_string().contains(&input.to_string()));
}

#[test]
fn the_description_itself_is_the_first_guess() {
    let same = explain(digest(&description()), &description(), &candidates(), Limits::default());
    assert_eq!(same, Explanation::Same);
}

#[test]
fn every_input_is_found_alone() {
    let vcpus = changed(|started| started.vcpus = VcpuCount::try_from(37).unwrap());
    assert_single(&vcpus, Input::VcpuCount, "37");
    assert_eq!(single(&vcpus).to_string(), "vCPU count: described 4, measured 37");

    let cpu = changed(|started| started.cpu = "EPYC-Milan-v2".parse().unwrap());
    assert_single(&cpu, Input::CpuType, "EPYC-Milan, EPYC-Milan-v1, EPYC-Milan-v2");
    assert_eq!(single(&cpu).described, "EPYC-v4");
    let host = changed(|started| started.cpu = "26/2/1".parse().unwrap());
    assert_single(&host, Input::CpuType, "-cpu host on family 26, model 2, stepping 1");

    let swap = changed(|started| started.features = GuestFeatures::new(0x21));
    assert_single(&swap, Input::GuestFeatures, "0x21 (SNPActive, DebugSwap)");
    assert!(single(&swap).advice.contains("debug_swap=0"));
    for bit in GuestFeatures::known() {
        let toggled = changed(|started| started.features = started.features.toggle(bit));
        assert_eq!(single(&toggled).input, Input::GuestFeatures);
    }

    let kernel = with_boot(|boot| boot.kernel.value = Sha256Digest::of(b"new kernel"));
    assert_single(&kernel, Input::Kernel, "vmlinuz-6.13");
    assert_eq!(single(&kernel).described, "vmlinuz-6.12");
    let initrd = with_boot(|boot| boot.initrd.value = Sha256Digest::of(b"old initrd"));
    assert_single(&initrd, Input::Initrd, "initrd.old");
    let no_initrd = with_boot(|boot| boot.initrd.value = Sha256Digest::EMPTY);
    assert_single(&no_initrd, Input::Initrd, "none");
    let firmware = changed(|started| started.firmware.value = other_firmware());
    assert_single(&firmware, Input::Firmware, "OVMF-2025.fd");
    let hashes = changed(|started| started.boot = None);
    assert_single(&hashes, Input::KernelHashes, "not measured");
    assert!(single(&hashes).advice.contains("kernel-hashes=on"));
    for vmm in VmmKind::ALL.into_iter().filter(|vmm| *vmm != VmmKind::Qemu) {
        assert_single(&changed(|started| started.vmm = vmm), Input::Vmm, vmm.name());
    }
}

#[test]
fn edits_of_the_command_line_are_named() {
    let cases = [
        (format!("{LINE}\n"), "a newline more at the end"),
        (format!("{LINE} "), "a space more at the end"),
        (format!(" {LINE}"), "a space more at the start"),
        (format!("{LINE}\r\n"), "a carriage return and a newline more"),
        (format!("{LINE} console=ttyS0"), "with \"console=ttyS0\" at the end"),
        (format!("quiet {LINE}"), "with \"quiet\" at the start"),
        (LINE.replace("=aa", "=cc"), "with the root hash cc"),
        (LINE.replace("panic=-1 ", ""), "without \"panic=-1\""),
        ("root=/dev/vda1".to_owned(), "another line"),
        (String::new(), "none"),
    ];
    for (line, how) in cases {
        let explanation = with_line(&line);
        assert_single(&explanation, Input::CommandLine, how);
        let shown = format!("\"{}\"", line.as_bytes().escape_ascii());
        assert!(single(&explanation).measured.starts_with(&shown), "{explanation}");
    }
    // The other way round: what was described has white space, the VM has not.
    let mut described = description();
    described.boot.as_mut().unwrap().cmdline = format!("{LINE}\n").into_bytes();
    let target = digest(&description());
    let trimmed = explain(target, &described, &candidates(), Limits::default());
    assert_single(&trimmed, Input::CommandLine, "no white space at the ends");
}

#[test]
fn pairs_are_found_after_single_changes() {
    let pair = changed(|started| {
        started.vcpus = VcpuCount::try_from(8).unwrap();
        started.boot.as_mut().unwrap().cmdline.push(b'\n');
    });
    let Explanation::Differs { differences, tried } = &pair else { panic!("{pair}") };
    let inputs: Vec<_> = differences.iter().map(|difference| difference.input).collect();
    assert_eq!(inputs, [Input::VcpuCount, Input::CommandLine]);
    assert!(*tried > 100, "{tried}");

    let edits = with_line(&format!("{} quiet", LINE.replace("=aa", "=bb")));
    let difference = single(&edits);
    assert_eq!(difference.input, Input::CommandLine);
    assert!(difference.measured.contains("then"), "{edits}");

    for (one, other) in [
        (Input::Kernel, Input::Initrd),
        (Input::Kernel, Input::Firmware),
        (Input::CpuType, Input::GuestFeatures),
    ] {
        let both = changed(|started| {
            let boot = started.boot.as_mut().unwrap();
            for input in [one, other] {
                match input {
                    Input::Kernel => boot.kernel.value = Sha256Digest::of(b"old kernel"),
                    Input::Initrd => boot.initrd.value = Sha256Digest::of(b"old initrd"),
                    Input::Firmware => started.firmware.value = other_firmware(),
                    Input::CpuType => started.cpu = "EPYC-Genoa".parse().unwrap(),
                    _ => started.features = GuestFeatures::new(0x21),
                }
            }
        });
        let Explanation::Differs { differences, .. } = &both else { panic!("{both}") };
        let mut inputs: Vec<_> = differences.iter().map(|difference| difference.input).collect();
        let mut expected = [one, other];
        inputs.sort_unstable();
        expected.sort_unstable();
        assert_eq!(inputs, expected);
    }
}

#[test]
fn three_changes_are_found_if_asked_for() {
    let mut started = description();
    started.vcpus = VcpuCount::ONE;
    started.cpu = "EPYC-Milan".parse().unwrap();
    started.features = GuestFeatures::new(0x21);
    let target = digest(&started);
    let two = explain(target, &description(), &candidates(), Limits::default());
    assert!(matches!(two, Explanation::NothingFits { complete: true, .. }), "{two}");
    let limits = Limits { max_changes: 3, ..Limits::default() };
    let three = explain(target, &description(), &candidates(), limits);
    let Explanation::Differs { differences, .. } = &three else { panic!("{three}") };
    assert_eq!(differences.len(), 3);
}

#[test]
fn what_does_not_fit_is_counted_and_bounded() {
    let target = LaunchDigest::new([0x5a; 48]);
    let nothing = explain(target, &description(), &candidates(), Limits::default());
    let Explanation::NothingFits { tried, complete: true } = nothing else { panic!("{nothing}") };
    assert!(nothing.to_string().contains(&format!("none of {tried} tried")), "{nothing}");
    assert!(nothing.to_string().contains("candidates"));

    let again = explain(target, &description(), &candidates(), Limits::default());
    assert_eq!(nothing, again);
    let limits = Limits { max_hashes: 1_000, ..Limits::default() };
    let bounded = explain(target, &description(), &candidates(), limits);
    let Explanation::NothingFits { tried: fewer, complete: false } = bounded else {
        panic!("{bounded}")
    };
    assert!(fewer < 1_000 && fewer < tried);
    let none = Limits { max_hashes: 0, ..Limits::default() };
    assert_eq!(
        explain(target, &description(), &candidates(), none),
        Explanation::NothingFits { tried: 0, complete: false }
    );

    // A description that asks for more than the limit is not even tried.
    let mut huge = description();
    huge.vcpus = VcpuCount::try_from(u32::MAX).unwrap();
    let huge = explain(target, &huge, &candidates(), Limits::default());
    assert_eq!(huge, Explanation::NothingFits { tried: 0, complete: false });
}

/// The owner described firmware alone, and the VM boots a measured kernel.
#[test]
fn a_measured_kernel_that_nobody_described_is_found() {
    let mut described = description();
    described.boot = None;
    let mut known = candidates();
    known.kernels.insert(0, description().boot.unwrap().kernel);
    known.initrds.insert(0, description().boot.unwrap().initrd);
    known.cmdlines.insert(0, LINE.as_bytes().to_vec());
    let target = digest(&description());
    let found = explain(target, &described, &known, Limits::default());
    let Explanation::Differs { differences, .. } = &found else { panic!("{found}") };
    let inputs: Vec<_> = differences.iter().map(|difference| difference.input).collect();
    assert_eq!(inputs, [Input::CommandLine, Input::Initrd, Input::Kernel, Input::KernelHashes]);
    assert!(found.to_string().contains("vmlinuz-6.12"));
}

/// Firmware that measures no kernel is no guess for a boot with one, and no
/// error either: another firmware may be the answer.
#[test]
fn descriptions_that_cannot_be_are_searched_from_too() {
    let mut without = Ovmf::default();
    without.sections.retain(|[_, _, kind]| *kind != KERNEL_HASHES);
    let mut described = description();
    described.firmware = Named::new("OVMF.fd", Firmware::new(&without.image()).unwrap());
    let mut known = candidates();
    known.firmware.push(description().firmware);
    let found = explain(digest(&description()), &described, &known, Limits::default());
    assert_single(&found, Input::Firmware, "OVMF.amdsev.fd");
    assert_eq!(single(&found).described, "OVMF.fd");

    // Nor is a command line with a NUL.
    let mut described = description();
    described.boot.as_mut().unwrap().cmdline = b"a\0b".to_vec();
    let target = LaunchDigest::new([1; 48]);
    let _ = explain(target, &described, &candidates(), Limits::default());
}

/// A type of which the measurement knows nothing is not a difference.
#[test]
fn hypervisors_without_cpu_types_do_not_differ_by_them() {
    let mut described = description();
    described.vmm = VmmKind::Ec2;
    let mut started = described.clone();
    started.cpu = CpuType::Signature("0x00a00f11".parse::<CpuType>().unwrap().signature());
    let found = explain(digest(&started), &described, &candidates(), Limits::default());
    assert_eq!(found, Explanation::Same);
}
