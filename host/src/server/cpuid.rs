//! What CPUID says about memory encryption.

/// The result of one CPUID function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registers {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// The largest extended function is in its EAX.
const EXTENDED: u32 = 0x8000_0000;
const ENCRYPTION: u32 = 0x8000_001f;

/// CPUID function 8000_001Fh, "Encrypted Memory Capabilities" (AMD64 Architecture
/// Programmer's Manual, volume 3, 24594, section E.4.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryEncryption {
    /// EAX bit 0: the host's own memory can be encrypted. SNP needs it switched on.
    pub sme: bool,
    /// EAX bit 1.
    pub sev: bool,
    /// EAX bit 3.
    pub sev_es: bool,
    /// EAX bit 4.
    pub sev_snp: bool,
    /// EBX bits 5:0: the page-table bit that marks encrypted memory.
    pub cbit: u8,
    /// ECX: how many encrypted guests there can be at once.
    pub guests: u32,
    /// EDX: the first ASID of guests with SEV alone. Those below, from 1, are for
    /// SEV-ES and SEV-SNP; the firmware's set-up draws the line.
    pub first_sev_asid: u32,
}

impl MemoryEncryption {
    /// Asks a processor; nothing if it does not have the function.
    #[must_use]
    pub fn of(cpuid: &dyn Fn(u32) -> Registers) -> Option<Self> {
        if cpuid(EXTENDED).eax < ENCRYPTION {
            return None;
        }
        let Registers { eax, ebx, ecx, edx } = cpuid(ENCRYPTION);
        let bit = |index: u32| eax >> index & 1 == 1;
        Some(Self {
            sme: bit(0),
            sev: bit(1),
            sev_es: bit(3),
            sev_snp: bit(4),
            cbit: u8::try_from(ebx & 0x3f).unwrap_or_default(),
            guests: ecx,
            first_sev_asid: edx,
        })
    }

    /// How many guests with SEV-SNP there can be at once.
    #[must_use]
    pub fn snp_guests(&self) -> u32 {
        self.first_sev_asid.saturating_sub(1)
    }
}

/// CPUID of the processor that this program runs on, where it has the instruction.
#[must_use]
pub fn this_processor() -> Option<fn(u32) -> Registers> {
    #[cfg(target_arch = "x86_64")]
    {
        fn execute(function: u32) -> Registers {
            let result = core::arch::x86_64::__cpuid(function);
            Registers { eax: result.eax, ebx: result.ebx, ecx: result.ecx, edx: result.edx }
        }
        Some(execute)
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}
