//! The description of a virtual machine for a test.
//!
//! The machine is the one that `ravelin launch --simulate` starts: q35, virtio
//! over PCI, emulated by TCG. Boards with fewer devices were measured and start
//! Debian's kernel no sooner; of an idle machine's 4 seconds to `/init`, nearly
//! all is the kernel unpacking and starting itself. One processor is the
//! fastest: an emulated second one costs more than it gives until systemd runs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::nbd::Server;
use crate::qmp::Listener;
use crate::slot::Slot;
use crate::{Environment, OrFail, Outcome, Running, WorkDir};

/// A word for the kernel's command line. On a busy machine an emulated one does not get
/// the ticks that the kernel's test of its timer waits for, and the kernel panics.
pub const NO_TIMER_CHECK: &str = "no_timer_check";

/// A virtual machine that is not started yet.
#[derive(Debug, Clone)]
#[must_use]
pub struct Vm {
    kernel: PathBuf,
    initrd: Option<PathBuf>,
    cmdline: String,
    disks: Vec<Disk>,
    memory_mib: u32,
    cpus: u32,
    time_limit: Duration,
    ssh_port: Option<u16>,
    extra: Vec<OsString>,
}

#[derive(Debug, Clone)]
struct Disk {
    /// As QEMU's `-blockdev` has it.
    driver: serde_json::Value,
    /// What the guest sees, in front of the drive and the serial.
    device: String,
    serial: String,
}

/// The device of a disk, unless a test says another.
const VIRTIO_DISK: &str = "virtio-blk-pci,disable-legacy=on,iommu_platform=true";

impl Vm {
    /// A machine with the test kernel, 512 MiB, one processor, and five minutes
    /// to end.
    ///
    /// # Panics
    /// If there is no test kernel.
    #[track_caller]
    pub fn new() -> Self {
        Self::with_kernel(Environment::get().kernel())
    }

    /// The same with another kernel.
    pub fn with_kernel(kernel: impl Into<PathBuf>) -> Self {
        Self {
            kernel: kernel.into(),
            initrd: None,
            cmdline: String::new(),
            disks: Vec::new(),
            memory_mib: 512,
            cpus: 1,
            time_limit: Duration::from_secs(300),
            ssh_port: None,
            extra: Vec::new(),
        }
    }

    /// The initramfs.
    pub fn initrd(mut self, path: impl Into<PathBuf>) -> Self {
        self.initrd = Some(path.into());
        self
    }

    /// The kernel command line; [`NO_TIMER_CHECK`] is added.
    pub fn cmdline(mut self, cmdline: impl Into<String>) -> Self {
        self.cmdline = cmdline.into();
        self
    }

    /// More words at the end of the command line.
    pub fn add_words(mut self, words: &str) -> Self {
        self.cmdline = format!("{} {words}", self.cmdline).trim().to_owned();
        self
    }

    /// A virtio disk that QEMU itself refuses to write to.
    pub fn disk(self, path: impl Into<PathBuf>, serial: &str) -> Self {
        self.file(&path.into(), serial, true)
    }

    /// A virtio disk that the guest could write to.
    pub fn writable_disk(self, path: impl Into<PathBuf>, serial: &str) -> Self {
        self.file(&path.into(), serial, false)
    }

    /// The disk that was added last is another device than virtio's modern one, in QEMU's
    /// words: `nvme`.
    ///
    /// # Panics
    /// If there is no disk.
    #[track_caller]
    pub fn on(mut self, device: &str) -> Self {
        device.clone_into(&mut self.disks.last_mut().or_fail("a disk first").device);
        self
    }

    /// A virtio disk that the test itself serves.
    pub fn served_disk(self, server: &Server, serial: &str) -> Self {
        let socket = server.socket();
        let server = json!({ "type": "unix", "path": utf8(&socket) });
        self.any_disk(json!({ "driver": "nbd", "server": server }), serial, false)
    }

    fn file(self, path: &Path, serial: &str, read_only: bool) -> Self {
        let file = json!({ "driver": "file", "filename": utf8(path) });
        self.any_disk(json!({ "driver": "raw", "file": file }), serial, read_only)
    }

    fn any_disk(mut self, mut driver: serde_json::Value, serial: &str, read_only: bool) -> Self {
        let node = format!("disk{}", self.disks.len());
        if let Some(driver) = driver.as_object_mut() {
            driver.insert("node-name".to_owned(), json!(node));
            driver.insert("read-only".to_owned(), json!(read_only));
        }
        let device = VIRTIO_DISK.to_owned();
        self.disks.push(Disk { driver, device, serial: serial.to_owned() });
        self
    }

    /// Memory, in MiB.
    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// Number of processors.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// How long the machine may run, once it has started.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// A network card on QEMU's user network, with this port of 127.0.0.1
    /// leading to the guest's port 22.
    pub fn ssh_port(mut self, port: u16) -> Self {
        self.ssh_port = Some(port);
        self
    }

    /// More arguments for QEMU.
    pub fn qemu_arguments<A: Into<OsString>>(
        mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        self.extra.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Starts the machine and waits for its end.
    ///
    /// # Panics
    /// If QEMU cannot be started.
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.start().finish()
    }

    /// Starts the machine, as soon as there is a slot for it.
    ///
    /// # Panics
    /// If QEMU cannot be started.
    #[track_caller]
    pub fn start(self) -> Running {
        let slot = Slot::wait();
        let work = WorkDir::new();
        let listener = Listener::new();
        let console = work.join("console.log");

        // The emulator dies with this process, however this process ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        command.args(self.arguments(&console, &listener.path()));
        command.stdin(Stdio::null());
        Running::start(command, console, listener, self.time_limit, work, slot)
    }

    fn arguments(&self, console: &Path, qmp: &Path) -> Vec<OsString> {
        let mut arguments = Arguments::default();
        arguments.flags(&["-no-user-config", "-nodefaults", "-nographic", "-no-reboot"]);
        arguments.option("-machine", "q35,accel=tcg,vmport=off,i8042=off");
        arguments.option("-cpu", "max");
        arguments.option("-smp", self.cpus.to_string());
        arguments.option("-m", format!("{}M", self.memory_mib));
        arguments.option("-kernel", &self.kernel);
        if let Some(initrd) = &self.initrd {
            arguments.option("-initrd", initrd);
        }
        arguments.option("-append", format!("{} {NO_TIMER_CHECK}", self.cmdline));
        for (index, disk) in self.disks.iter().enumerate() {
            arguments.option("-blockdev", disk.driver.to_string());
            let serial = with_commas_doubled(&disk.serial);
            let device = format!("{},drive=disk{index},serial={serial}", disk.device);
            arguments.option("-device", device);
        }
        if let Some(port) = self.ssh_port {
            arguments.option("-netdev", format!("user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:22"));
            arguments.option("-device", "virtio-net-pci,netdev=net0,romfile=");
        }
        arguments.option("-chardev", with_path("file,id=console,path=", console));
        arguments.option("-serial", "chardev:console");
        arguments.option("-qmp", with_path("unix:", qmp));
        arguments.0.extend(self.extra.iter().cloned());
        arguments.0
    }
}

impl Default for Vm {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(OsString::from));
    }

    fn option(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }
}

fn with_path(prefix: &str, path: &Path) -> String {
    format!("{prefix}{}", with_commas_doubled(utf8(path)))
}

/// As QEMU has them in option values.
fn with_commas_doubled(value: &str) -> String {
    value.replace(',', ",,")
}

fn utf8(path: &Path) -> &str {
    path.to_str().or_fail(format!("{} is not UTF-8", path.display()))
}
