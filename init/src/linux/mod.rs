//! The real machine: system calls by `rustix`, device-mapper by `devicemapper`.

mod device_mapper;
mod files;
mod kernel_modules;
mod keyring;
mod links;
mod log;
pub(crate) mod network;
mod program;
mod releases;
pub(crate) mod reports;
mod signals;
mod stop;
mod switch_root;
mod uevent;
mod volumes;
mod wait_entropy;

use std::cell::{Cell, OnceCell, RefCell};
use std::error::Error;
use std::fs::File;
use std::io;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use protocol::config::{EvidenceSource, OnFailure};
use protocol::host_keys::HostKeys;
use protocol::layout;
use protocol::receipt::Receipt;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::boot;
use crate::failure::Step;
use crate::platform::{Kind, Level, Module, Mount, Platform, Program, VerityTarget};
use crate::release;
use crate::reports::{RawReport, ReportError};
use crate::responder::{self, Role};
use reports::Source;

/// Runs PID 1. Does not return: it becomes the real init, or stops the machine.
pub fn run() {
    let start = Instant::now();
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    // In a PID namespace of its own it is process 1, too.
    if name == program::NAME {
        return program::become_it(arguments);
    }
    if !rustix::process::getpid().is_init() {
        if let Some(role) = Role::from_name(&name) {
            return responder::run(role, arguments.next());
        }
        eprintln!("ravelin: this is PID 1 of a virtual machine; only its kernel can start it");
        std::process::exit(1);
    }
    stop::on_panic();
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    boot::boot(&Linux {
        start,
        kmsg: OnceCell::new(),
        uevents: OnceCell::new(),
        reports: OnceCell::new(),
        releases: RefCell::new(None),
        connection: Cell::new(None),
    });
}

/// The machine.
struct Linux {
    start: Instant,
    kmsg: OnceCell<File>,
    uevents: OnceCell<OwnedFd>,
    reports: OnceCell<Source>,
    releases: RefCell<Option<release::Server>>,
    connection: Cell<Option<network::Connection>>,
}

impl Platform for Linux {
    fn begin(&self, step: Step, on_failure: OnFailure) {
        stop::note(step, on_failure);
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn log(&self, level: Level, line: &str) {
        log::line(&self.kmsg, level, line);
    }

    fn reap(&self) {
        let any = rustix::process::WaitOptions::NOHANG;
        while let Ok(Some(_)) = rustix::process::wait(any) {}
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        files::read(path, limit)
    }

    fn read_device(&self, device: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        files::read_device(device, offset, length)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        files::list(directory)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        files::kind(path)
    }

    fn program(&self, root: &Path, program: &Path) -> io::Result<Program> {
        files::program(root, program)
    }

    fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::mkdir(path, rustix::fs::Mode::from_raw_mode(mode))?)
    }

    fn create_directory_like(&self, path: &Path, model: &Path) -> io::Result<()> {
        files::create_directory_like(path, model)
    }

    fn create_file(&self, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        files::create(path, mode, content)
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        files::overwrite(path, content)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlink(path)?)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::rmdir(path)?)
    }

    fn is_mount_point(&self, path: &Path) -> io::Result<bool> {
        files::is_mount_point(path)
    }

    fn mount(&self, mount: &Mount<'_>) -> io::Result<()> {
        let flags = [
            (mount.read_only, MountFlags::RDONLY),
            (mount.nosuid, MountFlags::NOSUID),
            (mount.nodev, MountFlags::NODEV),
            (mount.noexec, MountFlags::NOEXEC),
        ];
        let flags = flags.into_iter().filter_map(|(set, flag)| set.then_some(flag)).collect();
        let options = std::ffi::CString::new(mount.options)?;
        Ok(rustix::mount::mount(mount.source, mount.target, mount.fstype, flags, &*options)?)
    }

    fn bind_mount(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::mount::mount_bind(from, to)?)
    }

    fn move_mount(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::mount::mount_move(from, to)?)
    }

    fn detach_mount(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::mount::unmount(path, UnmountFlags::DETACH)?)
    }

    fn load_modules(&self, modules: &[Module<'_>]) -> Vec<io::Result<()>> {
        kernel_modules::load(modules)
    }

    fn watch_block_events(&self) -> io::Result<()> {
        if self.uevents.get().is_none() {
            let socket = uevent::open()?;
            let _unset = self.uevents.set(socket);
        }
        Ok(())
    }

    fn wait_for_block_event(&self, until: Duration) -> io::Result<bool> {
        let socket = self.uevents.get().ok_or(io::ErrorKind::NotConnected)?;
        uevent::wait(socket, self.start + until)
    }

    fn create_verity(&self, name: &str, uuid: &str, target: &VerityTarget) -> io::Result<PathBuf> {
        device_mapper::create(name, uuid, target)
    }

    fn replace_verity(&self, name: &str, target: &VerityTarget) -> io::Result<()> {
        device_mapper::replace(name, target)
    }

    fn verity_is_corrupted(&self, name: &str) -> io::Result<bool> {
        device_mapper::is_corrupted(name)
    }

    fn wait_for_entropy(&self, until: Duration) -> io::Result<bool> {
        wait_entropy::wait(self.start + until)
    }

    fn open_reports(&self, wanted: EvidenceSource) -> Result<&'static str, ReportError> {
        let source = Source::find(wanted)?;
        Ok(self.reports.get_or_init(|| source).name())
    }

    fn report(&self, data: &[u8; 64], until: Duration) -> Result<RawReport, ReportError> {
        let looked_at = || ReportError::NoSource { looked_at: "none was opened".to_owned() };
        self.reports.get().ok_or_else(looked_at)?.report_in_time(data, self.start + until)
    }

    fn start_responder(
        &self,
        port: NonZeroU16,
        host_keys: &HostKeys,
        receipt: &Receipt,
        deadline: Duration,
        report_id: &[u8; 32],
    ) -> Result<String, Box<dyn Error + Send + Sync>> {
        let source = self.reports.get().ok_or("no report source was opened")?;
        Ok(responder::start(responder::Setup {
            program: Path::new("/proc/self/exe"),
            port: port.get(),
            host_keys: host_keys.clone(),
            receipt: receipt.clone(),
            source: source.descriptor()?,
            deadline,
            report_id: *report_id,
            empty: PathBuf::from(layout::EMPTY),
        })?)
    }

    fn close_standard_streams(&self) -> io::Result<()> {
        let null = File::options().read(true).write(true).open(layout::NULL)?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        Ok(rustix::stdio::dup2_stderr(&null)?)
    }

    fn hand_over(&self, root: &Path, program: &Path) -> io::Error {
        match switch_root::switch_root(root, program) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    fn stop_after(&self, grace: Duration, how: OnFailure) {
        stop::stop_after(grace, how);
    }

    fn stop(&self, how: OnFailure) {
        stop::stop(how);
    }
}
