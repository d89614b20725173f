//! A VM description with synthetic files.

use std::fs;
use std::path::Path;

use crate::measurement_common::Random;
use crate::measurement_common::ovmf::Ovmf;

/// Writes files that can be measured, and a `vm.toml` with `more` lines.
pub(crate) fn describe(directory: &Path, more: &str) {
    fs::write(directory.join("ovmf.fd"), Ovmf::default().image()).unwrap();
    fs::write(directory.join("vmlinuz"), Random(2).bytes(70_000)).unwrap();
    fs::write(directory.join("initrd"), Random(3).bytes(90_001)).unwrap();
    let text = format!(
        "format = 1\nfirmware = \"ovmf.fd\"\nkernel = \"vmlinuz\"\ninitrd = \"initrd\"\n\
         cmdline = \"console=ttyS0\"\n{more}"
    );
    fs::write(directory.join("vm.toml"), text).unwrap();
}
