//! ID blocks and ID authentication: layout, signing here and elsewhere, strict
//! parsing, and the refusal of every single flipped bit.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;

use attestation::id_block::{
    AssembleError, IdAuth, IdAuthError, IdBlock, IdBlockError, PrivateKey, PublicKey,
    PublicKeyError, Signature, SignatureError, SigningRequest, VerifyError,
};
use attestation::measurement::LaunchDigest;
use p384::SecretKey;
use p384::elliptic_curve::sec1::ToEncodedPoint;
use p384::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use sha2::{Digest, Sha384};

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_slice(&[seed; 48]).unwrap()
}

fn key(seed: u8) -> PrivateKey {
    let pem = secret(seed).to_pkcs8_pem(LineEnding::LF).unwrap();
    PrivateKey::from_pem(pem.as_bytes()).unwrap()
}

fn block() -> IdBlock {
    IdBlock {
        launch_digest: LaunchDigest::new(std::array::from_fn(|i| u8::try_from(i).unwrap())),
        family_id: *b"family id, 16 by",
        image_id: *b"image id, 16 byt",
        guest_svn: 0x0403_0201,
        policy: 0x0807_0605_0403_0201,
    }
}

#[test]
fn the_id_block_has_amd_s_layout() {
    let bytes = block().to_bytes();
    assert_eq!(bytes[..48], *block().launch_digest.as_bytes());
    assert_eq!(&bytes[0x30..0x40], b"family id, 16 by");
    assert_eq!(&bytes[0x40..0x50], b"image id, 16 byt");
    assert_eq!(bytes[0x50..0x54], [1, 0, 0, 0]);
    assert_eq!(bytes[0x54..0x58], [1, 2, 3, 4]);
    assert_eq!(bytes[0x58..], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(IdBlock::parse(&bytes), Ok(block()));
    assert_eq!(block().to_base64().len(), 128);
    assert_eq!(IdBlock::from_base64(&format!("{}\n", block().to_base64())), Ok(block()));
}

#[test]
fn other_lengths_versions_and_texts_are_no_id_block() {
    let mut bytes = block().to_bytes().to_vec();
    for length in [0, 47, 95, 97, 4096] {
        bytes.resize(length, 0);
        assert_eq!(IdBlock::parse(&bytes), Err(IdBlockError::Length { length }));
    }
    let mut bytes = block().to_bytes();
    bytes[0x50] = 2;
    assert_eq!(IdBlock::parse(&bytes), Err(IdBlockError::Version { version: 2 }));
    let text = block().to_base64();
    let (short, _) = text.split_at(127);
    for text in ["", short, &format!("{text}AAAA"), &text.replace('A', "-"), &"=".repeat(128)] {
        assert_eq!(IdBlock::from_base64(text), Err(IdBlockError::Base64));
    }
}

/// Every field where the table has it, computed apart from the crate.
#[test]
fn the_authentication_has_amd_s_layout() {
    let auth = IdAuth::sign(&block(), &key(1), Some(&key(2)));
    let bytes = auth.to_bytes();
    assert_eq!(bytes.len(), 4096);
    assert_eq!(bytes[..8], [1, 0, 0, 0, 1, 0, 0, 0]);
    let public = |seed: u8| {
        let point = secret(seed).public_key().to_encoded_point(false);
        let mut bytes = vec![2, 0, 0, 0];
        for coordinate in [point.x().unwrap(), point.y().unwrap()] {
            bytes.extend(coordinate.iter().rev());
            bytes.extend([0; 24]);
        }
        bytes.resize(0x404, 0);
        bytes
    };
    assert_eq!(bytes[0x240..0x644], public(1));
    assert_eq!(bytes[0x880..0xc84], public(2));
    for zeros in [0x008..0x040, 0x0d0..0x240, 0x644..0x680, 0x710..0x880, 0xc84..0x1000] {
        assert!(bytes[zeros.clone()].iter().all(|byte| *byte == 0), "{zeros:x?}");
    }
    assert_eq!(auth.id_key_digest().as_bytes()[..], Sha384::digest(public(1))[..]);
    assert_eq!(auth.author_key_digest().unwrap().as_bytes()[..], Sha384::digest(public(2))[..]);

    assert_eq!(IdAuth::parse(&bytes), Ok(auth));
    assert_eq!(auth.to_base64().len(), 5464);
    assert_eq!(IdAuth::from_base64(&auth.to_base64()), Ok(auth));
    assert_eq!(auth.verify(&block()), Ok(()));
}

#[test]
fn the_author_key_is_optional() {
    let auth = IdAuth::sign(&block(), &key(1), None);
    let mut bytes = auth.to_bytes();
    assert_eq!(bytes[4..8], [0; 4]);
    assert!(bytes[0x680..].iter().all(|byte| *byte == 0));
    assert_eq!(auth.verify(&block()), Ok(()));
    assert!(auth.author().is_none() && auth.author_key_digest().is_none());
    assert_eq!(IdAuth::parse(&bytes), Ok(auth));
    // Other tools name the algorithm of the key that is not there.
    bytes[4] = 1;
    assert_eq!(IdAuth::parse(&bytes), Ok(auth));
    bytes[4] = 2;
    assert_eq!(
        IdAuth::parse(&bytes),
        Err(IdAuthError::Algorithm { key: "author key", algorithm: 2 })
    );
}

#[test]
fn signatures_of_other_keys_and_blocks_do_not_hold() {
    let auth = IdAuth::sign(&block(), &key(1), Some(&key(2)));
    let other = IdBlock { policy: 0x3_0000, ..block() };
    assert_eq!(auth.verify(&other), Err(VerifyError::IdBlock));
    // ID and author key swapped.
    let swapped = IdAuth::sign(&block(), &key(2), Some(&key(1)));
    let mut bytes = auth.to_bytes();
    bytes[0x240..0x644].copy_from_slice(&swapped.to_bytes()[0x240..0x644]);
    assert_eq!(IdAuth::parse(&bytes).unwrap().verify(&block()), Err(VerifyError::IdBlock));
    let mut bytes = auth.to_bytes();
    bytes[0x880..0xc84].copy_from_slice(&swapped.to_bytes()[0x880..0xc84]);
    assert_eq!(IdAuth::parse(&bytes).unwrap().verify(&block()), Err(VerifyError::IdKey));
}

#[test]
fn signing_is_repeatable() {
    let one = IdAuth::sign(&block(), &key(1), Some(&key(2)));
    let two = IdAuth::sign(&block(), &key(1), Some(&key(2)));
    assert_eq!(one.to_bytes(), two.to_bytes());
    // RFC 6979, A.2.6: P-384, SHA-384, message "sample".
    let scalar = hex::decode(
        "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2\
         EDF5",
    )
    .unwrap();
    let pem = SecretKey::from_slice(&scalar).unwrap().to_pkcs8_pem(LineEnding::LF).unwrap();
    let signature = PrivateKey::from_pem(pem.as_bytes()).unwrap().sign(b"sample");
    let mut r = hex::decode(
        "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FA\
         BE46",
    )
    .unwrap();
    r.reverse();
    assert_eq!(signature.to_bytes()[..48], r);
}

#[test]
fn signatures_made_elsewhere_are_checked_before_use() {
    let (id, author) = (key(1), key(2));
    let request = SigningRequest::new(block(), id.public_key(), Some(author.public_key()));
    assert_eq!(request.id_block_message(), block().to_bytes());
    assert_eq!(request.id_key_message(), id.public_key().to_bytes());
    let by_id = id.sign(&request.id_block_message());
    let by_author = author.sign(&request.id_key_message());
    let auth = request.assemble(by_id, Some(by_author)).unwrap();
    assert_eq!(auth.to_bytes(), IdAuth::sign(&block(), &id, Some(&author)).to_bytes());

    assert_eq!(request.assemble(by_id, None), Err(AssembleError::NoAuthorSignature));
    assert_eq!(
        request.assemble(by_author, Some(by_id)),
        Err(AssembleError::Signature { source: VerifyError::IdBlock })
    );
    assert_eq!(
        request.assemble(by_id, Some(by_id)),
        Err(AssembleError::Signature { source: VerifyError::IdKey })
    );
    let alone = SigningRequest::new(block(), id.public_key(), None);
    assert_eq!(
        alone.assemble(by_id, None).unwrap().to_bytes(),
        IdAuth::sign(&block(), &id, None).to_bytes()
    );
    assert_eq!(alone.assemble(by_id, Some(by_author)), Err(AssembleError::NoAuthorKey));
}

#[test]
fn signatures_are_read_in_both_forms_of_other_tools() {
    let signature = key(1).sign(b"message");
    let bytes = signature.to_bytes();
    let number = |at: usize| bytes[at..at + 48].iter().rev().copied().collect::<Vec<_>>();
    let (r, s) = (number(0), number(72));
    let raw = [r.clone(), s.clone()].concat();
    assert_eq!(Signature::from_tool(&raw), Ok(signature));
    let integer = |number: &[u8]| {
        let number: Vec<_> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        let sign = if number[0] & 0x80 == 0 { vec![] } else { vec![0] };
        let body = [sign, number].concat();
        [vec![2, u8::try_from(body.len()).unwrap()], body].concat()
    };
    let body = [integer(&r), integer(&s)].concat();
    let der = [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat();
    assert_eq!(Signature::from_tool(&der), Ok(signature));

    assert_eq!(Signature::from_tool(&[]), Err(SignatureError::Form { length: 0 }));
    let long = [&der[..], &[0]].concat();
    assert_eq!(Signature::from_tool(&long), Err(SignatureError::Form { length: long.len() }));
    assert_eq!(Signature::from_tool(&[0; 96]), Err(SignatureError::Range));
    assert_eq!(Signature::from_tool(&[0xff; 96]), Err(SignatureError::Range));
}

#[test]
fn numbers_out_of_range_and_reserved_bytes_are_refused() {
    let good = key(1).sign(b"message").to_bytes();
    assert_eq!(Signature::parse(&good).unwrap().to_bytes(), good);
    let zero_r = [&[0; 72], &good[72..]].concat().try_into().unwrap();
    assert_eq!(Signature::parse(&zero_r), Err(SignatureError::Range));
    let zero_s = [&good[..72], &[0; 440]].concat().try_into().unwrap();
    assert_eq!(Signature::parse(&zero_s), Err(SignatureError::Range));
    let mut order = good;
    order[..48].fill(0xff);
    assert_eq!(Signature::parse(&order), Err(SignatureError::Range));
    for offset in (48..72).chain(120..512) {
        let mut reserved = good;
        reserved[offset] = 1;
        assert_eq!(Signature::parse(&reserved), Err(SignatureError::Reserved { offset }));
    }

    let good = key(1).public_key().to_bytes();
    assert_eq!(PublicKey::parse(&good), Ok(key(1).public_key()));
    let mut curve = good;
    curve[0] = 1;
    assert_eq!(PublicKey::parse(&curve), Err(PublicKeyError::Curve { curve: 1 }));
    let mut point = good;
    point[4] ^= 1;
    assert_eq!(PublicKey::parse(&point), Err(PublicKeyError::Point));
    let mut infinity = [0; 0x404];
    infinity[0] = 2;
    assert_eq!(PublicKey::parse(&infinity), Err(PublicKeyError::Point));
    for offset in (0x34..0x4c).chain(0x7c..0x404) {
        let mut reserved = good;
        reserved[offset] = 0x80;
        assert_eq!(PublicKey::parse(&reserved), Err(PublicKeyError::Reserved { offset }));
    }
}

/// Whoever changes one bit of the block or of what authenticates it is found
/// out, by a typed error or by a signature that does not hold. Of a byte whose
/// change is only found by verifying, which takes long, one bit is tried.
#[test]
fn every_flipped_bit_is_refused() {
    let auth = IdAuth::sign(&block(), &key(1), Some(&key(2)));
    let (block_bytes, auth_bytes) = (block().to_bytes(), auth.to_bytes());
    let flip = |bytes: &mut [u8], bit: usize| {
        bytes[bit / 8] ^= 1 << (bit % 8);
        bit / 8 % 8 == bit % 8
    };
    let (mut malformed, mut unsigned) = (0, 0);
    for bit in 0..8 * 4096 {
        let mut bytes = auth_bytes.clone();
        let chosen = flip(&mut bytes, bit);
        match IdAuth::parse(&bytes) {
            Err(_) => malformed += 1,
            Ok(parsed) if chosen => {
                assert!(parsed.verify(&block()).is_err(), "bit {bit}");
                unsigned += 1;
            }
            Ok(_) => {}
        }
    }
    assert!(malformed > 8 * (4096 - 4 * 48) - 1 && unsigned > 180, "{malformed} {unsigned}");
    for bit in 0..8 * 96 {
        let mut bytes = block_bytes;
        let chosen = flip(&mut bytes, bit);
        if let (Ok(block), true) = (IdBlock::parse(&bytes), chosen) {
            assert_eq!(auth.verify(&block), Err(VerifyError::IdBlock), "bit {bit}");
        }
    }
}

#[test]
fn public_keys_are_read_from_pem() {
    let pem = secret(1).public_key().to_public_key_pem(LineEnding::LF).unwrap();
    assert_eq!(PublicKey::from_pem(pem.as_bytes()), Ok(key(1).public_key()));
    let private = secret(1).to_pkcs8_pem(LineEnding::LF).unwrap();
    for text in [&b""[..], b"\xff", private.as_bytes()] {
        assert_eq!(PublicKey::from_pem(text), Err(PublicKeyError::Pem));
    }
}

fn vectors() -> Option<PathBuf> {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors"));
    let folder = std::env::var_os("RAVELIN_VECTORS").map_or_else(default, PathBuf::from);
    let folder = folder.join("idblock");
    if folder.is_dir() {
        Some(folder)
    } else {
        eprintln!("SKIPPED: no public vectors at {}; set RAVELIN_VECTORS", folder.display());
        None
    }
}

/// The blocks that other tools signed, with the `sev` project's throw-away keys.
#[test]
fn published_blocks_are_ours_byte_for_byte() {
    let Some(folder) = vectors() else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let text = |name: &str| String::from_utf8(read(name)).unwrap();
    let id = PrivateKey::from_pem(&read("test_id_key.pem")).unwrap();
    let author = PrivateKey::from_pem(&read("test_auth_key.pem")).unwrap();
    let digests = text("key_digests.txt");
    for (name, key) in [("test_id_key", &id), ("test_auth_key", &author)] {
        let line = digests.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(line.trim().parse(), Ok(key.public_key().digest()));
    }

    let block = IdBlock::from_base64(&text("idb1.b64")).unwrap();
    let expected = IdBlock {
        launch_digest:
            "0xa14d638341e5674628fe1e02fbedebe5e5ab4faf1dd72d8966068e615bb99efd13d214b35\
                        c231715b38e263dc6059745"
                .parse()
                .unwrap(),
        family_id: [0; 16],
        image_id: [0; 16],
        guest_svn: 0,
        policy: 0x3_0000,
    };
    assert_eq!(block, expected);
    assert_eq!(block.to_base64(), text("idb1.b64").trim());

    let snpguest = text("ida1.b64");
    let theirs = [IdAuth::from_base64(&snpguest), IdAuth::parse(&read("test_auth_block.bin"))];
    for theirs in theirs.map(Result::unwrap) {
        assert_eq!(theirs.verify(&block), Ok(()));
        let request = SigningRequest::new(block, id.public_key(), Some(author.public_key()));
        let ours = request.assemble(*theirs.signature(), theirs.author().map(|it| *it.signature()));
        assert_eq!(ours.unwrap().to_bytes(), theirs.to_bytes());
    }
    assert_eq!(IdAuth::from_base64(&snpguest).unwrap().to_base64(), snpguest.trim());
    let binary = read("test_auth_block.bin");
    assert_eq!(IdAuth::parse(&binary).unwrap().to_bytes(), binary);
}
