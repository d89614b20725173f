//! The check of single values, for a configuration that is not whole.

use super::network::{Addresses, Gateways, LinkSelector, Mtu, NetworkMode};
use super::owners::{OptionalDeadline, OwnerKeys, Threshold};
use super::settings::Settings;
use super::values::{
    AbsolutePath, AttestMode, BlockSize, EvidenceSource, Flag, FsType, Hardening, Hex, HostKeyKind,
    KeyOrigin, List, MachineId, Number, OnCorruption, OnFailure, Port, RootMode, Salt, Selector,
    VerityAlgorithm, WritableDirectories, WritableMode,
};
use super::volumes::{GuestSvn, LeastTcb, Provision, WritableFs};
use super::{ConfigError, RootKey, VolumeCipher, VolumeFormat, VolumeTarget};
use crate::units::{Deadline, MemorySize};

/// Every value that was given, on its own.
pub(super) fn values(settings: &Settings) -> Result<(), ConfigError> {
    macro_rules! check {
        ($base:expr, $table:ident: $($key:literal: $type:ty),+ $(,)?) => {
            $(settings.optional::<$type>(&format!("{}{}", $base, $key))?;)+
            #[cfg(test)]
            super::tests::every_key_is_checked(super::$table, &[$($key),+]);
        };
    }
    check!(
        "", KEYS:
        "on_failure": OnFailure,
        "insecure": Flag,
        "deadline.disks": Deadline,
        "deadline.entropy": Deadline,
        "deadline.evidence": Deadline,
        "deadline.hooks": Deadline,
        "deadline.network": Deadline,
        "deadline.unlock": OptionalDeadline,
        "deadline.quorum": Deadline,
        "root.mode": RootMode,
        "root.device": Selector,
        "root.fstype": FsType,
        "root.init": AbsolutePath,
        "verity.hash_device": Selector,
        "verity.roothash": Hex,
        "verity.salt": Salt,
        "verity.algorithm": VerityAlgorithm,
        "verity.data_block_size": BlockSize,
        "verity.hash_block_size": BlockSize,
        "verity.data_blocks": Number,
        "verity.hash_start_block": Number,
        "verity.on_corruption": OnCorruption,
        "verity.on_error": OnCorruption,
        "verity.ignore_zero_blocks": Flag,
        "encrypted.format": VolumeFormat,
        "encrypted.fsck": Flag,
        "writable.mode": WritableMode,
        "writable.directories": WritableDirectories,
        "writable.size": MemorySize,
        "ssh.host_keys": List<HostKeyKind>,
        "harden": List<Hardening>,
        "attest.mode": AttestMode,
        "attest.source": EvidenceSource,
        "attest.port": Port,
        "compat.snpguard": Flag,
        "compat.snpguard_cmdline": Flag,
        "unlock.owners": OwnerKeys,
        "unlock.threshold": Threshold,
        "unlock.port": Port,
        "network.mode": NetworkMode,
        "network.link": LinkSelector,
        "network.address": Addresses,
        "network.gateway": Gateways,
        "network.mtu": Mtu,
        "machine_id": MachineId,
    );
    for volume in settings.volumes() {
        check!(
            format!("volume.{volume}."), VOLUME_KEYS:
            "device": Selector,
            "mount": VolumeTarget,
            "fstype": WritableFs,
            "key": KeyOrigin,
            "format": VolumeFormat,
            "cipher": VolumeCipher,
            "provision": Provision,
            "sealed.root_key": RootKey,
            "sealed.family_id": Flag,
            "sealed.image_id": Flag,
            "sealed.guest_svn": GuestSvn,
            "sealed.tcb_version": LeastTcb,
        );
    }
    Ok(())
}
