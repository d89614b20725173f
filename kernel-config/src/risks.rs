//! What a kernel for a confidential VM is better without: options by which the host,
//! or whoever became root, gets at more than it needs to. A row is added here and
//! nowhere else.
//!
//! A stock kernel has most of them, and a VM works with it. They are a larger
//! surface, each named with what it opens.

/// A risky option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Risk {
    /// The Kconfig symbol, without `CONFIG_`.
    pub symbol: &'static str,
    /// Whose way in it is.
    pub from: From,
    /// Why, as the end of the sentence "it is better left out because …".
    pub reason: &'static str,
    /// It is no risk where this option (a symbol) is on: it cannot be left out itself.
    pub unless: Option<&'static str>,
}

impl Risk {
    /// The option of the table that answers it, if there is one.
    pub(crate) fn answered(&self) -> Option<&'static str> {
        self.unless.filter(|other| crate::option(other).is_some())
    }
}

/// Whose way in a risky option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum From {
    /// The host's, by tables, devices and firmware that it gives the VM.
    Host,
    /// Root's in the booted system: it can undo what was measured.
    Root,
}

/// The option of Ravelin's own kernel patch: AML may touch only memory that is shared
/// with the host.
pub const AML_SANDBOX: &str = "ACPI_SYSTEM_MEMORY_SHARED_ONLY";

/// Every risky option, the host's first.
pub const RISKS: &[Risk] = &[
    host(
        "DMI",
        "the host's SMBIOS tables are parsed early, and drivers change what they do by them",
    ),
    host("DMI_SYSFS", "programs in the VM read the host's SMBIOS tables as if they were facts"),
    host("FW_CFG_SYSFS", "programs in the VM read what the host puts into fw_cfg"),
    host("DMIID", "programs in the VM read the host's SMBIOS tables as if they were facts"),
    host("ACPI_TABLE_UPGRADE", "it is one more way to put AML into the kernel"),
    host("ACPI_CONFIGFS", "AML can be loaded at run time"),
    host("ACPI_DEBUGGER", "it runs AML on request"),
    host("ACPI_CUSTOM_METHOD", "AML methods can be replaced at run time"),
    host("ACPI_HOTPLUG_MEMORY", "the host adds memory while the VM runs"),
    host("ACPI_APEI", "the host's tables name addresses that the kernel reads errors from"),
    host("ACPI_PRMT", "the host's tables name firmware code that AML then runs"),
    host("ACPI_NFIT", "the host's tables name memory that is used as a disk"),
    host("ACPI_BGRT", "the host's tables name an address that programs read an image from"),
    host("ACPI_FPDT", "the host's tables name addresses that programs read times from"),
    host("ACPI_SPCR_TABLE", "the host's tables choose the console"),
    host("ACPI_PCC", "the host's tables name memory that the kernel talks to firmware in"),
    host("ACPI_PROCESSOR", "AML decides on the states and the number of processors"),
    Risk {
        unless: Some("EFI_DISABLE_RUNTIME"),
        ..host(
            "EFI_RUNTIME_WRAPPERS",
            "firmware code runs with the kernel's rights after the boot, unless \
             EFI_DISABLE_RUNTIME",
        )
    },
    host("EFI_COCO_SECRET", "secrets that the host gives are shown as files"),
    host("EFI_VARS_PSTORE", "the kernel writes to the host's variable store"),
    host("EFIVAR_FS", "programs in the VM read the host's variable store"),
    host("VIRTIO_PCI_LEGACY", "legacy virtio devices have no feature negotiation to rely on"),
    host("VIRTIO_MMIO_CMDLINE_DEVICES", "devices come into being by words of the command line"),
    host("VMGENID", "the host has the random generator seeded again, at addresses of its choice"),
    host("HOTPLUG_PCI", "the host adds devices while the VM runs"),
    host("VIRTIO_BALLOON", "the host asks for memory pages of the VM"),
    host("VIRTIO_MEM", "the host adds and takes memory while the VM runs"),
    host("VIRTIO_PMEM", "the host maps a file of its own as memory"),
    host("VIRTIO_FS", "a file system server of the host's is parsed by the kernel"),
    host("NET_9P_VIRTIO", "a file system server of the host's is parsed by the kernel"),
    host("HYPERV", "drivers for another hypervisor's devices"),
    host("XEN", "drivers for another hypervisor's devices"),
    host("VMWARE_VMCI", "drivers for another hypervisor's devices"),
    host("FIREWIRE", "its devices read and write memory by themselves"),
    host("THUNDERBOLT", "its devices read and write memory by themselves"),
    host("PCCARD", "devices that come and go, with drivers of another age"),
    host("USB", "devices that the host invents are parsed by dozens of drivers"),
    host("SOUND", "devices that the host invents"),
    host("DRM", "devices that the host invents, and their large drivers"),
    host("INPUT_EVDEV", "the host types into the VM"),
    host("VT", "a screen and a keyboard that the host has"),
    host("SYSFB", "the host's screen is written to"),
    host("PARPORT", "devices of another age that the host invents"),
    host("BLK_DEV_FD", "devices of another age that the host invents"),
    host("ATA", "devices that the host invents, where virtio does"),
    host("MAGIC_SYSRQ_SERIAL", "the host gives the kernel orders over the serial console"),
    host("KGDB", "the host debugs the kernel over the serial console"),
    host("PVPANIC", "the VM tells the host of its end"),
    root("KEXEC", "another kernel, which nobody measured, is started"),
    root("KEXEC_FILE", "another kernel, which nobody measured, is started"),
    root("CRASH_DUMP", "memory is written to a disk after a crash"),
    root("HIBERNATION", "memory is written to a disk, and read back from it unmeasured"),
    root("DEVMEM", "memory is read and written as a file"),
    root("PROC_KCORE", "the kernel's memory is read as a file"),
    root("DEVPORT", "I/O ports are read and written as a file"),
    root("KPROBES", "the running kernel's code is changed"),
    root("UPROBES", "running programs' code is changed"),
    root("LIVEPATCH", "the running kernel's code is replaced"),
    root("BPF_SYSCALL", "programs run inside the kernel"),
    root("DEBUG_FS", "it has interfaces that were never meant to be safe"),
    root("FTRACE", "the running kernel's functions are traced and replaced"),
    root("X86_MSR", "model-specific registers are written"),
    root("X86_IOPL_IOPERM", "programs speak to devices by themselves"),
    root("USERFAULTFD", "it makes faults in the kernel easy to use"),
    root("IO_URING", "a large interface with a record of faults"),
    root("MODIFY_LDT_SYSCALL", "an interface for programs of another age, with a record of faults"),
    root("X86_16BIT", "16-bit programs"),
    root("IA32_EMULATION", "the system calls of 32-bit programs, a second set of each"),
    root("X86_X32_ABI", "the system calls of x32 programs, a third set of each"),
    root("LDISC_AUTOLOAD", "any user brings in line disciplines of terminals"),
    root("LEGACY_PTYS", "terminals of another age that anybody opens"),
    root("COREDUMP", "memory of a program that failed is written to a disk"),
    root("CHECKPOINT_RESTORE", "programs are taken apart and put together again"),
    Risk {
        unless: Some("MODULE_SIG_FORCE"),
        ..root("MODULES", "code that nobody measured is loaded, unless MODULE_SIG_FORCE")
    },
];

const fn host(symbol: &'static str, reason: &'static str) -> Risk {
    Risk { symbol, from: From::Host, reason, unless: None }
}

const fn root(symbol: &'static str, reason: &'static str) -> Risk {
    Risk { symbol, from: From::Root, reason, unless: None }
}
