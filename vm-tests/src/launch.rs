//! A virtual machine started as a user starts it: by `ravelin launch`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::nbd::Server;
use crate::qmp::Listener;
use crate::slot::Slot;
use crate::{OrFail, Running, Tool, WorkDir};

/// `ravelin launch --simulate`, not started yet.
#[derive(Debug, Clone)]
#[must_use]
pub struct Launch {
    vm: PathBuf,
    time_limit: Duration,
    simulator: Vec<OsString>,
    qemu: Vec<OsString>,
}

impl Launch {
    /// The machine of a VM description, with ten minutes to end.
    pub fn new(vm: &Path) -> Self {
        Self {
            vm: vm.to_owned(),
            time_limit: Duration::from_secs(600),
            simulator: Vec::new(),
            qemu: Vec::new(),
        }
    }

    /// One more argument for the simulated secure processor, which is there
    /// then whether the VM asks for one or not.
    pub fn simulator_argument(mut self, argument: impl Into<OsString>) -> Self {
        self.simulator.push(argument.into());
        self
    }

    /// More arguments for QEMU.
    pub fn qemu_arguments(
        mut self,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        self.qemu.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// A virtio disk that the test itself serves, beside those of the description.
    ///
    /// # Panics
    /// If the socket's path is not UTF-8.
    pub fn served_disk(mut self, server: &Server, serial: &str) -> Self {
        let socket = server.socket();
        let path = socket.to_str().or_fail("the socket's path is not UTF-8");
        let server = json!({ "type": "unix", "path": path });
        let drive = json!({ "driver": "nbd", "node-name": "served", "server": server });
        let device = json!({ "driver": "virtio-blk-pci", "drive": "served", "serial": serial });
        let options = ["-blockdev", &drive.to_string(), "-device", &device.to_string()];
        self.qemu.extend(options.map(OsString::from));
        self
    }

    /// How long the machine may run, once it has started.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Starts it, as soon as there is a slot for it.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start(self) -> Running {
        let slot = Slot::wait();
        let work = WorkDir::new();
        let listener = Listener::new();
        let console = work.join("console.log");
        // Should this process die, `ravelin launch` ends, and ends its QEMU.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]).arg(Tool::Ravelin.path());
        command.args(["launch", "--simulate", "--vm"]).arg(&self.vm);
        command.arg("--console-log").arg(&console);
        for argument in &self.simulator {
            command.arg("--simulator-argument").arg(argument);
        }
        command.args(["--", "-qmp"]).arg(format!("unix:{}", listener.path().display()));
        command.args(&self.qemu);
        Running::start(command, console, listener, self.time_limit, work, slot)
    }
}
