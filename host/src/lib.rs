//! `ravelin`, the owner's command line.
//!
//! It parses arguments, shows progress and prints results; the work is in the
//! libraries below. What is here besides: the VM description ([`vm`]) and the
//! QEMU command made from it ([`qemu`]). Nothing in this program needs root,
//! and nothing that it reads can make it do more than fail with a message: the
//! files may come from anywhere.

mod bzimage;
pub mod cli;
mod command;
mod embedded;
pub mod exit;
mod failure;
mod interrupt;
mod progress;
pub mod qemu;
mod terminal;
pub mod vm;
