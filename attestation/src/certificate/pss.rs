//! The one signature algorithm of AMD's certificates and revocation lists:
//! RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 bytes (57230,
//! chapter 3), under a key of 4096 bits.
//!
//! The algorithm identifier is compared byte by byte with the two encodings
//! that occur (the trailer field's default is written out in AMD's, left out
//! by others), so no parameter can be steered.

use ring::signature::{RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};

/// The identifier's fields up to the salt length.
const PARAMETERS: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, // id-RSASSA-PSS
];
/// RSASSA-PSS-params: SHA-384, MGF1 with SHA-384, salt length 48.
const BODY: &[u8] = &[
    0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05,
    0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08,
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa2,
    0x03, 0x02, 0x01, 0x30,
];
/// trailerField, its default written out.
const TRAILER: &[u8] = &[0xa3, 0x03, 0x02, 0x01, 0x01];

/// Whether `algorithm`, the DER of an AlgorithmIdentifier, is AMD's.
pub(super) fn is_amd_algorithm(algorithm: &[u8]) -> bool {
    let rest = match algorithm {
        [0x30, 0x41, rest @ ..] | [0x30, 0x46, rest @ ..] => rest,
        _ => return false,
    };
    let Some(rest) = rest.strip_prefix(PARAMETERS) else { return false };
    let (length, trailer) = match rest {
        [0x30, length, rest @ ..] => match rest.strip_prefix(BODY) {
            Some(trailer) => (*length, trailer),
            None => return false,
        },
        _ => return false,
    };
    (length == 0x34 && trailer.is_empty() && algorithm.len() == 0x43)
        || (length == 0x39 && trailer == TRAILER && algorithm.len() == 0x48)
}

/// Whether `signature` over `message` verifies under `key`, the DER of a
/// PKCS #1 RSAPublicKey.
pub(super) fn verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, key).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identifier(trailer: bool) -> Vec<u8> {
        let (outer, inner) = if trailer { (0x46, 0x39) } else { (0x41, 0x34) };
        let tail: &[u8] = if trailer { TRAILER } else { &[] };
        [&[0x30, outer], PARAMETERS, &[0x30, inner], BODY, tail].concat()
    }

    #[test]
    fn two_encodings_and_no_other() {
        assert!(is_amd_algorithm(&identifier(false)) && is_amd_algorithm(&identifier(true)));
        for trailer in [false, true] {
            let good = identifier(trailer);
            for index in 0..good.len() {
                let mut bad = good.clone();
                bad[index] ^= 1;
                assert!(!is_amd_algorithm(&bad), "byte {index}");
                assert!(!is_amd_algorithm(&good[..index]), "{index} bytes");
            }
            assert!(!is_amd_algorithm(&[good.as_slice(), &[0]].concat()));
        }
    }
}
