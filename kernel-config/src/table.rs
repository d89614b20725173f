//! The table. A row is added here and nowhere else.
//!
//! Symbols and module names are those of Linux 6.1 to 6.12 (`Kconfig` and the
//! `Makefile` beside it); where a later kernel folded an option into another,
//! the row says so.

/// When an option is needed, and in what state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Need {
    /// By every image, whatever its configuration.
    Base,
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
    /// By nothing: it makes the boot or the disk faster where the CPU has the
    /// instructions.
    Speed,
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
            Self::Verity => "Needed by a root on dm-verity and its writable layer",
            Self::Evidence => "Needed by attestation, unless `attest.mode` is `none`",
            Self::Encrypted => "Needed by an encrypted root and by volumes",
            Self::Network => "Needed where a key comes from an owner",
            Self::FileSystem => "File systems of the root: the one that the image uses is needed",
            Self::Device => "Needed when the disk, or the owner, is connected in this way",
            Self::Speed => "Not needed; faster where the CPU has the instructions",
            Self::Never => "Must not be built in",
        }
    }
}

/// One kernel option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelOption {
    /// The Kconfig symbol, without `CONFIG_`.
    pub symbol: &'static str,
    /// The module that it builds when it is `m`, written with underscores.
    /// `None`: the option can only be built in, or adds no module of its own.
    pub module: Option<&'static str>,
    /// When it is needed.
    pub need: Need,
    /// Why, as the end of the sentence "it is needed because …" or, for
    /// [`Need::Never`], "it is refused because …".
    pub reason: &'static str,
}

