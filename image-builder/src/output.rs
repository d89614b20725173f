//! Output files that are whole or not there at all.
//!
//! An image is written to a file without a name (`O_TMPFILE`, see open(2)) in
//! the directory of its target, and gets its name when it is complete and on
//! the disk. A build that fails, or is killed while it writes, leaves nothing:
//! the kernel drops a file that nobody has open and that has no name. Where a
//! file system has no `O_TMPFILE` (NFS, FAT), the file has a hidden name
//! (`.ravelin-….partial`), which is removed on failure, though not on `SIGKILL`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use thiserror::Error;

/// Why an output could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The path ends in `/`, `..`, or is empty.
    #[error("{}: this names a directory; give the name of a file", .path.display())]
    NotAFileName {
        /// The path as given.
        path: PathBuf,
    },
    /// The target's directory could not be opened, or the target looked at.
    #[error("{}: the directory of the output cannot be used; does it exist?", .path.display())]
    Directory {
        /// The path as given.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something that is not a regular file has the target's name.
    #[error("{}: exists and is not a regular file; outputs replace regular files only", .path.display())]
    NotRegular {
        /// The path as given.
        path: PathBuf,
    },
    /// The temporary file could not be made.
    #[error("{}: cannot write into its directory", .path.display())]
    Create {
        /// The path as given.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The content could not be brought to the disk.
    #[error("{}: cannot be written to the disk", .path.display())]
    Sync {
        /// The path as given.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The complete file could not be given its name.
    #[error("{}: the finished file cannot be put in place", .path.display())]
    Publish {
        /// The path as given.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file has its name, but a power failure may still undo that.
    #[error("{}: is in place, but its directory cannot be written to the disk", .path.display())]
    SyncDirectory {
        /// The path as given.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A file that is being written, and that appears under its name on
/// [`Output::commit`]. Dropped without it, it leaves nothing behind and an
/// older file of the same name as it was.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    directory: File,
    name: OsString,
    file: File,
    /// The hidden name that the file has, if it has one.
    temporary: Option<OsString>,
}

impl Output {
    /// Begins the output whose name will be `path`. A symbolic link is
    /// followed. The mode is 0666 less the umask, as for any new file.
    ///
    /// # Errors
    /// When the directory cannot be written to, or when something other than a
    /// regular file has the name.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, OutputError> {
        let path = path.as_ref().to_owned();
        let (directory, name) = place(&path)?;
        let (file, temporary) = make(&directory, 0o666)
            .map_err(|e| OutputError::Create { path: path.clone(), source: e.into() })?;
        Ok(Self { path, directory, name, file, temporary })
    }

    /// Gives the file its size, and the room on the disk where the file system can: for
    /// content that will fill it. A disk that is too small is noticed before hours of
    /// work, and the file system has less to do for each write.
    ///
    /// # Errors
    /// What the kernel says: no room, above all.
    pub fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)?;
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
            // Not every file system can (NFS before 4.2, FAT).
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The file to write to; it can be read and sought too.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The path that the output will have, as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings the content to the disk and puts it in place of whatever regular
    /// file had the name, in one step: a reader sees the old file or the new.
    ///
    /// # Errors
    /// When a step fails; unless it is the last
    /// ([`OutputError::SyncDirectory`]), the old file is still there.
    pub fn commit(self) -> Result<(), OutputError> {
        commit_all([self])
    }

    fn sync(&self) -> Result<(), OutputError> {
        self.file.sync_all().map_err(|source| OutputError::Sync { path: self.path.clone(), source })
    }

    /// Gives a file without a name a hidden one, because a rename needs one.
    fn hide(&mut self) -> Result<(), Errno> {
        while self.temporary.is_none() {
            let name = hidden_name();
            match self.link(&name) {
                Ok(()) => self.temporary = Some(name),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn link(&self, name: &OsStr) -> Result<(), Errno> {
        // Not AT_EMPTY_PATH: that needs CAP_DAC_READ_SEARCH.
        let fd = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(CWD, fd, &self.directory, name, AtFlags::SYMLINK_FOLLOW)
    }

    fn publish(&mut self) -> Result<(), Errno> {
        if self.temporary.is_none() {
            // Nothing to replace: the name is given at once, so that there is
            // no moment at which a kill leaves a hidden name.
            match self.link(&self.name) {
                Err(Errno::EXIST) => self.hide()?,
                done => return done,
            }
        }
        if let Some(temporary) = &self.temporary {
            rustix::fs::renameat(&self.directory, temporary, &self.directory, &self.name)?;
            self.temporary = None;
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(name) = &self.temporary {
            // Nothing can be done about a failure here: the build has failed
            // already and says why.
            let _ = rustix::fs::unlinkat(&self.directory, name, AtFlags::empty());
        }
    }
}

/// A file for what is not kept, in the directory of the output `beside`: without a name,
/// so that it is gone when it is closed, whatever ends the program; and for this user
/// alone, because it may hold in clear what the output has encrypted.
///
/// # Errors
/// When the directory cannot be written to.
pub fn scratch(beside: &Path) -> Result<File, OutputError> {
    let (directory, _name) = place(beside)?;
    let failed = |e: Errno| OutputError::Create { path: beside.to_owned(), source: e.into() };
    let (file, temporary) = make(&directory, 0o600).map_err(failed)?;
    if let Some(name) = temporary {
        // Before anything is in it.
        rustix::fs::unlinkat(&directory, &name, AtFlags::empty()).map_err(failed)?;
    }
    Ok(file)
}

/// Commits several outputs that belong together, in the order given: put last
/// the one that says that the others are complete (the sidecar).
///
/// All contents are on the disk before the first name changes. A file system
/// cannot rename several files in one step, so a crash between two renames
/// leaves the first ones new; each file by itself is whole in any case.
///
/// # Errors
/// When a step fails. Unless it is [`OutputError::Publish`] or
/// [`OutputError::SyncDirectory`], no name changed.
pub fn commit_all(outputs: impl IntoIterator<Item = Output>) -> Result<(), OutputError> {
    let mut outputs: Vec<Output> = outputs.into_iter().collect();
    for output in &outputs {
        output.sync()?;
    }
    for output in &mut outputs {
        output
            .publish()
            .map_err(|e| OutputError::Publish { path: output.path.clone(), source: e.into() })?;
    }
    for output in &outputs {
        match rustix::fs::fsync(&output.directory) {
            // A file system that cannot do this with directories (FUSE).
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => {
                let path = output.path.clone();
                return Err(OutputError::SyncDirectory { path, source: error.into() });
            }
        }
    }
    Ok(())
}

/// The directory that an output goes to, and its name there.
fn place(path: &Path) -> Result<(File, OsString), OutputError> {
    let target = resolve(path)?;
    let name = target
        .file_name()
        .filter(|_| !path.as_os_str().as_encoded_bytes().ends_with(b"/"))
        .ok_or_else(|| OutputError::NotAFileName { path: path.to_owned() })?;
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(parent, flags, Mode::empty())
        .map_err(|e| OutputError::Directory { path: path.to_owned(), source: e.into() })?;
    Ok((File::from(directory), name.to_owned()))
}

/// The path behind a symbolic link; `path` itself when nothing has the name.
fn resolve(path: &Path) -> Result<PathBuf, OutputError> {
    let directory = |source| OutputError::Directory { path: path.to_owned(), source };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path.to_owned()),
        Err(error) => return Err(directory(error)),
        Ok(_) => {}
    }
    let target = path.canonicalize().map_err(directory)?;
    if target.metadata().map_err(directory)?.is_file() {
        Ok(target)
    } else {
        Err(OutputError::NotRegular { path: path.to_owned() })
    }
}

type Made = Result<(File, Option<OsString>), Errno>;

/// A file without a name, or with a hidden one where that is not possible.
fn make(directory: &File, mode: u32) -> Made {
    match unnamed(directory, mode) {
        Err(error) if lacks_tmpfile(error) => hidden(directory, mode),
        made => made,
    }
}

fn unnamed(directory: &File, mode: u32) -> Made {
    // The name is given through /proc; without it, the hidden name is used.
    if !Path::new("/proc/self/fd").is_dir() {
        return Err(Errno::OPNOTSUPP);
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, ".", flags, Mode::from_raw_mode(mode))?;
    Ok((File::from(file), None))
}

/// What the kernel answers where it or the file system has no `O_TMPFILE`.
fn lacks_tmpfile(error: Errno) -> bool {
    matches!(error, Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT)
}

fn hidden(directory: &File, mode: u32) -> Made {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    loop {
        let name = hidden_name();
        match rustix::fs::openat(directory, &name, flags, Mode::from_raw_mode(mode)) {
            Ok(file) => return Ok((File::from(file), Some(name))),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
}

fn hidden_name() -> OsString {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!(".ravelin-{}-{count}.partial", std::process::id()).into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn write(path: &Path, content: &str) -> Output {
        let output = Output::create(path).unwrap();
        output.file().write_all(content.as_bytes()).unwrap();
        output
    }

    #[test]
    fn a_commit_makes_and_replaces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        for content in ["first", "2nd"] {
            write(&path, content).commit().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(names(directory.path()), ["image"]);
        }
    }

    /// What is in it is nobody else's, and gone with the last descriptor, also where the
    /// file system has only named files.
    #[test]
    fn scratch_has_no_name_and_one_user() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = scratch(&directory.path().join("image")).unwrap();
        file.write_all(b"clear").unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(std::os::unix::fs::MetadataExt::nlink(&metadata), 0);
        assert!(names(directory.path()).is_empty());
        let opened = File::open(directory.path()).unwrap();
        let (file, name) = hidden(&opened, 0o600).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        rustix::fs::unlinkat(&opened, name.unwrap(), AtFlags::empty()).unwrap();
    }

    #[test]
    fn a_drop_leaves_nothing_and_keeps_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        drop(write(&directory.path().join("new"), "half"));
        assert!(names(directory.path()).is_empty());
        let path = directory.path().join("old");
        fs::write(&path, "whole").unwrap();
        drop(write(&path, "half"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(names(directory.path()), ["old"]);
    }

    #[test]
    fn the_hidden_name_is_removed_on_drop_and_gone_after_commit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        let make = || {
            let mut output = Output::create(&path).unwrap();
            let (file, temporary) = hidden(&output.directory, 0o666).unwrap();
            (output.file, output.temporary) = (file, temporary);
            output.file().write_all(b"content").unwrap();
            output
        };
        let output = make();
        assert_eq!(names(directory.path()).len(), 1);
        drop(output);
        assert!(names(directory.path()).is_empty());
        make().commit().unwrap();
        assert_eq!(names(directory.path()), ["image"]);
        assert_eq!(fs::read(&path).unwrap(), b"content");
    }

    #[test]
    fn several_outputs_are_put_in_place_together() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["data", "hash", "sidecar.toml"].map(|name| directory.path().join(name));
        fs::write(&paths[1], "old").unwrap();
        commit_all(paths.iter().map(|path| write(path, "new"))).unwrap();
        assert_eq!(names(directory.path()), ["data", "hash", "sidecar.toml"]);
        for path in &paths {
            assert_eq!(fs::read_to_string(path).unwrap(), "new");
        }
    }

    #[test]
    fn a_target_that_became_a_directory_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        let output = write(&path, "new");
        fs::create_dir(&path).unwrap();
        assert!(matches!(output.commit(), Err(OutputError::Publish { .. })));
        assert_eq!(names(directory.path()), ["image"], "no hidden name stays");
    }

    /// Runs itself again, and kills that while it writes.
    #[test]
    fn a_killed_build_leaves_nothing() {
        const TARGET: &str = "RAVELIN_TEST_KILLED_OUTPUT";
        if let Some(target) = std::env::var_os(TARGET) {
            let output = write(Path::new(&target), "half");
            println!("written");
            std::thread::sleep(std::time::Duration::from_secs(60));
            drop(output);
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        if unnamed(&File::open(directory.path()).unwrap(), 0o666).is_err_and(lacks_tmpfile) {
            let reason = "the file system of the temporary directory has no O_TMPFILE";
            let line = format!("SKIPPED a_killed_build_leaves_nothing: {reason}\n");
            io::stderr().write_all(line.as_bytes()).unwrap();
            return;
        }
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "output::tests::a_killed_build_leaves_nothing", "--nocapture"])
            .env(TARGET, directory.path().join("image"))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = io::BufReader::new(child.stdout.take().unwrap());
        let written = io::BufRead::lines(lines).any(|line| line.unwrap().contains("written"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(written, "the child wrote before it was killed");
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn the_mode_is_that_of_any_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, plain) = (directory.path().join("image"), directory.path().join("plain"));
        write(&path, "x").commit().unwrap();
        fs::write(&plain, "x").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(path), mode(plain));
    }

    #[test]
    fn a_symbolic_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        fs::write(&real, "old").unwrap();
        symlink("real", &link).unwrap();
        write(&link, "new").commit().unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| Output::create(directory.path().join(name)).unwrap_err();
        symlink("nowhere", directory.path().join("dangling")).unwrap();
        assert!(matches!(at("dangling"), OutputError::Directory { .. }));
        assert!(matches!(at("missing/image"), OutputError::Directory { .. }));
        assert!(matches!(at("new/"), OutputError::NotAFileName { .. }));
        assert!(matches!(at(""), OutputError::NotRegular { .. }));
        assert!(matches!(Output::create("/dev/null"), Err(OutputError::NotRegular { .. })));
        assert!(matches!(Output::create(""), Err(OutputError::NotAFileName { .. })));
    }
}
