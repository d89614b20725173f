//! A LUKS2 header, with right checksums, as a host would write them.
//!
//! An even first byte: the rest is the JSON text of both copies. An odd one: the rest
//! lies over the first 512 bytes of both copies. What is accepted is unlocked with a
//! wrong passphrase too.

use std::cell::RefCell;

use luks::{
    Cipher, HEADER_SIZE, Header, HeaderKey, KdfLimits, LUKS2_DATA_OFFSET, Layout, NewHeader,
    SectorSize, VolumeKey, VolumeSpec,
};
use sha2::{Digest, Sha256};

use super::volumes::{ID, ordinary, secret};
use crate::Numbers;

const COPY: usize = 16_384;
const BINARY: usize = 4096;
const CHECKSUM: usize = 448;
const START: usize = 512;
/// Enough for the seeds, little enough for a fuzzer.
const LIMITS: KdfLimits = KdfLimits { memory_kib: 256, passes: 4, iterations: 2000 };

thread_local! {
    static HEADER: RefCell<Vec<u8>> = RefCell::new(header(&Cipher::AesXtsHmacSha256));
}

/// A header that Ravelin makes.
fn header(cipher: &Cipher) -> Vec<u8> {
    let layout = Layout::for_volume(*cipher, SectorSize::B4096, LUKS2_DATA_OFFSET, 1 << 12).ok();
    let spec = layout.and_then(|layout| VolumeSpec::new(layout, ID, None).ok());
    let Some(spec) = spec.or_else(|| ordinary().into_iter().next()) else { return Vec::new() };
    let (secret, key) = (secret(), VolumeKey::derive(&secret(), &spec));
    let header = NewHeader { spec: &spec, key: &key, unlock: HeaderKey::Secret(&secret) };
    header.to_bytes(&mut Numbers::new(3)).map(|bytes| bytes.to_vec()).unwrap_or_default()
}

pub(super) fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    HEADER.with_borrow_mut(|bytes| {
        let before = bytes.get(..2 * COPY).unwrap_or_default().to_vec();
        for copy in bytes.chunks_exact_mut(COPY).take(2) {
            if kind & 1 == 0 {
                let json = copy.iter_mut().skip(BINARY);
                json.zip(rest.iter().chain(std::iter::repeat(&0)))
                    .for_each(|(to, from)| *to = *from);
            } else {
                // The magic and the offset are each copy's own, or neither would be read.
                let places =
                    (0..START).filter(|at| !(0..6).contains(at) && !(256..264).contains(at));
                for (at, from) in places.zip(rest) {
                    if let Some(to) = copy.get_mut(at) {
                        *to = *from;
                    }
                }
            }
            sign(copy);
        }
        if let Ok(header) = Header::parse(bytes, &LIMITS) {
            let _ = (header.uuid(), header.label(), header.layout(1 << 20).is_ok());
            assert!(header.unlock(b"wrong").is_err());
        }
        bytes.iter_mut().zip(before).for_each(|(to, from)| *to = from);
    });
}

fn sign(copy: &mut [u8]) {
    let Some(field) = copy.get_mut(CHECKSUM..START) else { return };
    field.fill(0);
    let checksum = Sha256::digest(&*copy);
    copy.iter_mut().skip(CHECKSUM).zip(checksum).for_each(|(to, from)| *to = from);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Cipher::ALL
        .iter()
        .map(|cipher| {
            let json = header(cipher);
            let text = json.iter().take(COPY).skip(BINARY).take_while(|byte| **byte != 0);
            std::iter::once(0).chain(text.copied()).collect()
        })
        .collect();
    let binary = header(&Cipher::AesXtsHmacSha256);
    let places = (6..CHECKSUM).filter(|at| !(256..264).contains(at));
    let binary = places.filter_map(|at| binary.get(at).copied());
    seeds.push(std::iter::once(1).chain(binary).collect());
    debug_assert_eq!(HEADER_SIZE % COPY, 0);
    seeds
}
