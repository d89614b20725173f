//! The members of a tar: v7, ustar, GNU or PAX.
//!
//! Header fields are read by the crate `tar`; the framing is not, because that
//! crate takes PAX records apart at line ends, so that an attribute with a line
//! end in its value could name another path or size for its member (and an
//! honest one is refused).
//!
//! Format: POSIX.1-2017 "pax Interchange Format"; GNU tar's manual, "Basic Tar
//! Format" and "Storing Sparse Files" (the old GNU format; those of PAX are
//! refused by the caller).

use std::io::{self, Read};

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::header::{BLOCK, padding};

/// The most that may describe one member: long names, PAX records, a map of
/// holes. An attribute has 64 KiB at most.
const DESCRIPTION: u64 = 4 << 20;

/// A tar that is read member by member.
pub(in crate::disk) struct Members<R> {
    inner: R,
    /// Bytes read so far.
    offset: u64,
    /// Bytes of the current member that are still to come, without padding.
    left: u64,
    padding: u64,
    /// How much more may describe the next member.
    budget: u64,
}

/// What describes a member.
pub(in crate::disk) struct Member {
    pub(in crate::disk) header: Header,
    pub(in crate::disk) path: Vec<u8>,
    pub(in crate::disk) link: Vec<u8>,
    pub(in crate::disk) uid: u64,
    pub(in crate::disk) gid: u64,
    /// Bytes of content, holes included.
    pub(in crate::disk) size: u64,
    /// PAX records in order, the last of a name counts.
    pub(in crate::disk) records: Vec<(String, Vec<u8>)>,
    /// Where the stored pieces belong; `None` if all is stored.
    map: Option<Vec<Piece>>,
}

#[derive(Clone, Copy)]
struct Piece {
    offset: u64,
    length: u64,
}

impl<R: Read> Members<R> {
    pub(in crate::disk) fn new(inner: R) -> Self {
        Members { inner, offset: 0, left: 0, padding: 0, budget: 0 }
    }

    /// How many bytes were read.
    pub(in crate::disk) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next member; `None` at the end marker. [`io::ErrorKind::UnexpectedEof`]
    /// if the tar ends before it.
    pub(in crate::disk) fn next(&mut self) -> io::Result<Option<Member>> {
        self.skip()?;
        self.budget = DESCRIPTION;
        let (mut path, mut link, mut records) = (None, None, None);
        loop {
            let Some(header) = self.header()? else {
                if path.is_some() || link.is_some() || records.is_some() {
                    return Err(invalid("a long name or PAX header without its member"));
                }
                return Ok(None);
            };
            let kind = header.entry_type();
            let slot = if kind == EntryType::GNULongName {
                &mut path
            } else if kind == EntryType::GNULongLink {
                &mut link
            } else if kind == EntryType::XHeader {
                &mut records
            } else if kind == EntryType::XGlobalHeader {
                let content = self.description(&header)?;
                if pax(&content)?.iter().any(|(key, _)| key != "comment") {
                    return Err(invalid(
                        "a global PAX header with settings for all members is not supported; \
                         pack the tar again",
                    ));
                }
                continue;
            } else {
                return self.member(header, path, link, records).map(Some);
            };
            if slot.is_some() {
                return Err(invalid("a member with two long names or PAX headers"));
            }
            *slot = Some(self.description(&header)?);
        }
    }

