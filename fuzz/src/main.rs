//! libFuzzer's driver of all targets: the environment says which one. An input that takes
//! too long, or more memory than stated, is a finding too.

#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls an exported function")]

use std::sync::OnceLock;

use fuzz::{Cost, TARGETS, TIME, Target, cost};
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

/// The least of three calls, if the first is slow: an interrupted one is no finding.
fn feed(target: &Target, data: &[u8]) -> Cost {
    let call = || cost::of(|| (target.run)(data));
    let first = call();
    if first.time <= TIME {
        return first;
    }
    let time = [call(), call()].iter().map(|cost| cost.time).min().unwrap_or_default();
    Cost { time: time.min(first.time), ..first }
}

fuzz_target!(|data: &[u8]| {
    let cost = feed(target(), data);
    assert!(cost.bytes <= target().memory, "{cost:?}: more than {} bytes", target().memory);
    assert!(cost.time <= TIME, "{cost:?}: more than {TIME:?}");
});
