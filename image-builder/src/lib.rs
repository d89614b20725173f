//! Initramfs archives and verified disk images, made without root.
//!
//! Every output is a function of its inputs alone: no time, user, locale, path
//! or directory order reaches it, so that two people who build the same image
//! compute the same launch measurement.

pub mod disk;
pub mod initramfs;
pub mod kernel;
pub mod modules;
pub mod output;
pub mod progress;
