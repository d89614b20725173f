//! The checked-in fragment and page are those that the tables make.

use std::io::Write;
use std::path::Path;

use kernel_config::{KernelConfig, KernelOption, Need, check};

#[test]
fn the_fragment_in_the_repository_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ravelin.config");
    let wanted = kernel_config::fragment();
    if std::env::var_os("RAVELIN_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "kernel-config/ravelin.config differs from the table; \
         run `RAVELIN_BLESS=1 cargo test -p kernel-config` and commit the result"
    );
}

#[test]
fn the_page_is_up_to_date() {
    const BEGIN: &str =
        "<!-- begin: made from the tables: RAVELIN_BLESS=1 cargo test -p kernel-config -->\n";
    const END: &str = "<!-- end -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kernel.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}\n{}\n\n{END}{after}", kernel_config::tables().trim());
    if std::env::var_os("RAVELIN_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == wanted,
        "docs/kernel.md differs from the tables; \
         run `RAVELIN_BLESS=1 cargo test -p kernel-config` and commit the result"
    );
}

/// The stock kernel that the project tests with meets the table: what any image needs
/// is set, what must not be built in is not. Not all that would harden it is there.
#[test]
fn the_test_kernel_meets_the_table() {
    let Some(kernel) = std::env::var_os("RAVELIN_TEST_KERNEL") else {
        // Past the capture of a test's output.
        let reason = "RAVELIN_TEST_KERNEL is unset; `cargo xtask test` sets it";
        let line = format!("SKIPPED the_test_kernel_meets_the_table: {reason}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    };
    let boot = Path::new(&kernel).join("boot");
    let config = std::fs::read_dir(&boot)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("config-"))
        .unwrap_or_else(|| panic!("no boot/config-* in {}", boot.display()));
    let config = std::fs::read_to_string(config).unwrap();
    let findings = check(&KernelConfig::parse(&config).unwrap(), &[]);
    assert!(findings.usable(), "{findings:?}");
    // It has NO_HZ_FULL in that place.
    let expected =
        |option: &KernelOption| option.need == Need::Hardening || option.symbol == "NO_HZ_IDLE";
    let absent: Vec<_> = findings.absent.into_iter().filter(|o| !expected(o)).collect();
    assert!(absent.is_empty(), "{absent:?}");
}