    /// The content of the member that [`Members::next`] gave.
    pub(in crate::disk) fn content<'a>(&'a mut self, member: &Member) -> Content<'a, R> {
        let pieces = match &member.map {
            Some(map) => map.clone(),
            None => vec![Piece { offset: 0, length: member.size }],
        };
        Content { members: self, pieces: pieces.into_iter(), piece: None, at: 0, size: member.size }
    }

    /// Reads what follows the end marker, so that a decompressor checks its
    /// checksums and a writer of a pipe is not interrupted. True if it is all zeros.
    pub(in crate::disk) fn only_zeros_follow(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.read_some(&mut buffer)? {
                0 => return Ok(true),
                count if buffer.iter().take(count).any(|&byte| byte != 0) => return Ok(false),
                _ => {}
            }
        }
    }

    fn member(
        &mut self,
        header: Header,
        path: Option<Vec<u8>>,
        link: Option<Vec<u8>>,
        records: Option<Vec<u8>>,
    ) -> io::Result<Member> {
        let records = pax(&records.unwrap_or_default())?;
        let record = |name: &str| {
            records.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
        };
        let number = |name: &'static str| record(name).map(decimal).transpose();
        let text = |name, long: Option<Vec<u8>>, short: &[u8]| match (record(name), long) {
            (Some(value), _) => value.to_vec(),
            (None, Some(long)) => until_zero(&long).to_vec(),
            (None, None) => short.to_vec(),
        };
        let path = text("path", path, &header.path_bytes());
        let link = text("linkpath", link, &header.link_name_bytes().unwrap_or_default());
        let uid = number("uid")?.map_or_else(|| header.uid(), Ok)?;
        let gid = number("gid")?.map_or_else(|| header.gid(), Ok)?;
        let stored = number("size")?.map_or_else(|| header.entry_size(), Ok)?;
        let stored = if has_content(header.entry_type(), &records) { stored } else { 0 };
        self.left = stored;
        self.padding = padding(stored) as u64;
        let sparse = header.entry_type() == EntryType::GNUSparse;
        let (size, map) = if sparse { self.map(&header)? } else { (stored, None) };
        Ok(Member { header, path, link, uid, gid, size, records, map })
    }

    /// The real size and the map of a sparse member, which may go on in blocks of
    /// its own.
    fn map(&mut self, header: &Header) -> io::Result<(u64, Option<Vec<Piece>>)> {
        let gnu = header.as_gnu().ok_or_else(|| invalid("a sparse member without a GNU header"))?;
        let size = gnu.real_size()?;
        let mut pieces = Vec::new();
        let (mut end, mut stored) = (0_u64, 0_u64);
        let mut add = |list: &[GnuSparseHeader]| {
            for entry in list.iter().filter(|entry| !entry.is_empty()) {
                let piece = Piece { offset: entry.offset()?, length: entry.length()? };
                let next = piece.offset.checked_add(piece.length);
                let next = next.filter(|&next| piece.offset >= end && next <= size);
                end = next.ok_or_else(|| invalid("a sparse member whose map is no map"))?;
                stored = stored.saturating_add(piece.length);
                pieces.push(piece);
            }
            Ok::<(), io::Error>(())
        };
        add(&gnu.sparse)?;
        let mut more = gnu.is_extended();
        while more {
            let mut block = GnuExtSparseHeader::new();
            self.spend(BLOCK as u64)?;
            self.read_exact(block.as_mut_bytes())?;
            add(&block.sparse)?;
            more = block.is_extended();
        }
        if stored != self.left {
            return Err(invalid("a sparse member whose map does not fit its content"));
        }
        Ok((size, Some(pieces)))
    }

    /// The next header; `None` if it is the end marker.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut header = Header::new_old();
        self.spend(BLOCK as u64)?;
        self.read_exact(header.as_mut_bytes())?;
        let bytes = header.as_bytes();
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if checksum(bytes) != header.cksum()? {
            return Err(invalid("a header whose checksum is wrong"));
        }
        Ok(Some(header))
    }

    /// The content of a member that describes another one.
    fn description(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let size = header.entry_size()?;
        self.spend(size)?;
        let mut content = Vec::new();
        let read = self.inner.by_ref().take(size).read_to_end(&mut content)? as u64;
        self.offset = self.offset.saturating_add(read);
        if read != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.padding = padding(size) as u64;
        self.skip()?;
        Ok(content)
    }

    fn spend(&mut self, bytes: u64) -> io::Result<()> {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.ok_or_else(|| invalid("a member that takes 4 MiB to describe"))?;
        Ok(())
    }

    /// Passes over what is left of a member.
    fn skip(&mut self) -> io::Result<()> {
        let mut rest = self.left.saturating_add(self.padding);
        let mut buffer = [0; 1 << 14];
        while rest > 0 {
            let most = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
            let count = self.read_some(buffer.get_mut(..most).unwrap_or_default())?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            rest = rest.saturating_sub(count as u64);
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    fn read_exact(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_some(buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => buffer = buffer.get_mut(count..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Ok(count) => {
                    self.offset = self.offset.saturating_add(count as u64);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A member's content, with its holes as zeros.
pub(in crate::disk) struct Content<'a, R> {
    members: &'a mut Members<R>,
    pieces: std::vec::IntoIter<Piece>,
    /// The piece that is being read, or that comes next.
    piece: Option<Piece>,
    at: u64,
    size: u64,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = loop {
            match self.piece.or_else(|| self.pieces.next()) {
                Some(piece) if piece.offset.saturating_add(piece.length) <= self.at => {
                    self.piece = None;
                }
                other => break other,
            }
        };
        self.piece = piece;
        let stored = piece.filter(|piece| piece.offset <= self.at);
        let end = match (stored, piece) {
            (Some(piece), _) => piece.offset.saturating_add(piece.length),
            (None, Some(next)) => next.offset,
            (None, None) => self.size,
        };
        let left = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        let count = if stored.is_some() {
            let count = self.members.read_some(buffer)?;
            if count == 0 && most > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.members.left = self.members.left.saturating_sub(count as u64);
            count
        } else {
            buffer.fill(0);
            most
        };
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}

/// Whether content follows the header. A link repeats its content in PAX only;
/// in older formats its size is that of the file it links to, and a directory's
/// size is a quota.
fn has_content(kind: EntryType, records: &[(String, Vec<u8>)]) -> bool {
    let bare = kind.is_dir()
        || kind.is_symlink()
        || kind.is_fifo()
        || kind.is_character_special()
        || kind.is_block_special();
    !bare && (!kind.is_hard_link() || !records.is_empty())
}

/// The sum of all bytes, those of the checksum itself counted as spaces.
pub(in crate::disk) fn checksum(header: &[u8; BLOCK]) -> u32 {
    let byte = |(at, &byte)| u32::from(if (148..156).contains(&at) { b' ' } else { byte });
    header.iter().enumerate().map(byte).sum()
}

/// Records `LENGTH KEY=VALUE\n`, one after the other.
fn pax(mut content: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut records = Vec::new();
    while !content.is_empty() {
        let record = next_record(&mut content);
        let (key, value) = record.ok_or_else(|| invalid("a PAX record that is none"))?;
        records.push((key.to_owned(), value.to_vec()));
    }
    Ok(records)
}

fn next_record<'a>(content: &mut &'a [u8]) -> Option<(&'a str, &'a [u8])> {
    let space = content.iter().position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(content.get(..space)?).ok()?).ok()?;
    let (record, rest) = content.split_at_checked(length)?;
    *content = rest;
    let record = record.get(space.checked_add(1)?..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let (key, value) = record.split_at_checked(equals)?;
    Some((std::str::from_utf8(key).ok().filter(|key| !key.is_empty())?, value.get(1..)?))
}

fn decimal(digits: &[u8]) -> io::Result<u64> {
    let text = std::str::from_utf8(digits).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or_else(|| invalid("a PAX number that is none"))
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_may_hold_anything_and_have_to_be_exact() {
        let one = |text: &[u8]| pax(text).map(|records| records[0].1.clone());
        assert_eq!(one(b"7 k=ab\n").unwrap(), b"ab");
        assert_eq!(one(b"24 k=1\n11 path=../evil\n\n").unwrap(), b"1\n11 path=../evil\n");
        assert!(pax(b"").unwrap().is_empty());
        for bad in [
            &b"8 k=ab\n"[..],
            b"6 k=ab\n",
            b"7 k=ab",
            b"k=ab\n",
            b" k=ab\n",
            b"7 kkab\n",
            b"6 =ab\n",
            b"0 ",
            b"1 ",
            b"99999999999999999999999 k=a\n",
            b"+7 k=a\n",
            b"7 k=ab\n7",
            b"\0",
        ] {
            assert!(pax(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    fn sparse(pieces: &[(u64, u64)], size: u64, stored: &[u8]) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_path("sparse").unwrap();
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(EntryType::GNUSparse);
        header.set_size(stored.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(size);
        for (entry, &(offset, length)) in gnu.sparse.iter_mut().zip(pieces) {
            entry.set_offset(offset);
            entry.set_length(length);
        }
        let more = pieces.get(4..).unwrap_or_default();
        gnu.set_is_extended(!more.is_empty());
        header.set_cksum();
        let mut tar = header.as_bytes().to_vec();
        for (at, chunk) in more.chunks(21).enumerate() {
            let mut block = GnuExtSparseHeader::new();
            for (entry, &(offset, length)) in block.sparse.iter_mut().zip(chunk) {
                entry.set_offset(offset);
                entry.set_length(length);
            }
            block.set_is_extended(more.len() > (at + 1) * 21);
            tar.extend(block.as_bytes());
        }
        tar.extend(stored);
        tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
        tar
    }

    fn content(tar: &[u8]) -> io::Result<Vec<u8>> {
        let mut members = Members::new(tar);
        let member = members.next()?.unwrap();
        let mut content = Vec::new();
        members.content(&member).read_to_end(&mut content)?;
        assert_eq!(content.len() as u64, member.size);
        assert!(members.next()?.is_none());
        assert!(members.only_zeros_follow()?);
        Ok(content)
    }

    #[test]
    fn holes_become_zeros() {
        assert_eq!(
            content(&sparse(&[(2, 3), (8, 2), (12, 0)], 12, b"abcde")).unwrap(),
            b"\0\0abc\0\0\0de\0\0"
        );
        assert_eq!(content(&sparse(&[(0, 2)], 2, b"ab")).unwrap(), b"ab");
        assert_eq!(content(&sparse(&[], 5, b"")).unwrap(), [0; 5]);
        let many: Vec<(u64, u64)> = (0..60).map(|n| (n * 10 + 9, 1)).collect();
        let all = content(&sparse(&many, 600, &[7; 60])).unwrap();
        assert!(all.iter().enumerate().all(|(at, &b)| b == if at % 10 == 9 { 7 } else { 0 }));
    }

    #[test]
    fn a_map_that_is_none_is_refused() {
        for (pieces, size) in [
            (vec![(0, 2), (1, 3)], 10),
            (vec![(0, 4)], 10),
            (vec![(0, 5)], 4),
            (vec![(u64::MAX >> 1, 5)], 10),
            (vec![], 10),
        ] {
            let error = content(&sparse(&pieces, size, b"abcde")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{pieces:?}");
        }
    }

    #[test]
    fn only_some_kinds_have_content() {
        let sizes = |kind, extension: &[u8]| {
            let mut header = Header::new_ustar();
            header.set_entry_type(kind);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(7);
            header.set_cksum();
            let mut tar = extension.to_vec();
            tar.extend(header.as_bytes());
            tar.extend([0; 1024]);
            let mut members = Members::new(&tar[..]);
            members.next().unwrap().unwrap().size
        };
        let mut pax = Header::new_ustar();
        pax.set_entry_type(EntryType::XHeader);
        pax.set_size(9);
        pax.set_cksum();
        let pax = [&pax.as_bytes()[..], b"9 a=bcde\n", &[0; 503]].concat();
        for kind in [EntryType::Regular, EntryType::Continuous] {
            assert_eq!(sizes(kind, &[]), 7);
        }
        assert_eq!([sizes(EntryType::Link, &pax), sizes(EntryType::Link, &[])], [7, 0]);
        for kind in [
            EntryType::Directory,
            EntryType::Symlink,
            EntryType::Fifo,
            EntryType::Char,
            EntryType::Block,
        ] {
            assert_eq!([sizes(kind, &pax), sizes(kind, &[])], [0, 0]);
        }
    }

    #[test]
    fn a_description_is_bounded_before_it_is_read() {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(1 << 40);
        header.set_cksum();
        let endless = header.as_bytes().chain(io::repeat(b'a'));
        let error = Members::new(endless).next().map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("4 MiB"), "{error}");
        header.set_entry_type(EntryType::XGlobalHeader);
        header.set_size(0);
        header.set_cksum();
        let block = header.as_bytes().to_vec();
        let endless = io::Cursor::new(block.repeat(10_000));
        let error = Members::new(endless).next().map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("4 MiB"), "{error}");
    }
}
