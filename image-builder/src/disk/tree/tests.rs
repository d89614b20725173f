//! From a tar to the canonical stream: what holds for every tar.

use std::io;

use protocol::config::FsType;
use tar::{EntryType, Header};

use super::members::checksum;
use super::{Canonical, Dialect, Rules, Tarball};
use crate::disk::{BuildError, Owner, Xattrs};
use crate::progress::Silent;

/// The canonical stream of a tar.
fn canonical(tar: &[u8], xattrs: Xattrs) -> Result<Vec<u8>, BuildError> {
    let takes_attribute = |name: &str| name.starts_with("user.");
    let dialect =
        Dialect { fs: FsType::Erofs, fractions: true, root_member: true, takes_attribute };
    let rules = Rules { dialect, owner: Owner::AsSeen, xattrs };
    let mut out = Vec::new();
    let reader = Box::new(io::Cursor::new(tar.to_vec()));
    Tarball::plain("test", reader)
        .stream(|root| Canonical::begin(root, rules, &mut out, &Silent))?
        .finish()?;
    Ok(out)
}

/// A tar with every kind of member, as another program would write it.
fn sample() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, link: &str, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(1);
        header.set_gid(2);
        header.set_mtime(3);
        header.set_size(content.len() as u64);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        tar.append_pax_extensions([("mtime", &b"3.25"[..]), ("SCHILY.xattr.user.a", b"value")])
            .unwrap();
        tar.append_data(&mut header, path, content).unwrap();
    };
    add("./", EntryType::Directory, "", b"");
    add("d/", EntryType::Directory, "", b"");
    add("d/file", EntryType::Regular, "", &[b'c'; 700]);
    add("d/hard", EntryType::Link, "d/file", b"");
    add("d/soft", EntryType::Symlink, "file", b"");
    add("d/null", EntryType::Char, "", b"");
    add("d/pipe", EntryType::Fifo, "", b"");
    add(&format!("d/{}", "n".repeat(200)), EntryType::Regular, "", b"long");
    tar.into_inner().unwrap()
}

#[test]
fn a_canonical_stream_is_its_own_canonical_stream() {
    let once = canonical(&sample(), Xattrs::Keep).unwrap();
    assert_eq!(canonical(&once, Xattrs::Keep).unwrap(), once);
}

/// Headers and records changed at random, with correct checksums: a typed
/// error, or a stream that every reader takes for the same tree.
#[test]
fn whatever_comes_in_the_stream_is_canonical_or_refused() {
    let sample = sample();
    let headers: Vec<usize> = (0..sample.len() / 512)
        .map(|block| block * 512)
        .filter(|&at| sample.get(at + 257..at + 262) == Some(b"ustar"))
        .collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..1500 {
        let mut tar = sample.clone();
        for _ in 0..=random()[0] % 3 {
            let [which, low, high, value, how, ..] = random();
            let at = headers[usize::from(which) % headers.len()];
            // Mostly the header, now and then what follows it.
            let reach = if how % 4 == 0 { 1024 } else { 512 };
            let offset = usize::from(u16::from_le_bytes([low, high])) % reach;
            let digits = b"01234567\0 x../KLSxg";
            let value =
                if how % 2 == 0 { value } else { digits[usize::from(value) % digits.len()] };
            let Some(byte) = tar.get_mut(at + offset) else { continue };
            *byte = value;
        }
        for &at in &headers {
            let block: [u8; 512] = tar[at..at + 512].try_into().unwrap();
            let sum = format!("{:06o}\0 ", checksum(&block));
            tar[at + 148..at + 156].copy_from_slice(sum.as_bytes());
        }
        match canonical(&tar, Xattrs::Drop) {
            Ok(once) => {
                accepted += 1;
                assert_eq!(canonical(&once, Xattrs::Keep).unwrap(), once);
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 300 && refused > 50, "{accepted} {refused}");
}
