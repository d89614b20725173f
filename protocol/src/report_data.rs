//! REPORT_DATA: what a report binds, in one encoding.
//!
//! ```text
//! REPORT_DATA = SHA-512("ravelin report v1" ‖ role ‖ fields)
//! ```
//!
//! `role` is one byte, `fields` are tag (1 byte), length (4 bytes, big-endian)
//! and value, tags ascending. Each role fixes which fields there are, so a
//! report that was made for one purpose never serves another:
//!
//! | tag | field | value | boot (1) | responder (2) | release (3) |
//! |---|---|---|---|---|---|
//! | 1 | nonce | 32 bytes, the owner's, random | – | yes | yes |
//! | 2 | ssh-host-keys | [`HostKeys::encode`] | yes | yes | – |
//! | 3 | tls-exporter | 32 bytes | – | – | yes |
//! | 4 | tls-public-key | SubjectPublicKeyInfo, DER | – | – | yes |
//! | 5 | receipt-head | 32 bytes | if there is one | if there is one | if there is one |
//!
//! The boot role has no nonce: nobody asked yet. Such a report says that these
//! keys were made in such a VM; it does not say that the VM lives.
//!
//! `docs/formats.md` has test vectors.

use sha2::{Digest, Sha512};

use crate::host_keys::HostKeys;
use crate::tlv;

/// What separates these hashes from all others.
pub const DOMAIN: &[u8; 17] = b"ravelin report v1";

/// Bytes of REPORT_DATA (AMD 56860, MSG_REPORT_REQ).
pub const LENGTH: usize = 64;

/// The owner's nonce: 32 random bytes, fresh for each question.
pub type Nonce = [u8; 32];

/// The longest SubjectPublicKeyInfo that is bound, in bytes.
pub const MAX_PUBLIC_KEY: usize = 1024;

const NONCE: u8 = 1;
const SSH_HOST_KEYS: u8 = 2;
const TLS_EXPORTER: u8 = 3;
const TLS_PUBLIC_KEY: u8 = 4;
const RECEIPT_HEAD: u8 = 5;

/// What a report is for, with what it binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binding<'a> {
    /// Made at boot, without a question: the VM's SSH host keys.
    Boot {
        /// The VM's SSH host keys.
        host_keys: &'a HostKeys,
        /// Head of the boot receipt, where there is one.
        receipt_head: Option<&'a [u8; 32]>,
    },
    /// The responder's answer to a nonce.
    Responder {
        /// The owner's nonce.
        nonce: &'a Nonce,
        /// The VM's SSH host keys.
        host_keys: &'a HostKeys,
        /// Head of the boot receipt, where there is one.
        receipt_head: Option<&'a [u8; 32]>,
    },
    /// For the release of a key over one TLS session.
    Release {
        /// The owner's nonce.
        nonce: &'a Nonce,
        /// Keying material exported from the session (RFC 8446, section 7.5).
        tls_exporter: &'a [u8; 32],
        /// The server's SubjectPublicKeyInfo, DER, at most [`MAX_PUBLIC_KEY`]
        /// bytes.
        tls_public_key: &'a [u8],
        /// Head of the boot receipt, where there is one.
        receipt_head: Option<&'a [u8; 32]>,
    },
}

impl Binding<'_> {
    /// The 64 bytes that the report is asked with.
    #[must_use]
    pub fn report_data(&self) -> [u8; LENGTH] {
        let mut hash = Sha512::new();
        hash.update(DOMAIN);
        hash.update(self.encode());
        hash.finalize().into()
    }

    /// Role and fields: what is hashed after [`DOMAIN`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let receipt_head = match *self {
            Self::Boot { host_keys, receipt_head } => {
                out.push(1);
                tlv::write(&mut out, SSH_HOST_KEYS, &host_keys.encode());
                receipt_head
            }
            Self::Responder { nonce, host_keys, receipt_head } => {
                out.push(2);
                tlv::write(&mut out, NONCE, nonce);
                tlv::write(&mut out, SSH_HOST_KEYS, &host_keys.encode());
                receipt_head
            }
            Self::Release { nonce, tls_exporter, tls_public_key, receipt_head } => {
                out.push(3);
                tlv::write(&mut out, NONCE, nonce);
                tlv::write(&mut out, TLS_EXPORTER, tls_exporter);
                tlv::write(&mut out, TLS_PUBLIC_KEY, tls_public_key);
                receipt_head
            }
        };
        if let Some(head) = receipt_head {
            tlv::write(&mut out, RECEIPT_HEAD, head);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key whose blob is `ssh-ed25519` and 32 bytes of 0xAA.
    fn keys() -> HostKeys {
        let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
        blob.extend_from_slice(&[0xaa; 32]);
        HostKeys::new([blob]).unwrap()
    }

    /// The vectors of `docs/formats.md`, computed there with coreutils alone.
    #[test]
    fn the_documented_vectors_hold() {
        let page = include_str!("../../docs/formats.md");
        let (keys, nonce, head) = (keys(), [0x11; 32], [0x55; 32]);
        let bindings = [
            Binding::Boot { host_keys: &keys, receipt_head: None },
            Binding::Boot { host_keys: &HostKeys::default(), receipt_head: Some(&head) },
            Binding::Responder { nonce: &nonce, host_keys: &keys, receipt_head: None },
            Binding::Release {
                nonce: &nonce,
                tls_exporter: &[0x22; 32],
                tls_public_key: &[0x33; 44],
                receipt_head: Some(&head),
            },
        ];
        for binding in bindings {
            let (encoded, data) =
                (hex::encode(binding.encode()), hex::encode(binding.report_data()));
            assert!(page.contains(&encoded), "{binding:?} encodes as {encoded}");
            assert!(page.contains(&data), "{binding:?} hashes to {data}");
        }
    }

    #[test]
    fn roles_and_fields_never_collide() {
        let (keys, none, nonce, head) = (keys(), HostKeys::default(), [0; 32], [0; 32]);
        let mut seen = std::collections::HashSet::new();
        for host_keys in [&keys, &none] {
            for receipt_head in [None, Some(&head)] {
                assert!(seen.insert(Binding::Boot { host_keys, receipt_head }.report_data()));
                let responder = Binding::Responder { nonce: &nonce, host_keys, receipt_head };
                assert!(seen.insert(responder.report_data()));
            }
        }
    }
}
