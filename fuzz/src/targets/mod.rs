//! All targets.

mod cmdline;
mod configuration;
mod cpio;
mod dhcp;
mod evidence;
mod ext4;
mod gpt;
mod image;
mod integrity_superblock;
mod journal;
mod layer;
mod luks_header;
mod mbr;
mod netlink;
mod oci;
mod qcow2;
mod release;
mod release_signature;
mod responder;
mod verity_superblock;
mod volume_spec;
mod volume_tail;
mod volumes;

use crate::Target;

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        &[$(Target { name: stringify!($name), run: $name::run, seeds: $name::seeds }),*]
    };
}

/// All targets, by name.
pub const TARGETS: &[Target] = targets![
    cmdline,
    configuration,
    cpio,
    dhcp,
    evidence,
    ext4,
    gpt,
    integrity_superblock,
    journal,
    layer,
    luks_header,
    mbr,
    netlink,
    oci,
    qcow2,
    release,
    release_signature,
    responder,
    verity_superblock,
    volume_spec,
    volume_tail,
];
