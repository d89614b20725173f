//! Reading the settings of the volumes, and holding them against each other.

use std::fmt;
use std::str::FromStr;

use super::error::ConfigError;
use super::settings::Settings;
use super::unlock::{DataVolume, KeySource, Sealing, VolumeFormat, VolumeTarget};
use super::values::{Flag, FsType, KeyOrigin, ValueError, words};
use super::{Root, Scope, Writable};
use crate::release::VolumeName;
use crate::units::decimal;

words! {
    /// When a blank disk is formatted without the owner's word.
    Provision {
        /// Never.
        Never = "never",
        /// Whenever it is blank.
        IfBlank = "if-blank",
    }
}

impl FromStr for VolumeTarget {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<VolumeTarget, ValueError> {
        if text == "writable" {
            return Ok(VolumeTarget::Writable);
        }
        let path: super::AbsolutePath = text.parse()?;
        if path.is_kernels() {
            return Err(ValueError("/dev, /proc, /sys and /run are mounted anyway"));
        }
        if ["/etc", "/etc/ssh"].iter().any(|own| path.as_path() == std::path::Path::new(own)) {
            return Err(ValueError("it would hide what PID 1 leaves in /etc"));
        }
        Ok(VolumeTarget::Mount(path))
    }
}

/// A file system that can be written to.
pub(super) struct WritableFs(pub(super) FsType);

impl FromStr for WritableFs {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<WritableFs, ValueError> {
        match text.parse()? {
            FsType::Erofs | FsType::Squashfs => Err(ValueError("it cannot be written to")),
            fstype @ (FsType::Ext4 | FsType::Xfs | FsType::Btrfs) => Ok(WritableFs(fstype)),
        }
    }
}

/// A guest SVN.
pub(super) struct GuestSvn(pub(super) u32);

impl FromStr for GuestSvn {
    type Err = crate::units::UnitError;

    fn from_str(text: &str) -> Result<GuestSvn, Self::Err> {
        decimal(text).map(GuestSvn)
    }
}

/// The least TCB of a sealed key; `any` for none.
pub(super) struct LeastTcb(pub(super) Option<u64>);

impl FromStr for LeastTcb {
    type Err = crate::units::UnitError;

    fn from_str(text: &str) -> Result<LeastTcb, Self::Err> {
        if text == "any" { Ok(LeastTcb(None)) } else { decimal(text).map(Some).map(LeastTcb) }
    }
}

/// All volumes, by name.
pub(super) fn read(settings: &Settings) -> Result<Vec<DataVolume>, ConfigError> {
    settings.volumes().iter().map(|name| volume(settings, name)).collect()
}

fn volume(settings: &Settings, name: &VolumeName) -> Result<DataVolume, ConfigError> {
    let key = |key: &str| format!("volume.{name}.{key}");
    let origin: KeyOrigin = settings.value(&key("key"))?;
    settings.refuse(
        &key(""),
        &format!("in a volume with key={origin}"),
        |scope| matches!(scope, Scope::Volume(origins) if !origins.contains(&origin)),
    )?;
    let source = match origin {
        KeyOrigin::Owner => KeySource::Owner(settings.value(&key("format"))?),
        KeyOrigin::Sealed => KeySource::Sealed(Sealing {
            cipher: settings.value(&key("cipher"))?,
            root_key: settings.value(&key("sealed.root_key"))?,
            family_id: settings.value::<Flag>(&key("sealed.family_id"))?.0,
            image_id: settings.value::<Flag>(&key("sealed.image_id"))?.0,
            guest_svn: settings.optional::<GuestSvn>(&key("sealed.guest_svn"))?.map(|svn| svn.0),
            tcb_version: settings.value::<LeastTcb>(&key("sealed.tcb_version"))?.0,
        }),
        KeyOrigin::Ephemeral => KeySource::Ephemeral(settings.value(&key("cipher"))?),
    };
    let target = settings.value(&key("mount"))?;
    if target == VolumeTarget::Writable && origin != KeyOrigin::Ephemeral {
        return Err(ConfigError::Conflict(
            "a volume with mount=writable takes what is lost at the next boot: it needs \
             key=ephemeral, or a path to be mounted at",
        ));
    }
    let provision_if_blank = origin != KeyOrigin::Ephemeral
        && settings.value::<Provision>(&key("provision"))? == Provision::IfBlank;
    if provision_if_blank && source == KeySource::Owner(VolumeFormat::Luks2) {
        return Err(ConfigError::Conflict(
            "a volume with format=luks2 was made elsewhere, and PID 1 does not format it: \
             remove its provision=if-blank",
        ));
    }
    Ok(DataVolume {
        name: name.clone(),
        device: settings.value(&key("device"))?,
        target,
        fstype: settings.value::<WritableFs>(&key("fstype"))?.0,
        key: source,
        provision_if_blank,
    })
}

/// Holds the volumes against each other, the root and the writable layer.
pub(super) fn check(
    volumes: &[DataVolume],
    root: &Root,
    writable: &Writable,
    size_given: bool,
) -> Result<(), ConfigError> {
    for (index, volume) in volumes.iter().enumerate() {
        let others = || volumes.iter().skip(index + 1);
        if volume.device == root.device || others().any(|other| other.device == volume.device) {
            return Err(ConfigError::Conflict(
                "two of the volumes and the root have the same device; each needs its own",
            ));
        }
        match &volume.target {
            VolumeTarget::Mount(path) => {
                let nested = |other: &DataVolume| match &other.target {
                    VolumeTarget::Mount(other) => {
                        path.as_path().starts_with(other.as_path())
                            || other.as_path().starts_with(path.as_path())
                    }
                    VolumeTarget::Writable => false,
                };
                if others().any(nested) {
                    return Err(ConfigError::Conflict(
                        "two volumes are mounted at the same path, or one inside the other",
                    ));
                }
            }
            VolumeTarget::Writable => {
                if others().any(|other| other.target == VolumeTarget::Writable) {
                    return Err(ConfigError::Conflict(
                        "two volumes have mount=writable; one takes the writes",
                    ));
                }
                if matches!(writable, Writable::Disk | Writable::Nothing) {
                    return Err(ConfigError::Conflict(
                        "a volume with mount=writable takes the writes of overlays, and there are \
                         none: set writable.mode=directories or root, or remove the volume",
                    ));
                }
                if size_given {
                    return Err(ConfigError::Conflict(
                        "writable.size limits a tmpfs, and a volume with mount=writable is in its \
                         place; remove one of the two",
                    ));
                }
            }
        }
    }
    Ok(())
}
