//! The values of the measured configuration: each a type that holds only what
//! is allowed, read by `FromStr`.

use std::fmt;
use std::num::NonZeroU16;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use uuid::Uuid;

use crate::units::{MemorySize, decimal};

/// A value that is not allowed, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub(super) &'static str);

/// Defines an enum whose values are words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// The word in the configuration.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl FromStr for $name {
            type Err = ValueError;
            fn from_str(text: &str) -> Result<$name, ValueError> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err(ValueError("not one of the words")),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(super) use words;

words! {
    /// What PID 1 does after it has refused to boot.
    OnFailure {
        /// Switch the machine off.
        PowerOff = "poweroff",
        /// Restart the machine.
        Reboot = "reboot",
        /// Stop the CPUs and stay.
        Halt = "halt",
    }
}

words! {
    /// How the root is protected.
    RootMode {
        /// dm-verity: read-only, every block checked against the root hash.
        Verity = "verity",
        /// dm-crypt over dm-integrity: the key comes from the owner.
        Encrypted = "encrypted",
        /// Not at all.
        Plain = "plain",
    }
}

words! {
    /// A file system that PID 1 mounts.
    FsType {
        /// EROFS.
        Erofs = "erofs",
        /// SquashFS.
        Squashfs = "squashfs",
        /// ext4.
        Ext4 = "ext4",
        /// XFS.
        Xfs = "xfs",
        /// btrfs.
        Btrfs = "btrfs",
    }
}

words! {
    /// The hash of a dm-verity tree.
    VerityAlgorithm {
        /// SHA-256, 32 bytes.
        Sha256 = "sha256",
        /// SHA-512, 64 bytes.
        Sha512 = "sha512",
    }
}

words! {
    /// What dm-verity does with a block that does not match.
    OnCorruption {
        /// The kernel panics.
        Panic = "panic",
        /// The kernel restarts the machine.
        Restart = "restart",
        /// The read fails with EIO.
        Eio = "eio",
    }
}

words! {
    /// Which part of the root may be written to.
    WritableMode {
        /// The root itself, on its disk.
        Disk = "disk",
        /// A list of directories, in memory.
        Directories = "directories",
        /// The whole root, in memory.
        Root = "root",
        /// Nothing.
        None = "none",
    }
}

words! {
    /// A kind of SSH host key that PID 1 makes.
    HostKeyKind {
        /// Ed25519.
        Ed25519 = "ed25519",
        /// ECDSA over NIST P-256.
        EcdsaP256 = "ecdsa-p256",
    }
}

words! {
    /// What the system finds in `/etc/machine-id`.
    MachineId {
        /// An empty file: the system makes its own.
        Fresh = "fresh",
        /// What the image has.
        Keep = "keep",
    }
}

words! {
    /// Where the key of a volume comes from.
    KeyOrigin {
        /// From the owner's release.
        Owner = "owner",
        /// From the secure processor.
        Sealed = "sealed",
        /// Random, each boot another.
        Ephemeral = "ephemeral",
    }
}

words! {
    /// What the secure processor is asked for.
    AttestMode {
        /// A report at boot, and a process that answers nonces.
        Responder = "responder",
        /// A report at boot.
        Report = "report",
        /// Nothing.
        None = "none",
    }
}

words! {
    /// What the machine gives up for good, or until its root says otherwise.
    Hardening {
        /// Kernel addresses and the kernel's log, for who is not root.
        Pointers = "pointers",
        /// Another kernel.
        Kexec = "kexec",
        /// BPF programs of who is not root.
        Bpf = "bpf",
        /// The magic system request key.
        Sysrq = "sysrq",
        /// More kernel modules.
        Modules = "modules",
        /// The console, as input and for programs.
        Console = "console",
    }
}

words! {
    /// Where reports come from.
    EvidenceSource {
        /// The first that is there, in the order below.
        Auto = "auto",
        /// `/sys/kernel/config/tsm/report`.
        Tsm = "tsm",
        /// `/dev/sev-guest`.
        SevGuest = "sev-guest",
    }
}

/// How a block device is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The whole disk with this virtio serial, 1 to 20 printable ASCII bytes.
    Serial(String),
    /// The GPT partition with this unique GUID.
    PartUuid(Uuid),
    /// The GPT partition with this name, 1 to 36 characters.
    PartLabel(String),
    /// The device node, below `/dev/`.
    Path(PathBuf),
}

impl FromStr for Selector {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Selector, ValueError> {
        let (kind, name) = text
            .split_once(':')
            .ok_or(ValueError("the kind (serial:, partuuid:, …) is missing"))?;
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        match kind {
            "serial" if plain && name.len() <= 20 => Ok(Selector::Serial(name.to_owned())),
            "serial" => Err(ValueError("a serial is 1 to 20 printable ASCII characters")),
            "partlabel" if plain && name.len() <= 36 => Ok(Selector::PartLabel(name.to_owned())),
            "partlabel" => Err(ValueError("a label is 1 to 36 printable ASCII characters")),
            "partuuid" => match Uuid::try_parse(name) {
                // Only the hyphenated form: one spelling for one partition.
                Ok(uuid) if uuid.hyphenated().to_string() == name.to_ascii_lowercase() => {
                    Ok(Selector::PartUuid(uuid))
                }
                _ => Err(ValueError("not a UUID")),
            },
            "path" => match name.parse::<AbsolutePath>() {
                Ok(path) if path.0.starts_with("/dev/") && path.0 != Path::new("/dev") => {
                    Ok(Selector::Path(path.0))
                }
                _ => Err(ValueError("not a path below /dev/")),
            },
            _ => Err(ValueError("an unknown kind of selector")),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Serial(serial) => write!(f, "serial:{serial}"),
            Selector::PartUuid(uuid) => write!(f, "partuuid:{uuid}"),
            Selector::PartLabel(label) => write!(f, "partlabel:{label}"),
            Selector::Path(path) => write!(f, "path:{}", path.display()),
        }
    }
}

