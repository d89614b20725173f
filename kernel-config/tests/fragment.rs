//! The checked-in fragment is the one that the table makes.

use std::io::Write;
use std::path::Path;

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

/// The stock kernel that the project tests with meets the table: what is needed
/// is set, what must not be built in is not.
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
    let state = |symbol: &str| {
        let prefix = format!("CONFIG_{symbol}=");
        config.lines().find_map(|line| line.strip_prefix(&prefix))
    };
    for option in kernel_config::OPTIONS {
        let found = state(option.symbol);
        let good = match option.module {
            _ if option.need == kernel_config::Need::Never => found != Some("y"),
            Some(_) => matches!(found, Some("y" | "m")),
            None => found == Some("y"),
        };
        assert!(good, "CONFIG_{} is {found:?}: {}", option.symbol, option.reason);
    }
}
