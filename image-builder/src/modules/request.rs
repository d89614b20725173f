//! What an image asks for: single modules, or named sets of them.

use std::fmt;
use std::str::FromStr;

use protocol::config::{Config, FsType, Protection, VerityAlgorithm, Writable};
use thiserror::Error;

/// One thing that must, or may, be there when PID 1 has loaded the modules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    pub(super) what: What,
    pub(super) required: bool,
    /// Who asks, for errors: "the set verity".
    pub(super) wanted_by: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// A module.
    Module(String),
    /// A module that the kernel must have, and that it may refuse to load.
    Driver(String),
    /// An algorithm of the kernel's crypto API, whichever module has it.
    Algorithm(String),
}

impl Request {
    /// A module without which the boot fails.
    pub fn required(module: impl Into<String>) -> Self {
        Self::new(What::Module(module.into()), true)
    }

    /// A module that is taken along if the kernel has it; when it cannot be
    /// loaded, PID 1 says so and goes on.
    pub fn optional(module: impl Into<String>) -> Self {
        Self::new(What::Module(module.into()), false)
    }

    /// A driver that the kernel must have; when it cannot be loaded, because this
    /// machine lacks the device, PID 1 says so and goes on.
    pub fn driver(module: impl Into<String>) -> Self {
        Self::new(What::Driver(module.into()), false)
    }

    /// An algorithm of the kernel's crypto API (`sha256`) without which the boot
    /// fails. Where it is built in, faster implementations that are modules are
    /// taken along as optional ones.
    pub fn algorithm(name: impl Into<String>) -> Self {
        Self::new(What::Algorithm(name.into()), true)
    }

    /// An algorithm that is taken along if the kernel has it.
    pub fn optional_algorithm(name: impl Into<String>) -> Self {
        Self::new(What::Algorithm(name.into()), false)
    }

    /// Names who asks, for errors.
    #[must_use]
    pub fn wanted_by(mut self, who: impl Into<String>) -> Self {
        self.wanted_by = who.into();
        self
    }

    fn new(what: What, required: bool) -> Self {
        Self { what, required, wanted_by: "the list of modules".to_owned() }
    }
}

/// A named set of modules: what one feature of an image needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Set {
    /// Virtio block devices on the PCI bus: QEMU's usual disks.
    VirtioBlk,
    /// Virtio devices without a PCI bus: QEMU's microvm.
    VirtioMmio,
    /// Disks behind a virtio SCSI controller.
    VirtioScsi,
    /// NVMe disks.
    Nvme,
    /// dm-verity.
    Verity,
    /// SHA-256, in all implementations that the kernel has.
    Sha256,
    /// SHA-512, in all implementations that the kernel has.
    Sha512,
    /// The writable layer.
    Overlay,
    /// Attestation reports, and the responder's vsock.
    Evidence,
    /// dm-crypt over dm-integrity, with all ciphers of volumes: which one a disk has
    /// is only in the owner's release.
    Encrypted,
    /// The network before the hand-over, over a virtio network device.
    Network,
    /// The file system of a root or volume.
    Root(FsType),
}

/// A name that is not that of a set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no module set {name:?}; there are: {}", Set::ALL.map(Set::name).join(", "))]
pub struct SetError {
    name: String,
}

impl Set {
    /// All sets.
    pub const ALL: [Self; 16] = [
        Self::VirtioBlk,
        Self::VirtioMmio,
        Self::VirtioScsi,
        Self::Nvme,
        Self::Verity,
        Self::Sha256,
        Self::Sha512,
        Self::Overlay,
        Self::Evidence,
        Self::Encrypted,
        Self::Network,
        Self::Root(FsType::Erofs),
        Self::Root(FsType::Squashfs),
        Self::Root(FsType::Ext4),
        Self::Root(FsType::Xfs),
        Self::Root(FsType::Btrfs),
    ];

    /// The sets that an image needs: `verity` is the hash of its tree, `None`
    /// without dm-verity; `writable` whether it has a writable layer.
    #[must_use]
    pub fn for_root(fstype: FsType, verity: Option<VerityAlgorithm>, writable: bool) -> Vec<Self> {
        let mut sets = vec![Self::VirtioBlk, Self::Root(fstype)];
        if let Some(algorithm) = verity {
            sets.push(Self::Verity);
            sets.push(match algorithm {
                VerityAlgorithm::Sha256 => Self::Sha256,
                VerityAlgorithm::Sha512 => Self::Sha512,
            });
        }
        if writable {
            sets.push(Self::Overlay);
        }
        sets
    }

    /// The sets that a configuration needs.
    #[must_use]
    pub fn for_configuration(configuration: &Config) -> Vec<Self> {
        let verity = match &configuration.root.protection {
            Protection::Verity(verity) => Some(verity.algorithm),
            Protection::Encrypted(_) | Protection::InsecurePlain => None,
        };
        let writable = !matches!(configuration.writable, Writable::Disk | Writable::Nothing);
        let mut sets = Self::for_root(configuration.root.fstype, verity, writable);
        if configuration.attest.is_some() {
            sets.push(Self::Evidence);
        }
        let root_is_encrypted = matches!(configuration.root.protection, Protection::Encrypted(_));
        if root_is_encrypted || !configuration.volumes.is_empty() {
            sets.push(Self::Encrypted);
        }
        if configuration.network.is_some() {
            sets.push(Self::Network);
        }
        for volume in &configuration.volumes {
            let filesystem = Self::Root(volume.fstype);
            if !sets.contains(&filesystem) {
                sets.push(filesystem);
            }
        }
        sets
    }

