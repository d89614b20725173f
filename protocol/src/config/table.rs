//! The two tables of settings: what PID 1 accepts, what it means, what it is
//! when nobody says.

use super::keys::{Default, Key, Scope};
use super::values::{KeyOrigin, RootMode};

impl Key {
    const fn only(mut self, scope: Scope) -> Key {
        self.scope = scope;
        self
    }
}

const fn key(
    name: &'static str,
    allowed: &'static str,
    default: Default,
    about: &'static str,
) -> Key {
    Key { name, scope: Scope::Always, allowed, default, about }
}

const VERITY: Scope = Scope::Root(RootMode::Verity);
const ENCRYPTED: Scope = Scope::Root(RootMode::Encrypted);
const OWNER: &[KeyOrigin] = &[KeyOrigin::Owner];
const SEALED: &[KeyOrigin] = &[KeyOrigin::Sealed];
const MADE_HERE: &[KeyOrigin] = &[KeyOrigin::Sealed, KeyOrigin::Ephemeral];
const LASTING: &[KeyOrigin] = &[KeyOrigin::Owner, KeyOrigin::Sealed];

const VOLUME_FORMAT: &str = "ravelin or luks2";
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
        "deadline.hooks",
        "a duration from 1ms to 1h, such as 30s",
        Default::Value("30s"),
        "How long each hook of the initramfs may run. Then it is killed, and the boot ends.",
    ),
    key(
        "deadline.network",
        "a duration from 1ms to 1h, such as 30s",
        Default::Value("60s"),
        "How long the network link and its address may take.",
    )
    .only(Scope::Unlock),
    key(
        "deadline.unlock",
        "a duration from 1ms to 1h, such as 30m, or none",
        Default::Value("none"),
        "How long PID 1 waits for the keys. `none`: for ever.",
    )
    .only(Scope::Unlock),
    key(
        "deadline.quorum",
        "a duration from 1ms to 1h, such as 30s",
        Default::Value("10m"),
        "How long the releases of some owners are kept while others are missing; then they are \
         wiped, and all have to come again.",
    )
    .only(Scope::Unlock),
    key(
        "root.mode",
        "verity, encrypted or plain",
        Default::Required,
        "How the root is protected: by dm-verity, or by dm-crypt over dm-integrity with a key \
         from the owner. `plain` is not protected at all; for debugging.",
    ),
    key(
        "root.device",
        SELECTOR,
        Default::Required,
        "Where the root file system is; in verity mode the data device, in encrypted mode the \
         encrypted disk.",
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
        Default::Required,
        "Where the hash tree is; the same as `root.device` for an appended tree.",
    )
    .only(VERITY),
    key(
        "verity.roothash",
        "hexadecimal digits, as many as the algorithm gives",
        Default::Required,
        "The dm-verity root hash.",
    )
    .only(VERITY),
    key(
        "verity.salt",
        "up to 512 hexadecimal digits, or - for none",
        Default::Required,
        "The salt of the hash tree.",
    )
    .only(VERITY),
    key("verity.algorithm", "sha256 or sha512", Default::Value("sha256"), "The hash of the tree.")
        .only(VERITY),
    key("verity.data_block_size", BLOCK_SIZE, Default::Value("4096"), "Bytes of a data block.")
        .only(VERITY),
    key("verity.hash_block_size", BLOCK_SIZE, Default::Value("4096"), "Bytes of a hash block.")
        .only(VERITY),
    key(
        "verity.data_blocks",
        "a decimal number, at least 1",
        Default::Required,
        "Count of data blocks that the tree covers.",
    )
    .only(VERITY),
    key(
        "verity.hash_start_block",
        "a decimal number",
        Default::Value("1"),
        "First block of the tree itself on the hash device, in hash blocks. \
         The superblock before it is for other tools; PID 1 does not read it.",
    )
    .only(VERITY),
    key(
        "verity.on_corruption",
        "panic, restart or eio",
        Default::Value("panic"),
        "What the kernel does when a block does not match after the hand-over. \
         Before it, PID 1 itself refuses by name and stops.",
    )
    .only(VERITY),
    key(
        "verity.on_error",
        "panic, restart or eio",
        Default::Value("panic"),
        "What the kernel does when the disk answers with an error instead of a block, after the \
         hand-over: a host could make a file vanish that way. `panic` and `restart` need Linux \
         6.12; set `eio` for an older kernel.",
    )
    .only(VERITY),
    key(
        "verity.ignore_zero_blocks",
        "true or false",
        Default::Value("false"),
        "Do not read blocks whose hash says they are all zeros.",
    )
    .only(VERITY),
    key(
        "encrypted.format",
        VOLUME_FORMAT,
        Default::Value("ravelin"),
        "How the root's disk is laid out. `ravelin`: as `ravelin image encrypt` makes it; the \
         owner sends its specification, and nothing on the disk is believed. `luks2`: made \
         elsewhere; the owner sends the header's SHA-256 and a passphrase.",
    )
    .only(ENCRYPTED),
    key(
        "encrypted.fsck",
        "true or false",
        Default::Value("false"),
        "Whether the root's own fsck runs, from the root mounted read-only, before it is mounted \
         writable. `false` leaves it to the booted system.",
    )
    .only(ENCRYPTED),
    key(
        "writable.mode",
        "disk, directories, root or none",
        Default::Encrypted("disk", "directories"),
        "What may be written to: the root itself on its encrypted disk (encrypted mode only); \
         or, in memory, a list of directories or everything; or nothing.",
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
        "SSH host keys to make in memory; those in the image are masked. `none` leaves all as it \
         is. In `writable.mode = disk` the keys that the root has are kept, and those of these \
         kinds that it lacks are made on the disk.",
    ),
    key(
        "harden",
        "a list of pointers, kexec, bpf, sysrq, modules and console, or none",
        Default::Value("pointers,kexec,bpf,sysrq"),
        "What the machine gives up before the root is opened: the table is in \
         `docs/initramfs.md`. `modules`: no kernel module is loaded any more, so the initramfs has \
         to load all. `console`: neither PID 1 nor the booted system reads what the host types, \
         and what programs write to the console is lost.",
    ),
    key(
        "attest.mode",
        "responder, report or none",
        Default::Value("responder"),
        "`report` asks the secure processor for one report at boot, bound to the SSH host keys, and \
         leaves it in /run/ravelin. `responder` also leaves a process behind that answers nonces \
         with fresh reports. Without a source of reports, both refuse to boot. Must not be `none` where a key comes from an owner.",
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
        "compat.snpguard_cmdline",
        "true or false",
        Default::Value("false"),
        "Read the words `boot`, `root`, `verity_disk` and `verity_roothash` of the kernel command \
         line as SNPGuard does: they are `root.mode`, `root.device`, `verity.hash_device` and \
         `verity.roothash` then. Only in the file, which has what these words do not say.",
    ),
    key(
        "unlock.owners",
        "a list of 1 to 32 lines as in authorized_keys, without options and commas; types \
         ssh-ed25519, ecdsa-sha2-nistp256, sk-ssh-ed25519@openssh.com and \
         sk-ecdsa-sha2-nistp256@openssh.com",
        Default::Required,
        "Whose signature releases keys. The lines have spaces, which the command line cannot \
         express: only in the file.",
    )
    .only(Scope::Unlock),
    key(
        "unlock.threshold",
        "a number from 1 to the count of owners",
        Default::Value("1"),
        "How many owners have to release the same keys, each in a session of its own.",
    )
    .only(Scope::Unlock),
    key(
        "unlock.port",
        "a port from 1 to 65535, another than `attest.port`",
        Default::Value("4778"),
        "The TCP port where PID 1 waits for the owners.",
    )
    .only(Scope::Unlock),
    key(
        "network.mode",
        "dhcp or static",
        Default::Value("dhcp"),
        "How the link gets addresses while PID 1 waits for keys. It is taken down again before \
         the hand-over, and where no key comes from an owner there is no network at all.",
    )
    .only(Scope::Unlock),
    key(
        "network.link",
        "only, mac:XX:XX:XX:XX:XX:XX or driver:NAME",
        Default::Value("only"),
        "Which link: the only one there is, the one with this hardware address, or the only one \
         with this driver.",
    )
    .only(Scope::Unlock),
    key(
        "network.address",
        "a list of up to 8 addresses with prefix lengths, such as 192.0.2.7/24 or 2001:db8::7/64",
        Default::Required,
        "The addresses of the link.",
    )
    .only(Scope::Static),
    key(
        "network.gateway",
        "a list of addresses, at most one IPv4 and one IPv6",
        Default::Absent("no gateway"),
        "Default gateways: inside the prefix of an address, or an IPv6 link-local address.",
    )
    .only(Scope::Static),
    key(
        "network.mtu",
        "a number of bytes from 576 to 65535; at least 1280 for IPv6",
        Default::Absent("that of the link or of DHCP"),
        "The link's MTU.",
    )
    .only(Scope::Unlock),
    key(
        "machine_id",
        "fresh or keep",
        Default::Encrypted("keep", "fresh"),
        "`fresh` presents an empty /etc/machine-id, so that the system makes its own each boot. \
         On `writable.mode = disk` that empties the file on the disk; it is so only where the \
         key is given. `keep` leaves the one that the root has.",
    ),
];

