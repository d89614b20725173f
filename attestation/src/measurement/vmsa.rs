//! The initial state of a vCPU: the VMSA page that is measured for each.
//!
//! The first vCPU starts at the reset vector 0xfffffff0, all others at the
//! firmware's SEV-ES reset address, so all but the first have the same page.
//! Layout: AMD 24593, appendix B, "VMSA Layout"; all little-endian, what is not
//! listed is zero.
//!
//! | offset | size | field | QEMU |
//! |---|---|---|---|
//! | 0x000 | 16 | ES: selector (2), attributes (2), limit (4), base (8) | 0, 0x93, 0xffff, 0 |
//! | 0x010 | 16 | CS | 0xf000, 0x9b, 0xffff, upper half of the start address |
//! | 0x020 | 16 | SS | 0, 0x93, 0xffff, 0 |
//! | 0x030 | 48 | DS, FS, GS | as ES |
//! | 0x060 | 16 | GDTR | limit 0xffff |
//! | 0x070 | 16 | LDTR | 0, 0x82, 0xffff, 0 |
//! | 0x080 | 16 | IDTR | limit 0xffff |
//! | 0x090 | 16 | TR | 0, 0x8b, 0xffff, 0 |
//! | 0x0d0 | 8 | EFER | 0x1000 (SVME) |
//! | 0x148 | 8 | CR4 | 0x40 (MCE) |
//! | 0x158 | 8 | CR0 | 0x10 |
//! | 0x160 | 8 | DR7 | 0x400 |
//! | 0x168 | 8 | DR6 | 0xffff0ff0 |
//! | 0x170 | 8 | RFLAGS | 2 |
//! | 0x178 | 8 | RIP | lower half of the start address |
//! | 0x268 | 8 | G_PAT | 0x0007040600070406 |
//! | 0x310 | 8 | RDX | CPU signature |
//! | 0x3b0 | 8 | SEV_FEATURES | guest features |
//! | 0x3e8 | 8 | XCR0 | 1 |
//! | 0x408 | 4 | MXCSR | 0x1f80 |
//! | 0x410 | 2 | x87 control word | 0x37f |

use super::chain::{PAGE_LEN, PageDigest, page_digest};
use super::cpu::CpuSignature;
use super::features::GuestFeatures;
use super::vmm::VmmKind;

/// Where the first vCPU starts.
pub(super) const RESET_VECTOR: u32 = 0xffff_fff0;

/// What differs between hypervisors.
struct Flavour {
    cs: u16,
    ss: u16,
    tr: u16,
    pat: u64,
    rdx: u32,
    mxcsr: u32,
    fcw: u16,
}

const RESET_PAT: u64 = 0x0007_0406_0007_0406;

impl Flavour {
    const fn of(vmm: VmmKind, start: u32, cpu: CpuSignature) -> Self {
        let first = start == RESET_VECTOR;
        let qemu = Self {
            cs: 0x9b,
            ss: 0x93,
            tr: 0x8b,
            pat: RESET_PAT,
            rdx: cpu.value(),
            mxcsr: 0x1f80,
            fcw: 0x37f,
        };
        let ec2 = Self {
            cs: if first { 0x9a } else { 0x9b },
            ss: 0x92,
            tr: 0x83,
            pat: RESET_PAT,
            rdx: 0x600,
            mxcsr: 0,
            fcw: 0,
        };
        match vmm {
            VmmKind::Qemu => qemu,
            VmmKind::QemuKvm68 => Self { mxcsr: 0, fcw: 0, ..qemu },
            VmmKind::Ec2 => ec2,
            VmmKind::Ec2ZeroRdx => Self { rdx: 0, ..ec2 },
            VmmKind::Gce => Self { pat: 0x0007_0106, rdx: 0x600, mxcsr: 0, fcw: 0, ..qemu },
            VmmKind::Krun => Self { cs: 0x9a, rdx: 0, ..ec2 },
        }
    }
}

/// The digest of the VMSA page of a vCPU that starts at `start`.
pub(super) fn digest(
    vmm: VmmKind,
    start: u32,
    cpu: CpuSignature,
    features: GuestFeatures,
) -> PageDigest {
    page_digest(&page(vmm, start, cpu, features))
}

