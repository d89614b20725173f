//! What is installed on this machine, each with its reason.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::apt::{Apt, Machine};

/// The first QEMU with `sev-snp-guest`.
const QEMU_AT_LEAST: (u32, u32) = (9, 1);

/// Debian package and what it is for.
const PACKAGES: &[(&str, &str)] = &[
    ("gcc", "links Rust programs, builds zstd and xz for the image builder"),
    ("libc6-dev", "the static C library that PID 1 is linked with"),
    ("pkg-config", "finds libdevmapper's headers"),
    ("clang", "reads libdevmapper's headers for the devicemapper crate"),
    ("libclang-dev", "reads libdevmapper's headers for the devicemapper crate"),
    ("libdevmapper-dev", "the headers themselves; nothing of it is linked"),
    ("python3-venv", "runs sev-snp-measure, the reference for launch measurements, in the tests"),
    ("mmdebstrap", "makes the Debian root of the demo and the tests"),
    ("cryptsetup-bin", "veritysetup: the reference that dm-verity is compared with"),
    ("libcryptsetup-dev", "libcryptsetup, which reads the LUKS2 headers back in the tests"),
    ("g++", "builds libFuzzer for `cargo xtask fuzz`"),
    ("kmod", "modinfo: what the module closures are compared with"),
    ("cpio", "GNU cpio reads the initramfs back in the tests"),
    ("libarchive-tools", "bsdtar reads the initramfs back in the tests"),
    ("fdisk", "sfdisk reads the partition table back in the tests"),
    ("gdisk", "sgdisk reads the partition table back in the tests"),
    ("qemu-utils", "qemu-img makes the disk images that the tests import"),
    ("openssh-client", "logs in to the virtual machine"),
    ("openssh-server", "its sshd shows host keys to the real ssh in the tests; no service is used"),
    ("libxml2-utils", "xmllint checks libvirt domains against libvirt's schema in the tests"),
    ("systemd", "systemd-analyze checks units in the tests; nothing is started by it"),
    ("umoci", "packs and unpacks the container images that the tests import"),
    ("skopeo", "writes container images in the other forms, for the tests"),
    ("btrfs-progs", "mkfs.btrfs makes a file system that a test takes as it is"),
    ("xfsprogs", "mkfs.xfs, the same"),
    ("rpm", "rpmbuild makes the kernel package that a test takes modules from"),
    ("zstd", "reads compressed initramfs back in the tests"),
    ("xz-utils", "makes compressed kernel modules in the tests"),
];

/// What `cargo xtask kernel` needs besides.
pub(super) const KERNEL_PACKAGES: &[(&str, &str)] = &[
    ("make", "builds the kernel"),
    ("flex", "makes the scanner of the kernel's configuration language"),
    ("bison", "makes the parser of the kernel's configuration language"),
    ("bc", "computes the kernel's time constants"),
    ("libelf-dev", "objtool reads the kernel's object files with it"),
    ("patch", "applies kernel-config/patches"),
];

/// What is missing, and nothing if all is there.
pub(crate) struct Missing {
    packages: Vec<(&'static str, &'static str)>,
    qemu: bool,
}

impl Missing {
    /// Asks dpkg and QEMU.
    pub(crate) fn look() -> Self {
        let qemu = qemu_version().is_none_or(|version| version < QEMU_AT_LEAST);
        Self { qemu, ..Self::of(PACKAGES) }
    }

    /// Asks dpkg for some packages, each with what it is for.
    pub(crate) fn of(packages: &[(&'static str, &'static str)]) -> Self {
        let output = Command::new("dpkg-query")
            .args(["-W", "-f", "${Package} ${db:Status-Abbrev}\n"])
            .args(packages.iter().map(|(package, _)| package))
            .stderr(Stdio::null())
            .output();
        let installed = output.map(|output| output.stdout).unwrap_or_default();
        let installed = String::from_utf8_lossy(&installed);
        let is_installed =
            |package: &str| installed.lines().any(|line| line.trim() == format!("{package} ii"));
        let packages = packages.iter().copied().filter(|(name, _)| !is_installed(name)).collect();
        Self { packages, qemu: false }
    }

    pub(crate) fn nothing(&self) -> bool {
        self.packages.is_empty() && !self.qemu
    }

    /// Installs it, with a line for each.
    pub(crate) fn install(&self, apt: &Apt, machine: &Machine, log: &Path) -> Result<()> {
        for (package, reason) in &self.packages {
            println!("setup: installing {package}: {reason}");
        }
        if !self.packages.is_empty() {
            let names: Vec<&str> = self.packages.iter().map(|(name, _)| *name).collect();
            apt.install(&names, None, log)?;
        }
        if self.qemu {
            let suite = machine.backports();
            let from = suite.as_ref().map(|suite| format!(" from {suite}")).unwrap_or_default();
            println!(
                "setup: installing qemu-system-x86{from}: runs the virtual machines; \
                 SEV-SNP needs {}.{} or later",
                QEMU_AT_LEAST.0, QEMU_AT_LEAST.1
            );
            apt.install(&["qemu-system-x86"], suite.as_deref(), log)?;
        }
        Ok(())
    }
}

fn qemu_version() -> Option<(u32, u32)> {
    let output = Command::new("qemu-system-x86_64").arg("--version").output().ok()?;
    parse_version(&String::from_utf8(output.stdout).ok()?)
}

/// `QEMU emulator version 10.0.2 (…)` to (10, 0).
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let version = text.strip_prefix("QEMU emulator version ")?;
    let mut numbers = version.split(['.', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_says_its_version() {
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright\n";
        assert_eq!(parse_version(text), Some((10, 0)));
        assert!(parse_version("QEMU emulator version 7.2.9").is_some_and(|v| v < QEMU_AT_LEAST));
        assert_eq!(parse_version("something else"), None);
    }
}
