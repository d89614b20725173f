//! Extended attributes: behind the inode's fields, and in a block of their own.
//!
//! Both have the magic ea020000 first; the block then has a reference count, the number of
//! blocks (1), a hash and a checksum at byte 16, and its entries from byte 32 on. An entry:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | bytes of the name |
//! | 1 | 1 | what the name begins with, as a number |
//! | 2 | 2 | offset of the value: from the first entry on in an inode, from the start of a block |
//! | 4 | 4 | inode with the value, zero for none |
//! | 8 | 4 | bytes of the value |
//! | 16 | | the rest of the name; the next entry is at a multiple of 4 |
//!
//! Four bytes of zeros end the list.

use verity::ReadAt;

use super::checksum::Checksum;
use super::fields::Fields;
use super::inode::Inode;
use super::{Ext4, Ext4Error};

const MAGIC: u32 = 0xea02_0000;
const IN_BLOCK: usize = 32;
const ENTRY: usize = 16;
const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// Name and value, sorted by name.
pub(super) type Attributes = Vec<(String, Vec<u8>)>;

/// The attributes of a file.
pub(super) fn of<R: ReadAt>(fs: &Ext4<R>, inode: &Inode) -> Result<Attributes, Ext4Error> {
    let mut found = Vec::new();
    if Fields(&inode.more).u32(0) == Some(MAGIC) {
        let list = inode.more.get(4..).unwrap_or_default();
        entries(inode, list, 0, &mut found)?;
    }
    if inode.attribute_block != 0 {
        let block = fs.block(inode, inode.attribute_block)?;
        if Fields(&block).u32(0) != Some(MAGIC) || Fields(&block).u32(8) != Some(1) {
            return Err(inode.damaged("its block of attributes is none"));
        }
        if let Some(seed) = fs.seed() {
            let computed = Checksum::new(seed)
                .with(&inode.attribute_block.to_le_bytes())
                .with(block.get(..16).unwrap_or_default())
                .with(&[0; 4])
                .with(block.get(20..).unwrap_or_default());
            if Fields(&block).u32(16) != Some(computed.value()) {
                let (what, number) = ("the attributes of inode", inode.number.into());
                return Err(Ext4Error::Checksum { what, number });
            }
        }
        entries(inode, &block, IN_BLOCK, &mut found)?;
    }
    found.sort();
    if found.array_windows().any(|[(a, _), (b, _)]| a == b) {
        return Err(inode.damaged("it has an attribute twice"));
    }
    Ok(found)
}

/// Reads a list that starts at `place` of the bytes that its values are in.
fn entries(
    inode: &Inode,
    bytes: &[u8],
    mut place: usize,
    found: &mut Attributes,
) -> Result<(), Ext4Error> {
    let damaged = |problem| inode.damaged(problem);
    loop {
        let list = bytes.get(place..).unwrap_or_default();
        let fields = Fields(list);
        match fields.u32(0) {
            None | Some(0) => return Ok(()),
            Some(_) => {}
        }
        let header = (fields.u8(0), fields.u8(1), fields.u16(2), fields.u32(4), fields.u32(8));
        let (Some(length), Some(prefix), Some(offset), Some(elsewhere), Some(size)) = header else {
            return Err(damaged("its attributes are cut off"));
        };
        let end = ENTRY.saturating_add(length.into());
        let rest = list.get(ENTRY..end).ok_or_else(|| damaged("its attributes are cut off"))?;
        if elsewhere != 0 {
            return Err(damaged(
                "it has an attribute in an inode, which the superblock does not announce",
            ));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let value = bytes.get(offset.into()..).and_then(|value| value.get(..size));
        // A value of no bytes has no place.
        let value = if size == 0 { Some(&[][..]) } else { value };
        let value = value.ok_or_else(|| damaged("the value of an attribute is outside"))?;
        let name = name(prefix, rest).ok_or_else(|| damaged("an attribute has an unknown name"))?;
        let value = if name == ACCESS || name == DEFAULT {
            acl(value).ok_or_else(|| damaged("an access control list is none"))?
        } else {
            value.to_vec()
        };
        found.push((name, value));
        place = place.saturating_add(end.next_multiple_of(4));
    }
}

fn name(prefix: u8, rest: &[u8]) -> Option<String> {
    let rest = std::str::from_utf8(rest).ok().filter(|rest| !rest.contains(['=', '\0']))?;
    let whole = match (prefix, rest) {
        (2, "") => return Some(ACCESS.to_owned()),
        (3, "") => return Some(DEFAULT.to_owned()),
        (1, _) => "user.",
        (4, _) => "trusted.",
        (6, _) => "security.",
        (7, _) => "system.",
        _ => return None,
    };
    (!rest.is_empty()).then(|| format!("{whole}{rest}"))
}

/// An access control list as the kernel gives it to programs: version 2 (4), then 8 bytes for
/// each entry, tag (2), permissions (2) and user or group (4). On the disk the version is 1,
/// and entries without a user or group have 4 bytes.
fn acl(stored: &[u8]) -> Option<Vec<u8>> {
    const USER: u16 = 0x02;
    const GROUP: u16 = 0x08;
    let (version, mut rest) = stored.split_first_chunk()?;
    if u32::from_le_bytes(*version) != 1 {
        return None;
    }
    let mut list = 2_u32.to_le_bytes().to_vec();
    while !rest.is_empty() {
        let (entry, after) = rest.split_first_chunk::<4>()?;
        let [tag, ..] = entry.as_chunks::<2>().0 else { return None };
        list.extend(entry);
        rest = after;
        match u16::from_le_bytes(*tag) {
            USER | GROUP => {
                let (id, after) = rest.split_first_chunk::<4>()?;
                list.extend(id);
                rest = after;
            }
            0x01 | 0x04 | 0x10 | 0x20 => list.extend([0xff; 4]),
            _ => return None,
        }
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gets_the_kernels_form() {
        // user::rwx, user:1000:r--, group::r-x, mask::r-x, other::---
        let stored = [
            &[1, 0, 0, 0][..],
            &[1, 0, 7, 0],
            &[2, 0, 4, 0, 0xe8, 3, 0, 0],
            &[4, 0, 5, 0],
            &[0x10, 0, 5, 0],
            &[0x20, 0, 0, 0],
        ];
        let none = [0xff; 4];
        let expected = [
            &[2, 0, 0, 0][..],
            &[1, 0, 7, 0],
            &none,
            &[2, 0, 4, 0, 0xe8, 3, 0, 0],
            &[4, 0, 5, 0],
            &none,
            &[0x10, 0, 5, 0],
            &none,
            &[0x20, 0, 0, 0],
            &none,
        ];
        assert_eq!(acl(&stored.concat()).unwrap(), expected.concat());
        for wrong in [
            &b""[..],
            &[2, 0, 0, 0],
            &[1, 0, 0, 0, 1],
            &[1, 0, 0, 0, 2, 0, 7, 0],
            &[1, 0, 0, 0, 3, 0, 7, 0],
        ] {
            assert_eq!(acl(wrong), None, "{wrong:?}");
        }
    }
}