/// Every setting of a volume, in the order of the documentation.
pub const VOLUME_KEYS: &[Key] = &[
    key(
        "device",
        SELECTOR,
        Default::Required,
        "The disk; another than that of the root and of other volumes.",
    ),
    key(
        "mount",
        "an absolute path, or writable",
        Default::Required,
        "Where it is mounted. `writable`, for an ephemeral volume only: it takes the writes of \
         the overlays instead of memory.",
    ),
    key(
        "fstype",
        "ext4, xfs or btrfs",
        Default::Required,
        "The file system's type. It is never guessed.",
    ),
    key(
        "key",
        "owner, sealed or ephemeral",
        Default::Required,
        "Where the key comes from: the release of the owners; the secure processor, for this \
         image, policy and chip only (a new image has another key); or each boot a random one.",
    ),
    key(
        "format",
        VOLUME_FORMAT,
        Default::Value("ravelin"),
        "How the disk is laid out, as `encrypted.format`.",
    )
    .only(Scope::Volume(OWNER)),
    key(
        "cipher",
        "aes-xts-hmac-sha256, aes-gcm-random or aegis128-random",
        Default::Value("aes-xts-hmac-sha256"),
        "The cipher of the disk. For an owner's volume the release says it.",
    )
    .only(Scope::Volume(MADE_HERE)),
    key(
        "provision",
        "never or if-blank",
        Default::Value("never"),
        "`if-blank` formats a disk that is blank. A host can make a disk blank, and so reset the \
         volume. With `never` an owner's volume is formatted only if the release says so, and \
         never if its format is luks2. An ephemeral volume is formatted each boot.",
    )
    .only(Scope::Volume(LASTING)),
    key(
        "sealed.root_key",
        "vcek or vlek",
        Default::Value("vcek"),
        "What the key is derived from: `vcek`, this chip's endorsement key; `vlek`, the key that \
         AMD gave the provider, so that the volume opens on each of his machines that has it.",
    )
    .only(Scope::Volume(SEALED)),
    key(
        "sealed.family_id",
        "true or false",
        Default::Value("false"),
        "Whether the key depends on the ID block's FAMILY_ID too.",
    )
    .only(Scope::Volume(SEALED)),
    key(
        "sealed.image_id",
        "true or false",
        Default::Value("false"),
        "Whether the key depends on the ID block's IMAGE_ID too.",
    )
    .only(Scope::Volume(SEALED)),
    key(
        "sealed.guest_svn",
        "a decimal number below 2^32",
        Default::Absent("not mixed in"),
        "A GUEST_SVN that the key depends on; at most that of the VM's ID block.",
    )
    .only(Scope::Volume(SEALED)),
    key(
        "sealed.tcb_version",
        "a decimal number below 2^64, or any",
        Default::Required,
        "The least firmware of the processor that gets the key, as the integer of a report's \
         COMMITTED_TCB (`docs/volumes.md` says how to get it). Another number is another key. \
         `any`: also firmware with known weaknesses.",
    )
    .only(Scope::Volume(SEALED)),
];
