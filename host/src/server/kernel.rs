//! The server's kernel.

use super::{Check, Facts, View};

/// The first release whose KVM starts SNP guests.
const NEEDED: (u32, u32) = (6, 11);
/// The first whose flags tell a host that can from one that cannot.
const SHOWS_SNP: (u32, u32) = (6, 9);

/// A kernel release, as `uname -r` has it.
pub(super) struct Release {
    text: String,
    version: (u32, u32),
}

impl Release {
    pub(super) fn of(view: &View) -> Option<Self> {
        Self::parse(&view.read("/proc/sys/kernel/osrelease").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let version = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        Some(Self { text: text.to_owned(), version })
    }

    pub(super) fn shows_snp(&self) -> bool {
        self.version >= SHOWS_SNP
    }
}

pub(super) fn check(facts: &Facts) -> Check {
    const ID: &str = "kernel";
    let (major, minor) = NEEDED;
    let Some(release) = &facts.release else {
        return Check::unknown(ID, "/proc/sys/kernel/osrelease cannot be read", "mount /proc");
    };
    if release.version >= NEEDED {
        return Check::ok(ID, format!("Linux {}", release.text));
    }
    // A distribution may have brought SNP into an older kernel: KVM then says so.
    if super::kvm::snp_is_on(facts.view) {
        let found = format!("Linux {}, with SNP in its KVM", release.text);
        let remedy = format!(
            "it is older than {major}.{minor}, which has SNP for guests as QEMU uses it; prefer a \
             kernel of {major}.{minor} or later"
        );
        return Check::unknown(ID, found, remedy);
    }
    let remedy = format!(
        "install {major}.{minor} or later (Debian 12: linux-image-amd64 of bookworm-backports; \
         Debian 13 has it)"
    );
    Check::missing(ID, format!("Linux {}", release.text), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        let version = |text| Release::parse(text).map(|release| release.version);
        assert_eq!(version("6.12.95+deb12-cloud-amd64"), Some((6, 12)));
        assert_eq!(version("6.11.0-rc1"), Some((6, 11)));
        assert_eq!(version("6.1.0-44-amd64"), Some((6, 1)));
        assert_eq!(version("7.0"), Some((7, 0)));
        assert_eq!(version("linux"), None);
        assert_eq!(version(""), None);
    }
}
