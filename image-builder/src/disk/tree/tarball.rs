//! Reads a tree from a tar.

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::{EntryType, Header};

use super::members::{Member, Members};
use super::{Device, Entry, Kind, Meta, Sink, Time, TreeError};
use crate::disk::BuildError;

/// The kernel's limits (`MINORBITS` is 20, and 32 bits in all).
const MAJORS: u32 = 1 << 12;
const MINORS: u32 = 1 << 20;

/// A tar that holds a tree.
pub(crate) struct Tarball {
    name: String,
    plain: Box<dyn Read>,
}

impl Tarball {
    /// A tar without compression.
    pub(crate) fn plain(name: &str, plain: Box<dyn Read>) -> Tarball {
        Tarball { name: name.to_owned(), plain }
    }

    pub(crate) fn stream<S: Sink>(
        self,
        open: impl FnOnce(&Entry) -> Result<S, BuildError>,
    ) -> Result<S, BuildError> {
        let name = self.name;
        let mut members = Members::new(self.plain);
        let mut stream = Stream::Waiting { open, before: Vec::new() };
        loop {
            let next = members.next();
            let Some(member) = next.map_err(|e| damaged(&name, members.offset(), e))? else {
                break;
            };
            let entry = parse(&member)?;
            match stream.add(entry, &mut members.content(&member)) {
                Err(BuildError::Tree(TreeError::Read { source, .. })) => {
                    return Err(damaged(&name, members.offset(), source).into());
                }
                added => stream = added?,
            }
        }
        match members.only_zeros_follow() {
            Ok(true) => {}
            Ok(false) => return Err(TreeError::Trailing { name }.into()),
            Err(error) => return Err(damaged(&name, members.offset(), error).into()),
        }
        stream.begun(None)
    }
}

/// The most members that are held back for the root; each may have some MiB of
/// attributes.
const BEFORE_ROOT: usize = 32;

/// A stream begins with the root. Some tars (mmdebstrap's) have device nodes
/// before it: members without content are held back until it comes.
enum Stream<S, O> {
    Waiting { open: O, before: Vec<Entry> },
    Begun(S),
}

impl<S: Sink, O: FnOnce(&Entry) -> Result<S, BuildError>> Stream<S, O> {
    fn add(self, entry: Entry, content: &mut dyn Read) -> Result<Self, BuildError> {
        match self {
            Stream::Waiting { .. } if entry.path.is_empty() => {
                Ok(Stream::Begun(self.begun(Some(&entry))?))
            }
            Stream::Waiting { open, mut before }
                if before.len() < BEFORE_ROOT
                    && !matches!(entry.kind, Kind::File { size: 1.. }) =>
            {
                before.push(entry);
                Ok(Stream::Waiting { open, before })
            }
            Stream::Waiting { .. } | Stream::Begun(_) => {
                let mut sink = self.begun(None)?;
                sink.add(entry, content)?;
                Ok(Stream::Begun(sink))
            }
        }
    }

    /// The sink, begun with `root` or, without one, an implied root.
    fn begun(self, root: Option<&Entry>) -> Result<S, BuildError> {
        match self {
            Stream::Begun(sink) => Ok(sink),
            Stream::Waiting { open, before } => {
                let implied = Entry::implied_directory(Vec::new());
                let mut sink = open(root.unwrap_or(&implied))?;
                for entry in before {
                    sink.add(entry, &mut io::empty())?;
                }
                Ok(sink)
            }
        }
    }
}

pub(in crate::disk) fn damaged(name: &str, offset: u64, source: io::Error) -> TreeError {
    let name = name.to_owned();
    if source.kind() == io::ErrorKind::UnexpectedEof {
        TreeError::CutOff { name, offset }
    } else {
        TreeError::Damaged { name, offset, source }
    }
}

/// What a member of a tar is.
pub(in crate::disk) fn parse(member: &Member) -> Result<Entry, TreeError> {
    let refused = |problem| TreeError::Member { path: member.path.clone(), problem };
    let number = |number: io::Result<u32>| {
        number.map_err(|source| TreeError::Read {
            path: member.path.clone(),
            action: "a number in its header is none",
            source,
        })
    };
    let path = normal(&member.path)
        .ok_or_else(|| refused("its path leads out of the tree, or has a zero byte"))?;
    let header = &member.header;
    let device = || {
        let (major, minor) = (header.device_major().transpose(), header.device_minor().transpose());
        let major = number(major.unwrap_or(Ok(u32::MAX)))?;
        let minor = number(minor.unwrap_or(Ok(u32::MAX)))?;
        if major >= MAJORS || minor >= MINORS {
            return Err(refused("is a device without a number that Linux could have"));
        }
        Ok(Device { major, minor })
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "a tar may have any byte for a kind")]
    let mut kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            Kind::File { size: member.size }
        }
        EntryType::Link => Kind::HardLink {
            target: normal(&member.link)
                .ok_or_else(|| refused("is a hard link that leads out of the tree"))?,
        },
        EntryType::Symlink => Kind::Symlink { target: member.link.clone() },
        EntryType::Char => Kind::CharacterDevice(device()?),
        EntryType::Block => Kind::BlockDevice(device()?),
        EntryType::Directory => Kind::Directory,
        EntryType::Fifo => Kind::Fifo,
        _ => {
            return Err(refused(
                "is of a kind that is no file (a volume label, part of an incremental backup, …)",
            ));
        }
    };
    // As old tars write a directory.
    if matches!(kind, Kind::File { size: 0 }) && member.path.ends_with(b"/") {
        kind = Kind::Directory;
    }
    if path.is_empty() && kind != Kind::Directory {
        return Err(refused("is the root, but not a directory"));
    }
    let id = |id: u64| {
        let id = u32::try_from(id).ok().filter(|&id| id != u32::MAX);
        id.ok_or_else(|| refused("has an owner or group beyond 32 bits"))
    };
    let records = Records::of(member)?;
    let meta = Meta {
        mode: u16::try_from(number(header.mode())? & 0o7777).unwrap_or(0),
        uid: id(member.uid)?,
        gid: id(member.gid)?,
        mtime: match records.mtime {
            Some(time) => time,
            None => mtime(header),
        },
    };
    Ok(Entry { path, kind, meta, xattrs: records.attributes.into_iter().collect() })
}

