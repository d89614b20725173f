//! The one table of settings: what PID 1 accepts, what it means, what it is
//! when nobody says. Parser, defaults and documentation come from it.

/// One setting of the measured configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Dotted name: `ravelin.NAME=` on the command line, tables in the TOML file.
    pub name: &'static str,
    /// What a value may be, for error messages and the documentation.
    pub allowed: &'static str,
    /// The value where none is given.
    pub default: Default,
    /// What it does.
    pub about: &'static str,
}

/// What a setting is when it is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This value, parsed like any other.
    Value(&'static str),
    /// There is none: it must be given.
    Required,
    /// There is none: it must be given in `root.mode=verity` and is refused in
    /// the other modes.
    RequiredForVerity,
    /// This value in `root.mode=verity`; refused in the other modes.
    VerityValue(&'static str),
}

const fn key(
    name: &'static str,
    allowed: &'static str,
    default: Default,
    about: &'static str,
) -> Key {
    Key { name, allowed, default, about }
}

const SELECTOR: &str =
    "serial:ID (virtio serial), partuuid:UUID, partlabel:LABEL or path:/dev/NAME";
const BLOCK_SIZE: &str = "512, 1024, 2048 or 4096";

/// Every setting, in the order of the documentation.
pub const KEYS: &[Key] = &[
    key(
        "on_failure",
        "poweroff, reboot or halt",
        Default::Value("poweroff"),
        "What PID 1 does after it has refused to boot.",
    ),
    key(
        "insecure",
        "true or false",
        Default::Value("false"),
        "Must be true for a mode without protection (`root.mode = plain`).",
    ),
    key(
        "deadline.disks",
        "a duration from 1ms to 1h, such as 30s",
        Default::Value("30s"),
        "How long PID 1 waits for the disks to appear.",
    ),
    key(
        "deadline.entropy",
        "a duration from 1ms to 1h, such as 30s",
        Default::Value("30s"),
        "How long PID 1 waits for the kernel's random generator before it makes keys.",
    ),
    key(
        "deadline.evidence",
        "a duration from 1ms to 1h, such as 30s",
        Default::Value("30s"),
        "How long PID 1 waits for the secure processor's report.",
    ),
    key(
        "root.mode",
        "verity or plain",
        Default::Required,
        "How the root is protected. `plain` is not protected at all; for debugging.",
    ),
    key(
        "root.device",
        SELECTOR,
        Default::Required,
        "Where the root file system is; in verity mode the data device.",
    ),
    key(
        "root.fstype",
        "erofs, squashfs, ext4, xfs or btrfs",
        Default::Required,
        "The root file system's type. It is never guessed.",
    ),
    key(
        "root.init",
        "an absolute path",
        Default::Value("/sbin/init"),
        "The program in the root that becomes PID 1 at the hand-over.",
    ),
    key(
        "verity.hash_device",
        SELECTOR,
        Default::RequiredForVerity,
        "Where the hash tree is; the same as `root.device` for an appended tree.",
    ),
    key(
        "verity.roothash",
        "hexadecimal digits, as many as the algorithm gives",
        Default::RequiredForVerity,
        "The dm-verity root hash.",
    ),
    key(
        "verity.salt",
        "up to 512 hexadecimal digits, or - for none",
        Default::RequiredForVerity,
        "The salt of the hash tree.",
    ),
    key(
        "verity.algorithm",
        "sha256 or sha512",
        Default::VerityValue("sha256"),
        "The hash of the tree.",
    ),
    key(
        "verity.data_block_size",
        BLOCK_SIZE,
        Default::VerityValue("4096"),
        "Bytes of a data block.",
    ),
    key(
        "verity.hash_block_size",
        BLOCK_SIZE,
        Default::VerityValue("4096"),
        "Bytes of a hash block.",
    ),
    key(
        "verity.data_blocks",
        "a decimal number, at least 1",
        Default::RequiredForVerity,
        "Count of data blocks that the tree covers.",
    ),
    key(
        "verity.hash_start_block",
        "a decimal number",
        Default::VerityValue("1"),
        "First block of the tree itself on the hash device, in hash blocks. \
         The superblock before it is for other tools; PID 1 does not read it.",
    ),
    key(
        "verity.on_corruption",
        "panic, restart or eio",
        Default::VerityValue("panic"),
        "What the kernel does when a block does not match after the hand-over. \
         Before it, PID 1 itself refuses by name and stops.",
    ),
    key(
        "verity.on_error",
        "panic, restart or eio",
        Default::VerityValue("panic"),
        "What the kernel does when the disk answers with an error instead of a block, after the \
         hand-over: a host could make a file vanish that way. `panic` and `restart` need Linux \
         6.12; set `eio` for an older kernel.",
    ),
    key(
        "verity.ignore_zero_blocks",
        "true or false",
        Default::VerityValue("false"),
        "Do not read blocks whose hash says they are all zeros.",
    ),
    key(
        "writable.mode",
        "directories, root or none",
        Default::Value("directories"),
        "What may be written to, in memory only: a list of directories, everything, or nothing.",
    ),
    key(
        "writable.directories",
        "a list of absolute paths, each optionally with =SIZE for a tmpfs of its own",
        Default::Value("/etc,/var,/home,/root,/tmp,/srv"),
        "The directories that get an overlay in `writable.mode = directories`. In /etc, /home, \
         /root, /srv and /tmp set-user-ID bits and device nodes have no effect.",
    ),
    key(
        "writable.size",
        "a size such as 512M or 2G (at least 64K), or a share of memory from 1% to 100%",
        Default::Value("50%"),
        "Limit of the tmpfs that takes the writes.",
    ),
    key(
        "ssh.host_keys",
        "a list of ed25519 and ecdsa-p256, or none",
        Default::Value("ed25519"),
        "SSH host keys to make in memory; those in the image are masked. `none` leaves all as it is.",
    ),
    key(
        "attest.mode",
        "responder, report or none",
        Default::Value("responder"),
        "`report` asks the secure processor for one report at boot, bound to the SSH host keys, and \
         leaves it in /run/ravelin. `responder` also leaves a process behind that answers nonces \
         with fresh reports. Without a source of reports, both refuse to boot.",
    ),
    key(
        "attest.source",
        "auto, tsm or sev-guest",
        Default::Value("auto"),
        "Where reports come from: configfs-tsm, the device /dev/sev-guest, or the first of the \
         two that is there.",
    ),
    key(
        "attest.port",
        "a port from 1 to 65535",
        Default::Value("4777"),
        "Where the responder listens: TCP, and vsock where the VM has it.",
    ),
    key(
        "compat.snpguard",
        "true or false",
        Default::Value("false"),
        "Leave a second report in /etc/report.json, in the form and with the binding that SNPGuard's \
         verify_report expects. Makes an ecdsa-p256 host key too.",
    ),
    key(
        "machine_id",
        "fresh or keep",
        Default::Value("fresh"),
        "`fresh` presents an empty /etc/machine-id, so that the system makes its own each boot.",
    ),
];

/// The row of `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The table as Markdown, for the documentation.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from("| key | value | default | meaning |\n|---|---|---|---|\n");
    for key in KEYS {
        let default = match key.default {
            Default::Value(value) => format!("`{value}`"),
            Default::VerityValue(value) => format!("`{value}` (verity only)"),
            Default::Required => "must be given".to_owned(),
            Default::RequiredForVerity => "must be given (verity only)".to_owned(),
        };
        page.push_str(&format!(
            "| `{}` | {} | {default} | {} |\n",
            key.name, key.allowed, key.about
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_plain() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(
                key.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'.' || b == b'_'),
                "{}",
                key.name
            );
            assert!(KEYS[index + 1..].iter().all(|other| other.name != key.name), "{}", key.name);
        }
    }
}
