//! Ravelin's PID 1: the whole userspace between the kernel and the real init.
//!
//! It does what the measured configuration says and nothing else: opens the
//! root, adds a writable layer in memory, makes the machine's identity, and
//! hands over. Any failure ends in one block of lines on the console and in a
//! power-off (or what the configuration says instead): never a shell, never a
//! half-mounted root. The host is the attacker: disks, their order and content,
//! device names and events are all its to choose.
//!
//! - [`boot`] is the boot as one list of steps;
//! - [`steps`] has a module for each;
//! - [`platform`] is all that the steps may do to the machine; its real
//!   implementation is `linux`, the tests bring a recording one;
//! - [`network`] is how the network is set up, without its system calls;
//! - [`reports`] is what a source of attestation reports may answer;
//! - [`volume`] opens volumes with a key;
//! - [`release`] is what the owners of encrypted volumes talk to;
//! - [`responder`] is what stays behind after the hand-over;
//! - [`failure`] names everything that can go wrong, [`codes`] says what to do.

#![cfg_attr(test, allow(clippy::string_slice, reason = "a test that cuts wrongly fails"))]

pub mod boot;
mod bucket;
pub mod codes;
pub mod failure;
mod linux;
pub mod network;
pub mod platform;
pub mod release;
pub mod reports;
pub mod responder;
pub mod snpguard;
pub mod steps;
pub mod volume;

#[cfg(test)]
mod fake;

pub use linux::network::Connection;
pub use linux::run;
