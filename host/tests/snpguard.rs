//! SNPGuard's `vm-config.toml` is taken as it is: as a policy, and as the
//! description from which the measurement is computed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "../../attestation/tests/measurement_common/mod.rs"]
mod measurement_common;
#[path = "../../attestation/tests/verify_support/mod.rs"]
mod verify_support;

use std::fs;

use attestation::product::Product;
use common::run;
use measurement_common::Random;
use measurement_common::ovmf::Ovmf;
use serde_json::json;
use verify_support::{Draft, LeafSpec, Spec, keys};

const CONFIG: &str = r#"
host_cpu_family = "Milan"
vcpu_count = 4
ovmf_file = "files/ovmf.fd"
kernel_file = "files/kernel"
initrd_file = "files/initrd"
guest_features = 0x1
kernel_cmdline = "console=ttyS0"
platform_info = 0x25
guest_policy = 0x3001f
family_id = "00000000000000000000000000000000"
image_id = "00000000000000000000000000000000"
[min_commited_tcb]
bootloader = 4
tee = 0
snp = 24
microcode = 219
_reserved = [0, 0, 0, 0]
"#;

#[test]
fn its_file_is_a_policy_and_a_description() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let write = |name: &str, bytes: &[u8]| fs::write(directory.join(name), bytes).unwrap();
    fs::create_dir_all(directory.join("guard/files")).unwrap();
    write("guard/files/ovmf.fd", &Ovmf::default().image());
    write("guard/files/kernel", &Random(1).bytes(9000));
    write("guard/files/initrd", &Random(2).bytes(9000));
    write("guard/vm-config.toml", CONFIG.as_bytes());
    // The same VM in Ravelin's own terms.
    let own = "format = 1\nfirmware = \"guard/files/ovmf.fd\"\nkernel = \"guard/files/kernel\"\n\
               initrd = \"guard/files/initrd\"\ncmdline = \"console=ttyS0\"\nvcpus = 4\n";
    write("vm.toml", own.as_bytes());
    let measured = run(directory, &["measure", "--json"]).ok().json();
    let digest = hex::decode(measured["measurement"].as_str().unwrap()).unwrap();

    let mut draft = Draft::new(3, Product::Milan);
    draft.set(0x90, &digest);
    write("report.bin", &draft.signed().0);
    write("vcek.der", &Spec::vcek(&LeafSpec::vcek(Product::Milan)).der(&keys().ask));
    write("ask.der", &Spec::ask(Product::Milan).der(&keys().ark));
    write("ark.der", &Spec::ark(Product::Milan).der(&keys().ark));
    let verify = |more: &[&str]| {
        let base = ["report", "verify", "report.bin", "--policy", "guard/vm-config.toml"];
        let trust = ["--trust-root", "ark.der", "--at", "2025-09-01T00:00:00Z"];
        let certs = ["--certs", "vcek.der", "ask.der"];
        run(directory, &[&base[..], &trust, &certs, more].concat())
    };
    let ran = verify(&[]).ok();
    assert!(ran.stderr.contains("measured from guard/vm-config.toml"), "{}", ran.stderr);
    verify(&["--vm", "vm.toml"]).ok();
    verify(&["--measurement", &"00".repeat(48)]).code(1);
    let check = run(directory, &["policy", "check", "guard/vm-config.toml", "--json"]).ok().json();
    assert_eq!((&check["form"], &check["complete"]), (&json!("snpguard"), &json!(true)));

    // Equality, as SNPGuard has it, and the files count.
    draft.set(0x40, &[0x24]);
    write("report.bin", &draft.signed().0);
    assert!(verify(&[]).code(1).stdout.contains("[platform-info.exact]"));
    draft.set(0x40, &[0x25]);
    write("report.bin", &draft.signed().0);
    write("guard/files/initrd", &Random(3).bytes(9000));
    assert!(verify(&[]).code(1).stdout.contains("[measurement.mismatch]"));
    fs::remove_file(directory.join("guard/files/initrd")).unwrap();
    assert!(verify(&[]).code(3).stderr.contains("guard/files/initrd: cannot be read"));
    write("guard/vm-config.toml", CONFIG.replace("vcpu_count = 4", "vcpu_count = 0").as_bytes());
    assert!(verify(&[]).code(3).stderr.contains("number of vCPUs"));
}