/// Every option that Ravelin needs, grouped by [`Need`].
pub const OPTIONS: &[KernelOption] = &[
    // Base: booting the initramfs and talking to the console.
    built_in("BLK_DEV_INITRD", Need::Base, "Ravelin's PID 1 is in the initramfs"),
    built_in("RD_ZSTD", Need::Base, "the initramfs is compressed with zstd when that is asked for"),
    built_in("BINFMT_ELF", Need::Base, "PID 1 is an ELF executable"),
    built_in("FUTEX", Need::Base, "PID 1 loads modules in parallel threads"),
    built_in("MODULES", Need::Base, "drivers that are modules are loaded from the initramfs"),
    built_in("PRINTK", Need::Base, "errors are reported on the console and in the kernel log"),
    built_in("TTY", Need::Base, "the console is a terminal"),
    built_in("SERIAL_8250", Need::Base, "the console is the first serial port"),
    built_in("SERIAL_8250_CONSOLE", Need::Base, "the console is the first serial port"),
    built_in("PROC_FS", Need::Base, "the kernel command line and the mounts are read there"),
    built_in("SYSFS", Need::Base, "disks are found there"),
    built_in(
        "DEVTMPFS",
        Need::Base,
        "device nodes are made by the kernel; there is no udev before the root",
    ),
    built_in("SHMEM", Need::Base, "tmpfs is built on it"),
    built_in("TMPFS", Need::Base, "/run and the writable layer are in memory"),
    built_in("NET", Need::Base, "the kernel announces new disks on a netlink socket"),
    built_in("BLOCK", Need::Base, "the root is on a disk"),
    built_in("EFI_PARTITION", Need::Base, "the disk has a GUID partition table"),
    built_in("ACPI", Need::Base, "the VM's interrupts and buses are described by ACPI tables"),
    built_in("PCI", Need::Base, "virtio devices are on the PCI bus"),
    built_in("AMD_MEM_ENCRYPT", Need::Base, "the VM's memory is encrypted by AMD SEV-SNP"),
    module("VIRTIO_PCI", "virtio_pci", Need::Base, "virtio devices are on the PCI bus"),
    module("VIRTIO_BLK", "virtio_blk", Need::Base, "disks are virtio block devices"),
    // Verity.
    built_in("MD", Need::Verity, "device mapper is one of its drivers"),
    module("BLK_DEV_DM", "dm_mod", Need::Verity, "dm-verity is a device-mapper target"),
    module(
        "DM_BUFIO",
        "dm_bufio",
        Need::Verity,
        "dm-verity keeps hash blocks in it (selected by DM_VERITY)",
    ),
    module(
        "DM_VERITY",
        "dm_verity",
        Need::Verity,
        "each block of the root is checked against the measured root hash",
    ),
    module(
        "REED_SOLOMON",
        "reed_solomon",
        Need::Verity,
        "dm-verity uses it where DM_VERITY_FEC is set (selected by it)",
    ),
    module("CRYPTO_SHA256", "sha256_generic", Need::Verity, "it is dm-verity's default hash"),
    module(
        "CRYPTO_SHA512",
        "sha512_generic",
        Need::Verity,
        "it is the hash of images made with --algorithm sha512",
    ),
    module("OVERLAY_FS", "overlay", Need::Verity, "writes go to an overlay in memory"),
    built_in("TMPFS_XATTR", Need::Verity, "the overlay keeps its marks in extended attributes"),
    built_in("TMPFS_POSIX_ACL", Need::Verity, "access control lists survive in the overlay"),
    // Evidence.
    built_in("VIRT_DRIVERS", Need::Evidence, "the driver of the secure processor is one of them"),
    module("CONFIGFS_FS", "configfs", Need::Evidence, "configfs-tsm gives the reports there"),
    module(
        "TSM_REPORTS",
        "tsm",
        Need::Evidence,
        "it is configfs-tsm (selected by SEV_GUEST; Linux 6.16 calls the module tsm_report)",
    ),
    module(
        "SEV_GUEST",
        "sev_guest",
        Need::Evidence,
        "it speaks to the secure processor, which signs the reports",
    ),
    built_in("UNIX", Need::Evidence, "the responder's two processes talk over a socket pair"),
    built_in("INET", Need::Evidence, "the responder listens on TCP"),
    built_in("MEMFD_CREATE", Need::Evidence, "the responder's program is not a file"),
    built_in("SECCOMP_FILTER", Need::Evidence, "the responder gives up all system calls but a few"),
    // Encrypted.
    built_in("KEYS", Need::Encrypted, "volume keys are given to dm-crypt in a keyring"),
    module("DM_CRYPT", "dm_crypt", Need::Encrypted, "it encrypts and authenticates each sector"),
    module(
        "DM_INTEGRITY",
        "dm_integrity",
        Need::Encrypted,
        "it keeps the authentication tags and the journal of the disk",
    ),
    module("ASYNC_CORE", "async_tx", Need::Encrypted, "ASYNC_XOR is built on it (selected by it)"),
    module(
        "ASYNC_XOR",
        "async_xor",
        Need::Encrypted,
        "dm-integrity links to it (selected by DM_INTEGRITY)",
    ),
    module(
        "CRYPTO_AUTHENC",
        "authenc",
        Need::Encrypted,
        "the default cipher is authenc(hmac(sha256),xts(aes))",
    ),
    module("CRYPTO_HMAC", "hmac", Need::Encrypted, "it is part of the default cipher"),
    module("CRYPTO_XTS", "xts", Need::Encrypted, "it is part of the default cipher"),
    module("CRYPTO_ECB", "ecb", Need::Encrypted, "xts is built on it"),
    module("CRYPTO_AES", "aes_generic", Need::Encrypted, "it is part of the default cipher"),
    module(
        "CRYPTO_GCM",
        "gcm",
        Need::Encrypted,
        "it is the cipher of disks made with --cipher aes-gcm-random",
    ),
    module("CRYPTO_CTR", "ctr", Need::Encrypted, "gcm is built on it (selected by CRYPTO_GCM)"),
    module(
        "CRYPTO_GHASH",
        "ghash_generic",
        Need::Encrypted,
        "gcm is built on it (selected by CRYPTO_GCM)",
    ),
    module(
        "CRYPTO_LIB_GF128MUL",
        "gf128mul",
        Need::Encrypted,
        "ghash is built on it (selected by CRYPTO_GHASH)",
    ),
    module(
        "CRYPTO_NULL",
        "crypto_null",
        Need::Encrypted,
        "gcm links to it (selected by CRYPTO_GCM; not in later kernels)",
    ),
    module(
        "CRYPTO_AEGIS128",
        "aegis128",
        Need::Encrypted,
        "it is the cipher of disks made with --cipher aegis128-random",
    ),
    // Network.
    built_in("NETDEVICES", Need::Network, "network devices have drivers"),
    module("VIRTIO_NET", "virtio_net", Need::Network, "the owner comes over a virtio device"),
    module("NET_FAILOVER", "net_failover", Need::Network, "virtio_net links to it"),
    module("FAILOVER", "failover", Need::Network, "net_failover is built on it"),
    module("PACKET", "af_packet", Need::Network, "DHCP is spoken before the link has an address"),
    module("IPV6", "ipv6", Need::Network, "the owner may come over IPv6"),
    // File systems of the root.
    module("EROFS_FS", "erofs", Need::FileSystem, "the root is erofs, the default"),
    built_in(
        "EROFS_FS_XATTR",
        Need::FileSystem,
        "file capabilities and labels on erofs are extended attributes",
    ),
    built_in("EROFS_FS_POSIX_ACL", Need::FileSystem, "access control lists on erofs"),
    built_in("EROFS_FS_SECURITY", Need::FileSystem, "file capabilities on erofs"),
    built_in("EROFS_FS_ZIP", Need::FileSystem, "the erofs root is compressed"),
    module("SQUASHFS", "squashfs", Need::FileSystem, "the root is squashfs"),
    built_in(
        "SQUASHFS_XATTR",
        Need::FileSystem,
        "file capabilities and labels on squashfs are extended attributes",
    ),
    built_in("SQUASHFS_ZSTD", Need::FileSystem, "the squashfs root is compressed with zstd"),
    module("EXT4_FS", "ext4", Need::FileSystem, "the root is ext4"),
    module("JBD2", "jbd2", Need::FileSystem, "ext4 needs it (selected by EXT4_FS)"),
    module("FS_MBCACHE", "mbcache", Need::FileSystem, "ext4 needs it (selected by EXT4_FS)"),
    module("XFS_FS", "xfs", Need::FileSystem, "the root is xfs"),
    module("BTRFS_FS", "btrfs", Need::FileSystem, "the root is btrfs"),
    module("RAID6_PQ", "raid6_pq", Need::FileSystem, "btrfs needs it (selected by BTRFS_FS)"),
    module("XOR_BLOCKS", "xor", Need::FileSystem, "btrfs needs it (selected by BTRFS_FS)"),
    module(
        "LIBCRC32C",
        "libcrc32c",
        Need::FileSystem,
        "erofs, xfs and btrfs check metadata with it (later kernels: part of CRC32)",
    ),
    module(
        "CRYPTO_CRC32C",
        "crc32c_generic",
        Need::FileSystem,
        "ext4 and libcrc32c compute checksums with it",
    ),
    // Other ways to attach a disk.
    module(
        "VIRTIO_MMIO",
        "virtio_mmio",
        Need::Device,
        "virtio devices of a microvm are not on the PCI bus",
    ),
    module("SCSI", "scsi_mod", Need::Device, "SCSI disks need it"),
    module("SCSI_VIRTIO", "virtio_scsi", Need::Device, "disks are behind a virtio SCSI controller"),
    module("BLK_DEV_SD", "sd_mod", Need::Device, "disks are SCSI disks"),
    module("NVME_CORE", "nvme_core", Need::Device, "NVMe disks need it (selected by BLK_DEV_NVME)"),
    module("BLK_DEV_NVME", "nvme", Need::Device, "disks are NVMe disks"),
    module("VSOCKETS", "vsock", Need::Device, "the responder listens on vsock where the VM has it"),
    module(
        "VIRTIO_VSOCKETS",
        "vmw_vsock_virtio_transport",
        Need::Device,
        "the responder listens on vsock where the VM has it",
    ),
    module(
        "VIRTIO_VSOCKETS_COMMON",
        "vmw_vsock_virtio_transport_common",
        Need::Device,
        "vsock over virtio is built on it (selected by VIRTIO_VSOCKETS)",
    ),
    // Speed.
    module(
        "CRYPTO_SHA256_SSSE3",
        "sha256_ssse3",
        Need::Speed,
        "dm-verity hashes several times faster (later kernels: part of CRYPTO_LIB_SHA256)",
    ),
    module(
        "CRYPTO_AES_NI_INTEL",
        "aesni_intel",
        Need::Speed,
        "encrypted disks are several times faster",
    ),
    module(
        "CRYPTO_AEGIS128_AESNI_SSE2",
        "aegis128_aesni",
        Need::Speed,
        "disks with aegis128-random are several times faster",
    ),
    module(
        "CRYPTO_GHASH_CLMUL_NI_INTEL",
        "ghash_clmulni_intel",
        Need::Speed,
        "disks with aes-gcm-random are faster",
    ),
    module(
        "CRYPTO_SIMD",
        "crypto_simd",
        Need::Speed,
        "CRYPTO_AES_NI_INTEL links to it (selected by it; not in later kernels)",
    ),
    module(
        "CRYPTO_CRYPTD",
        "cryptd",
        Need::Speed,
        "CRYPTO_SIMD links to it (selected by it; not in later kernels)",
    ),
    module(
        "CRYPTO_SHA512_SSSE3",
        "sha512_ssse3",
        Need::Speed,
        "dm-verity hashes faster with sha512 (later kernels: part of CRYPTO_LIB_SHA512)",
    ),
    module(
        "CRYPTO_CRC32C_INTEL",
        "crc32c_intel",
        Need::Speed,
        "file systems check metadata faster (later kernels: part of CRC32)",
    ),
    // Never.
    module(
        "HW_RANDOM_VIRTIO",
        "virtio_rng",
        Need::Never,
        "its entropy comes from the host, who would know part of what the VM's keys are made from",
    ),
];

const fn built_in(symbol: &'static str, need: Need, reason: &'static str) -> KernelOption {
    KernelOption { symbol, module: None, need, reason }
}

const fn module(
    symbol: &'static str,
    module: &'static str,
    need: Need,
    reason: &'static str,
) -> KernelOption {
    KernelOption { symbol, module: Some(module), need, reason }
}
