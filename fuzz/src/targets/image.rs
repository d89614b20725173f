//! What the targets of container images share.

use std::io::Cursor;

use image_builder::disk::{Source, audit};
use image_builder::progress::Silent;

/// A member of an archive, with its content.
pub(super) fn file(name: &str, content: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, text: &[u8]| {
        block.iter_mut().skip(at).zip(text).for_each(|(to, from)| *to = *from);
    };
    put(0, name.as_bytes());
    put(100, b"0000644\x000000000\x000000000\x00");
    put(124, format!("{:011o}\x0000000000000\x00", content.len()).as_bytes());
    put(148, b"        0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    let mut put = |at: usize, text: &[u8]| {
        block.iter_mut().skip(at).zip(text).for_each(|(to, from)| *to = *from);
    };
    put(148, format!("{sum:06o}\x00 ").as_bytes());
    block.extend(content);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

/// Reads an image and looks at all that is in it; how many members it has, if it is one. That
/// they make a tree is asserted where they are put together.
pub(super) fn look_at(mut tar: Vec<u8>) -> Option<u64> {
    tar.resize(tar.len() + 1024, 0);
    let source = Source::TarStream { name: "fuzz".to_owned(), reader: Box::new(Cursor::new(tar)) };
    let scratch = std::env::temp_dir().join("ravelin-fuzz");
    audit(source, None, &scratch, &Silent).ok().map(|findings| findings.members)
}
