//! A recording machine for the tests: files in memory, every call written
//! down, and any one of them made to fail.

mod hooks;
mod links;
mod releases;
mod volumes;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::config::{EvidenceSource, OnFailure};
use protocol::host_keys::HostKeys;
use protocol::receipt::Receipt;
use zeroize::Zeroizing;

use crate::failure::Step;
use crate::platform::{Kind, Level, Module, Mount, Platform, Program, VerityTarget};
use crate::reports::{self, RawReport, ReportError};

/// Something at a path.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Directory,
    File(Vec<u8>),
    Symlink,
    BlockDevice(Vec<u8>),
}

/// The machine.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) nodes: RefCell<BTreeMap<PathBuf, Node>>,
    /// Every call, in order.
    pub(crate) calls: RefCell<Vec<String>>,
    /// The lines of the log.
    pub(crate) lines: RefCell<Vec<String>>,
    /// The call, by number, that fails with EIO.
    pub(crate) fail_at: Cell<Option<usize>>,
    /// With this errno instead.
    pub(crate) fail_with: Cell<Option<i32>>,
    /// A module, by the end of its path, that the kernel refuses with this errno.
    pub(crate) module_error: RefCell<Option<(String, i32)>>,
    /// What happens at each wait for an event: files that appear then.
    pub(crate) events: RefCell<Vec<Vec<(PathBuf, Node)>>>,
    /// Whether the random generator becomes ready.
    pub(crate) no_entropy: Cell<bool>,
    /// Whether there is no source of reports.
    pub(crate) no_reports: Cell<bool>,
    /// A byte of the n-th report, by offset, that is another one.
    pub(crate) report_error: Cell<Option<(usize, usize)>>,
    /// Whether dm-verity has met a bad block.
    pub(crate) corrupted: Cell<bool>,
    /// Disks and device-mapper devices.
    pub(crate) volumes: volumes::State,
    /// The releases of owners that come, encoded, in this order; then none.
    pub(crate) releases: RefCell<Vec<Zeroizing<Vec<u8>>>>,
    /// Of how many releases, from now on, no owner records the epochs.
    pub(crate) unrecorded: Cell<u32>,
    /// The head of the receipt that owners are shown.
    pub(crate) served_head: RefCell<Option<String>>,
    /// The first byte of REPORT_ID of a report that an owner is shown.
    pub(crate) owners_guest: Cell<Option<u8>>,
    /// The receipt that the responder has.
    pub(crate) receipt: RefCell<Option<Receipt>>,
    /// How hooks end.
    pub(crate) hooks: hooks::State,
    clock: Cell<u64>,
}

impl Fake {
    pub(crate) fn add(&self, path: impl Into<PathBuf>, node: Node) {
        let path = path.into();
        let mut nodes = self.nodes.borrow_mut();
        for parent in path.ancestors().skip(1) {
            nodes.entry(parent.to_owned()).or_insert(Node::Directory);
        }
        nodes.insert(path, node);
    }

    pub(crate) fn add_file(&self, path: &str, content: impl AsRef<[u8]>) {
        self.add(path, Node::File(content.as_ref().to_vec()));
    }

    pub(crate) fn remove(&self, path: &str) {
        self.nodes.borrow_mut().retain(|at, _| !at.starts_with(path));
    }

    /// The file at `path`, as text.
    pub(crate) fn file(&self, path: &str) -> Option<String> {
        match self.nodes.borrow().get(Path::new(path)) {
            Some(Node::File(content)) => Some(String::from_utf8(content.clone()).unwrap()),
            _ => None,
        }
    }

    /// The calls that start with `verb`.
    pub(crate) fn calls_of(&self, verb: &str) -> Vec<String> {
        self.calls.borrow().iter().filter(|call| call.starts_with(verb)).cloned().collect()
    }