    /// The set's name, as users write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VirtioBlk => "virtio-blk",
            Self::VirtioMmio => "virtio-mmio",
            Self::VirtioScsi => "virtio-scsi",
            Self::Nvme => "nvme",
            Self::Verity => "verity",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Overlay => "overlay",
            Self::Evidence => "evidence",
            Self::Encrypted => "encrypted",
            Self::Network => "network",
            Self::Root(fstype) => fstype.as_str(),
        }
    }

    /// What is in the set.
    #[must_use]
    pub fn requests(self) -> Vec<Request> {
        let requests = match self {
            Self::VirtioBlk => modules(&["virtio_pci", "virtio_blk"]),
            Self::VirtioMmio => modules(&["virtio_mmio", "virtio_blk"]),
            Self::VirtioScsi => modules(&["virtio_pci", "virtio_scsi", "sd_mod"]),
            Self::Nvme => modules(&["nvme"]),
            Self::Verity => modules(&["dm_verity"]),
            Self::Sha256 => vec![Request::algorithm("sha256")],
            Self::Sha512 => vec![Request::algorithm("sha512")],
            Self::Overlay => modules(&["overlay"]),
            // configfs-tsm comes with the driver, which depends on it.
            Self::Evidence => {
                vec![Request::driver("sev_guest"), Request::optional("vmw_vsock_virtio_transport")]
            }
            Self::Encrypted => encrypted(),
            // Raw sockets are for DHCP: a link without an address has no others.
            Self::Network => {
                let mut requests = modules(&["virtio_net", "af_packet"]);
                requests.push(Request::optional("ipv6"));
                requests
            }
            Self::Root(fstype) => modules(&[fstype.as_str()]),
        };
        requests.into_iter().map(|request| request.wanted_by(format!("the set {self}"))).collect()
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Set {
    type Err = SetError;

    fn from_str(name: &str) -> Result<Self, SetError> {
        Self::ALL
            .into_iter()
            .find(|set| set.name() == name)
            .ok_or_else(|| SetError { name: name.to_owned() })
    }
}

/// The default cipher is needed; a kernel without the others opens no disk that has
/// them. All parts are named: PID 1 runs no modprobe that the kernel could ask.
fn encrypted() -> Vec<Request> {
    let mut requests = modules(&["dm_crypt", "dm_integrity"]);
    requests.extend(["authenc", "hmac", "sha256", "xts", "ecb", "aes"].map(Request::algorithm));
    requests.extend(["gcm", "ctr", "ghash", "aegis128"].map(Request::optional_algorithm));
    requests
}

fn modules(names: &[&str]) -> Vec<Request> {
    names.iter().map(|&name| Request::required(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_read_and_written() {
        let names: HashSet<&str> = Set::ALL.map(Set::name).into();
        assert_eq!(names.len(), Set::ALL.len());
        for set in Set::ALL {
            assert_eq!(set.name().parse(), Ok(set));
            assert!(!set.requests().is_empty());
        }
        let error = "ext9".parse::<Set>().unwrap_err().to_string();
        assert!(error.starts_with("there is no module set \"ext9\"; there are: virtio-blk, "));
    }

    #[test]
    fn every_module_of_a_set_has_a_row_in_the_table_of_options() {
        for set in Set::ALL {
            for request in set.requests() {
                let has_row = |module: &str| kernel_config::option_for_module(module).is_some();
                let found = match &request.what {
                    What::Module(module) | What::Driver(module) => has_row(module),
                    What::Algorithm(name) => has_row(name) || has_row(&format!("{name}_generic")),
                };
                assert!(found, "{request:?}");
            }
        }
    }

    #[test]
    fn an_image_needs_what_it_uses() {
        assert_eq!(
            Set::for_root(FsType::Erofs, Some(VerityAlgorithm::Sha512), true),
            [Set::VirtioBlk, Set::Root(FsType::Erofs), Set::Verity, Set::Sha512, Set::Overlay]
        );
        assert_eq!(
            Set::for_root(FsType::Xfs, None, false),
            [Set::VirtioBlk, Set::Root(FsType::Xfs)]
        );
    }

    fn of(file: &str) -> Vec<Set> {
        let none = protocol::cmdline::CommandLine::default();
        Set::for_configuration(&protocol::config::parse(Some(file.as_bytes()), &none).unwrap())
    }

    #[test]
    fn keys_from_owners_need_a_network_and_others_do_not() {
        let root = "root = { mode = 'encrypted', device = 'serial:x', fstype = 'ext4' }\n\
                    unlock.owners = ['ssh-ed25519 \
                    AAAAC3NzaC1lZDI1NTE5AAAAIDyzIszNuLpS7DNw+8O7crE2JLaNeUInekURRDtQLyCI']\n";
        let ext4 = [Set::VirtioBlk, Set::Root(FsType::Ext4)];
        let encrypted = [&ext4[..], &[Set::Evidence, Set::Encrypted, Set::Network]].concat();
        assert_eq!(of(root), encrypted);
        let volumes = "[[volume]]\nname = 'a'\ndevice = 'serial:a'\nmount = '/a'\nkey = 'sealed'\n\
                       sealed.tcb_version = 'any'\n\
                       fstype = 'ext4'\n\
                       [[volume]]\nname = 'b'\ndevice = 'serial:b'\nmount = '/b'\nkey = 'ephemeral'\n\
                       fstype = 'xfs'\n";
        let xfs = [Set::Root(FsType::Xfs)];
        assert_eq!(of(&format!("{root}{volumes}")), [&encrypted[..], &xfs].concat());
        let plain = "insecure = true\n\
                     root = { mode = 'plain', device = 'serial:x', fstype = 'ext4' }\n";
        let sealed = [&ext4[..], &[Set::Overlay, Set::Evidence, Set::Encrypted], &xfs].concat();
        assert_eq!(of(&format!("{plain}{volumes}")), sealed);
        assert_eq!(of(plain), sealed[..4]);
    }
}
