//! The bytes of a member in the canonical tar stream.
//!
//! Format: POSIX.1-2017, "ustar Interchange Format" and "pax Interchange
//! Format", with two GNU extensions. Long names are GNU `L` and `K` members
//! rather than PAX records, because those are bytes: mke2fs (libarchive)
//! converts PAX names between character sets and fails on names that are not
//! UTF-8. Numbers that do not fit their field are base-256. PAX records carry
//! attributes and, where the tool reads them, fractions of a second, always with
//! nine digits: erofs-utils reads `1.5` as one second and five nanoseconds.
//! All of it was tried with erofs-utils 1.8.6, squashfs-tools 4.5.1 and
//! e2fsprogs 1.47.2.

use tar::{EntryType, Header};

use super::{Device, Entry, Kind, Meta, Time};

/// Members are padded to this.
pub(super) const BLOCK: usize = 512;
/// A name of this many bytes fits the header.
const SHORT: usize = 100;

/// Everything that comes before the member's content.
pub(super) fn encode(entry: &Entry, fractions: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(BLOCK);
    let mut records = Vec::new();
    let Time { seconds, nanoseconds } = entry.meta.mtime;
    if fractions && nanoseconds != 0 {
        record(&mut records, "mtime", format!("{seconds}.{nanoseconds:09}").as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &format!("SCHILY.xattr.{name}"), value);
    }
    if !records.is_empty() {
        extension(&mut out, EntryType::XHeader, b"././@PaxHeader", &records);
    }

    let (kind, size, link, device) = match &entry.kind {
        Kind::Directory => (EntryType::Directory, 0, &[][..], None),
        Kind::File { size } => (EntryType::Regular, *size, &[][..], None),
        Kind::Symlink { target } => (EntryType::Symlink, 0, target.as_slice(), None),
        Kind::HardLink { target } => (EntryType::Link, 0, target.as_slice(), None),
        Kind::CharacterDevice(device) => (EntryType::Char, 0, &[][..], Some(*device)),
        Kind::BlockDevice(device) => (EntryType::Block, 0, &[][..], Some(*device)),
        Kind::Fifo => (EntryType::Fifo, 0, &[][..], None),
    };
    let mut name = entry.path.clone();
    if entry.path.is_empty() {
        name.push(b'.');
    }
    if kind == EntryType::Directory {
        name.push(b'/');
    }
    for (long, kind) in [(&name[..], EntryType::GNULongName), (link, EntryType::GNULongLink)] {
        if long.len() > SHORT {
            extension(&mut out, kind, b"././@LongLink", &[long, b"\0"].concat());
        }
    }
    out.extend(header(kind, &name, link, &entry.meta, size, device));
    out
}

/// The zeros after `size` bytes of content.
pub(super) fn padding(size: u64) -> usize {
    let block = BLOCK as u64;
    let rest = block.saturating_sub(size % block) % block;
    usize::try_from(rest).unwrap_or(0)
}

/// A member whose content describes the next one.
fn extension(out: &mut Vec<u8>, kind: EntryType, name: &[u8], content: &[u8]) {
    let meta = Meta { mode: 0o644, uid: 0, gid: 0, mtime: Time::default() };
    let size = content.len() as u64;
    out.extend(header(kind, name, &[], &meta, size, None));
    out.extend(content);
    out.resize(out.len().saturating_add(padding(size)), 0);
}

fn header(
    kind: EntryType,
    name: &[u8],
    link: &[u8],
    meta: &Meta,
    size: u64,
    device: Option<Device>,
) -> [u8; BLOCK] {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    fill(&mut header.as_old_mut().name, name);
    fill(&mut header.as_old_mut().linkname, link);
    header.set_mode(meta.mode.into());
    header.set_uid(meta.uid.into());
    header.set_gid(meta.gid.into());
    header.set_size(size);
    header.set_mtime(meta.mtime.seconds.into());
    if let Some(ustar) = header.as_ustar_mut() {
        let Device { major, minor } = device.unwrap_or(Device { major: 0, minor: 0 });
        ustar.set_device_major(major);
        ustar.set_device_minor(minor);
    }
    header.set_cksum();
    *header.as_bytes()
}

/// As much of `bytes` as there is room for; a longer name has its own member.
fn fill(field: &mut [u8], bytes: &[u8]) {
    for (to, from) in field.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits too.
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len().saturating_add(value.len()).saturating_add(3);
    let mut length = rest;
    loop {
        let next = rest.saturating_add(length.to_string().len());
        if next == length {
            break;
        }
        length = next;
    }
    out.extend(format!("{length} {key}=").into_bytes());
    out.extend(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for size in [0, 1, 80, 85, 86, 87, 88, 89, 90, 980, 985, 986, 987, 988, 989, 990, 70_000] {
            let mut out = Vec::new();
            record(&mut out, "key", &vec![b'v'; size]);
            let length = String::from_utf8(out.clone()).unwrap();
            let length: usize = length.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(length, out.len(), "{size}");
        }
    }

    #[test]
    fn sizes_beyond_eight_gibibytes_are_read_back() {
        let meta = Meta { mode: 0o644, uid: u32::MAX - 1, gid: 3_000_000, mtime: Time::new(9, 0) };
        let size = (9 << 30) + 5;
        let kind = Kind::File { size };
        let bytes = encode(&Entry { path: b"big".into(), kind, meta, xattrs: vec![] }, true);
        let header = Header::from_byte_slice(&bytes);
        assert_eq!(header.size().unwrap(), size);
        assert_eq!(header.uid().unwrap(), u64::from(u32::MAX) - 1);
        assert_eq!(header.gid().unwrap(), 3_000_000);
        assert_eq!(padding(size), 507);
        assert_eq!([padding(0), padding(512), padding(511)], [0, 0, 1]);
    }
}
