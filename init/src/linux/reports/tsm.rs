//! configfs-tsm: a directory is an open question
//! (Documentation/ABI/testing/configfs-tsm).
//!
//! Each question makes a directory of its own, so that no other program's
//! question can be mixed with it by chance; `generation` tells if one was mixed
//! in on purpose (by root in this guest), and then the question is asked again.
//!
//! Every file is opened for one `read` or `write` from its start: the kernel
//! makes the report when it is read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use protocol::responder::MAX_CERTIFICATES;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use super::Answer;
use crate::reports::ReportError;

/// The directory, below configfs.
pub(super) const PATH: &str = "/sys/kernel/config/tsm/report";

/// What `provider` says on SEV-SNP.
const PROVIDER: &str = "sev_guest";

/// More than any report; what is longer is refused by its length.
const MAX_REPORT: usize = 4096;

/// Opens the directory; an error if no driver gives reports there.
///
/// As the root of a mount of its own: from a plain descriptor, `..` would lead
/// the reporter, whose root is elsewhere, through sysfs to the whole system.
pub(super) fn open() -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let directory = rustix::mount::open_tree(rustix::fs::CWD, PATH, flags)?;
    // Without a driver the kernel makes no question (ENXIO).
    Question::new(directory.as_fd())?;
    Ok(directory)
}

/// Asks once.
pub(super) fn ask(directory: BorrowedFd<'_>, data: &[u8; 64]) -> Result<Answer, ReportError> {
    let question = match Question::new(directory) {
        Ok(question) => question,
        Err(Errno::BUSY | Errno::AGAIN | Errno::INTR) => return Ok(Answer::Busy),
        Err(error) => return Err(failed("making a question")(error.into())),
    };
    match question.ask(data) {
        // EAGAIN (EWOULDBLOCK): the question was changed while it was answered.
        Err(ReportError::Io { source, .. }) if is_busy(&source) => Ok(Answer::Busy),
        answer => answer,
    }
}

/// A directory below `report`, removed when dropped.
struct Question<'a> {
    parent: BorrowedFd<'a>,
    name: String,
    directory: OwnedFd,
}

impl<'a> Question<'a> {
    fn new(parent: BorrowedFd<'a>) -> Result<Self, Errno> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = rustix::process::getpid().as_raw_nonzero();
        let name = format!("ravelin-{process}-{count}");
        match rustix::fs::mkdirat(parent, &name, Mode::RWXU) {
            Ok(()) => {}
            // Left by a process of this id that was killed.
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(parent, &name, AtFlags::REMOVEDIR)?;
                rustix::fs::mkdirat(parent, &name, Mode::RWXU)?;
            }
            Err(error) => return Err(error),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat(parent, &name, flags, Mode::empty()) {
            Ok(directory) => Ok(Self { parent, name, directory }),
            Err(error) => {
                let _stays = rustix::fs::unlinkat(parent, &name, AtFlags::REMOVEDIR);
                Err(error)
            }
        }
    }

    fn ask(&self, data: &[u8; 64]) -> Result<Answer, ReportError> {
        let provider = self.text("provider", "reading the provider")?;
        if provider != PROVIDER {
            let found = provider.chars().take(32).collect();
            return Err(ReportError::Provider { found });
        }
        let file = self.open("inblob", OFlags::WRONLY).map_err(failed("opening the question"))?;
        let written = rustix::io::write(&file, data)
            .map_err(|error| failed("writing the question")(error.into()))?;
        if written != data.len() {
            return Err(failed("writing the question")(io::ErrorKind::WriteZero.into()));
        }
        drop(file);
        let before = self.text("generation", "reading the generation")?;
        let report = self.read("outblob", MAX_REPORT).map_err(failed("reading the report"))?;
        let certificates = match self.read("auxblob", MAX_CERTIFICATES) {
            Ok(table) if table.is_empty() => None,
            Ok(table) => Some(table),
            // The host gives none, or more than anybody needs: the owner then
            // fetches certificates itself.
            Err(error) if !is_busy(&error) => None,
            Err(error) => return Err(failed("reading the certificates")(error)),
        };
        if self.text("generation", "reading the generation")? != before {
            return Ok(Answer::Busy);
        }
        Ok(Answer::Report(report, certificates))
    }

    fn open(&self, name: &str, access: OFlags) -> io::Result<OwnedFd> {
        let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat(&self.directory, name, flags, Mode::empty())?)
    }

    /// All of a file, at most `limit` bytes.
    fn read(&self, name: &str, limit: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        File::from(self.open(name, OFlags::RDONLY)?).take(bound).read_to_end(&mut content)?;
        if content.len() > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(content) }
    }

    /// A file of one line.
    fn text(&self, name: &str, action: &'static str) -> Result<String, ReportError> {
        let bytes = self.read(name, 256).map_err(failed(action))?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let _stays = rustix::fs::unlinkat(self.parent, &self.name, AtFlags::REMOVEDIR);
    }
}

fn is_busy(error: &io::Error) -> bool {
    let busy = [Errno::BUSY, Errno::AGAIN, Errno::INTR];
    error.raw_os_error().is_some_and(|number| busy.iter().any(|busy| busy.raw_os_error() == number))
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> ReportError {
    move |source| ReportError::Io { action, source }
}
