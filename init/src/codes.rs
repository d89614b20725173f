//! The codes of PID 1's failures: name, meaning, and what to do.
//!
//! A code never changes its meaning; tests and operators match on it. The page
//! `docs/boot-failures.md` is made from this table.

/// One code.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The word after `code=` on the console.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub hint: &'static str,
}

macro_rules! codes {
    ($($constant:ident = $name:literal: $meaning:literal => $hint:literal;)+) => {
        $(
            #[doc = $meaning]
            pub const $constant: Code = Code { name: $name, meaning: $meaning, hint: $hint };
        )+
        /// All codes.
        pub const ALL: &[&Code] = &[$(&$constant),+];
    };
}

codes! {
    MOUNT = "mount": "A file system could not be mounted."
        => "check that the kernel has this file system, built in or in the modules archive";
    PATH = "path": "A system call on a file or directory failed."
        => "the initramfs or the root lacks what PID 1 expects here";
    CONFIGURATION_UNKNOWN_KEY = "configuration-unknown-key": "A key is not one of docs/configuration.md."
        => "correct /etc/ravelin.toml in the initramfs or the ravelin.* words of the kernel command line, and measure again";
    CONFIGURATION_REPEATED_KEY = "configuration-repeated-key": "A key is given twice, in one place or in both."
        => "give it once, in /etc/ravelin.toml or on the kernel command line, and measure again";
    CONFIGURATION_MISSING_KEY = "configuration-missing-key": "A key without a default is not given."
        => "take the ravelin.* words from the image's sidecar";
    CONFIGURATION_INVALID_VALUE = "configuration-invalid-value": "A value is not one that its key allows."
        => "correct /etc/ravelin.toml in the initramfs or the ravelin.* words of the kernel command line, and measure again";
    CONFIGURATION_CONFLICT = "configuration-conflict": "Two settings contradict each other."
        => "remove one of the two, and measure again";
    CONFIGURATION_TOO_LARGE = "configuration-too-large": "/etc/ravelin.toml is longer than 64 KiB."
        => "build the configuration archive again with `ravelin image initramfs --config`";
    CONFIGURATION_SYNTAX = "configuration-syntax": "/etc/ravelin.toml is not TOML."
        => "check it with `ravelin inspect`, correct it, and measure again";
    CONFIGURATION_COMMAND_LINE = "configuration-command-line": "The kernel command line cannot be split into words and settings."
        => "write each setting as ravelin.KEY=VALUE without quotation marks";
    LOAD_ORDER = "load-order": "The module load order in the initramfs is refused."
        => "build the modules archive again with `ravelin image initramfs`";
    OTHER_KERNEL = "other-kernel": "The modules are for another kernel than the one that runs."
        => "build the modules archive from /lib/modules of the kernel that is booted";
    MODULE = "module": "The kernel refused a module that is required."
        => "the module does not fit this kernel, or its signature is required and missing";
    DISK_MISSING = "disk-missing": "A disk did not appear before the deadline."
        => "attach the disk to the VM, or correct the selector; `ravelin inspect` shows an image's partitions";
    DISK_AMBIGUOUS = "disk-ambiguous": "A selector fits more than one device."
        => "attach the disk once; serials and labels must be unique";
    DISK_SHARED = "disk-shared": "One device is meant to be two volumes."
        => "correct the selectors, or the serials and labels of the attached disks";
    DISK_TOO_SMALL = "disk-too-small": "A disk is smaller than the measured settings imply."
        => "the disk was cut short, swapped for another, or belongs to another command line";
    VERITY_TABLE = "verity-table": "The dm-verity settings make no table."
        => "take the ravelin.verity.* words from the image's sidecar";
    VERITY_SETUP = "verity-setup": "The kernel refused the dm-verity device."
        => "check that the kernel has dm-verity and the hash, built in or as modules";
    VERITY_MISMATCH = "verity-mismatch": "A block that PID 1 met does not match the root hash."
        => "the disk was changed, or is not the image of this root hash; `ravelin image verify` names the first bad block";
    DISK_ERROR = "disk-error": "The root's disk answered with an error where PID 1 read."
        => "the host's storage fails or refuses to be read; look at the host, then at the disk";
    DISK_NOT_AUTHENTIC = "disk-not-authentic": "A block of an encrypted volume that PID 1 met was not written with its key, or its disk answered with an error."
        => "the disk was changed, or the host's storage fails; the kernel's messages above tell which (`INTEGRITY AEAD ERROR` is a changed block)";
    NETWORK = "network": "The network did not come up before the deadline, or there is no such link."
        => "check network.link and the addresses, attach the network device, or raise deadline.network";
    NETWORK_DOWN = "network-down": "The network could not be taken down again before the hand-over."
        => "this is a bug in PID 1; please report it with this block";
    OWNER_SERVER = "owner-server": "Owners cannot be served."
        => "check that unlock.port is free in the initramfs and that the kernel has TCP";
    UNLOCK_DEADLINE = "unlock-deadline": "No release opened the volumes before the deadline."
        => "run `ravelin unlock` in time, or raise deadline.unlock; refused releases are in the log above";
    VOLUME_SPEC = "volume-spec": "A volume's specification is refused."
        => "release what the image's sidecar says";
    VOLUME_SIZE = "volume-size": "A disk has another size than its volume, or cannot hold one."
        => "attach the disk of this volume, in its own size";
    VOLUME_BLANK = "volume-blank": "A volume's disk is blank, and nothing allows to format it."
        => "the disk was wiped or is new; set provision to if-blank, or release the key with the permission to provision";
    VOLUME_SUPERBLOCK = "volume-superblock": "What is on a disk is not this volume, or was changed."
        => "attach the disk of this volume; a changed superblock can only be an attack or damage";
    VOLUME_TABLE = "volume-table": "The kernel has another device-mapper table than PID 1 asked for."
        => "this kernel reads tables in another way; please report it with this block";
    VOLUME_KEY = "volume-key": "A key does not open its volume."
        => "another image, guest policy or chip derives another sealed key; or the disk was changed";
    VOLUME_ROLLED_BACK = "volume-rolled-back": "A volume's epoch is lower than its owner allows."
        => "the host has put back an older state of the disk";
    VOLUME_EPOCH = "volume-epoch": "The next epoch of a volume could not be written."
        => "the host's storage does not keep what is written; look at the host, then at the disk";
    VOLUME_HEADER = "volume-header": "The LUKS2 header of a volume is refused."
        => "the header was changed, or is of a kind that PID 1 does not accept";
    VOLUME_DERIVED_KEY = "volume-derived-key": "The secure processor derived no key for a sealed volume."
        => "check that the VM is an SEV-SNP guest with /dev/sev-guest, and that guest_svn and tcb_version are not above the VM's own";
    VOLUME_FORMAT = "volume-format": "A volume could not be written onto its disk."
        => "look at the host's storage, then at the disk";
    VOLUME_SYSTEM = "volume-system": "A system call on a volume's disk or its device-mapper devices failed."
        => "check that the kernel has dm-crypt, dm-integrity and the cipher, built in or as modules; then look at the disk";
    FSCK = "fsck": "The root's own file-system check found what it cannot repair, or did not run."
        => "check the image on the owner's machine, or set encrypted.fsck=false if the root has no such program";
    MKFS = "mkfs": "The root's own program made no file system on a new volume."
        => "the root needs the mkfs of the volume's fstype (e2fsprogs, xfsprogs or btrfs-progs)";
    INIT_MISSING = "init-missing": "The real init is not in the root."
        => "set ravelin.root.init to the init of this root";
    INIT_NOT_EXECUTABLE = "init-not-executable": "The real init is no executable file."
        => "set ravelin.root.init to the init of this root";
    NOT_A_DIRECTORY = "not-a-directory": "The root has no directory where one is needed."
        => "make it a directory in the image, or take it out of writable.directories or the volume's mount";
    ROOT_INCOMPLETE = "root-incomplete": "The root has no /dev, /proc, /sys or /run."
        => "make the directory in the image";
    ENTROPY_DEADLINE = "entropy-deadline": "The kernel's random generator was not ready before the deadline."
        => "use a CPU with RDRAND (random.trust_cpu=on), or raise deadline.entropy";
    HOST_KEY = "host-key": "An SSH host key could not be made."
        => "this is a bug in PID 1; please report it with this block";
    HOST_KEY_FILE = "host-key-file": "An SSH host key of the root cannot be bound."
        => "make it anew with ssh-keygen, or remove it and its .pub";
    HOOK_REFUSED = "hook-refused": "What is among the hooks of the initramfs is not one that can be run."
        => "build the configuration archive again with `ravelin image initramfs --hook`, which says what is wrong";
    HOOK = "hook": "A hook said that the boot must not go on, or did not run to its end."
        => "what it said is in the log above; the kernel needs PID_NS to run hooks";
    HOOK_DEADLINE = "hook-deadline": "A hook did not end before the deadline, and was killed."
        => "raise deadline.hooks, or look at what the hook waits for";
    REPORT_NO_SOURCE = "report-no-source": "The configuration wants an attestation report, and nothing here gives one."
        => "start the VM as an SEV-SNP guest and check that the initramfs has configfs, tsm and sev_guest (`ravelin image initramfs` takes them); or set attest.mode=none";
    REPORT_DEADLINE = "report-deadline": "The secure processor gave no report before the deadline."
        => "the host delays or drops the guest's requests; look at the host, or raise deadline.evidence";
    REPORT_REFUSED = "report-refused": "The secure processor or the kernel's driver refused to give a report."
        => "look at the kernel's messages of sev-guest above, and at the host's firmware version";
    REPORT_MISMATCH = "report-mismatch": "What came is not the report that was asked for."
        => "the report source cannot be trusted: another program answers in its place, or the kernel's driver does not fit the firmware";
    RESPONDER = "responder": "The attestation responder could not be started."
        => "check that attest.port is free in the initramfs and that the kernel has seccomp and memfd";
    HAND_OVER = "hand-over": "The switch to the real root or the start of the real init failed."
        => "check that the real init runs on this kernel (interpreter, architecture)";
    PANIC = "panic": "PID 1 itself failed in a way that should not be possible."
        => "this is a bug in PID 1; please report it with this block";
}

/// The table as Markdown, for the documentation.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from("| code | meaning | what to do |\n|---|---|---|\n");
    for code in ALL {
        page.push_str(&format!("| `{}` | {} | {} |\n", code.name, code.meaning, code.hint));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (index, code) in ALL.iter().enumerate() {
            assert!(ALL[index + 1..].iter().all(|other| other.name != code.name), "{}", code.name);
        }
    }

    /// `RAVELIN_BLESS=1` writes the table into the page.
    #[test]
    fn the_page_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/boot-failures.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (head, _) = page.split_once("| code |").unwrap();
        let fresh = format!("{head}{}", markdown());
        if std::env::var_os("RAVELIN_BLESS").is_some() {
            std::fs::write(path, &fresh).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), fresh, "run with RAVELIN_BLESS=1");
    }
}
