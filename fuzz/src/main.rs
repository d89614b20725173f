//! libFuzzer's driver of all targets: the environment says which one.

#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls an exported function")]

use std::sync::OnceLock;

use fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

/// The name of the target.
const VARIABLE: &str = "RAVELIN_FUZZ_TARGET";

fn target() -> &'static Target {
    static TARGET: OnceLock<&'static Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var(VARIABLE).unwrap_or_default();
        let found = TARGETS.iter().find(|target| target.name == name);
        found.unwrap_or_else(|| {
            eprintln!("{VARIABLE}={name:?} is no target");
            std::process::exit(2)
        })
    })
}

fuzz_target!(|data: &[u8]| (target().run)(data));
