//! The guest's certificate: X.509 (RFC 5280) in its smallest form, for an Ed25519 key
//! (RFC 8410). TLS wants one; nobody believes anything of it but the key in it.

/// `id-Ed25519` as an AlgorithmIdentifier (RFC 8410, section 3): no parameters.
const ED25519: &[u8] = &[0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70];
/// A Name of one commonName, `ravelin`.
const NAME: &[u8] = b"\x30\x12\x31\x10\x30\x0e\x06\x03\x55\x04\x03\x0c\x07ravelin";
/// 1970 to the time "without a well-defined expiration" (RFC 5280, section 4.1.2.5):
/// the guest's clock is the host's.
const VALIDITY: &[u8] = b"\x30\x20\x17\x0d700101000000Z\x18\x0f99991231235959Z";

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// SubjectPublicKeyInfo, DER: 44 bytes.
pub(super) fn public_key_info(key: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[ED25519, &bit_string(key)])
}

/// A certificate of the key, signed by `sign` with the same key. DER.
pub(super) fn self_signed(public_key_info: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    // [0] version 3, serial number 1.
    let head = [0xa0, 3, 0x02, 1, 2, 0x02, 1, 1];
    let parts = [&head, ED25519, NAME, VALIDITY, NAME, public_key_info];
    let to_be_signed = element(SEQUENCE, &parts);
    let signature = sign(&to_be_signed);
    element(SEQUENCE, &[&to_be_signed, ED25519, &bit_string(&signature)])
}

/// A bit string of whole bytes.
fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes])
}

/// An element of less than 64 KiB.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length @ ..0x80) => out.push(length),
        Ok(length) => out.extend_from_slice(&[0x81, length]),
        Err(_) => {
            out.push(0x82);
            let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(&content);
    out
}
