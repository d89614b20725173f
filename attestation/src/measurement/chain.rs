//! The launch digest as the secure processor builds it, one page at a time.
//!
//! SNP_LAUNCH_UPDATE hashes a PAGE_INFO structure of 112 bytes for every page
//! that the hypervisor hands over, and the digest of that structure is the next
//! launch digest (AMD 56860, section 8.17.2). All integers are little-endian.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0x00 | 48 | DIGEST_CUR: the launch digest so far, 48 zero bytes at first |
//! | 0x30 | 48 | CONTENTS: SHA-384 of the page, or zeros for pages whose contents are not measured |
//! | 0x60 | 2 | LENGTH: 0x70 |
//! | 0x62 | 1 | PAGE_TYPE |
//! | 0x63 | 1 | bit 0 IMI_PAGE: 0 |
//! | 0x64 | 3 | VMPL3, VMPL2, VMPL1 permissions: 0 |
//! | 0x67 | 1 | reserved: 0 |
//! | 0x68 | 8 | GPA, in bytes |

use sha2::{Digest, Sha384};

use super::digest::LaunchDigest;

/// Bytes of a page.
pub(super) const PAGE: u32 = 4096;

/// [`PAGE`] as the length of a slice.
pub(super) const PAGE_LEN: usize = 4096;

const PAGE_INFO_LEN: u16 = 0x70;

/// The guest-physical address under which Linux's KVM (and the hypervisors that
/// the reference tools describe) records VMSA pages: all bits of a page address
/// below bit 48.
const VMSA_GPA: u64 = 0xffff_ffff_f000;

/// PAGE_TYPE of AMD 56860, SNP_LAUNCH_UPDATE, "Encodings for the PAGE_TYPE
/// field".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageType {
    Normal = 1,
    Vmsa = 2,
    Zero = 3,
    Unmeasured = 4,
    Secrets = 5,
    Cpuid = 6,
}

/// The SHA-384 of one page's contents.
pub(super) type PageDigest = [u8; 48];

/// What stands for the contents of a page that is not measured by its contents.
const NO_CONTENTS: PageDigest = [0; 48];

pub(super) fn page_digest(page: &[u8]) -> PageDigest {
    Sha384::digest(page).into()
}

/// A launch digest under construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain(PageDigest);

impl Chain {
    pub(super) const fn from_digest(digest: LaunchDigest) -> Self {
        Self(*digest.as_bytes())
    }

    pub(super) const fn digest(self) -> LaunchDigest {
        LaunchDigest::new(self.0)
    }

    fn update(&mut self, page_type: PageType, gpa: u64, contents: &PageDigest) {
        let mut hasher = Sha384::new();
        hasher.update(self.0);
        hasher.update(contents);
        let [length_low, length_high] = PAGE_INFO_LEN.to_le_bytes();
        hasher.update([length_low, length_high, page_type as u8, 0, 0, 0, 0, 0]);
        hasher.update(gpa.to_le_bytes());
        self.0 = hasher.finalize().into();
    }

    /// A page whose contents are measured.
    pub(super) fn normal(&mut self, gpa: u64, contents: &PageDigest) {
        self.update(PageType::Normal, gpa, contents);
    }

    /// The initial state of one vCPU.
    pub(super) fn vmsa(&mut self, contents: &PageDigest) {
        self.update(PageType::Vmsa, VMSA_GPA, contents);
    }

    /// `pages` pages from `gpa` on, of a type of which only place and type are
    /// measured.
    pub(super) fn opaque(&mut self, page_type: PageType, gpa: u64, pages: u32) {
        for page in 0..u64::from(pages) {
            self.update(page_type, gpa.wrapping_add(page * u64::from(PAGE)), &NO_CONTENTS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_info_is_hashed_byte_for_byte() {
        let contents = page_digest(&[0xa5; PAGE_LEN]);
        let mut chain = Chain::from_digest(LaunchDigest::new([7; 48]));
        chain.normal(0x0102_0304_0506_0708, &contents);
        let mut info = vec![7; 48];
        info.extend_from_slice(&contents);
        info.extend_from_slice(&[0x70, 0, 1, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(info.len(), 0x70);
        assert_eq!(chain.digest().as_bytes()[..], Sha384::digest(&info)[..]);
    }

    #[test]
    fn opaque_ranges_are_single_pages_in_ascending_order() {
        let mut range = Chain::from_digest(LaunchDigest::START);
        range.opaque(PageType::Zero, 0x80_0000, 2);
        let mut single = Chain::from_digest(LaunchDigest::START);
        single.opaque(PageType::Zero, 0x80_0000, 1);
        single.opaque(PageType::Zero, 0x80_1000, 1);
        assert_eq!(range, single);
        assert_ne!(range, Chain::from_digest(LaunchDigest::START));
    }
}
