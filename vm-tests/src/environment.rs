//! What `cargo xtask test` has prepared, from environment variables.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use kernel_config::{KernelConfig, State};

use crate::OrFail;

/// The things that the tests boot and run.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Has `boot/vmlinuz-VERSION` and `lib/modules/VERSION`
    /// (`RAVELIN_TEST_KERNEL`).
    kernel: PathBuf,
    /// The one version in it.
    version: String,
}

/// Programs and files, each named by a variable.
#[derive(Debug, Clone, Copy)]
pub enum Tool {
    /// The static PID 1.
    Init,
    /// The `ravelin` command.
    Ravelin,
    /// The init of small test roots.
    GuestProbe,
    /// An init that opens a dm-verity root and checks nothing.
    ReferenceInit,
    /// A Debian root with systemd and openssh-server, as a tar.
    DebianRoot,
    /// The private SSH key that the Debian root lets in.
    SshKey,
    /// A firmware that measures the kernel; measured, not run.
    Firmware,
}

impl Tool {
    /// The path.
    ///
    /// # Panics
    /// If the variable is not set.
    #[must_use]
    #[track_caller]
    pub fn path(self) -> PathBuf {
        variable(match self {
            Tool::Init => "RAVELIN_INIT",
            Tool::Ravelin => "RAVELIN_CLI",
            Tool::GuestProbe => "RAVELIN_GUEST_PROBE",
            Tool::ReferenceInit => "RAVELIN_REFERENCE_INIT",
            Tool::DebianRoot => "RAVELIN_TEST_ROOT",
            Tool::SshKey => "RAVELIN_TEST_SSH_KEY",
            Tool::Firmware => "RAVELIN_TEST_FIRMWARE",
        })
    }

    /// A call of it.
    ///
    /// # Panics
    /// If the variable is not set.
    #[must_use]
    #[track_caller]
    pub fn command(self) -> Command {
        Command::new(self.path())
    }
}

impl Environment {
    /// Finds the test kernel.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[must_use]
    #[track_caller]
    pub fn get() -> Self {
        Self::at(variable("RAVELIN_TEST_KERNEL"))
    }

    /// Finds the kernel of the fragment, which `cargo xtask kernel` builds: `None` where
    /// nobody has.
    ///
    /// # Panics
    /// If there is more than one in its place.
    #[must_use]
    #[track_caller]
    pub fn fragment() -> Option<Self> {
        env::var_os("RAVELIN_TEST_FRAGMENT_KERNEL").map(|path| Self::at(path.into()))
    }

    #[track_caller]
    fn at(kernel: PathBuf) -> Self {
        let modules = kernel.join("lib/modules");
        let mut versions: Vec<String> = fs::read_dir(&modules)
            .or_fail(format!("read {}", modules.display()))
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let version = versions.pop().or_fail(format!("{} is empty", modules.display()));
        assert!(versions.is_empty(), "{} has more than one kernel", modules.display());
        Self { kernel, version }
    }

    /// `uname -r` of the test kernel.
    #[must_use]
    pub fn kernel_version(&self) -> &str {
        &self.version
    }

    /// The kernel itself.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.kernel.join(format!("boot/vmlinuz-{}", self.version))
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.kernel.join(format!("boot/config-{}", self.version))
    }

    /// Whether it was built with an option, as it is or as a module.
    ///
    /// # Panics
    /// If its configuration cannot be read.
    #[must_use]
    pub fn built_with(&self, option: &str) -> bool {
        let path = self.config();
        let text = fs::read_to_string(&path).or_fail(path.display());
        let config = KernelConfig::parse(&text).or_fail(path.display());
        matches!(config.state(option), State::BuiltIn | State::Module)
    }

    /// Its modules.
    #[must_use]
    pub fn modules(&self) -> PathBuf {
        self.kernel.join("lib/modules").join(&self.version)
    }
}

#[track_caller]
fn variable(name: &str) -> PathBuf {
    env::var_os(name)
        .map(PathBuf::from)
        .or_fail(format!("{name} is not set: run these tests with `cargo xtask test`"))
}