/// An absolute path of plain components: no `.`, `..`, `//`, trailing slash,
/// control character, or character that mount options give a meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsolutePath(PathBuf);

impl AbsolutePath {
    /// The path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Whether it is where the kernel's own file systems are mounted, or below.
    pub(super) fn is_kernels(&self) -> bool {
        ["/dev", "/proc", "/sys", "/run"].iter().any(|kernel| self.0.starts_with(kernel))
    }

    /// The path without its leading slash, to be joined to a root.
    #[must_use]
    pub fn relative(&self) -> &Path {
        self.0.strip_prefix("/").unwrap_or(&self.0)
    }
}

impl FromStr for AbsolutePath {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<AbsolutePath, ValueError> {
        let meaningful =
            |b: u8| !b.is_ascii_graphic() || matches!(b, b',' | b':' | b'\\' | b'"' | b'=');
        if text.len() > 1024 || text.bytes().any(meaningful) {
            return Err(ValueError(
                "a path has up to 1024 printable ASCII characters, without , : = \\ \"",
            ));
        }
        let path = Path::new(text);
        let plain =
            path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
        // components() forgives `//`, `/./` and trailing slashes; one spelling only.
        let rebuilt: PathBuf = path.components().collect();
        if !path.is_absolute() || !plain || rebuilt.as_os_str() != path.as_os_str() || text == "/" {
            return Err(ValueError("not a plain absolute path below /"));
        }
        Ok(AbsolutePath(rebuilt))
    }
}

/// Hexadecimal bytes, lower or upper case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hex(pub(super) Vec<u8>);

impl FromStr for Hex {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Hex, ValueError> {
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits.ok_or(ValueError("not hexadecimal"))?;
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(ValueError("an odd number of hexadecimal digits"));
        }
        Ok(Hex(pairs.iter().map(|[high, low]| high << 4 | low).collect()))
    }
}

/// A salt: up to 256 bytes, `-` for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Salt(pub(super) Vec<u8>);

impl FromStr for Salt {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Salt, ValueError> {
        match text {
            "-" => Ok(Salt(Vec::new())),
            "" => Err(ValueError("empty; no salt is written as -")),
            _ => match text.parse::<Hex>()?.0 {
                bytes if bytes.len() > 256 => Err(ValueError("more than 256 bytes")),
                bytes => Ok(Salt(bytes)),
            },
        }
    }
}

/// A block size in bytes: a power of two from 512 to 4096.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockSize(pub(super) u32);

impl FromStr for BlockSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<BlockSize, ValueError> {
        match text {
            "512" => Ok(BlockSize(512)),
            "1024" => Ok(BlockSize(1024)),
            "2048" => Ok(BlockSize(2048)),
            "4096" => Ok(BlockSize(4096)),
            _ => Err(ValueError("not a block size")),
        }
    }
}

/// A decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(pub(super) u64);

impl FromStr for Number {
    type Err = crate::units::UnitError;

    fn from_str(text: &str) -> Result<Number, Self::Err> {
        decimal(text).map(Number)
    }
}

/// `true` or `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

impl FromStr for Flag {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Flag, ValueError> {
        text.parse().map(Flag).map_err(|_not_a_flag| ValueError("neither true nor false"))
    }
}

/// A TCP or vsock port.
pub(super) struct Port(pub(super) NonZeroU16);

impl FromStr for Port {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Port, ValueError> {
        let port = decimal(text).ok().and_then(NonZeroU16::new);
        port.map(Port).ok_or(ValueError("not a port"))
    }
}

/// A directory that gets a writable overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritableDirectory {
    /// Where it is in the root.
    pub path: AbsolutePath,
    /// Limit of its own tmpfs; without one it shares the common tmpfs.
    pub size: Option<MemorySize>,
}

/// As it is configured.
impl fmt::Display for WritableDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.as_path().display())?;
        self.size.map_or(Ok(()), |size| write!(f, "={size}"))
    }
}

/// The list of writable directories: 1 to 64, none inside another, none where
/// the kernel's own file systems are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WritableDirectories(pub(super) Vec<WritableDirectory>);

impl FromStr for WritableDirectories {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<WritableDirectories, ValueError> {
        let mut list: Vec<WritableDirectory> = Vec::new();
        for item in text.split(',') {
            let (path, size) = match item.split_once('=') {
                Some((path, size)) => (
                    path,
                    Some(size.parse().map_err(|_bad_size| {
                        ValueError("a size after = is not a size of at least 64K")
                    })?),
                ),
                None => (item, None),
            };
            let path: AbsolutePath = path.parse()?;
            if path.is_kernels() {
                return Err(ValueError("/dev, /proc, /sys and /run are mounted anyway"));
            }
            if list
                .iter()
                .any(|other| other.path.0.starts_with(&path.0) || path.0.starts_with(&other.path.0))
            {
                return Err(ValueError("a directory is repeated or inside another"));
            }
            if list.len() == 64 {
                return Err(ValueError("more than 64 directories"));
            }
            list.push(WritableDirectory { path, size });
        }
        Ok(WritableDirectories(list))
    }
}

/// A list of words, without repeats; empty for `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T: FromStr<Err = ValueError> + PartialEq> FromStr for List<T> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<List<T>, ValueError> {
        if text == "none" {
            return Ok(List(Vec::new()));
        }
        let mut words = Vec::new();
        for item in text.split(',') {
            let word = item.parse()?;
            if words.contains(&word) {
                return Err(ValueError("a word is repeated"));
            }
            words.push(word);
        }
        Ok(List(words))
    }
}
