//! Asking a VM for evidence, and what is kept of the answers.
//!
//! The question and the answer pass through the host, who may delay, change,
//! repeat or make up both. Nothing that is read here is believed: it is bounded
//! in time and size ([`exchange`]) and handed to the verifier with the nonce
//! that was sent. What decides is the report's signature and its REPORT_DATA.
//!
//! What is kept between runs ([`verdicts`], [`digests`]) is the owner's own, on
//! the owner's machine, in files that nobody else may write.

pub mod address;
pub mod digests;
pub mod exchange;
pub mod instance;
pub mod known_hosts;
pub mod patience;
mod private;
pub mod verdicts;
