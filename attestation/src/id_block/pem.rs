//! The blocks of a PEM file.

use p384::pkcs8::der::pem;
use zeroize::Zeroizing;

/// One block.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    text: &'a str,
}

impl Block<'_> {
    /// Its bytes, which are wiped when dropped.
    pub(super) fn decode(&self) -> Option<Zeroizing<Vec<u8>>> {
        pem::decode_vec(self.text.as_bytes()).ok().map(|(_, bytes)| Zeroizing::new(bytes))
    }

    /// Whether it is encrypted, in PKCS#8's way or OpenSSL's old one.
    pub(super) fn is_encrypted(&self) -> bool {
        self.label == "ENCRYPTED PRIVATE KEY" || self.text.contains("\nProc-Type: 4,ENCRYPTED")
    }
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// All complete blocks, in their order. Text between them is ignored.
pub(super) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let Some(from_begin) = rest.get(start..) else { break };
        let label = from_begin.strip_prefix(BEGIN).and_then(|after| after.split_once(DASHES));
        let Some((label, _)) = label else { break };
        let end_line = format!("-----END {label}-----");
        let Some(end) = from_begin.find(&end_line) else { break };
        let (Some(block), Some(after)) =
            (from_begin.get(..end + end_line.len()), from_begin.get(end + end_line.len()..))
        else {
            break;
        };
        blocks.push(Block { label, text: block });
        rest = after;
    }
    blocks
}
