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
mod load_order;
mod luks_header;
mod mbr;
mod netlink;
mod oci;
mod qcow2;
mod receipt;
mod release;
mod release_signature;
mod responder;
mod verity_superblock;
mod volume_spec;
mod volume_tail;
mod volumes;

use crate::Target;

macro_rules! targets {
    ($($name:ident: $mib:literal),* $(,)?) => {
        &[$(Target {
            name: stringify!($name),
            run: $name::run,
            memory: $mib << 20,
            seeds: $name::seeds,
        }),*]
    };
}

/// All targets, by name, and the memory that each may take, in MiB.
pub const TARGETS: &[Target] = targets![
    cmdline: 1,
    configuration: 1,
    cpio: 4,
    dhcp: 1,
    evidence: 1,
    ext4: 1,
    gpt: 1,
    integrity_superblock: 1,
    journal: 4,
    layer: 4,
    load_order: 1,
    luks_header: 40,
    mbr: 1,
    netlink: 1,
    oci: 4,
    qcow2: 1,
    receipt: 1,
    release: 1,
    release_signature: 1,
    responder: 1,
    verity_superblock: 1,
    volume_spec: 1,
    volume_tail: 1,
];
