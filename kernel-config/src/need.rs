//! When an option is needed.

/// When an option is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Need {
    /// By every image, whatever its configuration.
    Base,
    /// By a kernel that is made from nothing but this table: the processors, memory and
    /// clocks of the virtual machine, and the menus that other rows are below. Every
    /// distribution's kernel has them.
    Machine,
    /// By a root on dm-verity and its writable layer.
    Verity,
    /// By attestation: the secure processor's reports, and the responder.
    Evidence,
    /// By an encrypted root and by volumes.
    Encrypted,
    /// By the network on which owners release keys.
    Network,
    /// By a root of one file system: that of the image is needed, the others
    /// are not.
    FileSystem,
    /// By a disk that is attached in another way than by virtio-blk on PCI, or
    /// an owner who comes in another way than by TCP.
    Device,
    /// By the system that is booted: systemd, OpenSSH, cryptsetup.
    System,
    /// By `ravelin launch --simulate`, which has no secure processor.
    Simulation,
    /// By nothing: it makes the boot or the disk faster where the CPU has the
    /// instructions.
    Speed,
    /// By nothing: it takes something away from an attacker.
    Hardening,
    /// It must not be built in. A module of this name is never loaded before
    /// keys are made.
    Never,
}

impl Need {
    /// One line that says when the options of this group are needed.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Base => "Needed by every image",
            Self::Machine => {
                "The virtual machine itself, and the menus that other options are below"
            }
            Self::Verity => "Needed by a root on dm-verity and its writable layer",
            Self::Evidence => "Needed by attestation, unless `attest.mode` is `none`",
            Self::Encrypted => "Needed by an encrypted root and by volumes",
            Self::Network => "Needed where a key comes from an owner",
            Self::FileSystem => "File systems of the root: the one that the image uses is needed",
            Self::Device => "Needed when the disk, or the owner, is connected in this way",
            Self::System => "Needed by the system that is booted (systemd, OpenSSH, cryptsetup)",
            Self::Simulation => "Needed by `ravelin launch --simulate`: development and tests",
            Self::Speed => "Not needed; faster where the CPU has the instructions",
            Self::Hardening => "Not needed; takes something away from an attacker",
            Self::Never => "Must not be built in",
        }
    }
}
