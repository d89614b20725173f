//! `ravelin kernel check` on the two kernels that the project has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;

use common::run;
use serde_json::Value;

/// The symbols in a list of the result.
fn symbols<'a>(json: &'a Value, list: &str) -> Vec<&'a str> {
    json[list].as_array().unwrap().iter().map(|row| row["symbol"].as_str().unwrap()).collect()
}

#[test]
fn the_fragment_has_all_that_is_needed_and_nothing_risky() {
    let kernel_config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel-config");
    let arguments = ["--json", "kernel", "check", "ravelin.config"];
    let ran = run(&kernel_config, &[&arguments[..], &["--strict"]].concat()).ok();
    let json = ran.json();
    assert_eq!(json["aml"], "sandboxed");
    assert_eq!(json["usable"], true);
    for list in ["missing", "forbidden", "modules", "absent", "risky"] {
        assert_eq!(symbols(&json, list), [] as [&str; 0], "{list}");
    }

    // One line less, and it says so.
    let directory = tempfile::tempdir().unwrap();
    let fragment = fs::read_to_string(kernel_config.join("ravelin.config")).unwrap();
    let without = |line: &str| {
        assert!(fragment.contains(&format!("\n{line}\n")));
        fs::write(directory.path().join("ravelin.config"), fragment.replace(line, "")).unwrap();
    };
    without("CONFIG_DM_VERITY=y");
    let json = run(directory.path(), &arguments).code(1).json();
    assert_eq!(symbols(&json, "missing"), ["DM_VERITY"]);
    without("CONFIG_ACPI_SYSTEM_MEMORY_SHARED_ONLY=y");
    let ran = run(directory.path(), &arguments[1..]).ok();
    assert!(ran.stdout.contains("UNPROTECTED"), "{}", ran.stdout);
    let ran = run(directory.path(), &[&arguments[1..], &["--strict"]].concat()).code(1);
    assert!(ran.stdout.contains("UNPROTECTED"), "{}", ran.stdout);
}

/// A stock kernel works, and is told to be open to the host's AML.
#[test]
fn debian_s_kernel_is_usable_and_unprotected() {
    let Some(kernel) = std::env::var_os("RAVELIN_TEST_KERNEL") else {
        // Past the capture of a test's output.
        let reason = "RAVELIN_TEST_KERNEL is unset; `cargo xtask test` sets it";
        let line = format!("SKIPPED debian_s_kernel_is_usable_and_unprotected: {reason}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    };
    let boot = Path::new(&kernel).join("boot");
    let names = common::names(&boot);
    let config = names.iter().find(|name| name.starts_with("config-")).unwrap();
    let json = run(&boot, &["--json", "kernel", "check", config]).ok().json();
    assert_eq!(json["aml"], "unprotected");
    assert_eq!(symbols(&json, "missing"), [] as [&str; 0]);
    assert_eq!(symbols(&json, "forbidden"), [] as [&str; 0]);
    let modules = symbols(&json, "modules");
    assert!(["VIRTIO_BLK", "DM_VERITY", "SEV_GUEST"].iter().all(|m| modules.contains(m)));
    assert!(symbols(&json, "absent").contains(&"ACPI_SYSTEM_MEMORY_SHARED_ONLY"));
    let risky = symbols(&json, "risky");
    let expected = ["DMI", "ACPI_TABLE_UPGRADE", "EFI_RUNTIME_WRAPPERS", "VIRTIO_PCI_LEGACY"];
    let expected = expected.iter().chain(&["KEXEC", "KPROBES", "MODULES"]);
    for symbol in expected {
        assert!(risky.contains(symbol), "{symbol} is not in {risky:?}");
    }
}
