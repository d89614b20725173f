//! What is random in an image elsewhere comes from a seed here, so that a build
//! can be repeated.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The first 128 bits of SHA-256(label ‖ seed ‖ more), as a UUID of version 8
/// (RFC 9562, section 5.8).
pub(super) fn uuid(label: &str, seed: Uuid, more: &[u8]) -> Uuid {
    let digest = digest(label, seed, more);
    Uuid::new_v8(*digest.first_chunk().unwrap_or(&[0; 16]))
}

/// The salt that belongs to a seed: SHA-256("ravelin verity salt v1" ‖ seed).
pub(super) fn salt(seed: Uuid) -> [u8; 32] {
    digest("ravelin verity salt v1", seed, &[])
}

fn digest(label: &str, seed: Uuid, more: &[u8]) -> [u8; 32] {
    let hash = Sha256::new_with_prefix(label).chain_update(seed.as_bytes()).chain_update(more);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_values_for_ever() {
        let seed = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(
            uuid("ravelin root uuid v1", seed, &[]).to_string(),
            "2f4faa3b-64b4-893a-a7b7-643afd3c9c7b"
        );
        assert_ne!(uuid("a", seed, &[]), uuid("b", seed, &[]));
        assert_ne!(uuid("a", seed, b"1"), uuid("a", seed, b"2"));
        assert_eq!(
            hex::encode(salt(seed)),
            "62ce2f7f689a949ee9ef581a98632878901e10bd20cb20c6c944580dcbbdaff3"
        );
    }
}
