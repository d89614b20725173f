//! One entry of an archive that was read.

use std::fmt::Write as _;

use super::header::{
    BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, FIFO, Header, REGULAR, SOCKET, SYMLINK, TYPE_MASK,
};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its content is the target.
    Symlink,
    /// A character device node.
    CharacterDevice,
    /// A block device node.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// None of these; the kernel skips it.
    Unknown,
}

/// A name as the kernel unpacks it, from the root: without what it passes over in front.
#[must_use]
pub fn unpacked(mut name: &str) -> &str {
    while let Some(rest) = name.strip_prefix("./").or_else(|| name.strip_prefix('/')) {
        name = rest;
    }
    name
}

/// One entry of an archive, as its header has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which of the concatenated archives it is in, from 0.
    pub archive: u32,
    /// Its name: any bytes but NUL. The reader leaves it as it is: it may be
    /// absolute, have `..` in it or move a terminal's cursor. To show it, use
    /// [`Entry::display_name`].
    pub name: Vec<u8>,
    /// Inode number.
    pub ino: u32,
    /// Type and permissions, as in `st_mode`.
    pub mode: u32,
    /// User id of the owner.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Number of links.
    pub nlink: u32,
    /// Modification time, seconds since 1970.
    pub mtime: u32,
    /// Size of the content, in bytes.
    pub size: u32,
    /// Numbers of a device node: major, minor.
    pub device: (u32, u32),
}

impl Entry {
    pub(super) fn new(archive: u32, name: Vec<u8>, header: &Header) -> Self {
        Self {
            archive,
            name,
            ino: header.ino,
            mode: header.mode,
            uid: header.uid,
            gid: header.gid,
            nlink: header.nlink,
            mtime: header.mtime,
            size: header.size,
            device: header.device,
        }
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.mode & TYPE_MASK {
            REGULAR => Kind::File,
            DIRECTORY => Kind::Directory,
            SYMLINK => Kind::Symlink,
            CHARACTER_DEVICE => Kind::CharacterDevice,
            BLOCK_DEVICE => Kind::BlockDevice,
            FIFO => Kind::Fifo,
            SOCKET => Kind::Socket,
            _ => Kind::Unknown,
        }
    }

    /// The permission bits with setuid, setgid and sticky.
    #[must_use]
    pub const fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    /// The name for a terminal: what is not a printable character is escaped.
    #[must_use]
    pub fn display_name(&self) -> String {
        let mut shown = String::with_capacity(self.name.len());
        for chunk in self.name.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || c == '\\' || !is_plain(c) {
                    shown.extend(c.escape_default());
                } else {
                    shown.push(c);
                }
            }
            for byte in chunk.invalid() {
                // Writing into a String does not fail.
                let _ = write!(shown, "\\x{byte:02x}");
            }
        }
        shown
    }
}

/// Whether `c` shows as itself: not a separator, nor one of the marks that turn
/// the direction of the text around.
fn is_plain(c: char) -> bool {
    c == ' ' || c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &[u8]) -> Entry {
        Entry::new(0, name.to_vec(), &Header::default())
    }

    #[test]
    fn names_cannot_write_to_the_terminal() {
        assert_eq!(named(b"etc/a b.toml").display_name(), "etc/a b.toml");
        assert_eq!(named("gr\u{fc}n".as_bytes()).display_name(), "gr\u{fc}n");
        assert_eq!(named(b"a\x1b[2Jb\n").display_name(), "a\\u{1b}[2Jb\\n");
        assert_eq!(named(b"a\xff\\").display_name(), "a\\xff\\\\");
        assert_eq!(named("a\u{202e}b".as_bytes()).display_name(), "a\\u{202e}b");
    }

    #[test]
    fn kinds_are_those_of_the_mode() {
        let kind = |mode| Entry::new(0, Vec::new(), &Header { mode, ..Header::default() }).kind();
        assert_eq!(kind(0o100_644), Kind::File);
        assert_eq!(kind(0o040_755), Kind::Directory);
        assert_eq!(kind(0o120_777), Kind::Symlink);
        assert_eq!(kind(0o020_600), Kind::CharacterDevice);
        assert_eq!(kind(0o060_600), Kind::BlockDevice);
        assert_eq!(kind(0o010_600), Kind::Fifo);
        assert_eq!(kind(0o140_600), Kind::Socket);
        assert_eq!(kind(0o644), Kind::Unknown);
        assert_eq!(kind(0xFFFF_FFFF), Kind::Unknown);
    }
}
