//! ID blocks: the owner's signature on what may be launched.
//!
//! An ID block names a launch digest, a guest policy and the owner's own ids;
//! with it the ID authentication information carries the signature of the
//! owner's ID key and, if there is one, the author key's on the ID key. The
//! hypervisor passes both at the end of the launch. The secure processor starts
//! the guest only if the signatures hold and digest and policy are those of the
//! guest, and puts the ids and the digests of both keys in every report
//! (AMD 56860, SNP_LAUNCH_FINISH, section 8.18).
//!
//! **Threat.** A private key here vouches for guests: it is wiped from memory
//! when dropped, has no `Debug`, and may stay away altogether: [`SigningRequest`]
//! says which bytes to sign elsewhere and takes the signatures back, each checked
//! before it is used. Blocks that were made by others are parsed strictly
//! (reserved bytes, algorithms, points on the curve, numbers in range) and verify
//! as the secure processor would verify them. Nothing here opens a path.
//!
//! Keys are on P-384, signatures are ECDSA with SHA-384, numbers are
//! little-endian in fields of 72 bytes. The `sev` crate has all this for OpenSSL
//! only, and only with an author key.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use p384::pkcs8::EncodePrivateKey;
//! # let pem = p384::SecretKey::from_slice(&[7; 48])?.to_pkcs8_pem(Default::default())?;
//! use attestation::id_block::{IdAuth, IdBlock, PrivateKey};
//! use attestation::measurement::LaunchDigest;
//!
//! let block = IdBlock {
//!     launch_digest: "a1".repeat(48).parse()?,
//!     family_id: [0; 16],
//!     image_id: [0; 16],
//!     guest_svn: 0,
//!     policy: 0x3_0000,
//! };
//! let id_key = PrivateKey::from_pem(pem.as_bytes())?;
//! let auth = IdAuth::sign(&block, &id_key, None);
//! let qemu = format!("id-block={},id-auth={}", block.to_base64(), auth.to_base64());
//! # assert!(qemu.len() > 5464);
//! # Ok(())
//! # }
//! ```

mod auth;
mod base64;
mod block;
mod pem;
mod private_key;
mod public_key;
mod signature;
mod signing;

pub use auth::{Author, IdAuth, IdAuthError, VerifyError};
pub use block::{IdBlock, IdBlockError};
pub use private_key::{PrivateKey, PrivateKeyError};
pub use public_key::{PublicKey, PublicKeyError};
pub use signature::{Signature, SignatureError};
pub use signing::{AssembleError, SigningRequest};