fn page(vmm: VmmKind, start: u32, cpu: CpuSignature, features: GuestFeatures) -> Vec<u8> {
    let flavour = Flavour::of(vmm, start, cpu);
    let mut page = Page(Vec::with_capacity(PAGE_LEN));
    page.segment(0x00, 0, 0x93, 0);
    page.segment(0x10, 0xf000, flavour.cs, start & 0xffff_0000);
    page.segment(0x20, 0, flavour.ss, 0);
    for data_segment in [0x30, 0x40, 0x50] {
        page.segment(data_segment, 0, 0x93, 0);
    }
    page.segment(0x60, 0, 0, 0);
    page.segment(0x70, 0, 0x82, 0);
    page.segment(0x80, 0, 0, 0);
    page.segment(0x90, 0, flavour.tr, 0);
    page.quad(0xd0, 0x1000);
    page.quad(0x148, 0x40);
    page.quad(0x158, 0x10);
    page.quad(0x160, 0x400);
    page.quad(0x168, 0xffff_0ff0);
    page.quad(0x170, 2);
    page.quad(0x178, u64::from(start & 0xffff));
    page.quad(0x268, flavour.pat);
    page.quad(0x310, u64::from(flavour.rdx));
    page.quad(0x3b0, features.bits());
    page.quad(0x3e8, 1);
    page.put(0x408, &flavour.mxcsr.to_le_bytes());
    page.put(0x410, &flavour.fcw.to_le_bytes());
    page.put(PAGE_LEN, &[]);
    page.0
}

/// A page that is written from its start to its end.
struct Page(Vec<u8>);

impl Page {
    /// `bytes` at `offset`, with zeros before.
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        debug_assert!(self.0.len() <= offset);
        self.0.resize(offset, 0);
        self.0.extend_from_slice(bytes);
    }

    fn quad(&mut self, offset: usize, value: u64) {
        self.put(offset, &value.to_le_bytes());
    }

    fn segment(&mut self, offset: usize, selector: u16, attributes: u16, base: u32) {
        self.put(offset, &selector.to_le_bytes());
        self.put(offset + 2, &attributes.to_le_bytes());
        self.put(offset + 4, &0xffff_u32.to_le_bytes());
        self.quad(offset + 8, u64::from(base));
    }
}

#[cfg(test)]
mod tests {
    use sev::measurement::vcpu_types::CpuType as SevCpuType;
    use sev::measurement::vmsa::{GuestFeatures as SevFeatures, VMMType, VMSA};
    use sev::parser::ByteParser;

    use super::super::cpu::QemuModel;
    use super::*;

    /// The pages of the `sev` crate, for all that it knows.
    #[test]
    fn pages_are_those_of_the_sev_crate() {
        let kinds = [
            (VmmKind::Qemu, VMMType::QEMU),
            (VmmKind::Ec2ZeroRdx, VMMType::EC2),
            (VmmKind::Krun, VMMType::KRUN),
        ];
        for model in QemuModel::all() {
            let Ok(cpu) = SevCpuType::try_from(model.name()) else { continue };
            for ((ours, theirs), bits) in
                kinds.iter().flat_map(|kind| [1_u64, 0x21, u64::MAX].map(|bits| (kind, bits)))
            {
                let features = SevFeatures::from_bytes(&bits.to_le_bytes()).unwrap();
                let pages =
                    VMSA::new(0x0080_b004, cpu, *theirs, Some(2), features).pages(2).unwrap();
                let features = GuestFeatures::new(bits);
                assert_eq!(page(*ours, RESET_VECTOR, model.signature(), features), pages[0]);
                assert_eq!(page(*ours, 0x0080_b004, model.signature(), features), pages[1]);
            }
        }
    }

    #[test]
    fn every_input_is_in_the_page() {
        let base =
            page(VmmKind::Qemu, RESET_VECTOR, CpuSignature::new(1), GuestFeatures::default());
        assert_eq!(base.len(), PAGE_LEN);
        let cpu = page(VmmKind::Qemu, RESET_VECTOR, CpuSignature::new(2), GuestFeatures::default());
        let start = page(VmmKind::Qemu, 0x80_b004, CpuSignature::new(1), GuestFeatures::default());
        let features =
            page(VmmKind::Qemu, RESET_VECTOR, CpuSignature::new(1), GuestFeatures::new(0x21));
        for other in [cpu, start, features] {
            assert_ne!(base, other);
        }
        for vmm in VmmKind::ALL {
            let [one, two] = [1, 2].map(|signature| {
                page(vmm, 0x80_b004, CpuSignature::new(signature), GuestFeatures::default())
            });
            assert_eq!(one != two, vmm.measures_cpu_type(), "{vmm}");
        }
    }
}