    fn call(&self, call: String) -> io::Result<()> {
        let number = self.calls.borrow().len();
        self.calls.borrow_mut().push(call);
        match self.fail_at.get() {
            Some(at) if at == number => {
                Err(io::Error::from_raw_os_error(self.fail_with.get().unwrap_or(nix::libc::EIO)))
            }
            _ => Ok(()),
        }
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        self.nodes.borrow().get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&self, path: &Path, node: Node) -> io::Result<()> {
        let mut nodes = self.nodes.borrow_mut();
        if nodes.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|parent| nodes.contains_key(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        nodes.insert(path.to_owned(), node);
        Ok(())
    }
}

impl Platform for Fake {
    fn begin(&self, _step: Step, _on_failure: OnFailure) {}

    fn elapsed(&self) -> Duration {
        self.clock.set(self.clock.get() + 1);
        Duration::from_millis(self.clock.get())
    }

    fn log(&self, _level: Level, line: &str) {
        self.lines.borrow_mut().push(line.to_owned());
    }

    fn reap(&self) {}

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.call(format!("read {}", path.display()))?;
        match self.node(path)? {
            Node::File(content) if content.len() > limit => Err(io::ErrorKind::FileTooLarge.into()),
            Node::File(content) => Ok(content),
            Node::Directory | Node::Symlink | Node::BlockDevice(_) => {
                Err(io::ErrorKind::IsADirectory.into())
            }
        }
    }

    fn read_device(&self, device: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.call(format!("read-device {}", device.display()))?;
        let Node::BlockDevice(content) = self.node(device)? else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let start = usize::try_from(offset).unwrap();
        content
            .get(start..start + length)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.call(format!("list {}", directory.display()))?;
        self.node(directory)?;
        let nodes = self.nodes.borrow();
        let names = nodes.keys().filter(|path| path.parent() == Some(directory));
        Ok(names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        self.call(format!("kind {}", path.display()))?;
        Ok(self.nodes.borrow().get(path).map(|node| match node {
            Node::Directory => Kind::Directory,
            Node::File(_) => Kind::File,
            Node::Symlink => Kind::Symlink,
            Node::BlockDevice(_) => Kind::BlockDevice,
        }))
    }

    fn program(&self, root: &Path, program: &Path) -> io::Result<Program> {
        self.call(format!("program {}", program.display()))?;
        let path = root.join(program.strip_prefix("/").unwrap());
        match self.node(&path)? {
            Node::File(head) => {
                Ok(Program { is_file: true, executable: !head.starts_with(b"#no"), head })
            }
            Node::Directory | Node::Symlink | Node::BlockDevice(_) => {
                Ok(Program { is_file: false, executable: true, head: Vec::new() })
            }
        }
    }

    fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.call(format!("mkdir {} {mode:o}", path.display()))?;
        self.create(path, Node::Directory)
    }

    fn create_directory_like(&self, path: &Path, model: &Path) -> io::Result<()> {
        self.call(format!("mkdir-like {} {}", path.display(), model.display()))?;
        self.create(path, Node::Directory)
    }

    fn create_file(&self, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        self.call(format!("create {} {mode:o}", path.display()))?;
        self.create(path, Node::File(content.to_vec()))
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(content);
        self.call(format!("write {} {}", path.display(), text.trim_end()))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(format!("remove {}", path.display()))?;
        let removed = self.nodes.borrow_mut().remove(path);
        removed.map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.call(format!("rmdir {}", path.display()))?;
        self.nodes.borrow_mut().remove(path);
        Ok(())
    }

    fn is_mount_point(&self, path: &Path) -> io::Result<bool> {
        self.call(format!("is-mount-point {}", path.display()))?;
        Ok(false)
    }

    fn mount(&self, mount: &Mount<'_>) -> io::Result<()> {
        let flags = [
            (mount.read_only, "ro"),
            (mount.nosuid, "nosuid"),
            (mount.nodev, "nodev"),
            (mount.noexec, "noexec"),
        ];
        let mut options: Vec<&str> =
            flags.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
        options.push(mount.options);
        self.call(format!(
            "mount {} {} {} {}",
            mount.source,
            mount.target.display(),
            mount.fstype,
            options.join(",")
        ))
    }

