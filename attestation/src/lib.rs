//! The owner's side of SEV-SNP attestation.

#![forbid(unsafe_code)]

pub mod measurement;
