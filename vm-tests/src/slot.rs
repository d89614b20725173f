//! At most so many virtual machines at once, over all test processes.
//!
//! An emulated processor keeps a real one busy; more machines than cores only
//! make each other miss their time limits.

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::OrFail;

/// Overrides the number of machines.
const JOBS: &str = "RAVELIN_VM_JOBS";

/// The right to run one virtual machine; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _lock: File,
}

impl Slot {
    /// Waits for a free one.
    pub(crate) fn wait() -> Self {
        let directory = directory();
        fs::create_dir_all(&directory).or_fail("create the slot directory");
        let files: Vec<File> = (0..jobs())
            .map(|number| {
                File::create(directory.join(format!("slot-{number}"))).or_fail("create a slot")
            })
            .collect();
        loop {
            if let Some(free) = files.iter().find(|file| file.try_lock().is_ok()) {
                return Self { _lock: free.try_clone().or_fail("keep the slot") };
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Where test machines keep their files: below cargo's target directory.
pub(crate) fn directory() -> PathBuf {
    let target = env::current_exe().ok().and_then(|path| {
        path.ancestors().find(|path| path.join("CACHEDIR.TAG").exists()).map(PathBuf::from)
    });
    target.unwrap_or_else(env::temp_dir).join("vm-tests")
}

fn jobs() -> usize {
    env::var(JOBS).ok().and_then(|text| text.parse().ok()).filter(|jobs| *jobs > 0).unwrap_or(2)
}
