//! Reads a tree from a tar, compressed or not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tar::{EntryType, Header};

use super::compression::plain;
use super::members::{Member, Members};
use super::{Device, Entry, Kind, Meta, Sink, Time, TreeError};
use crate::disk::BuildError;

/// The kernel's limits (`MINORBITS` is 20, and 32 bits in all).
const MAJORS: u32 = 1 << 12;
const MINORS: u32 = 1 << 20;

/// A tar that holds a tree.
pub(crate) struct Tarball {
    name: String,
    reader: Box<dyn Read>,
}

impl Tarball {
    pub(crate) fn open(path: &Path) -> Result<Tarball, TreeError> {
        let file =
            File::open(path).map_err(|source| TreeError::Open { path: path.to_owned(), source })?;
        Ok(Tarball { name: path.display().to_string(), reader: Box::new(file) })
    }

    pub(crate) fn from_reader(name: &str, reader: Box<dyn Read>) -> Tarball {
        Tarball { name: name.to_owned(), reader }
    }

    pub(crate) fn stream<S: Sink>(
        self,
        open: impl FnOnce(&Entry) -> Result<S, BuildError>,
    ) -> Result<S, BuildError> {
        let name = self.name;
        let plain = plain(self.reader).map_err(|error| damaged(&name, 0, error))?;
        let mut members = Members::new(plain);
        let mut sink = Err(open);
        loop {
            let next = members.next();
            let Some(member) = next.map_err(|e| damaged(&name, members.offset(), e))? else {
                break;
            };
            let entry = parse(&member)?;
            let mut opened = match sink {
                Ok(sink) => sink,
                Err(open) if entry.path.is_empty() => {
                    sink = Ok(open(&entry)?);
                    continue;
                }
                Err(open) => open(&Entry::implied_directory(Vec::new()))?,
            };
            match opened.add(entry, &mut members.content(&member)) {
                Err(BuildError::Tree(TreeError::Read { source, .. })) => {
                    return Err(damaged(&name, members.offset(), source).into());
                }
                added => added?,
            }
            sink = Ok(opened);
        }
        match members.only_zeros_follow() {
            Ok(true) => {}
            Ok(false) => return Err(TreeError::Trailing { name }.into()),
            Err(error) => return Err(damaged(&name, members.offset(), error).into()),
        }
        match sink {
            Ok(sink) => Ok(sink),
            Err(open) => open(&Entry::implied_directory(Vec::new())),
        }
    }
}

fn damaged(name: &str, offset: u64, source: io::Error) -> TreeError {
    let name = name.to_owned();
    if source.kind() == io::ErrorKind::UnexpectedEof {
        TreeError::CutOff { name, offset }
    } else {
        TreeError::Damaged { name, offset, source }
    }
}

fn parse(member: &Member) -> Result<Entry, TreeError> {
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
fn normal(name: &[u8]) -> Option<Vec<u8>> {
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
