//! The host's ACPI tables against what was measured.
//!
//! The kernel runs their AML before it unpacks the initramfs, and a SystemMemory
//! operation region is any memory. So the host can change the measured configuration
//! after it was measured: here the root hash, to that of a root of the host's own.

use std::fs;
use std::io::Write;
use std::path::Path;

use vm_tests::{Environment, Outcome, Tool, Vm, WorkDir, sha256_of_file};

use crate::fixtures::{self, BIG_FILE, SmallRoot, check, tree};
use crate::said::Said;

/// Attack: AML that writes another root hash over the measured one, and the disks that
/// go with it, on Debian's kernel. Observed: the host's root boots, though the
/// measurement is the owner's. Closed: it is not, on such a kernel, and `ravelin kernel
/// check` says so.
#[test]
fn aml_against_the_test_kernel_does_what_kernel_check_says() {
    the_host_s_aml(&Environment::get());
}

/// Attack: AML that writes another root hash over the measured one, and the disks that go
/// with it, on the kernel of `kernel-config/ravelin.config`.
/// Observed: the kernel refuses the access, and PID 1 the host's disks. Closed: AML gets no
/// access to the guest's own memory.
#[test]
fn aml_against_the_fragment_s_kernel_does_what_kernel_check_says() {
    let Some(kernel) = Environment::fragment() else {
        // Past the capture of a test's output.
        let line = "SKIPPED aml_against_the_fragment_s_kernel_does_what_kernel_check_says: \
                    the kernel is not there; `cargo xtask kernel` builds it\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    };
    assert!(sandboxed(&kernel), "the fragment has the sandbox");
    the_host_s_aml(&kernel);
}

fn the_host_s_aml(kernel: &Environment) {
    let root = SmallRoot::get();
    let work = WorkDir::new();
    let measured = root.settings.get("verity.roothash");
    let initramfs = initramfs(kernel, root, &work);
    let disks = |data: &Path, hash: &Path| {
        let actions = format!("{} probe.do=read:{BIG_FILE}", fixtures::BASE);
        let vm = Vm::with_kernel(kernel.kernel()).initrd(&initramfs).cmdline(actions);
        vm.disk(data, "data").disk(hash, "hash")
    };
    let read = |outcome: &Outcome| outcome.console.probe(&format!("read:{BIG_FILE}")).to_owned();
    let owner = format!("3000000 bytes sha256={}", sha256_of_file(&tree().join("data/big")));

    // The owner's root, and where the kernel says that the initramfs is.
    let outcome = disks(&root.data, &root.hash).run();
    outcome.booted();
    assert_eq!(read(&outcome), owner);
    let place = initramfs_place(&outcome);

    // A root of the host's: refused, by the measured root hash.
    let data = fixtures::copy(&root.data, &work);
    let hash = work.join("host.hash");
    fixtures::flip(&data, root.first_block_of(BIG_FILE));
    let other = fixtures::veritysetup_format_with(root.settings.get("verity.salt"), &data, &hash);
    disks(&data, &hash).run().refused("root", "verity-mismatch");

    // The same, with AML that changes the root hash.
    let archive = fs::read(&initramfs).unwrap();
    let at = archive.windows(measured.len()).position(|text| text == measured.as_bytes()).unwrap();
    let table = work.join("ssdt.aml");
    fs::write(&table, overwriting_ssdt(place + at as u64, other.as_bytes())).unwrap();
    let vm = disks(&data, &hash);
    let outcome = vm.qemu_arguments(["-acpitable", &format!("file={}", table.display())]).run();
    assert_eq!(initramfs_place(&outcome), place);
    if sandboxed(kernel) {
        outcome.refused("root", "verity-mismatch").said("access to private memory at");
    } else {
        outcome.booted();
        assert_ne!(read(&outcome), owner, "the host's root runs under the owner's measurement");
    }
}

/// What `ravelin kernel check` says of a kernel.
fn sandboxed(kernel: &Environment) -> bool {
    let mut ravelin = Tool::Ravelin.command();
    let output = ravelin.args(["--json", "kernel", "check"]).arg(kernel.config()).output();
    let said = Said::of(&output.unwrap());
    match said.json["aml"].as_str() {
        Some("sandboxed") => true,
        Some("unprotected") => false,
        _ => unreachable!("neither: {}", said.text),
    }
}

/// An initramfs with the settings in clear.
fn initramfs(kernel: &Environment, root: &SmallRoot, work: &WorkDir) -> std::path::PathBuf {
    let (settings, output) = (work.join("ravelin.toml"), work.join("initramfs.cpio"));
    fs::write(&settings, root.settings.to_toml()).unwrap();
    let mut ravelin = Tool::Ravelin.command();
    ravelin.args(["--quiet", "image", "initramfs", "--compress", "none", "--output"]).arg(&output);
    ravelin.arg("--config").arg(settings).arg("--kernel-modules").arg(kernel.modules());
    check(&mut ravelin);
    output
}

/// Physical address of the initramfs, from the kernel's `RAMDISK: [mem 0x…-0x…]`.
fn initramfs_place(outcome: &Outcome) -> u64 {
    let lines = outcome.console.lines();
    let range = lines.filter_map(|line| line.split_once("RAMDISK: [mem 0x")).next().unwrap().1;
    u64::from_str_radix(range.split('-').next().unwrap(), 16).unwrap()
}

/// An SSDT (ACPI 6.5, sections 5.2.6 and 20.2) whose code, run when it is loaded, writes
/// 64 bytes to a physical address:
///
/// ```text
/// OperationRegion (RMEM, SystemMemory, address, 64)
/// Field (RMEM, ByteAcc, NoLock, Preserve) { HASH, 512 }
/// HASH = Buffer (64) { … }
/// ```
fn overwriting_ssdt(address: u64, bytes: &[u8]) -> Vec<u8> {
    assert_eq!(bytes.len(), 64);
    let mut aml: Vec<u8> = Vec::new();
    // OpRegionOp, name, SystemMemory, QWordPrefix, address, BytePrefix, length.
    aml.extend(b"\x5b\x80RMEM\x00\x0e");
    aml.extend(address.to_le_bytes());
    aml.extend(b"\x0a\x40");
    // FieldOp, PkgLength 12, region, ByteAcc, field, its 512 bits as a PkgLength.
    aml.extend(b"\x5b\x81\x0cRMEM\x01HASH\x40\x20");
    // StoreOp, BufferOp, PkgLength 68, BytePrefix, size, bytes, target.
    aml.extend(b"\x70\x11\x44\x04\x0a\x40");
    aml.extend(bytes);
    aml.extend(b"HASH");

    // Signature, length, revision, checksum, OEM ID, OEM table ID, OEM revision, creator
    // ID, creator revision.
    let mut table = b"SSDT\0\0\0\0\x02\0HOST  OVERRITE\x01\0\0\0HOST\x01\0\0\0".to_vec();
    table.extend(aml);
    let length = u32::try_from(table.len()).unwrap();
    table[4..8].copy_from_slice(&length.to_le_bytes());
    table[9] = table.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
    table
}