    fn bind_mount(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(format!("bind {} {}", from.display(), to.display()))
    }

    fn move_mount(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(format!("move {} {}", from.display(), to.display()))
    }

    fn detach_mount(&self, path: &Path) -> io::Result<()> {
        self.call(format!("detach {}", path.display()))
    }

    fn load_modules(&self, modules: &[Module<'_>]) -> Vec<io::Result<()>> {
        modules
            .iter()
            .map(|module| {
                self.call(format!("module {} {}", module.path.display(), module.parameters))?;
                match &*self.module_error.borrow() {
                    Some((end, errno)) if module.path.to_str().unwrap().ends_with(end.as_str()) => {
                        Err(io::Error::from_raw_os_error(*errno))
                    }
                    _ => Ok(()),
                }
            })
            .collect()
    }

    fn watch_block_events(&self) -> io::Result<()> {
        self.call("watch".to_owned())
    }

    fn wait_for_block_event(&self, _until: Duration) -> io::Result<bool> {
        self.call("wait".to_owned())?;
        if self.events.borrow().is_empty() {
            return Ok(false);
        }
        for (path, node) in self.events.borrow_mut().remove(0) {
            self.add(path, node);
        }
        Ok(true)
    }

    fn create_verity(&self, name: &str, uuid: &str, target: &VerityTarget) -> io::Result<PathBuf> {
        self.call(format!("verity {name} {uuid} {} {}", target.sectors, target.params))?;
        Ok(PathBuf::from(format!("/dev/mapper/{name}")))
    }

    fn replace_verity(&self, name: &str, target: &VerityTarget) -> io::Result<()> {
        self.call(format!("replace {name} {} {}", target.sectors, target.params))
    }

    fn verity_is_corrupted(&self, _name: &str) -> io::Result<bool> {
        Ok(self.corrupted.get())
    }

    fn wait_for_entropy(&self, _until: Duration) -> io::Result<bool> {
        self.call("entropy".to_owned())?;
        Ok(!self.no_entropy.get())
    }

    fn open_reports(&self, wanted: EvidenceSource) -> Result<&'static str, ReportError> {
        self.call(format!("open-reports {}", wanted.as_str()))
            .map_err(|source| ReportError::Io { action: "opening", source })?;
        if self.no_reports.get() {
            return Err(ReportError::NoSource { looked_at: "the fake machine".to_owned() });
        }
        Ok("a fake")
    }

    fn report(&self, data: &[u8; 64], _until: Duration) -> Result<RawReport, ReportError> {
        let number = self.calls_of("report ").len();
        let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        self.call(format!("report {hex}"))
            .map_err(|source| ReportError::Io { action: "reading", source })?;
        let mut answer = reports::tests::report(data);
        if let Some((_, offset)) = self.report_error.get().filter(|(at, _)| *at == number) {
            answer[offset] ^= 1;
        }
        RawReport::check(&answer, Some(b"table".to_vec()), data)
    }

    fn start_responder(
        &self,
        port: NonZeroU16,
        host_keys: &HostKeys,
        receipt: &Receipt,
        _deadline: Duration,
        _report_id: &[u8; 32],
    ) -> Result<String, Box<dyn Error + Send + Sync>> {
        self.call(format!("responder {port} {} keys", host_keys.blobs().len()))?;
        self.receipt.replace(Some(receipt.clone()));
        Ok(format!("port {port}"))
    }

    fn close_standard_streams(&self) -> io::Result<()> {
        self.call("close-standard-streams".to_owned())
    }

    fn hand_over(&self, root: &Path, program: &Path) -> io::Error {
        match self.call(format!("hand-over {} {}", root.display(), program.display())) {
            Ok(()) => io::Error::other("the fake machine has no real init"),
            Err(error) => error,
        }
    }

    fn stop_after(&self, _grace: Duration, how: OnFailure) {
        let _recorded = self.call(format!("stop-after {how}"));
    }

    fn stop(&self, how: OnFailure) {
        let _recorded = self.call(format!("stop {how}"));
    }
}
