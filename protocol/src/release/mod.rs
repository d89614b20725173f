//! The release of keys: what guest and owner say to each other inside one TLS 1.3
//! session, each owner in a session of its own.
//!
//! | | frame | content |
//! |---|---|---|
//! | owner → guest | 1 hello | nonce, 32 random bytes |
//! | guest → owner | 2 evidence | [`Evidence`] |
//! | owner → guest | 3 release | a [`Release`] and a signature: [`SignedRelease`] |
//! | guest → owner | 4 status | [`Status`], until the last one ([`Status::is_final`]) |
//! | owner → guest | 5 recorded | nothing: after the status *opened*, once its epochs are on the owner's disk |
//!
//! A frame is its type (1 byte), zeros (3 bytes), the length of its content (4
//! bytes, big-endian) and the content. Contents are fields of tag (1 byte), length (4
//! bytes, big-endian) and value, tags ascending.
//!
//! The session: TLS 1.3 with [`ALPN`], no resumption. The guest's certificate is
//! self-signed and made for this boot; the owner believes nothing of it but that the
//! guest has its key (CertificateVerify). REPORT_DATA binds nonce, the exporter of
//! [`REPORT_EXPORTER`] and that public key
//! ([`crate::report_data::Binding::Release`]), so that the report is about the other
//! end of this session.
//!
//! The owner's proof is an SSHSIG signature in [`SSHSIG_NAMESPACE`] over
//! [`statement`]: the session's exporter of [`SIGNATURE_EXPORTER`] and the digest of
//! the whole release, so that it serves in this session only and for nothing else.
//!
//! **Threat.** The host carries every byte and may be the other end. The guest reads
//! a release from whoever connects: it is bounded, read strictly, and worth nothing
//! without the signature of a key in the measured configuration. What the guest says
//! of itself counts for the owner only after the report is verified.
//!
//! `docs/formats.md` has test vectors.

mod error;
mod evidence;
mod frame;
mod keys;
mod name;
mod signed;
mod status;

pub use error::ReleaseError;
pub use evidence::Evidence;
pub use frame::{FrameType, frame, read_frame_head};
pub use keys::{Release, ReleasedKey, ReleasedVolume};
pub use name::VolumeName;
pub use signed::{SignedRelease, digest, equal, statement};
pub use status::{Refusal, Status};

/// The guest's TCP port, where nothing else is said (`unlock.port`).
pub const PORT: u16 = 4778;
/// ALPN protocol name (RFC 7301).
pub const ALPN: &[u8] = b"ravelin-release/1";
/// Exporter label (RFC 8446, section 7.5; without a context) of what the report binds.
pub const REPORT_EXPORTER: &[u8] = b"EXPERIMENTAL-ravelin-report-v1";
/// Exporter label (as above) of what the owner signs.
pub const SIGNATURE_EXPORTER: &[u8] = b"EXPERIMENTAL-ravelin-release-v1";
/// Namespace of the owner's signature (OpenSSH PROTOCOL.sshsig).
pub const SSHSIG_NAMESPACE: &str = "ravelin-release-v1";
/// What separates signed statements from all others.
pub const STATEMENT_DOMAIN: &[u8; 18] = b"ravelin release v1";

/// Bytes of a frame before its content.
pub const FRAME_HEAD: usize = 8;
/// The volume that is the root.
pub const ROOT: &str = "root";
/// The most volumes of one release.
pub const MAX_VOLUMES: usize = 16;
/// The longest name of a volume, in bytes.
pub const MAX_NAME: usize = 32;
/// The longest passphrase of a LUKS2 disk, in bytes (as cryptsetup's limit).
pub const MAX_PASSPHRASE: usize = 512;
/// The longest signature, in bytes.
pub const MAX_SIGNATURE: usize = 4096;
/// The longest text of a status, in bytes.
pub const MAX_TEXT: usize = 512;
/// Bytes of an encoded volume specification (`luks`).
pub const SPEC: usize = 96;
/// Bytes of a volume's secret.
pub const SECRET: usize = 32;
/// Bytes of a release's digest ([`digest`]).
pub const DIGEST: usize = 64;

#[cfg(test)]
mod tests;
