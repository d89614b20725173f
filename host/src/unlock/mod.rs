//! The owner's side of the release of keys ([`protocol::release`]).
//!
//! A session with the guest ([`session`]) over TLS 1.3 ([`tls`]), the owner's
//! signature ([`identity`], [`agent`]), and the record of which VM got a disk's
//! key ([`record`]).
//!
//! **Threat.** The host carries every byte, and whoever answers may be the host.
//! Everything that is read is bounded in size and time. Nothing secret is sent
//! before a report whose REPORT_DATA has this session's nonce, exporter and public
//! key has been verified, and its VM has been recorded.

pub mod agent;
pub mod identity;
pub mod record;
pub mod session;
mod tls;