/// A time that is none, or before 1970 (base-256 with the sign bit), is 1970.
fn mtime(header: &Header) -> Time {
    if header.as_old().mtime.first().is_some_and(|byte| byte & 0xc0 == 0xc0) {
        return Time::default();
    }
    Time::new(i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(i64::MAX), 0)
}

/// The path without `.`, doubled and outer slashes; `None` if it has `..` or a
/// zero byte.
pub(in crate::disk) fn normal(name: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(name.len());
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return None,
            _ if part.contains(&0) => return None,
            _ => {}
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend(part);
    }
    Some(path)
}

/// What a member's PAX records say beyond its path, link, size and owner.
#[derive(Default)]
struct Records {
    mtime: Option<Time>,
    attributes: BTreeMap<String, Vec<u8>>,
}

impl Records {
    fn of(member: &Member) -> Result<Records, TreeError> {
        let refused = |problem| TreeError::Member { path: member.path.clone(), problem };
        let mut records = Records::default();
        let mut others = Vec::new();
        for (key, value) in &member.records {
            if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                records.attributes.insert(name.to_owned(), value.clone());
            } else if let Some(name) = key.strip_prefix("LIBARCHIVE.xattr.") {
                // bsdtar writes each attribute in both ways; this one is encoded.
                others.push((name, key));
            } else if key.starts_with("SCHILY.acl.") || key.starts_with("RHT.security.") {
                others.push(("", key));
            } else if key.starts_with("GNU.sparse.") || key == "SCHILY.realsize" {
                return Err(refused(
                    "is stored sparse in PAX form; pack the tar again without --sparse",
                ));
            } else if key == "mtime" {
                let time =
                    time(value).ok_or_else(|| refused("has a modification time that is none"));
                records.mtime = Some(time?);
            }
        }
        // Attributes in forms that are not read stay visible under the names of
        // their records, which no file system takes: they are refused or noted.
        for (name, key) in others {
            if !records.attributes.contains_key(name) {
                records.attributes.insert(key.clone(), Vec::new());
            }
        }
        Ok(records)
    }
}

/// `SECONDS[.FRACTION]`, perhaps negative.
fn time(value: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = fraction.bytes().all(|b| b.is_ascii_digit());
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Some(Time::new(seconds.parse().ok()?, digits.parse().ok().filter(|_| plain)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::tree::Note;

    /// The order in which a sink gets a tree.
    struct Order(Vec<(Vec<u8>, u16)>);

    impl Sink for Order {
        fn add(&mut self, entry: Entry, _: &mut dyn Read) -> Result<(), BuildError> {
            self.0.push((entry.path, entry.meta.mode));
            Ok(())
        }

        fn note(&mut self, _: Note) {}
    }

    fn order(members: &[(&str, EntryType, &[u8])]) -> Vec<(Vec<u8>, u16)> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, kind, content) in members {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o711);
            header.set_size(content.len() as u64);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            tar.append(&header, *content).unwrap();
        }
        let bytes = io::Cursor::new(tar.into_inner().unwrap());
        let tarball = Tarball::plain("test", Box::new(bytes));
        let root = |root: &Entry| Ok(Order(vec![(root.path.clone(), root.meta.mode)]));
        tarball.stream(root).unwrap().0
    }

    #[test]
    fn the_root_may_follow_members_without_content() {
        let null = ("./dev/null", EntryType::Char, &b""[..]);
        let root = ("./", EntryType::Directory, &b""[..]);
        let file = ("./file", EntryType::Regular, &b"content"[..]);
        let names = |order: Vec<(Vec<u8>, u16)>| -> Vec<String> {
            order.into_iter().map(|(path, _)| String::from_utf8(path).unwrap()).collect()
        };
        let late = order(&[null, root, file]);
        assert_eq!(late[0], (Vec::new(), 0o711));
        assert_eq!(names(late), ["", "dev/null", "file"]);
        // Without a root, or with content before it, the root is implied.
        let implied = order(&[null, file]);
        assert_eq!(implied[0], (Vec::new(), 0o755));
        assert_eq!(names(implied), ["", "dev/null", "file"]);
        assert_eq!(names(order(&[null])), ["", "dev/null"]);
        assert_eq!(names(order(&[file, root])), ["", "file", ""]);
    }
}
