//! `ravelin`, the owner's command line.
//!
//! It parses arguments, shows progress and prints results; the work is in the
//! libraries below. What is here besides: the VM description ([`vm`]), the QEMU
//! command made from it ([`qemu`]) and what is measured of it ([`measure`]). Nothing in this program needs root,
//! and nothing that it reads can make it do more than fail with a message: the
//! files may come from anywhere.

pub mod attest;
mod bzimage;
pub mod certificates;
pub mod cli;
mod command;
mod embedded;
pub mod evidence;
pub mod exit;
mod failure;
mod interrupt;
pub mod measure;
mod progress;
pub mod qemu;
pub mod server;
mod simulator;
mod terminal;
pub mod unlock;
pub mod vm;
