//! The owner's side of SEV-SNP attestation.

#![forbid(unsafe_code)]

pub mod certificate;
pub mod id_block;
pub mod measurement;
pub mod policy;
pub mod product;
pub mod receipt;
pub mod report;
pub mod tcb;
pub mod verify;
